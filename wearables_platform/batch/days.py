"""A day of derived rows from end to end: compute, write to the lake, repair the database, compare with the stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

import pyarrow as pa

from wearables_platform.batch.parity import DayParity, day_parity, record_parity
from wearables_platform.batch.repair import (
    DayEvidence,
    Load,
    Repaired,
    Score,
    gather_evidence,
    repair_spikes,
    repair_windows,
    resolve_dirty,
)
from wearables_platform.batch.rule_repair import (
    RuleEvidence,
    gather_rule_evidence,
    repair_rules,
    resolve_late_minutes,
    rule_parity,
)
from wearables_platform.batch.rules import RULE_DATASETS, day_rules, publish_rules
from wearables_platform.batch.windows import DeviceEnd, day_bounds_us, day_features, device_ends, publish_features
from wearables_platform.clients.lake import Lake, Manifest
from wearables_platform.clients.sql import SqlClient
from wearables_platform.domain.channels import ACCELERATION, VITALS
from wearables_platform.partitions import neighbours
from wearables_platform.wire.feature_schema import EVENT_SCHEMA, SPIKES_DATASET, WINDOW_SCHEMA, WINDOWS_DATASET
from wearables_platform.wire.raw_messages import raw_dataset
from wearables_platform.wire.rule_schema import RULES_DATASET, SCHEMA_OF


@dataclass(frozen=True)
class RecomputedDay:
    """What a recompute wrote to the lake and changed in the database."""

    manifests: Mapping[str, Manifest]
    windows: Repaired
    spikes: Repaired
    resolved: int


def recompute_day(sql: SqlClient, lake: Lake, day: str, load: Load, score: Score) -> RecomputedDay:
    """Compute a day's windows and events from the lake and bring the database in line; again, and nothing changes."""
    editions = {dataset: lake.edition(dataset, day) for dataset in (WINDOWS_DATASET, SPIKES_DATASET)}
    features = day_features(lake, day)
    manifests = publish_features(lake, editions, features)
    bounds = day_bounds_us(day)
    evidence = _evidence(sql, lake, day, features.ends, load.at)
    windows = repair_windows(sql, features.windows, bounds, evidence, load, score)
    spikes = repair_spikes(sql, features.spikes, bounds, evidence, load)
    return RecomputedDay(manifests, windows, spikes, resolve_dirty(sql, bounds, features.message_ids))


@dataclass(frozen=True)
class RuledDay:
    """What judging a day wrote to the lake, changed in the database, by dataset; how many late minutes it resolved."""

    manifests: Mapping[str, Manifest]
    repaired: Mapping[str, Repaired]
    resolved: int


def judge_day(sql: SqlClient, lake: Lake, day: str, load: Load) -> RuledDay:
    """Let the rules judge a day from the lake and bring the database in line; again, and nothing changes."""
    editions = {dataset: lake.edition(dataset, day) for dataset in RULE_DATASETS}
    found = day_rules(lake, day)
    manifests = publish_rules(lake, editions, found)
    motion = _evidence(sql, lake, day, found.motion_ends, load.at)
    evidence = _rule_evidence(sql, lake, day, motion, found.heart_ends)
    repaired = repair_rules(sql, found.tables, day_bounds_us(day), evidence, load)
    return RuledDay(manifests, repaired, resolve_late_minutes(sql, day_bounds_us(day), evidence))


def check_day(sql: SqlClient, lake: Lake, day: str, *, run_id: str, at: datetime) -> DayParity:
    """Compare what the stream said of a day with the lake's features and record the figures."""
    windows = _table(lake, WINDOWS_DATASET, day, WINDOW_SCHEMA)
    spikes = _table(lake, SPIKES_DATASET, day, EVENT_SCHEMA)
    columns = ["device_id", "end_time_us", "partition", "offset"]
    messages = lake.read_table(raw_dataset(ACCELERATION), neighbours([day]), columns=columns)
    ends = device_ends(messages) if messages is not None else {}
    evidence = _evidence(sql, lake, day, ends, at)
    parity = day_parity(sql, day, day_bounds_us(day), windows, spikes, evidence)
    if lake.manifest(RULES_DATASET, day) is not None:
        parity = _with_rules(sql, lake, parity, evidence)
    record_parity(sql, parity, run_id=run_id, at=at)
    return parity


def _with_rules(sql: SqlClient, lake: Lake, parity: DayParity, motion: DayEvidence) -> DayParity:
    columns = ["device_id", "end_time_us", "partition", "offset"]
    vitals = lake.read_table(raw_dataset(VITALS), neighbours([parity.day]), columns=columns)
    ends = device_ends(vitals) if vitals is not None else {}
    evidence = _rule_evidence(sql, lake, parity.day, motion, ends)
    tables = {dataset: _table(lake, dataset, parity.day, SCHEMA_OF[dataset]) for dataset in RULE_DATASETS}
    with sql.transaction() as connection:
        rules, names = rule_parity(connection, tables, day_bounds_us(parity.day), evidence)
    return replace(parity, rules=rules, examples=(*parity.examples, *names))


def _rule_evidence(
    sql: SqlClient, lake: Lake, day: str, motion: DayEvidence, ends: Mapping[str, DeviceEnd]
) -> RuleEvidence:
    raw = lake.manifest(raw_dataset(VITALS), day)
    committed = {} if raw is None else {int(p): position for p, position in raw.cut["committed"].items()}
    with sql.transaction() as connection:
        return gather_rule_evidence(connection, day_bounds_us(day), motion, ends, committed)


def _evidence(sql: SqlClient, lake: Lake, day: str, ends: Mapping[str, DeviceEnd], at: datetime) -> DayEvidence:
    raw = lake.manifest(raw_dataset(ACCELERATION), day)
    committed = {} if raw is None else {int(p): position for p, position in raw.cut["committed"].items()}
    with sql.transaction() as connection:
        return gather_evidence(connection, day_bounds_us(day), ends, committed, at)


def _table(lake: Lake, dataset: str, day: str, schema: pa.Schema) -> pa.Table:
    table = lake.read_table(dataset, [day])
    return schema.empty_table() if table is None else table
