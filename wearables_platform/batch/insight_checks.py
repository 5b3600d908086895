"""What must hold of stored insights: each row is one person's, on that person's day, by a version that was in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from wearables_platform.batch.windows import day_bounds_us
from wearables_platform.clients.sql import SqlClient
from wearables_platform.domain.time_policy import from_us

# What no row may be, in words, and the condition that finds it; `s` is the row.
_OF_BOTH: Final[Mapping[str, str]] = {
    "not worn by that person then": """NOT EXISTS (
        SELECT FROM registry.assignments a WHERE a.device_id = s.device_id AND a.participant_id = s.participant_id
          AND s.started_at >= a.valid_from AND s.ended_at <= a.valid_to + interval '1 second')""",
    "not on that local day": """NOT EXISTS (
        SELECT FROM registry.participants p WHERE p.participant_id = s.participant_id
          AND (s.started_at AT TIME ZONE p.time_zone)::date = s.local_day)""",
    "more windows than seconds": "s.windows > extract(epoch FROM s.ended_at - s.started_at) + 0.5",
    "by a version that was never in force": """NOT EXISTS (
        SELECT FROM ml.model_versions m WHERE m.name = %(model)s AND m.version = s.model_version
          AND m.effective_from <= s.started_at)""",
    "begins before the one before it ends": """EXISTS (
        SELECT FROM {table} o WHERE o.device_id = s.device_id AND o.started_at < s.started_at
          AND o.ended_at > s.started_at)""",
}
_OF_PERIODS: Final[Mapping[str, str]] = {
    "does not reach the alarm threshold": "s.peak_score < s.alarm_threshold OR s.mean_score < s.alarm_threshold",
    "its peak lies outside": "s.peak_at < s.started_at OR s.peak_at >= s.ended_at",
    "its reasons are not sorted by size": """EXISTS (
        SELECT FROM generate_subscripts(s.robust_z, 1) AS n WHERE abs(s.robust_z[n]) < abs(s.robust_z[n + 1]))""",
}
MODEL_OF: Final[Mapping[str, str]] = {
    "telemetry.activity_segments": "activity_class",
    "telemetry.unusual_periods": "activity_anomaly",
}


def insights_that_cannot_be(sql: SqlClient, table: str, days: Sequence[str], limit: int) -> list[dict[str, Any]]:
    """Return offending rows of some UTC days with what is wrong with each: device, start, person, problem."""
    conditions = {**_OF_BOTH, **(_OF_PERIODS if table == "telemetry.unusual_periods" else {})}
    parameters = {
        "model": MODEL_OF[table],
        "first": from_us(day_bounds_us(min(days))[0]),
        "last": from_us(day_bounds_us(max(days))[1]),
        "limit": limit,
    }
    selects = [
        f"(SELECT s.device_id, s.started_at, s.participant_id, '{problem}' AS problem FROM {table} s"
        f" WHERE s.started_at >= %(first)s AND s.started_at < %(last)s AND ({condition.format(table=table)})"
        " ORDER BY s.device_id, s.started_at LIMIT %(limit)s)"
        for problem, condition in conditions.items()
    ]
    return sql.rows(" UNION ALL ".join(selects), parameters)
