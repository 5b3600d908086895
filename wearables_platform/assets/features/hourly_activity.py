"""Activity per device and hour."""

from typing import Any

import dagster as dg

from wearables_platform.assets.declare import day_asset
from wearables_platform.assets.report import bars, sample_table, terminal_errors_end_the_step
from wearables_platform.resources import LakeResource, SqlResource


@day_asset(
    deps=["window_features"],
    group="features",
    kinds={"duckdb", "postgres"},
    pool="sql",
    description=(
        "Seconds sedentary, light, moderate and vigorous, mean ENMO and MAD, steps and coverage per device and UTC "
        "hour, aggregated with DuckDB over the files of each day's manifest."
    ),
)
def hourly_activity(context: dg.AssetExecutionContext, lake: LakeResource, sql: SqlResource) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster compares the bare class
    """Aggregate days of window features and make the stored hours equal to the result."""
    from wearables_platform.batch import summaries

    opened = lake.open()
    rows, changed, sample = 0, 0, None
    seconds: dict[str, float] = dict.fromkeys(("sedentary_s", "light_s", "moderate_s", "vigorous_s"), 0.0)
    with terminal_errors_end_the_step(), sql.open() as client:
        for day in context.partition_keys:
            hours = summaries.hourly_activity(opened, day)
            changed += summaries.replace_hours(client, day, hours)
            rows += hours.num_rows
            sample = hours if hours.num_rows else sample
            for name in seconds:
                seconds[name] += sum(hours.column(name).to_pylist())
    metadata: dict[str, Any] = {"rows_in_run": rows, "changed": changed}
    metadata["intensity"] = bars(seconds, "Seconds by intensity", "s")
    if sample is not None:
        metadata["sample"] = sample_table(sample)
    return dg.MaterializeResult(metadata=metadata)
