"""A day of derived rows from end to end: compute, write to the lake, repair the database, compare with the stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from wearables_platform.batch.day_messages import DayMessages
from wearables_platform.batch.device_groups import DayRows
from wearables_platform.batch.parity import DayParity, day_parity, record_parity
from wearables_platform.batch.repair import (
    DayEvidence,
    Load,
    Repaired,
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
from wearables_platform.batch.rules import RULE_DATASETS, build_rules
from wearables_platform.batch.windows import build_features
from wearables_platform.clients.lake import Lake, Manifest
from wearables_platform.clients.sql import SqlClient
from wearables_platform.domain.channels import ACCELERATION, VITALS
from wearables_platform.models.predict import ModelTimeline
from wearables_platform.models.thresholds import NO_THRESHOLDS, ThresholdTimeline
from wearables_platform.partitions import day_bounds_us
from wearables_platform.wire.feature_schema import EVENT_SCHEMA, SPIKES_DATASET, WINDOW_SCHEMA, WINDOWS_DATASET
from wearables_platform.wire.rule_schema import RULES_DATASET, SCHEMA_OF

_SCHEMAS: Final = {WINDOWS_DATASET: WINDOW_SCHEMA, SPIKES_DATASET: EVENT_SCHEMA, **SCHEMA_OF}


@dataclass(frozen=True)
class RecomputedDay:
    """What a recompute wrote to the lake and changed in the database."""

    manifests: Mapping[str, Manifest]
    windows: Repaired
    spikes: Repaired
    resolved: int


def recompute_day(
    sql: SqlClient,
    lake: Lake,
    day: str,
    load: Load,
    models: ModelTimeline,
    thresholds: ThresholdTimeline = NO_THRESHOLDS,
) -> RecomputedDay:
    """Compute a day's windows and events from the lake and bring the database in line; again, and nothing changes."""
    built = build_features(lake, day, thresholds)
    bounds, rows = day_bounds_us(day), _rows(lake, built.manifests)
    evidence = _evidence(sql, built.messages, load.at)
    windows = repair_windows(sql, rows[WINDOWS_DATASET], bounds, evidence, load, models)
    spikes = repair_spikes(sql, rows[SPIKES_DATASET], bounds, evidence, load, thresholds.versions)
    return RecomputedDay(built.manifests, windows, spikes, resolve_dirty(sql, bounds, built.messages))


@dataclass(frozen=True)
class RuledDay:
    """What judging a day wrote to the lake, changed in the database, by dataset; how many late minutes it resolved."""

    manifests: Mapping[str, Manifest]
    repaired: Mapping[str, Repaired]
    resolved: int


def judge_day(
    sql: SqlClient, lake: Lake, day: str, load: Load, thresholds: ThresholdTimeline = NO_THRESHOLDS
) -> RuledDay:
    """Let the rules judge a day from the lake and bring the database in line; again, and nothing changes."""
    built = build_rules(lake, day, thresholds)
    evidence = _rule_evidence(sql, built.heart, _evidence(sql, built.motion, load.at))
    rows = _rows(lake, built.manifests)
    repaired = repair_rules(sql, rows, day_bounds_us(day), evidence, load, thresholds.versions)
    return RuledDay(built.manifests, repaired, resolve_late_minutes(sql, day_bounds_us(day), evidence))


def check_day(sql: SqlClient, lake: Lake, day: str, *, run_id: str, at: datetime) -> DayParity:
    """Compare what the stream said of a day with the lake's features and record the figures."""
    rows = _rows(lake, {dataset: lake.manifest(dataset, day) for dataset in _SCHEMAS})
    evidence = _evidence(sql, DayMessages(lake, ACCELERATION, day), at)
    parity = day_parity(sql, day, day_bounds_us(day), rows[WINDOWS_DATASET], rows[SPIKES_DATASET], evidence)
    if rows[RULES_DATASET].manifest is not None:
        parity = _with_rules(sql, lake, rows, parity, evidence)
    record_parity(sql, parity, run_id=run_id, at=at)
    return parity


def _with_rules(
    sql: SqlClient, lake: Lake, rows: Mapping[str, DayRows], parity: DayParity, motion: DayEvidence
) -> DayParity:
    evidence = _rule_evidence(sql, DayMessages(lake, VITALS, parity.day), motion)
    tables = {dataset: rows[dataset] for dataset in RULE_DATASETS}
    with sql.transaction() as connection:
        rules, names = rule_parity(connection, tables, day_bounds_us(parity.day), evidence)
    return replace(parity, rules=rules, examples=(*parity.examples, *names))


def _rule_evidence(sql: SqlClient, heart: DayMessages, motion: DayEvidence) -> RuleEvidence:
    with sql.transaction() as connection:
        return gather_rule_evidence(connection, heart.bounds_us, motion, heart.ends, heart.committed)


def _evidence(sql: SqlClient, messages: DayMessages, at: datetime) -> DayEvidence:
    with sql.transaction() as connection:
        return gather_evidence(connection, messages.bounds_us, messages.ends, messages.committed, at)


def _rows(lake: Lake, manifests: Mapping[str, Manifest | None]) -> dict[str, DayRows]:
    return {dataset: DayRows(lake, manifest, _SCHEMAS[dataset]) for dataset, manifest in manifests.items()}
