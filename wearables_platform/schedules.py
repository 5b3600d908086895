"""When days are built by themselves: the clock begins a day, everything else follows what it is made from.

One thing starts each asset: `build_days` those that read the archive or look into neighbouring days (for today and
yesterday by the clock, for days that changed by `sensors.days_to_rebuild`), automation conditions all others.
"""

from datetime import timedelta

import dagster as dg

from wearables_platform.assets.declare import FOLLOWERS, TODAY_FIRST, YESTERDAY_NEXT
from wearables_platform.freshness import yesterday_is_built

DAILY_GROUPS = dg.AssetSelection.groups("lake", "clean", "features", "serving", "quality")

# What nobody else starts. Models learn weekly, on a schedule of their own.
days_job = dg.define_asset_job(
    "build_days",
    selection=DAILY_GROUPS - FOLLOWERS - dg.AssetSelection.checks(yesterday_is_built),
    description=(
        "Archive to lake, features and rules computed and repaired. Readings, summaries, zoom levels, parity and "
        "conservation follow by their automation conditions."
    ),
)


def _day(context: dg.ScheduleEvaluationContext, days_back: int, tags: dict[str, str]) -> dg.RunRequest:
    day = (context.scheduled_execution_time - timedelta(days=days_back)).strftime("%Y-%m-%d")
    return dg.RunRequest(run_key=context.scheduled_execution_time.isoformat(), partition_key=day, tags=tags)


@dg.schedule(
    job=days_job,
    cron_schedule="7 * * * *",  # not at the full hour, when everybody's jobs start
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Builds the day in progress; its rows are provisional until the day is over. Goes before everything.",
)
def hourly_day_in_progress(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Build today."""
    return _day(context, 0, TODAY_FIRST)


@dg.schedule(
    job=days_job,
    cron_schedule="30 1 * * *",  # late uploads of the evening are in, and the weekly training (03:00) comes after
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Builds yesterday once it is over.",
)
def daily_yesterday(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Build yesterday."""
    return _day(context, 1, YESTERDAY_NEXT)


@dg.schedule(
    job=days_job,
    # A local day is final 24 hours after its end: in the westernmost zone (UTC-12) at noon, two days on.
    cron_schedule="15 12 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Builds the day before yesterday once more, when its local days are final in every zone.",
)
def daily_settled(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Build the day before yesterday."""
    return _day(context, 2, YESTERDAY_NEXT)


SCHEDULES = [hourly_day_in_progress, daily_yesterday, daily_settled]
JOBS = [days_job]
