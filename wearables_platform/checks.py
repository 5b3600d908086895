"""Blocking checks: what must hold of a day before anything is built on it. They read the stores again.

The checks of `parity`, `conservation` and the models stand beside their assets: they are about the figures those
assets compute.
"""

import dagster as dg

from wearables_platform.assets.serving.person_checks import PERSON_CHECKS
from wearables_platform.domain.channels import CHANNEL_BY_NAME, QUANTITY_BY_NAME, Channel
from wearables_platform.partitions import DAYS
from wearables_platform.resources import LakeResource, MongoResource, SqlResource

MAX_EXAMPLES = 20


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
        return dg.AssetCheckResult(
            passed=not (found.only_archive or found.only_lake or found.repeated),
            metadata={
                "compared": found.compared,
                "only_in_archive": list(found.only_archive[:MAX_EXAMPLES]),
                "only_in_lake": list(found.only_lake[:MAX_EXAMPLES]),
                "repeated": list(found.repeated[:MAX_EXAMPLES]),
            },
        )

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
    return dg.AssetCheckResult(
        passed=not (missing or without_reason),
        metadata={"held": held, "missing": missing[:MAX_EXAMPLES], "without_reason": without_reason[:MAX_EXAMPLES]},
    )


@dg.asset_check(
    asset="acceleration_zoom",
    blocking=True,
    partitions_def=DAYS,
    description="Every level of a device counts the same samples, no more than were sent, of the raw partition now.",
)
def levels_count_the_same_samples(context: dg.AssetCheckExecutionContext, lake: LakeResource) -> dg.AssetCheckResult:
    """Add up the cells of every level and compare."""
    from wearables_platform.batch.zoom import faults_of_levels

    found = [faults_of_levels(lake.open(), day) for day in context.partition_keys]
    faults = [fault for _, of_day in found for fault in of_day]
    return dg.AssetCheckResult(
        passed=not faults, metadata={"samples": sum(n for n, _ in found), "faults": faults[:MAX_EXAMPLES]}
    )


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
            counted = client.rows(f"SELECT count(*) AS n FROM telemetry.{quantity} WHERE {where}", span)
            bad = client.rows(f"SELECT * FROM telemetry.{quantity} WHERE {where} AND ({out_of_range}) LIMIT 20", span)
        return dg.AssetCheckResult(
            passed=not bad, metadata={"rows": counted[0]["n"], "offending": [str(row) for row in bad]}
        )

    return values_are_plausible


def _features_check(asset: str) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset,
        name="keys_schema_and_ranges",
        blocking=True,
        partitions_def=DAYS,
        description="The lake's columns are the catalogue's, every key occurs once, numbers are finite and in range.",
    )
    def keys_schema_and_ranges(context: dg.AssetCheckExecutionContext, lake: LakeResource) -> dg.AssetCheckResult:
        from wearables_platform.batch.feature_checks import faults_of_days

        rows, faults = faults_of_days(asset, lake.open(), context.partition_keys)
        return dg.AssetCheckResult(passed=not faults, metadata={"rows": rows, "faults": faults[:MAX_EXAMPLES]})

    return keys_schema_and_ranges


@dg.asset_check(
    asset="hourly_activity",
    blocking=True,
    partitions_def=DAYS,
    description="The windows counted by hour are the windows the lake holds, and intensities never exceed them.",
)
def hours_add_up_to_windows(
    context: dg.AssetCheckExecutionContext, lake: LakeResource, sql: SqlResource
) -> dg.AssetCheckResult:
    """Compare the aggregate with what it aggregates."""
    from wearables_platform.batch.feature_checks import hours_that_do_not_add_up

    with sql.open() as client:
        wrong = hours_that_do_not_add_up(client, lake.open(), context.partition_keys)
    return dg.AssetCheckResult(passed=not wrong, metadata={"wrong": wrong[:MAX_EXAMPLES]})


@dg.asset_check(
    asset="daily_summary",
    blocking=True,
    partitions_def=DAYS,
    description="Steps summed over people and days equal the clean steps they were summed from.",
)
def days_add_up_to_readings(context: dg.AssetCheckExecutionContext, sql: SqlResource) -> dg.AssetCheckResult:
    """Compare each person's days with their clean steps."""
    from wearables_platform.batch.feature_checks import days_that_do_not_add_up

    with sql.open() as client:
        wrong = days_that_do_not_add_up(client, context.partition_keys)
    return dg.AssetCheckResult(passed=not wrong, metadata={"wrong": wrong[:MAX_EXAMPLES]})


CHECKS = [
    *(_conservation_check(CHANNEL_BY_NAME[name]) for name in ("acceleration", "vitals", "status")),
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
    days_add_up_to_readings,
    *PERSON_CHECKS,
]
