"""Yesterday is there by 03:00 UTC: asked of its partitions; a freshness policy only asks when anything was made."""

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Final, NamedTuple

import dagster as dg

DEADLINE: Final = time(3, 0, tzinfo=UTC)
NAME: Final = "yesterday_is_built"
EXPECTED: Final = (
    *("raw_acceleration", "raw_vitals", "raw_status", "window_features", "rule_events"),
    *("heart_rate", "steps", "daily_summary", "parity"),
)


class Expected(NamedTuple):
    """The last day that must be there, and since when."""

    day: str
    since: datetime


def expected_at(now: datetime) -> Expected:
    """Return the last day whose deadline has passed.

    >>> expected_at(datetime(2026, 3, 30, 2, 59, tzinfo=UTC)).day, expected_at(datetime(2026, 3, 30, 3, tzinfo=UTC)).day
    ('2026-03-28', '2026-03-29')
    """
    deadline = datetime.combine(now.date(), DEADLINE)
    if deadline > now:
        deadline -= timedelta(days=1)
    return Expected((deadline.date() - timedelta(days=1)).isoformat(), deadline)


def judge(instance: dg.DagsterInstance, asset: str, now: datetime) -> dg.AssetCheckResult:
    """Tell whether the expected partition of an asset is there; nothing is expected before its first deadline."""
    key, expected = dg.AssetKey(asset), expected_at(now)
    before = dg.AssetRecordsFilter(key, before_timestamp=expected.since.timestamp())
    began = bool(instance.fetch_materializations(before, limit=1).records)
    of_day = dg.AssetRecordsFilter(key, asset_partitions=[expected.day])
    made = instance.fetch_materializations(of_day, limit=1).records
    at = datetime.fromtimestamp(made[0].timestamp, UTC).isoformat() if made else "never"
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=NAME,
        passed=bool(made) or not began,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"day": expected.day, "since": expected.since.isoformat(), "expected": began, "built_at": at},
    )


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(NAME, asset=asset, description="By 03:00 UTC there is a partition of the day before.")
        for asset in EXPECTED
    ],
    can_subset=True,
)
def yesterday_is_built(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
    """Look for the expected partition of each asset."""
    now = datetime.now(UTC)
    for check in sorted(context.selected_asset_check_keys):
        yield judge(context.instance, check.asset_key.to_user_string(), now)


check_yesterday = dg.define_asset_job(
    "check_yesterday",
    selection=dg.AssetSelection.checks(yesterday_is_built),
    description="Looks whether yesterday is built; changes nothing.",
)
CHECK_SCHEDULE = dg.ScheduleDefinition(
    name="look_for_yesterday",
    job=check_yesterday,
    cron_schedule="1 3 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Looks at 03:01 UTC whether yesterday is built.",
)
