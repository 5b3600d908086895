"""Blocking checks: what must hold of a day before anything is built on it. They read the stores again.

The checks of `parity`, `conservation` and the models stand beside their assets: they are about the figures those
assets compute.
"""

from typing import TYPE_CHECKING

import dagster as dg

from wearables_platform.assets.serving.person_checks import PERSON_CHECKS
from wearables_platform.assets.verdict import SHOWN_ROWS, named, offending, offending_faults, verdict
from wearables_platform.domain.channels import CHANNEL_BY_NAME, QUANTITY_BY_NAME, Channel
from wearables_platform.partitions import DAYS
from wearables_platform.resources import LakeResource, MongoResource, SqlResource

if TYPE_CHECKING:
    from wearables_platform.batch.feature_checks import Fault


def _conservation_check(channel: Channel) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=f"raw_{channel.name}",
        name="holds_what_the_archive_holds",
        blocking=True,
        partitions_def=DAYS,
        description=(
            "Identity by identity, the lake's days hold exactly the archive's messages at the recorded cut, each once."
        ),
    )
    def holds_what_the_archive_holds(
        context: dg.AssetCheckExecutionContext, mongo: MongoResource, lake: LakeResource
    ) -> dg.AssetCheckResult:
        from wearables_platform.batch.messages import compare_days_with_archive

        with mongo.open() as archive:
            found = compare_days_with_archive(archive, lake.open(), channel, context.partition_keys)
        wrong = named(
            only_in_the_archive=found.only_archive, only_in_the_lake=found.only_lake, more_than_once=found.repeated
        )
        return verdict(context, passed=not wrong, metadata={"compared": found.compared, **offending(wrong)})

    return holds_what_the_archive_holds


@dg.asset_check(
    asset="quarantined_messages",
    blocking=True,
    description="Every quarantined message of the archive is in the lake, with a reason.",
)
def every_message_has_a_reason(mongo: MongoResource, lake: LakeResource) -> dg.AssetCheckResult:
    """Compare the quarantine with the archive's, position by position."""
    from wearables_platform.batch.messages import compare_quarantine

    with mongo.open() as archive:
        missing, without_reason, held = compare_quarantine(archive, lake.open())
    wrong = named(missing=missing, without_a_reason=without_reason)
    return dg.AssetCheckResult(passed=not wrong, metadata={"held": held, **offending(wrong)})


@dg.asset_check(
    asset="acceleration_zoom",
    blocking=True,
    partitions_def=DAYS,
    description="Every level of a device counts the same samples, no more than were sent, of the raw partition now.",
)
def levels_count_the_same_samples(context: dg.AssetCheckExecutionContext, lake: LakeResource) -> dg.AssetCheckResult:
    """Add up the cells of every level and compare."""
    from wearables_platform.batch.zoom import faults_of_levels

    found = {day: faults_of_levels(lake.open(), day) for day in context.partition_keys}
    wrong = [{"fault": fault} for _, faults in found.values() for fault in faults]
    metadata = {"samples": sum(samples for samples, _ in found.values()), **offending(wrong)}
    failed = {day for day, (_, faults) in found.items() if faults}
    return verdict(context, passed=not wrong, metadata=metadata, failed_days=failed)


def _range_check(quantity: str, column: str, out_of_range: str) -> dg.AssetChecksDefinition:
    low, high = (
        getattr(QUANTITY_BY_NAME[{"heart_rate": "heart_rate", "steps": "step_rate"}[quantity]], end)
        for end in ("low", "high")
    )

    @dg.asset_check(
        asset=quantity,
        name="values_are_plausible",
        blocking=True,
        partitions_def=DAYS,
        description=f"No clean {quantity.replace('_', ' ')} is outside {low:g} to {high:g} a minute.",
    )
    def values_are_plausible(context: dg.AssetCheckExecutionContext, sql: SqlResource) -> dg.AssetCheckResult:
        from wearables_platform.batch.windows import day_bounds_us
        from wearables_platform.domain.time_policy import from_us

        days = context.partition_keys
        span = {
            "first": from_us(day_bounds_us(min(days))[0]),
            "last": from_us(day_bounds_us(max(days))[1]),
            "low": low,
            "high": high,
        }
        where = f"{column} >= %(first)s AND {column} < %(last)s"
        with sql.open() as client:
            counted = f"SELECT count(*) AS n, count(*) FILTER (WHERE {out_of_range}) AS bad FROM telemetry.{quantity}"
            (count,) = client.rows(f"{counted} WHERE {where}", span)
            bad = client.rows(f"SELECT * FROM telemetry.{quantity} WHERE {where} AND ({out_of_range}) LIMIT 20", span)
        return verdict(context, passed=not bad, metadata={"rows": count["n"], **offending(bad, count["bad"])})

    return values_are_plausible


def _readings_check(quantity: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=quantity,
        name="no_reading_is_lost",
        blocking=True,
        partitions_def=DAYS,
        description=(
            "Every reading in the lake's messages of the day is clean, or set aside with the name of a rule; every "
            "clean reading is in one of the lake's messages."
        ),
    )
    def no_reading_is_lost(
        context: dg.AssetCheckExecutionContext, lake: LakeResource, sql: SqlResource
    ) -> dg.AssetCheckResult:
        from wearables_platform.batch.reading_checks import readings_unlike_messages
        from wearables_platform.batch.vitals import CLEANINGS

        load_id, days = f"{context.run.run_id}:{quantity}:check", context.partition_keys
        with sql.open() as client:
            found = readings_unlike_messages(client, lake.open(), CLEANINGS[quantity], days, load_id)
        metadata = {"rows": found.rows, **offending(found.faults, found.offending)}
        return verdict(context, passed=not found.faults, metadata=metadata)

    return no_reading_is_lost


def _features_check(asset: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset,
        name="keys_schema_and_ranges",
        blocking=True,
        partitions_def=DAYS,
        description=(
            "The lake's columns are the catalogue's, every key occurs once, numbers are in range, and no column is "
            "without values more often than batch/null_bounds.py says."
        ),
    )
    def keys_schema_and_ranges(context: dg.AssetCheckExecutionContext, lake: LakeResource) -> dg.AssetCheckResult:
        from wearables_platform.batch.feature_checks import faults_of_days

        rows, faults = faults_of_days(asset, lake.open(), context.partition_keys)
        return _of_faults(context, rows, faults)

    return keys_schema_and_ranges


def _messages_check(channel: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=f"raw_{channel}",
        name="keys_and_nulls",
        blocking=True,
        partitions_def=DAYS,
        description="Identity, and device, boot and sequence, occur once; no message is without place or time.",
    )
    def keys_and_nulls(context: dg.AssetCheckExecutionContext, lake: LakeResource) -> dg.AssetCheckResult:
        from wearables_platform.batch.table_checks import faults_of_messages

        return _of_faults(context, *faults_of_messages(channel, lake.open(), context.partition_keys))

    return keys_and_nulls


def _table_check(asset: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset,
        name="keys_and_nulls",
        blocking=True,
        partitions_def=DAYS,
        description="Every key occurs once, and no column is without values more often than batch/null_bounds.py says.",
    )
    def keys_and_nulls(context: dg.AssetCheckExecutionContext, sql: SqlResource) -> dg.AssetCheckResult:
        from wearables_platform.batch.table_checks import faults_of_table

        with sql.open() as client:
            rows, faults = faults_of_table(asset, client, context.partition_keys)
        return _of_faults(context, rows, faults, whose=None)

    return keys_and_nulls


def _of_faults(
    context: dg.AssetCheckExecutionContext, rows: int, faults: "list[Fault]", whose: str | None = "day"
) -> dg.AssetCheckResult:
    """Return the verdict on faults; `whose` is None where they are of the whole run rather than of a day."""
    failed = {fault.day for fault in faults} if whose else None
    metadata = {"rows": rows, **offending_faults(faults)}
    return verdict(context, passed=not faults, metadata=metadata, failed_days=failed)


@dg.asset_check(
    asset="hourly_activity",
    blocking=True,
    partitions_def=DAYS,
    description=(
        "The windows and steps counted by hour are those the lake holds; intensities, unclassified and unworn time are "
        "the windows, and the histogram is the time that has an intensity."
    ),
)
def hours_add_up_to_windows(
    context: dg.AssetCheckExecutionContext, lake: LakeResource, sql: SqlResource
) -> dg.AssetCheckResult:
    """Compare the aggregate with what it aggregates."""
    from wearables_platform.batch.activity.checks import hours_that_do_not_add_up

    with sql.open() as client:
        wrong = hours_that_do_not_add_up(client, lake.open(), context.partition_keys)
    return verdict(context, passed=not wrong, metadata=offending(wrong))


@dg.asset_check(
    asset="daily_activity",
    blocking=True,
    partitions_def=DAYS,
    description=(
        "The windows and steps of each person's day are those of its hours; time by intensity, unclassified and unworn "
        "are the windows, and time in bouts is active time."
    ),
)
def days_add_up_to_hours(
    context: dg.AssetCheckExecutionContext, lake: LakeResource, sql: SqlResource
) -> dg.AssetCheckResult:
    """Compare the aggregate of a day with the aggregates of its hours."""
    from wearables_platform.batch.activity.checks import days_that_do_not_add_up

    with sql.open() as client:
        wrong = days_that_do_not_add_up(client, lake.open(), context.partition_keys)
    return verdict(context, passed=not wrong, metadata=offending(wrong))


def _insights_check(asset: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset,
        name="rows_are_possible",
        blocking=True,
        partitions_def=DAYS,
        description=(
            "Each row is about who wore the device then, on that person's local day, by a version that was in force; "
            "no two rows of a device overlap."
        ),
    )
    def rows_are_possible(context: dg.AssetCheckExecutionContext, sql: SqlResource) -> dg.AssetCheckResult:
        from wearables_platform.batch.insight_checks import insights_that_cannot_be

        with sql.open() as client:
            wrong = insights_that_cannot_be(client, f"telemetry.{asset}", context.partition_keys, SHOWN_ROWS)
        return verdict(context, passed=not wrong, metadata=offending(wrong))

    return rows_are_possible


CHECKS = [
    *(_conservation_check(CHANNEL_BY_NAME[name]) for name in ("acceleration", "vitals", "status")),
    *(_messages_check(name) for name in ("acceleration", "vitals", "status")),
    *(_table_check(name) for name in ("heart_rate", "steps", "daily_summary")),
    *(_readings_check(name) for name in ("heart_rate", "steps")),
    every_message_has_a_reason,
    levels_count_the_same_samples,
    _range_check("heart_rate", "time", "bpm < %(low)s OR bpm > %(high)s"),
    _range_check(
        "steps",
        "start_time",
        "step_count < %(low)s OR step_count > %(high)s * extract(epoch FROM end_time - start_time) / 60",
    ),
    _features_check("window_features"),
    _features_check("spike_events"),
    _features_check("rule_events"),
    _features_check("wear"),
    _features_check("rolling_features"),
    hours_add_up_to_windows,
    days_add_up_to_hours,
    *PERSON_CHECKS,
    _insights_check("activity_segments"),
    _insights_check("unusual_periods"),
]
