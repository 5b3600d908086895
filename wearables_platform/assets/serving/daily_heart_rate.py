"""Heart rate per person and local day."""

from datetime import UTC, datetime

import dagster as dg

from wearables_platform.assets.declare import day_asset
from wearables_platform.assets.report import bars, terminal_errors_end_the_step
from wearables_platform.assets.serving.person_rows import table_metadata
from wearables_platform.resources import SqlResource

ZONES = ("very_light_s", "light_s", "moderate_s", "vigorous_s", "near_maximal_s")


@day_asset(
    # Where a minute was still and the watch worn decides which readings are resting ones.
    deps=["heart_rate", "rolling_features", "wear"],
    group="serving",
    kinds={"sql", "postgres"},
    pool="sql",
    description=(
        "One row per participant and local day with readings: mean, least, greatest and resting heart rate (with the "
        "method's name) and seconds in the ACSM zones of the heart-rate reserve. A UTC day touches the local days "
        "around it; all of them are written anew."
    ),
    metadata={
        "table": "telemetry.daily_heart_rate",
        "view": "analytics.daily_heart_rate_v1",
        "script": "sql/serving/daily_heart_rate.sql",
    },
)
def daily_heart_rate(context: dg.AssetExecutionContext, sql: SqlResource) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster compares the bare class
    """Compute every local day these UTC days touch."""
    from wearables_platform.batch.heart_rate_days import write_daily_heart_rate

    with terminal_errors_end_the_step() as spent, sql.open() as client:
        written = write_daily_heart_rate(client, context.partition_keys, datetime.now(UTC), context.run.run_id)
    hours = {name.removesuffix("_s"): sum(row[name] or 0.0 for row in written.rows) / 3_600 for name in ZONES}
    return dg.MaterializeResult(
        metadata=table_metadata(written, spent)
        | {
            "participants": len({row["participant_id"] for row in written.rows}),
            "without_zones": sum(row["zones_missing_because"] is not None for row in written.rows),
            "time_in_zones": bars(hours, "Hours of all participants by heart-rate zone", "h"),
        }
    )
