"""Events of rules, wear and rolling rows in the database: brought in line with batch, and compared with the stream.

What a second of movement can change is what its own rule looks at: rolling rows over it, the events of its UTC hour,
wear for an hour. A minute that was judged before everything of it had come can change the events of its hour.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from wearables_platform.batch.comparison import DayKeys, KeyedRows, ParityCounts
from wearables_platform.batch.day_messages import DeviceEnd
from wearables_platform.batch.derived_tables import DerivedTable
from wearables_platform.batch.device_groups import DayRows
from wearables_platform.batch.parity import sum_of_counts, table_parity
from wearables_platform.batch.repair import (
    STREAM,
    DayEvidence,
    Load,
    OwnValues,
    Repaired,
    VersionsAt,
    repair,
    started_and_ended,
)
from wearables_platform.batch.rules import CROSSING_US
from wearables_platform.clients.sql import Connection, SqlClient, load_queries
from wearables_platform.domain.channels import ACCELERATION, VITALS
from wearables_platform.domain.severity import rule_severity
from wearables_platform.domain.time_policy import from_us
from wearables_platform.signals.minutes import GRACE_MINUTES, MINUTE_US
from wearables_platform.signals.rolling import LONG_S, ROLLING_COLUMNS, SHORT_S, TEN_S_US
from wearables_platform.signals.rule_kinds import HEART_KINDS, NOT_WORN, RULE_KINDS, SILENT_SENSOR, RuleKind
from wearables_platform.signals.runs import HOUR_US
from wearables_platform.signals.wear import QUARTER_US, WINDOW_QUARTERS, WearState
from wearables_platform.wire.rule_schema import ROLLING_DATASET, RULES_DATASET, WEAR_DATASET

_queries: Any = load_queries(Path(__file__).parents[1] / "sql" / "repair")
_SQL_TYPES: Final = {"float64": "float8", "int32": "int4"}
LATE_MINUTE: Final = "late_minute"

Marks = Mapping[tuple[str, int], str]


@dataclass(frozen=True)
class RuleTable:
    """Rows of one kind in one table, and what of a day they hang on.

    Attributes
    ----------
    dataset
        Where batch keeps them in the lake.
    bucket_us, touched
        A dirty second touches the aligned spans this many places from its own.
    reach_us
        How much after its span a row looks.
    kind
        The rule they are events of; None for rows that are no events.
    said_after_us
        The stream says a row, an event that goes on among them, when its data reach this far after the row's start;
        None: when they reach all it looks at.
    shift_us
        By how much the rows of a day start before it.
    """

    table: DerivedTable
    dataset: str
    bucket_us: int
    touched: range = range(1)
    reach_us: int = 0
    kind: RuleKind | None = None
    said_after_us: int | None = None
    shift_us: int = 0

    def own(self, versions: VersionsAt) -> tuple[dict[str, str], OwnValues]:
        """Return the columns that follow from the others and from the thresholds' versions, and what gives them."""
        if self.kind is not None:
            kinds = {"severity": "text", "started_at": "timestamptz", "ended_at": "timestamptz", "extreme_unit": "text"}
            return {**kinds, "model_version": "text"}, _event_values(self.kind, versions)
        if self.dataset == WEAR_DATASET:
            return {"state": "text"}, _wear_values
        return {}, _no_values


def _no_values(_: Connection, _rows: pa.Table, _keys: DayKeys, chosen: KeyedRows) -> Iterator[tuple[Any, ...]]:
    return iter([()] * len(chosen))


def _wear_values(_: Connection, _rows: pa.Table, _keys: DayKeys, chosen: KeyedRows) -> Iterator[tuple[Any, ...]]:
    pairs = zip(chosen.columns["still_axes"].tolist(), chosen.columns["sd_mg"].tolist(), strict=True)
    return ((_wear_state(still, sd_mg).name.lower(),) for still, sd_mg in pairs)


def _wear_state(still_axes: int, sd_mg: float) -> WearState:
    if sd_mg != sd_mg:  # noqa: PLR0124 - NaN: not known
        return WearState.UNKNOWN
    return WearState.NOT_WORN if still_axes >= 2 else WearState.WORN


def _event_values(kind: RuleKind, versions: VersionsAt) -> OwnValues:
    def values(_: Connection, __: pa.Table, keys: DayKeys, chosen: KeyedRows) -> Iterator[tuple[Any, ...]]:
        severities = [rule_severity(kind.name, value) for value in chosen.columns["extreme_value"].tolist()]
        judged_by = versions(keys.instants_us(chosen.keys)) if kind.adjusted else [None] * len(chosen)
        return zip(severities, *started_and_ended(keys, chosen), [kind.unit] * len(chosen), judged_by, strict=True)

    return values


def _events_of(kind: RuleKind) -> RuleTable:
    table = DerivedTable(
        "telemetry.anomalies",
        "started_at",
        {"duration_ms": "float8", "extreme_value": "float8"},
        only=f"kind = '{kind.name}'",
        constants={"kind": ("text", kind.name)},
    )
    touched = range(2) if kind in (NOT_WORN, SILENT_SENSOR) else range(1)
    grace_us = 0 if kind in (NOT_WORN, SILENT_SENSOR) else (GRACE_MINUTES + 1) * MINUTE_US
    return RuleTable(table, RULES_DATASET, HOUR_US, touched, grace_us, kind, _said_after_us(kind))


def _said_after_us(kind: RuleKind) -> int:
    """Return how much after the start of an event the stream has announced it."""
    if kind is SILENT_SENSOR:
        return 0  # the log's clock announces it, not data: it is there when the message that ends it is
    if kind is NOT_WORN:
        return kind.least * QUARTER_US
    return (kind.least + GRACE_MINUTES) * MINUTE_US


def _rolling(span_s: int) -> RuleTable:
    table = DerivedTable(
        "telemetry.rolling_features",
        "window_start",
        {column.name: _SQL_TYPES[column.dtype] for column in ROLLING_COLUMNS},
        only=f"span_s = {span_s}",
        constants={"span_s": ("int4", span_s)},
    )
    further_us = span_s * 1_000_000 - TEN_S_US
    touched = range(-(further_us // TEN_S_US), 1)
    shift_us = CROSSING_US if span_s == LONG_S else 0
    return RuleTable(table, ROLLING_DATASET, TEN_S_US, touched, further_us, shift_us=shift_us)


_WEAR: Final = RuleTable(
    DerivedTable("telemetry.wear", "window_start", {"seconds": "int4", "still_axes": "int4", "sd_mg": "float8"}),
    WEAR_DATASET,
    QUARTER_US,
    range(WINDOW_QUARTERS),
)
RULE_TABLES: Final = (*map(_events_of, RULE_KINDS), _WEAR, _rolling(SHORT_S), _rolling(LONG_S))


@dataclass(frozen=True)
class RuleEvidence:
    """What decides whether batch may touch what the rules of a day found."""

    motion: DayEvidence
    heart: DayEvidence
    late_minutes: Marks

    def of(self, table: RuleTable) -> DayEvidence:
        """Return what is known of the rows of one table."""
        marks = {
            (device_id, (second_us // table.bucket_us + step) * table.bucket_us): cause
            for (device_id, second_us), cause in self.motion.dirty.items()
            for step in table.touched
        }
        if table.kind is not None:
            hours = {
                (device_id, at_us // HOUR_US * HOUR_US): why for (device_id, at_us), why in self.late_minutes.items()
            }
            marks = hours | marks
        uses_heart = table.kind is not None and table.kind.name in HEART_KINDS
        also = replace(self.heart, bucket_us=table.bucket_us, reach_us=table.reach_us) if uses_heart else None
        of_table = replace(self.motion, bucket_us=table.bucket_us, reach_us=table.reach_us)
        return replace(of_table, dirty=marks, said_after_us=table.said_after_us, also=also)


def gather_rule_evidence(
    connection: Connection,
    day_us: tuple[int, int],
    motion: DayEvidence,
    heart_ends: Mapping[str, DeviceEnd],
    heart_archive_read: Mapping[int, int],
) -> RuleEvidence:
    """Add to what is known of a day's windows what is known of its heart rates, and of the hour before."""
    before = {"first": from_us(day_us[0] - HOUR_US), "last": from_us(day_us[1])}
    dirty: dict[tuple[str, int], str] = {}
    for device_id, start_us, cause, *_ in _queries.find_dirty_windows(connection, **before):
        dirty.setdefault((device_id, start_us), cause)
    late = {(device_id, us): LATE_MINUTE for device_id, us in _queries.find_dirty_minutes(connection, **before)}
    read = dict(_queries.find_read_positions(connection, consumer=STREAM, topic=VITALS.topic))
    heart = DayEvidence({}, heart_ends, read, heart_archive_read, motion.over)
    return RuleEvidence(replace(motion, dirty=dirty), heart, late)


def repair_rules(
    sql: SqlClient,
    tables: Mapping[str, DayRows],
    day_us: tuple[int, int],
    evidence: RuleEvidence,
    load: Load,
    versions: VersionsAt,
) -> dict[str, Repaired]:
    """Bring all stored findings of a day in line with batch's; returns what changed, by dataset."""
    done: dict[str, Repaired] = {}
    for one in RULE_TABLES:
        known = evidence.of(one)
        # A finished day's last spans, which nothing came after, are written here: the stream waits for what comes next.
        known = replace(known, ends={}, also=None) if known.over and _all_settled(known) else known
        found = repair(sql, one.table, tables[one.dataset], _days_of(one, day_us), known, load, *one.own(versions))
        done[one.dataset] = done.get(one.dataset, Repaired(0, {})).plus(found)
    return done


def resolve_late_minutes(sql: SqlClient, day_us: tuple[int, int], evidence: RuleEvidence) -> int:
    """Mark the day's late minutes as dealt with of which the lake held everything the stream knew; returns how many."""
    parts = ((ACCELERATION, evidence.motion), (VITALS, evidence.heart))
    held = [(channel.topic, *at) for channel, known in parts for at in _archived(known).items()]
    topics, partitions, positions = ([one[n] for one in held] for n in range(3))
    with sql.transaction() as connection:
        resolved: int = _queries.resolve_dirty_minutes(
            connection,
            first=from_us(day_us[0]),
            last=from_us(day_us[1]),
            topics=topics,
            partitions=partitions,
            positions=positions,
        )
    return resolved


def _archived(known: DayEvidence) -> Mapping[int, int]:
    """Return per partition the position before which the lake held everything; where the log is gone, it holds all."""
    return known.archive_read or {end.partition: 2**62 for end in known.ends.values()}


def _all_settled(known: DayEvidence) -> bool:
    both = [known, known.also] if known.also is not None else [known]
    return all(
        one.stream_read.get(end.partition, 0) > end.last_offset and one.settled(device_id, 2**62)
        for one in both
        for device_id, end in one.ends.items()
    )


def rule_parity(
    connection: Connection, tables: Mapping[str, DayRows], day_us: tuple[int, int], evidence: RuleEvidence
) -> tuple[ParityCounts, list[str]]:
    """Compare what the stream found in a day with what batch finds."""
    found = [
        table_parity(connection, one.table, tables[one.dataset], _days_of(one, day_us), evidence.of(one))
        for one in RULE_TABLES
    ]
    names = [f"{name} ({one.table.only})" for one, (_, wrong) in zip(RULE_TABLES, found, strict=True) for name in wrong]
    return sum_of_counts((counts for counts, _ in found), 0), names


def _days_of(one: RuleTable, day_us: tuple[int, int]) -> tuple[int, int]:
    return day_us[0] - one.shift_us, day_us[1] - one.shift_us
