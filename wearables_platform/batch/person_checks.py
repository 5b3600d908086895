"""Rows of daily heart rate, trends and baselines that should not be, as read back from the tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

from wearables_platform.batch.cohort_baselines import months_touched
from wearables_platform.batch.measures import queries
from wearables_platform.batch.weekly_trend import TREND_DAYS, weeks_touched
from wearables_platform.clients.sql import SqlClient
from wearables_platform.domain.channels import QUANTITY_BY_NAME
from wearables_platform.partitions import local_days

Rows = list[dict[str, Any]]
_PLAUSIBLE: Final = QUANTITY_BY_NAME["heart_rate"]


def daily_heart_rate_faults(sql: SqlClient, utc_days: Sequence[str]) -> Rows:
    """Return the days whose zones exceed what was covered, or whose numbers are out of range or order."""
    first, last = local_days(utc_days)
    parameters = {"first_day": first, "last_day": last, "low": _PLAUSIBLE.low, "high": _PLAUSIBLE.high}
    return sql.rows(queries.find_daily_heart_rate_faults.sql, parameters)


def days_unlike_readings(sql: SqlClient, utc_days: Sequence[str]) -> Rows:
    """Return the days that do not add up to the clean readings, and those of either side alone."""
    first, last = local_days(utc_days)
    return sql.rows(queries.find_days_unlike_readings.sql, {"first_day": first, "last_day": last})


def summaries_unlike_steps(sql: SqlClient, utc_days: Sequence[str]) -> Rows:
    """Return the days whose steps are not the sum of the clean steps that count for them."""
    first, last = local_days(utc_days)
    return sql.rows(queries.find_summaries_unlike_steps.sql, {"first_day": first, "last_day": last})


def summaries_unlike_heart_rate(sql: SqlClient, utc_days: Sequence[str]) -> Rows:
    """Return the days of which the summary says something else than daily heart rate."""
    first, last = local_days(utc_days)
    return sql.rows(queries.find_summaries_unlike_heart_rate.sql, {"first_day": first, "last_day": last})


def weekly_trend_faults(sql: SqlClient, utc_days: Sequence[str]) -> Rows:
    """Return the weeks whose numbers cannot be, or are not of the days that count."""
    weeks = weeks_touched(*local_days(utc_days))
    parameters = {"first_day": weeks[0], "last_day": weeks[-1], "trend_days": TREND_DAYS}
    return sql.rows(queries.find_weekly_trend_faults.sql, parameters)


def cohort_baseline_faults(sql: SqlClient, utc_days: Sequence[str]) -> Rows:
    """Return the groups whose numbers cannot be, and those that are shown and must not be."""
    months = months_touched(*local_days(utc_days))
    parameters = {"first_day": months[0], "last_day": months[-1] + timedelta(days=30)}
    return sql.rows(queries.find_cohort_baseline_faults.sql, parameters)
