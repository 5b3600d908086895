"""Blocking checks of what is served per person, week and group; a failing one carries the rows it is about."""

from collections.abc import Callable
from typing import Any

import dagster as dg

from wearables_platform.assets.verdict import offending, verdict
from wearables_platform.partitions import DAYS
from wearables_platform.resources import SqlResource


def _rows_check(asset: str, name: str, faults: str, description: str) -> dg.AssetChecksDefinition:
    """Define a check that `batch.person_checks.<faults>` finds no row."""

    @dg.asset_check(asset=asset, name=name, blocking=True, partitions_def=DAYS, description=description)
    def no_faults(context: dg.AssetCheckExecutionContext, sql: SqlResource) -> dg.AssetCheckResult:
        from wearables_platform.batch import person_checks

        find: Callable[..., list[dict[str, Any]]] = getattr(person_checks, faults)
        with sql.open() as client:
            rows = find(client, context.partition_keys)
        return verdict(context, passed=not rows, metadata=offending(rows))

    return no_faults


PERSON_CHECKS = [
    _rows_check(
        "daily_heart_rate",
        "heart_rate_days_add_up_to_readings",
        "days_unlike_readings",
        "Every local day with clean readings has a row that counts and averages exactly these; no other day has one.",
    ),
    _rows_check(
        "daily_heart_rate",
        "zones_and_ranges",
        "daily_heart_rate_faults",
        "Zones add up to the time covered, no more than the day has; least <= mean <= greatest, within 30 to 220.",
    ),
    _rows_check(
        "daily_summary",
        "days_add_up_to_readings",
        "summaries_unlike_steps",
        "The steps of every person and local day are the clean steps that count for it, of one device at a time.",
    ),
    _rows_check(
        "daily_summary",
        "agrees_with_daily_heart_rate",
        "summaries_unlike_heart_rate",
        "The summary says of heart rate what daily heart rate says.",
    ),
    _rows_check(
        "weekly_trend",
        "trends_are_of_their_days",
        "weekly_trend_faults",
        "Slopes lie in their intervals, tau and p in their ranges, medians among the days they are of; no trend of too "
        "few days.",
    ),
    _rows_check(
        "cohort_baselines",
        "no_small_group_is_shown",
        "cohort_baseline_faults",
        "Nothing shown is of, or gives away, fewer people than the minimum; percentiles are in order.",
    ),
]
