"""Activity per device and hour."""

import dagster as dg

from wearables_platform.assets.declare import day_asset
from wearables_platform.assets.features.activity_report import activity_metadata
from wearables_platform.assets.report import terminal_errors_end_the_step
from wearables_platform.partitions import contiguous_keys
from wearables_platform.resources import LakeResource, SqlResource
from wearables_platform.settings import load_settings


@day_asset(
    deps=["window_features", "wear"],
    group="features",
    kinds={"duckdb", "postgres"},
    pool="sql",
    code_version="2",
    description=(
        "Seconds sedentary, light, moderate and vigorous, worn and not worn, the distribution of ENMO, mean ENMO and "
        "MAD, steps and coverage per device and UTC hour, aggregated with DuckDB over the files of each day's manifest."
    ),
    metadata={"table": "telemetry.hourly_activity", "view": "analytics.hourly_activity_v1"},
)
def hourly_activity(context: dg.AssetExecutionContext, lake: LakeResource, sql: SqlResource) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster compares the bare class
    """Aggregate days of window features and make the stored hours equal to the result."""
    from wearables_platform.batch.activity.compute import aggregate_hours

    opened, settings = lake.open(), load_settings()
    with terminal_errors_end_the_step(), sql.open() as client:
        done = [
            aggregate_hours(opened, client, days, settings, context.run.run_id)
            for days in contiguous_keys(context.partition_keys)
        ]
    return dg.MaterializeResult(metadata=activity_metadata(done))
