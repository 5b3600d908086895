"""From the archive to the lake: one partition of raw messages per channel and day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wearables_platform.batch.external_sort import ExternalSort, external_sort
from wearables_platform.clients.lake import Lake, Manifest, PartitionWriter
from wearables_platform.clients.manifest import bucket_of
from wearables_platform.clients.mongo import Document, DocumentStore
from wearables_platform.domain.channels import Channel
from wearables_platform.domain.time_policy import QUARANTINE_PARTITION
from wearables_platform.wire.lake_schemas import QUARANTINE_DATASET
from wearables_platform.wire.raw_messages import (
    DOCUMENT_FIELDS,
    LAKE_ORDER,
    RAW_SCHEMA_VERSION,
    TIME_SPAN,
    raw_dataset,
    raw_rows,
)

# What one query for several small days returns, and from what number on a day is cut by device.
MESSAGES_PER_FILE = 50_000
MAX_BUCKETS = 64
DOCUMENTS_PER_BATCH = 2_000
ARCHIVE, LAKE = 0, 1

_QUARANTINE_SCHEMA = pa.schema(
    [
        pa.field("position", pa.string(), nullable=False),
        pa.field("identity", pa.string()),
        pa.field("channel", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("detail", pa.string()),
        pa.field("device_id", pa.string()),
        pa.field("start_time_us", pa.int64()),
        pa.field("append_time_us", pa.int64()),
        pa.field("payload", pa.binary()),
    ]
)


@dataclass(frozen=True)
class ArchivedDay:
    """How many messages the archive holds of a day."""

    day: str
    messages: int


def archived_days(archive: DocumentStore, channel: Channel, first: str, last: str) -> list[ArchivedDay]:
    """Count the archived messages of each day in [first, last] that has any, ascending."""
    pipeline: list[Mapping[str, Any]] = [
        {"$match": {"event_day": {"$gte": first, "$lte": last}}},
        {"$group": {"_id": "$event_day", "messages": {"$sum": 1}}},
    ]
    groups = archive.aggregate(channel.collection, pipeline)
    return sorted(
        (ArchivedDay(group["_id"], group["messages"]) for group in groups if first <= str(group["_id"]) <= last),
        key=lambda found: found.day,
    )


def export_days(
    archive: DocumentStore,
    lake: Lake,
    channel: Channel,
    days: Sequence[str],
    *,
    committed: Mapping[int, int] | None = None,
) -> dict[str, Manifest]:
    """Write the raw partitions of these days, also of those without messages; returns their manifests.

    Safe to run twice and at once: the same messages give the same bytes, and of two writers that began before
    either ended one raises `LakeConflict`.

    Parameters
    ----------
    committed
        Per log partition, the position the archive had committed before this call: everything below it is read here.
        It is written into the manifest, so that a later step knows whether the stream was ahead.
    """
    dataset = raw_dataset(channel)
    editions = {day: lake.edition(dataset, day) for day in days}
    counts = {found.day: found.messages for found in archived_days(archive, channel, min(days), max(days))}
    committed_text = {str(partition): position for partition, position in sorted((committed or {}).items())}
    manifests: dict[str, Manifest] = {}
    for group in reading_groups({day: counts.get(day, 0) for day in days}):
        buckets = bucket_count(counts.get(group[0], 0)) if len(group) == 1 else 1
        with external_sort(LAKE_ORDER) as sort:
            if any(counts.get(day) for day in group):
                _read_into(sort, archive, channel, group, buckets)
            messages = _Days(each_identity_once(sort.tables()))
            for day in group:
                with lake.writer(editions[day], TIME_SPAN) as writer:
                    cut = _write_day(writer, messages.of(day), buckets)
                    manifests[day] = writer.publish(
                        {"append_time_us": cut, "committed": committed_text}, {"schema": RAW_SCHEMA_VERSION}
                    )
    return manifests


def reading_groups(counts: Mapping[str, int], limit: int = MESSAGES_PER_FILE) -> list[list[str]]:
    """Group days so that one query returns about `limit` messages: small days together, a large one alone.

    >>> reading_groups({"a": 2, "b": 2, "c": 9, "d": 0}, limit=5)
    [['a', 'b'], ['c'], ['d']]
    """
    groups: list[list[str]] = []
    held = limit + 1
    for day, messages in sorted(counts.items()):
        if held + messages > limit:
            groups.append([])
            held = 0
        groups[-1].append(day)
        held += messages
    return groups


def bucket_count(messages: int, limit: int = MESSAGES_PER_FILE) -> int:
    """Return into how many files a day is cut: the least power of two that keeps them near `limit` messages.

    >>> bucket_count(10), bucket_count(50_001), bucket_count(10**9)
    (1, 2, 64)
    """
    buckets = 1
    while buckets < MAX_BUCKETS and messages > buckets * limit:
        buckets *= 2
    return buckets


def export_quarantine(archive: DocumentStore, lake: Lake) -> Manifest:
    """Write every quarantined message, with its bytes and its reason, into one partition of its own."""
    edition = lake.edition(QUARANTINE_DATASET, QUARANTINE_PARTITION)
    with external_sort(["position"]) as sort:
        for batch in archive.stream_documents("quarantine", {}, batch=DOCUMENTS_PER_BATCH):
            sort.add(_quarantined(batch))
        with lake.writer(edition) as writer:
            for table in sort.tables():
                writer.write(table)
            return writer.publish()


def each_identity_once(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield sorted tables without messages that occurred before: a cursor may return a document twice."""
    before: str | None = None
    for table in tables:
        ids = table.column("message_id").combine_chunks()
        previous = pa.concat_arrays([pa.array([before], pa.string()), ids[:-1]])
        before = ids[-1].as_py()
        yield table.filter(pc.fill_null(pc.not_equal(ids, previous), True))


class _Days:
    """Hands the rows of one day after the other to whoever asks; days must be asked for in order."""

    def __init__(self, tables: Iterator[pa.Table]) -> None:
        self._tables = tables
        self._rest: pa.Table | None = None

    def of(self, day: str) -> Iterator[pa.Table]:
        """Yield a day's rows; they come after those of every earlier day."""
        while (table := self._next()) is not None:
            days = table.column("event_day")
            before, until = (pc.sum(compare(days, day)).as_py() or 0 for compare in (pc.less, pc.less_equal))
            if until > before:
                yield table.slice(before, until - before)
            if until < table.num_rows:
                self._rest = table.slice(until)
                return

    def _next(self) -> pa.Table | None:
        table, self._rest = self._rest, None
        return table if table is not None else next(self._tables, None)


def _read_into(sort: ExternalSort, archive: DocumentStore, channel: Channel, days: Sequence[str], buckets: int) -> None:
    query = {"event_day": {"$gte": days[0], "$lte": days[-1]} if len(days) > 1 else days[0]}
    fields = ["event_day", *DOCUMENT_FIELDS]
    for batch in archive.stream_documents(channel.collection, query, fields, batch=DOCUMENTS_PER_BATCH):
        rows = raw_rows(channel, batch)
        encoded = pc.dictionary_encode(rows.column("device_id")).combine_chunks()
        bucket = np.array([bucket_of(device, buckets) for device in encoded.dictionary.to_pylist()], np.int8)
        rows = rows.append_column("event_day", pa.array([document["event_day"] for document in batch], pa.string()))
        sort.add(rows.append_column("bucket", pa.array(bucket[encoded.indices.to_numpy()])))


def _write_day(writer: PartitionWriter, tables: Iterable[pa.Table], buckets: int) -> dict[str, int]:
    """Write a day's rows, a file or more per bucket; returns the last append time per log partition."""
    last: dict[str, int] = {}
    present = -1
    for table in tables:
        _note_last_append(last, table)
        for bucket in pc.unique(table.column("bucket")).to_pylist():
            if bucket != present:
                writer.begin_file(bucket=bucket, buckets=buckets)
                present = bucket
            writer.write(table.filter(pc.equal(table.column("bucket"), bucket)).drop_columns(["event_day", "bucket"]))
    return dict(sorted(last.items()))


def _note_last_append(last: dict[str, int], table: pa.Table) -> None:
    grouped = table.group_by("partition").aggregate([("append_time_us", "max")])
    for partition, append_us in zip(*(grouped.column(i).to_pylist() for i in range(2)), strict=True):
        last[str(partition)] = max(append_us, last.get(str(partition), append_us))


def _quarantined(documents: Sequence[Document]) -> pa.Table:
    names = [("_id" if field.name == "position" else field.name, field.type) for field in _QUARANTINE_SCHEMA]
    columns = [pa.array([document.get(name) for document in documents], kind) for name, kind in names]
    return pa.Table.from_arrays(columns, schema=_QUARANTINE_SCHEMA)


@dataclass(frozen=True)
class ArchiveDifference:
    """Identities only the archive holds at the recorded cut, only the lake holds, or the lake holds twice."""

    only_archive: tuple[str, ...]
    only_lake: tuple[str, ...]
    repeated: tuple[str, ...]
    compared: int


def compare_days_with_archive(
    archive: DocumentStore, lake: Lake, channel: Channel, days: Sequence[str]
) -> ArchiveDifference:
    """Compare raw partitions with the archive, identity by identity, at the cuts their manifests record."""
    dataset = raw_dataset(channel)
    with external_sort(["message_id", "side"]) as sort:
        for identities in _archived_identities(archive, lake, channel, days):
            sort.add(_side(identities, ARCHIVE))
        for table in lake.scan(dataset, days, columns=["message_id"]):
            sort.add(_side(table.column("message_id"), LAKE))
        return _difference(sort.tables())


def _side(identities: Any, side: int) -> pa.Table:
    return pa.table({"message_id": identities, "side": pa.array(np.full(len(identities), side, np.int8))})


def _difference(tables: Iterable[pa.Table]) -> ArchiveDifference:
    """Compare both sides of a sorted stream; a table may end between the two entries of an identity."""
    found: dict[str, list[str]] = {"only_archive": [], "only_lake": [], "repeated": []}
    compared = 0
    held: pa.Table | None = None
    for table in chain(tables, [None]):
        parts = [each for each in (held, table) if each is not None]
        if not parts:
            break
        whole = pa.concat_tables(parts)
        last = whole.column("message_id")[-1]
        complete = whole if table is None else whole.filter(pc.not_equal(whole.column("message_id"), last))
        held = None if table is None else whole.filter(pc.equal(whole.column("message_id"), last))
        compared += _note_differences(complete, found)
    return ArchiveDifference(**{name: tuple(ids) for name, ids in found.items()}, compared=compared)


def _note_differences(complete: pa.Table, found: dict[str, list[str]]) -> int:
    if not complete.num_rows:
        return 0
    in_lake = pc.equal(complete.column("side"), LAKE)
    sides = complete.append_column("lake", pc.cast(in_lake, pa.int64()))
    sides = sides.append_column("archive", pc.cast(pc.invert(in_lake), pa.int64()))
    counts = sides.group_by("message_id", use_threads=False).aggregate([("lake", "sum"), ("archive", "sum")])
    lake, archived = counts.column("lake_sum"), counts.column("archive_sum")
    for name, wrong in (
        ("only_archive", pc.equal(lake, 0)),
        ("only_lake", pc.equal(archived, 0)),
        ("repeated", pc.greater(lake, 1)),
    ):
        found[name] += counts.filter(wrong).column("message_id").to_pylist()
    return int(counts.num_rows)


def _archived_identities(
    archive: DocumentStore, lake: Lake, channel: Channel, days: Sequence[str]
) -> Iterator[list[str]]:
    """Yield the identities of the days that the archive held when each day was cut."""
    manifests = {day: lake.manifest(raw_dataset(channel), day) for day in days}
    cuts = {
        (day, int(partition)): append_us
        for day, manifest in manifests.items()
        if manifest is not None
        for partition, append_us in manifest.cut["append_time_us"].items()
    }
    counts = {found.day: found.messages for found in archived_days(archive, channel, min(days), max(days))}
    fields = ["event_day", "partition", "append_time_us"]
    for group in reading_groups({day: counts.get(day, 0) for day in days}):
        if not any(map(counts.get, group)):
            continue
        query = {"event_day": {"$gte": group[0], "$lte": group[-1]} if len(group) > 1 else group[0]}
        for batch in archive.stream_documents(channel.collection, query, fields, batch=DOCUMENTS_PER_BATCH):
            yield [
                document["_id"]
                for document in batch
                if document["append_time_us"] <= cuts.get((document["event_day"], document["partition"]), -1)
            ]


def compare_quarantine(archive: DocumentStore, lake: Lake) -> tuple[list[str], list[str], int]:
    """Return positions only the archive's quarantine holds up to the lake's last, those without reason, and a count."""
    table = lake.read_table(
        QUARANTINE_DATASET, [QUARANTINE_PARTITION], columns=["position", "reason", "append_time_us"]
    )
    held = (
        dict(zip(table.column("position").to_pylist(), table.column("reason").to_pylist(), strict=True))
        if table
        else {}
    )
    last_us = pc.max(table.column("append_time_us")).as_py() if table else -1
    archived = {
        document["_id"]
        for batch in archive.stream_documents("quarantine", {}, ["append_time_us"], batch=DOCUMENTS_PER_BATCH)
        for document in batch
        if document["append_time_us"] <= last_us
    }
    return (
        sorted(archived - held.keys()),
        sorted(position for position, reason in held.items() if not reason),
        len(held),
    )


def late_days(archive: DocumentStore, lake: Lake, channel: Channel) -> dict[str, int]:
    """Return the days in the lake whose number of archived messages differs from the lake's, and that number."""
    held = lake.partitions(raw_dataset(channel))
    if not held:
        return {}
    counts = {found.day: found.messages for found in archived_days(archive, channel, held[0], held[-1])}
    manifests = {day: lake.manifest(raw_dataset(channel), day) for day in held}
    rows = {day: manifest.rows for day, manifest in manifests.items() if manifest is not None}
    return {day: counts.get(day, 0) for day in held if counts.get(day, 0) != rows.get(day)}
