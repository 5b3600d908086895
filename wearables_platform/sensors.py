"""What wakes the batch side: days that are dirty or whose archive has grown; and what keeps the left edge fresh."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from wearables_platform.assets.declare import FOLLOWERS, FOLLOWING, POOLS, REBUILDING
from wearables_platform.partitions import contiguous
from wearables_platform.resources import KafkaResource, LakeResource, MongoResource, SqlResource
from wearables_platform.schedules import days_job
from wearables_platform.settings import load_settings

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


@dg.sensor(
    job=days_job,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Rebuilds exactly the days already in the lake that late messages have made dirty or whose archive has grown "
        "since, one run per unbroken range; days not yet built are the schedules' work."
    ),
)
def days_to_rebuild(
    context: dg.SensorEvaluationContext, sql: SqlResource, mongo: MongoResource, lake: LakeResource
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Ask for the days whose rows may no longer be what the archive gives."""
    from wearables_platform.batch.late_data import days_with_late_data, settled_days

    now = datetime.now(UTC)
    with sql.open() as client, mongo.open() as archive:
        changed = days_with_late_data(client, archive, lake.open(), now.date().isoformat())
    found, waiting = settled_days(
        changed, {day: tuple(seen) for day, seen in json.loads(context.cursor or "{}").items()}
    )
    context.update_cursor(json.dumps(waiting))
    if not found:
        still = f"; still changing: {', '.join(sorted(changed))}" if changed else ""
        yield dg.SkipReason(f"no built day that has come to rest differs from the archive{still}")
    for first, last in contiguous(list(found)):
        # The key names what was found: a new late message asks again at once. What has not changed though it was asked
        # for, because that run failed, is asked for again in the next hour.
        marks = "|".join(f"{day}={mark}" for day, mark in sorted(found.items()) if first <= day <= last)
        context.log.info("rebuild %s to %s: %s", first, last, marks)
        yield dg.RunRequest(
            run_key=f"{marks}@{now:%Y-%m-%dT%H}", tags={RANGE_START: first, RANGE_END: last, **REBUILDING}
        )


def begin_pools(instance: dg.DagsterInstance) -> None:
    """Give every pool its limit, as one set by hand, before a run needs it.

    In PostgreSQL, Dagster 1.13 ends a run that begins a pool another run has just begun, or that finds a pool with an
    older default limit: it goes on in a failed transaction. Limits that are set are left alone by runs, and by us.
    """
    storage, limit = instance.event_log_storage, instance.get_concurrency_config().pool_config.default_pool_limit
    if limit is None:
        return
    begun = {pool.name for pool in storage.get_pool_limits() if not pool.from_default}
    for pool in sorted(POOLS.keys() - begun):
        storage.set_concurrency_slots(pool, limit)


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Looks at topics (ends, lag of archive and stream in records and seconds, dead letters) and collections "
        "(documents, newest receipt); says what has changed, and everything every 15 minutes."
    ),
)
def observe_ingest(
    context: dg.SensorEvaluationContext, mongo: MongoResource, sql: SqlResource, kafka: KafkaResource
) -> dg.SensorResult:
    """Observe the topics and collections this project does not make."""
    from wearables_platform.assets.ingest.observations import (
        collection_observations,
        topic_observations,
        worth_saying,
    )
    from wearables_platform.domain.time_policy import to_us

    begin_pools(context.instance)
    now = datetime.now(UTC)
    with mongo.open() as archive, sql.open() as client:
        found = [*collection_observations(archive), *topic_observations(client, kafka, archive, to_us(now))]
    events, cursor = worth_saying(found, context.cursor, now.timestamp())
    return dg.SensorResult(asset_events=events, cursor=cursor)


follow_upstream = dg.AutomationConditionSensorDefinition(
    "follow_upstream",
    target=FOLLOWERS,
    minimum_interval_seconds=30,
    default_status=(
        dg.DefaultSensorStatus.RUNNING if load_settings().follow_upstream else dg.DefaultSensorStatus.STOPPED
    ),
    run_tags=FOLLOWING,
    description="Makes readings, summaries, zoom levels, parity and conservation anew when what they are made from is.",
)

SENSORS = [days_to_rebuild, observe_ingest, follow_upstream]
