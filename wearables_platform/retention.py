"""What is done to the stores each night: old runs go, partitions are made ahead, features past their time are dropped.

A run that something rests on stays: deleting it would delete what it said of its partitions.
"""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Final

import dagster as dg

from wearables_platform.settings import load_settings

PAGE: Final = 100
ENDED: Final = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def purge_runs(instance: dg.DagsterInstance, before: datetime) -> tuple[int, int]:
    """Delete the runs that ended before an instant, unless a partition's last materialization is theirs.

    Returns how many were deleted and how many were kept.
    """
    deleted = kept = 0
    for run_id in list(_ended_runs(instance, before)):
        if _holds_something(instance, run_id):
            kept += 1
        else:
            instance.delete_run(run_id)
            deleted += 1
    return deleted, kept


def _ended_runs(instance: dg.DagsterInstance, before: datetime) -> Iterator[str]:
    cursor = None
    while True:
        page = instance.get_run_records(
            dg.RunsFilter(statuses=ENDED, updated_before=before), limit=PAGE, ascending=True, cursor=cursor
        )
        yield from (record.dagster_run.run_id for record in page)
        if len(page) < PAGE:
            return
        cursor = page[-1].dagster_run.run_id


def _holds_something(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Tell whether a run made what is still the last word on a partition, or on an asset without partitions."""
    cursor = None
    while True:
        said = instance.get_records_for_run(run_id, cursor, dg.DagsterEventType.ASSET_MATERIALIZATION, limit=PAGE)
        for record in said.records:
            event = record.event_log_entry.get_dagster_event()
            of_partition = [event.partition] if event.partition else None
            assert event.asset_key is not None, "a materialization names its asset"
            asked = dg.AssetRecordsFilter(event.asset_key, asset_partitions=of_partition)
            (last,) = instance.fetch_materializations(asked, limit=1).records
            if last.run_id == run_id:
                return True
        if not said.has_more:
            return False
        cursor = said.cursor


class PurgeConfig(dg.Config):
    """How long runs are kept; None takes `WEARABLES_RUN_RETENTION_DAYS`."""

    keep_days: int | None = None


@dg.op(description="Deletes runs that ended long ago and that no partition rests on.")
def delete_old_runs(context: dg.OpExecutionContext, config: PurgeConfig) -> None:
    """Purge."""
    days = config.keep_days if config.keep_days is not None else load_settings().run_retention_days
    deleted, kept = purge_runs(context.instance, datetime.now(UTC) - timedelta(days=days))
    context.log.info("%d runs older than %d days deleted, %d kept: partitions rest on them", deleted, days, kept)


@dg.job(description="Deletes old runs; see retention.py.", tags={"dagster/priority": "-10"})
def purge_old_runs() -> None:
    """Purge."""
    delete_old_runs()


PURGE_SCHEDULE = dg.ScheduleDefinition(
    name="purge_each_night",
    job=purge_old_runs,
    cron_schedule="20 4 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Deletes old runs once a day, when nothing else is due.",
)


@dg.op(description="Makes partitions of time series ahead, and drops features past their retention.")
def tend_tables(context: dg.OpExecutionContext) -> None:
    """Tend."""
    from wearables_platform.batch.time_series import tend
    from wearables_platform.clients.sql import SqlClient

    settings = load_settings()
    with closing(SqlClient(settings.require("sql_url"), "dagster tend_time_series", pool_size=1)) as client:
        tended = tend(client, datetime.now(UTC), settings.feature_retention_days)
    context.log.info("%d partitions made ahead, %d chunks or partitions dropped", tended.made, tended.dropped)


@dg.job(description="Tends the time series in SQL; see batch/time_series.py.", tags={"dagster/priority": "-10"})
def tend_time_series() -> None:
    """Tend."""
    tend_tables()


TEND_SCHEDULE = dg.ScheduleDefinition(
    name="tend_each_night",
    job=tend_time_series,
    cron_schedule="40 4 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Makes the partitions of the next weeks on plain PostgreSQL, and drops features past their retention.",
)
