"""Make the database say what the archive says: replace, add and remove derived rows, and keep what they superseded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wearables_platform.batch.comparison import DayKeys, Evidence, KeyedRows, RepairPlan, plan_repair
from wearables_platform.batch.day_messages import DayMessages, DeviceEnd
from wearables_platform.batch.derived_tables import (
    SPIKES,
    WINDOWS,
    DerivedTable,
    groups_of_devices,
    keyed_from_lake,
    keyed_from_sql,
    stored_rows,
)
from wearables_platform.batch.device_groups import DayRows
from wearables_platform.batch.said_live import said_live
from wearables_platform.clients.sql import BulkTable, Connection, SqlClient, load_queries, nullable, upsert
from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.domain.severity import spike_severity
from wearables_platform.domain.time_policy import from_us
from wearables_platform.models.predict import ModelTimeline
from wearables_platform.signals.windows import FEATURE_VERSION, WINDOW_US, WindowRows
from wearables_platform.wire.feature_schema import window_rows
from wearables_platform.wire.samples import REACH_AFTER_US, SETTLE_US

STREAM = "stream"
# While the stream is ahead of the archive a device's youngest windows are left alone: this covers the reorder hold
# (2 s) and the halo with a wide margin.
UNSETTLED_US = 60_000_000

_SQL = Path(__file__).parents[1] / "sql" / "repair"
_queries: Any = load_queries(_SQL)
_SUPERSEDED = BulkTable(
    "staging.superseded",
    {
        "load_id": "text",
        "device_id": "text",
        "window_start": "timestamptz",
        "started_at": "timestamptz",
        "revision": "int8",
        "because": "text",
    },
    "ON CONFLICT DO NOTHING",
)

# The version of the device thresholds in force at each of (N,) instants; None: the defaults.
VersionsAt = Callable[[npt.NDArray[np.int64]], list[str | None]]

# Computes, from the lake's rows of some devices, the values of the chosen ones that nobody compares.
OwnValues = Callable[[Connection, pa.Table, DayKeys, KeyedRows], Iterator[tuple[Any, ...]]]


@dataclass(frozen=True)
class DayEvidence:
    """What decides whether batch may touch a window of a day.

    Attributes
    ----------
    dirty
        (device, window start) to the first recorded cause.
    ends
        How far the lake's messages of each device reach.
    stream_read
        Per partition, the position after the last one the stream has read; empty where no stream ever ran.
    archive_read
        Per partition, the position the archive had committed before the lake was written; empty where not known.
    over
        The day has ended.
    bucket_us, reach_us
        A row hangs on all of the aligned span it starts in, which `dirty` names by its start, and on this much after.
    said_after_us
        The stream writes a row, be it provisional, once it has data that reach this far after its start; None: once it
        has all that the row hangs on.
    also
        What is known of another topic the rows are made of, if there is one.
    """

    dirty: Mapping[tuple[str, int], str]
    ends: Mapping[str, DeviceEnd]
    stream_read: Mapping[int, int]
    archive_read: Mapping[int, int]
    over: bool = True
    bucket_us: int = WINDOW_US
    reach_us: int = 0
    said_after_us: int | None = None
    also: DayEvidence | None = None

    @property
    def devices(self) -> set[str]:
        """Return every device something is known of."""
        return {device_id for device_id, _ in self.dirty} | self.ends.keys()

    def about(self, keys: DayKeys, rows: Sequence[KeyedRows]) -> Evidence:
        """Return the evidence for every key of `rows`."""
        every = np.unique(np.concatenate([part.keys for part in rows]))
        instants_us, devices = keys.instants_us(every), keys.devices(every)
        starts_us = instants_us // self.bucket_us * self.bucket_us
        of_key = list(zip(devices, starts_us.tolist(), strict=True))
        appear = zip(devices, (starts_us if self.said_after_us is None else instants_us).tolist(), strict=True)
        dirty = {key: self.dirty[pair] for key, pair in zip(every.tolist(), of_key, strict=True) if pair in self.dirty}
        settled = np.array([self.settled(*pair) for pair in of_key], bool)
        awaited = np.array([self.awaited(*pair) for pair in appear], bool)
        return Evidence(dirty, every[settled], every[awaited], self.over)

    def settled(self, device_id: str, start_us: int) -> bool:
        """Tell whether the rows of a span can change no more with what the stream has read and the archive had not."""
        if self.also is not None and not self.also.settled(device_id, start_us):
            return False
        end = self.ends.get(device_id)
        behind = {p for p, position in self.archive_read.items() if self.stream_read.get(p, 0) > position}
        if end is None:
            return not behind
        return end.partition not in behind or self._looks_to_us(start_us) <= end.last_us - UNSETTLED_US

    def awaited(self, device_id: str, start_us: int) -> bool:
        """Tell whether the stream may still have to write a row, or the rows of a span, for the first time.

        The sensor that reaches furthest decides: the stream does not wait for ever for the other one, and what comes of
        that one later is marked.
        """
        both = [one for one in (self, self.also) if one is not None and one.stream_read]
        ends = [(one.stream_read, one.ends[device_id]) for one in both if device_id in one.ends]
        if not ends:
            return False
        still_reading = any(read.get(end.partition, 0) <= end.last_offset for read, end in ends)
        appears_us = self._looks_to_us(start_us)
        if self.said_after_us is not None:
            appears_us = start_us + self.said_after_us + REACH_AFTER_US
        return still_reading or appears_us + SETTLE_US > max(end.last_us for _, end in ends)

    def _looks_to_us(self, start_us: int) -> int:
        return start_us + self.bucket_us + self.reach_us + REACH_AFTER_US


@dataclass(frozen=True)
class Load:
    """Who writes, and when: names the rows on their way in, and stamps the history."""

    load_id: str
    at: datetime


@dataclass(frozen=True)
class Repaired:
    """What a repair changed, by reason."""

    rows: int
    reasons: Mapping[str, int]

    def plus(self, other: Repaired) -> Repaired:
        """Return what both changed."""
        names = self.reasons.keys() | other.reasons.keys()
        reasons = {name: self.reasons.get(name, 0) + other.reasons.get(name, 0) for name in sorted(names)}
        return Repaired(self.rows + other.rows, reasons)


def gather_evidence(
    connection: Connection,
    day_us: tuple[int, int],
    ends: Mapping[str, DeviceEnd],
    archive_read: Mapping[int, int],
    at: datetime,
) -> DayEvidence:
    """Read from the database what is known about a day's windows, `at` an instant."""
    dirty: dict[tuple[str, int], str] = {}
    for device_id, start_us, cause, *_ in _queries.find_dirty_windows(connection, **_day(day_us)):
        dirty.setdefault((device_id, start_us), cause)
    read = _queries.find_read_positions(connection, consumer=STREAM, topic=ACCELERATION.topic)
    return DayEvidence(dirty, ends, dict(read), archive_read, over=from_us(day_us[1]) <= at)


def repair_windows(
    sql: SqlClient,
    batch: DayRows,
    day_us: tuple[int, int],
    evidence: DayEvidence,
    load: Load,
    models: ModelTimeline,
) -> Repaired:
    """Bring the stored window rows of a day in line with `batch`; a second call changes nothing.

    A row is scored by the version the stream scored it by, where it did; else by the one in force at its start.
    """

    def with_score(
        connection: Connection, rows: pa.Table, keys: DayKeys, chosen: KeyedRows
    ) -> Iterator[tuple[Any, ...]]:
        windows, device_ids = _as_window_rows(rows, keys, chosen)
        scores, versions = models.score(windows, said_live(connection, models, windows, device_ids))
        return zip(nullable(scores), versions, strict=True)

    columns = {"anomaly_score": "float8", "model_version": "text"}
    return repair(sql, WINDOWS, batch, day_us, evidence, load, columns, with_score)


def repair_spikes(
    sql: SqlClient,
    batch: DayRows,
    day_us: tuple[int, int],
    evidence: DayEvidence,
    load: Load,
    versions: VersionsAt,
) -> Repaired:
    """Bring the stored spike events of a day in line with `batch`; a second call changes nothing."""

    def with_severity(_: Connection, __: pa.Table, keys: DayKeys, chosen: KeyedRows) -> Iterator[tuple[Any, ...]]:
        peaks_g = chosen.columns["peak_g"].tolist()
        severities = [spike_severity(peak_g) for peak_g in peaks_g]
        judged_by = versions(keys.instants_us(chosen.keys))
        units = ["[g]"] * len(peaks_g)
        return zip(*started_and_ended(keys, chosen), severities, peaks_g, units, judged_by, strict=True)

    columns = {
        "started_at": "timestamptz", "ended_at": "timestamptz", "severity": "text", "extreme_value": "float8",
        "extreme_unit": "text", "model_version": "text",
    }  # fmt: skip
    return repair(sql, SPIKES, batch, day_us, evidence, load, columns, with_severity)


def started_and_ended(keys: DayKeys, chosen: KeyedRows) -> tuple[list[datetime], list[datetime]]:
    """Return the first and the last instant of events with a duration."""
    started_us = keys.instants_us(chosen.keys)
    ended_us = started_us + np.rint(chosen.columns["duration_ms"] * 1000).astype(np.int64)
    return [from_us(us) for us in started_us.tolist()], [from_us(us) for us in ended_us.tolist()]


def resolve_dirty(sql: SqlClient, day_us: tuple[int, int], messages: DayMessages) -> int:
    """Mark the day's dirty windows as dealt with whose message is among those the day was computed from."""
    with sql.transaction() as connection:
        waiting = {
            message_id
            for *_, message_id, resolved in _queries.find_dirty_windows(connection, **_day(day_us))
            if resolved is None
        }
    held = messages.holding(waiting)
    with sql.transaction() as connection:
        resolved_now: int = _queries.resolve_dirty_windows(connection, **_day(day_us), message_ids=held)
    return resolved_now


def day_keys(day_us: tuple[int, int], evidence: DayEvidence, *devices: Sequence[str]) -> DayKeys:
    """Give every device that any of the compared rows may name its number."""
    return DayKeys(sorted(evidence.devices.union(*devices)), day_us[0])


def repair(
    sql: SqlClient,
    table: DerivedTable,
    batch: DayRows,
    day_us: tuple[int, int],
    evidence: DayEvidence,
    load: Load,
    own_columns: Mapping[str, str],
    own_values: OwnValues,
    *,
    rows_at_once: int | None = None,
) -> Repaired:
    """Bring the stored rows of a day in line with `batch`; a second call changes nothing.

    `own_values` gives, for chosen rows, the columns that follow from the others and that nobody compares. Devices are
    repaired some at a time, in a transaction each: a repair cut short is finished by the next.
    """
    with sql.transaction() as connection:
        groups = groups_of_devices(connection, table, batch, day_us, rows_at_once)
    keys = day_keys(day_us, evidence, *groups)
    repaired = Repaired(0, {})
    for device_ids in groups:
        rows = batch.of(device_ids)
        with sql.transaction() as connection:
            raw = stored_rows(connection, table, day_us, device_ids)
            computed, stored = keyed_from_lake(table, rows, keys), keyed_from_sql(table, raw, keys)
            plan = plan_repair(computed, stored, tuple(table.values), evidence.about(keys, (computed, stored)))
            if len(plan):
                _supersede(connection, table, keys, stored, plan, load)
                chosen = computed.at(np.sort(np.fromiter(plan.put, np.int64, len(plan.put))))
                own = own_values(connection, rows, keys, chosen)
                _put(connection, table, keys, chosen, stored, own_columns, own)
        repaired = repaired.plus(Repaired(len(plan), _reasons(plan)))
    return repaired


def _supersede(
    connection: Connection,
    table: DerivedTable,
    keys: DayKeys,
    stored: KeyedRows,
    plan: RepairPlan,
    load: Load,
) -> None:
    because = {**plan.put, **plan.remove}
    gone = stored.at(np.intersect1d(stored.keys, np.fromiter(because, np.int64, len(because))))
    instants = keys.instants_us(gone.keys)
    rows = zip(
        [load.load_id] * len(gone),
        keys.devices(gone.keys),
        [from_us(us // WINDOW_US * WINDOW_US) for us in instants.tolist()],
        [from_us(us) for us in instants.tolist()],
        gone.columns["revision"].tolist(),
        [str(because[key]) for key in gone.keys.tolist()],
        strict=True,
    )
    upsert(connection, _SUPERSEDED, rows)
    keep, remove = _moving_statements(connection, table)
    connection.execute(keep, {"load_id": load.load_id, "superseded_at": load.at})
    connection.execute(remove, {"load_id": load.load_id})
    _queries.forget_superseded(connection, load_id=load.load_id)


def _moving_statements(connection: Connection, table: DerivedTable) -> tuple[str, str]:
    """Return the statements that copy the named rows to the history, and delete them: of every column there is.

    A row whose revision has changed since it was compared is left alone, and compared again by the next run.
    """
    schema, _, short = table.name.partition(".")
    found = _queries.find_columns(connection, table_schema=schema, table_name=short)
    names = [name for (name,) in found]
    same = " AND ".join(f"t.{name} = s.{name}" for name in ("device_id", *table.keys, "revision"))
    scope = f"s.load_id = %(load_id)s AND {same} AND {table.only}"
    columns = ", ".join(names)
    keep = (
        f"INSERT INTO {table.name}_history ({columns}, superseded_at, superseded_because)"
        f" SELECT {', '.join(f't.{name}' for name in names)}, %(superseded_at)s, s.because"
        f" FROM {table.name} t, staging.superseded s WHERE {scope} ON CONFLICT DO NOTHING"
    )
    return keep, f"DELETE FROM {table.name} t USING staging.superseded s WHERE {scope}"


def _put(
    connection: Connection,
    table: DerivedTable,
    keys: DayKeys,
    chosen: KeyedRows,
    stored: KeyedRows,
    own_columns: Mapping[str, str],
    own_values: Iterator[tuple[Any, ...]],
) -> None:
    if not len(chosen):
        return
    held = dict(zip(stored.keys.tolist(), stored.columns["revision"].tolist(), strict=True))
    constants = {
        **table.constants,
        "feature_version": ("text", FEATURE_VERSION),
        "provisional": ("bool", False),
        "origin": ("text", "batch"),
    }
    columns = {
        "device_id": "text",
        "window_start": "timestamptz",
        "revision": "int8",
        **{name: kind for name, (kind, _) in constants.items()},
        **table.values,
        **own_columns,
    }
    fixed = tuple(value for _, value in constants.values())
    values = zip(*(nullable(chosen.columns[name]) for name in table.values), strict=True)
    rows = (
        (device_id, from_us(us // WINDOW_US * WINDOW_US), held.get(key, 0) + 1, *fixed, *numbers, *own)
        for device_id, us, key, numbers, own in zip(
            keys.devices(chosen.keys),
            keys.instants_us(chosen.keys).tolist(),
            chosen.keys.tolist(),
            values,
            own_values,
            strict=True,
        )
    )
    upsert(connection, BulkTable(table.name, columns, "ON CONFLICT DO NOTHING"), rows)


def _as_window_rows(batch: pa.Table, keys: DayKeys, chosen: KeyedRows) -> tuple[WindowRows, list[str]]:
    """Return the chosen rows, in order, as the model takes them, and the devices they name by number."""
    rows, device_ids = window_rows(batch)
    names = np.array(device_ids, dtype=object)[rows.device]
    return rows.take(np.flatnonzero(np.isin(keys.of(names, rows.start_us), chosen.keys))), list(device_ids)


def _reasons(plan: RepairPlan) -> dict[str, int]:
    reasons = [str(reason) for part in (plan.put, plan.remove) for reason in part.values()]
    return {reason: reasons.count(reason) for reason in sorted(set(reasons))}


def _day(day_us: tuple[int, int]) -> dict[str, datetime]:
    return {"first": from_us(day_us[0]), "last": from_us(day_us[1])}
