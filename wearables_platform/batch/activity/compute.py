"""Days of the lake to rows of the database, by the default engine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from wearables_platform.batch.activity import results
from wearables_platform.batch.activity.engines import compute_days, compute_hours, duckdb_engine
from wearables_platform.batch.activity.plan import Plan, plan_days, plan_hours
from wearables_platform.batch.activity.tables import DAYS_OF_PEOPLE, HOURS, MadeBy, replace_rows
from wearables_platform.clients.lake import Lake
from wearables_platform.clients.sql import SqlClient
from wearables_platform.domain.groups import CUT_POINTS, CutPoints
from wearables_platform.domain.time_policy import US_PER_S, from_us
from wearables_platform.errors import ConfigError
from wearables_platform.settings import Settings


@dataclass(frozen=True)
class Aggregated:
    """The rows a span has now, and how many of them are new, changed or were removed."""

    rows: list[results.Row]
    changed: int
    engine: str


def chosen_cut_points(settings: Settings) -> CutPoints:
    """Return the cut points the settings name.

    Raises
    ------
    ConfigError
        There are none of that name.
    """
    if settings.cut_points not in CUT_POINTS:
        msg = f"WEARABLES_CUT_POINTS: no cut points are called {settings.cut_points!r}: one of {', '.join(CUT_POINTS)}"
        raise ConfigError(msg)
    return CUT_POINTS[settings.cut_points]


def aggregate_hours(lake: Lake, sql: SqlClient, utc_days: Sequence[str], settings: Settings, run_id: str) -> Aggregated:
    """Make the stored hours of consecutive UTC days equal to what the lake holds."""
    plan = plan_hours(lake, utc_days, chosen_cut_points(settings))
    with duckdb_engine(lake, plan, memory_mb=settings.aggregation_memory_mb) as engine:
        rows = results.hour_rows(compute_hours(engine, plan).hours, plan.cut_points)
    changed = replace_rows(sql, HOURS, rows, _span(plan), MadeBy(engine.name, run_id))
    return Aggregated(rows, changed, engine.name)


def aggregate_days(
    lake: Lake, sql: SqlClient, utc_days: Sequence[str], settings: Settings, run_id: str, as_of: datetime
) -> Aggregated:
    """Make the stored local days that touch consecutive UTC days equal to what the lake holds."""
    plan = plan_days(lake, sql, utc_days, chosen_cut_points(settings))
    with duckdb_engine(lake, plan, memory_mb=settings.aggregation_memory_mb) as engine:
        rows = results.day_rows(compute_days(engine, plan), plan, as_of)
    changed = replace_rows(sql, DAYS_OF_PEOPLE, rows, _span(plan), MadeBy(engine.name, run_id))
    return Aggregated(rows, changed, engine.name)


def _span(plan: Plan) -> tuple[datetime, datetime]:
    return from_us(plan.first_s * US_PER_S), from_us(plan.end_s * US_PER_S)
