"""From the archive to the lake: one partition of raw messages per channel and day."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wearables_platform.clients.lake import Lake, Manifest
from wearables_platform.clients.mongo import Document, DocumentStore
from wearables_platform.domain.channels import Channel
from wearables_platform.domain.time_policy import QUARANTINE_PARTITION
from wearables_platform.wire.raw_messages import (
    DOCUMENT_FIELDS,
    RAW_SCHEMA_VERSION,
    TIME_SPAN,
    raw_dataset,
    raw_rows,
    sorted_messages,
)

# A file's worth of messages: about 60 MB of 100 ms blocks in memory, and what one query for several small days returns.
MESSAGES_PER_FILE = 50_000
MAX_BUCKETS = 64
DOCUMENTS_PER_BATCH = 2_000

QUARANTINE_DATASET = "raw/quarantine"
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
    editions = {day: lake.edition(raw_dataset(channel), day) for day in days}
    counts = {found.day: found.messages for found in archived_days(archive, channel, min(days), max(days))}
    tables: dict[str, list[pa.Table]] = {day: [] for day in days}
    manifests: dict[str, Manifest] = {}
    for group in reading_groups({day: counts.get(day, 0) for day in days}):
        for day, table in _read_group(archive, channel, group, counts):
            tables[day].append(table)
        for day in group:
            manifests[day] = lake.publish(
                editions[day],
                tables[day],
                time_columns=TIME_SPAN,
                cut={"append_time_us": _last_append(tables[day]), "committed": _text_keys(committed or {})},
                versions={"schema": RAW_SCHEMA_VERSION},
            )
            tables[day] = []
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


def bucket_of(device_id: str, buckets: int) -> int:
    """Return a device's bucket; the same on every machine and in every release."""
    return zlib.crc32(device_id.encode()) % buckets


def export_quarantine(archive: DocumentStore, lake: Lake) -> Manifest:
    """Write every quarantined message, with its bytes and its reason, into one partition of its own."""
    edition = lake.edition(QUARANTINE_DATASET, QUARANTINE_PARTITION)
    tables = [_quarantined(batch) for batch in archive.stream_documents("quarantine", {}, batch=DOCUMENTS_PER_BATCH)]
    table = pa.concat_tables([*tables, _QUARANTINE_SCHEMA.empty_table()]).sort_by("position").combine_chunks()
    return lake.publish(edition, [table], time_columns=("append_time_us", "append_time_us"))


def _read_group(
    archive: DocumentStore, channel: Channel, days: Sequence[str], counts: Mapping[str, int]
) -> Iterator[tuple[str, pa.Table]]:
    """Yield sorted tables of the days' messages: one per day, or one per bucket of a day that is large."""
    buckets = bucket_count(sum(counts.get(day, 0) for day in days)) if len(days) == 1 else 1
    if not any(counts.get(day) for day in days):
        return
    for devices in _device_buckets(archive, channel, days[0], buckets):
        query: dict[str, Any] = {"event_day": {"$gte": days[0], "$lte": days[-1]} if len(days) > 1 else days[0]}
        if devices is not None:
            query["device_id"] = {"$in": devices}
        for day, tables in _tables_by_day(archive, channel, query).items():
            if day in days:
                yield day, sorted_messages(tables)


def _device_buckets(archive: DocumentStore, channel: Channel, day: str, buckets: int) -> list[list[str] | None]:
    if buckets == 1:
        return [None]
    members: list[list[str] | None] = [[] for _ in range(buckets)]
    for device_id in sorted(archive.distinct(channel.collection, "device_id", {"event_day": day})):
        members[bucket_of(device_id, buckets)].append(device_id)  # type: ignore[union-attr]
    return [devices for devices in members if devices]


def _tables_by_day(archive: DocumentStore, channel: Channel, query: Mapping[str, Any]) -> dict[str, list[pa.Table]]:
    fields = ["event_day", *DOCUMENT_FIELDS]
    tables: dict[str, list[pa.Table]] = {}
    for batch in archive.stream_documents(channel.collection, query, fields, batch=DOCUMENTS_PER_BATCH):
        rows = raw_rows(channel, batch)
        days = np.array([document["event_day"] for document in batch])
        for day in np.unique(days).tolist():
            tables.setdefault(day, []).append(rows.filter(pa.array(days == day)))
    return tables


def _quarantined(documents: Sequence[Document]) -> pa.Table:
    names = [("_id" if field.name == "position" else field.name, field.type) for field in _QUARANTINE_SCHEMA]
    columns = [pa.array([document.get(name) for document in documents], kind) for name, kind in names]
    return pa.Table.from_arrays(columns, schema=_QUARANTINE_SCHEMA)


def _last_append(tables: Sequence[pa.Table]) -> dict[str, int]:
    """Return, per log partition, the last append time among the messages read: the archive cut of this partition."""
    last: dict[str, int] = {}
    for table in tables:
        grouped = table.group_by("partition").aggregate([("append_time_us", "max")])
        for partition, append_us in zip(*(grouped.column(i).to_pylist() for i in range(2)), strict=True):
            last[str(partition)] = max(append_us, last.get(str(partition), append_us))
    return dict(sorted(last.items()))


def _text_keys(positions: Mapping[int, int]) -> dict[str, int]:
    return {str(partition): position for partition, position in sorted(positions.items())}


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
    counts = {found.day: found.messages for found in archived_days(archive, channel, min(days), max(days))}
    only_archive: set[str] = set()
    only_lake: set[str] = set()
    repeated: list[str] = []
    compared = 0
    for group in reading_groups({day: counts.get(day, 0) for day in days}):
        archived = _archived_identities(archive, lake, channel, group) if any(map(counts.get, group)) else set()
        table = lake.read_table(raw_dataset(channel), group, columns=["message_id"])
        listed = table.column("message_id").to_pylist() if table is not None else []
        held = set(listed)
        only_archive |= archived - held
        only_lake |= held - archived
        repeated += sorted(identity for identity, count in Counter(listed).items() if count > 1)
        compared += len(archived | held)
    return ArchiveDifference(tuple(sorted(only_archive)), tuple(sorted(only_lake)), tuple(repeated), compared)


def _archived_identities(archive: DocumentStore, lake: Lake, channel: Channel, days: Sequence[str]) -> set[str]:
    """Return the identities of the days that the archive held when each day was cut."""
    manifests = {day: lake.manifest(raw_dataset(channel), day) for day in days}
    cuts = {
        (day, int(partition)): append_us
        for day, manifest in manifests.items()
        if manifest is not None
        for partition, append_us in manifest.cut["append_time_us"].items()
    }
    query = {"event_day": {"$gte": days[0], "$lte": days[-1]} if len(days) > 1 else days[0]}
    fields = ["event_day", "partition", "append_time_us"]
    return {
        document["_id"]
        for batch in archive.stream_documents(channel.collection, query, fields, batch=DOCUMENTS_PER_BATCH)
        for document in batch
        if document["append_time_us"] <= cuts.get((document["event_day"], document["partition"]), -1)
    }


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
