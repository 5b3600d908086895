"""When days are built by themselves: the day in progress each hour, yesterday once more when its evening is in."""

from datetime import timedelta

import dagster as dg

# Everything that is cut by day. Models learn weekly, on a schedule of their own.
daily_assets = dg.AssetSelection.groups("lake", "clean", "features", "serving", "quality")
days_job = dg.define_asset_job(
    "build_days",
    selection=daily_assets,
    description="Archive to lake, readings cleaned, features computed and repaired, summaries, parity, conservation.",
)


def _day(context: dg.ScheduleEvaluationContext, days_back: int) -> dg.RunRequest:
    day = (context.scheduled_execution_time - timedelta(days=days_back)).strftime("%Y-%m-%d")
    return dg.RunRequest(run_key=context.scheduled_execution_time.isoformat(), partition_key=day)


@dg.schedule(
    job=days_job,
    cron_schedule="7 * * * *",  # not at the full hour, when everybody's jobs start
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Builds the day in progress; its rows are provisional until the day is over.",
)
def hourly_day_in_progress(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Build today."""
    return _day(context, 0)


@dg.schedule(
    job=days_job,
    cron_schedule="30 1 * * *",  # late uploads of the evening are in, and the weekly training (03:00) comes after
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Builds yesterday once it is over.",
)
def daily_yesterday(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Build yesterday."""
    return _day(context, 1)


SCHEDULES = [hourly_day_in_progress, daily_yesterday]
JOBS = [days_job]
