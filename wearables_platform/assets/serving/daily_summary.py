"""Steps and heart rate per person and local day."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg

from wearables_platform.assets.declare import day_asset
from wearables_platform.assets.report import bars, table_metadata, terminal_errors_end_the_step
from wearables_platform.resources import SqlResource


@day_asset(
    deps=["daily_heart_rate", "steps"],
    group="serving",
    kinds={"sql", "postgres"},
    pool="sql",
    code_version="2",
    description=(
        "One row per participant and local day (23 or 25 hours where clocks change): steps, coverage, heart rate "
        "mean, least, greatest and resting. A UTC day touches the local days around it; all of them are written anew."
    ),
    metadata={"table": "telemetry.daily_summary", "view": "analytics.daily_summary_v1"},
)
def daily_summary(context: dg.AssetExecutionContext, sql: SqlResource) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster compares the bare class
    """Summarize every local day these UTC days touch."""
    from wearables_platform.batch.extent import extent_of
    from wearables_platform.batch.summaries import summarize_days

    with terminal_errors_end_the_step() as spent, sql.open() as client:
        done = summarize_days(client, context.partition_keys, datetime.now(UTC))
        extent = extent_of("daily_summary", client, context.partition_keys)
    steps: dict[str, float] = {}
    for row in done.rows:
        steps[str(row["local_day"])] = steps.get(str(row["local_day"]), 0.0) + (row["step_count"] or 0)
    metadata: dict[str, Any] = {
        **table_metadata(extent, spent),
        "written": len(done.rows),
        "changed": done.changed,
        "final": sum(bool(row["final"]) for row in done.rows),
        "participants": len({row["participant_id"] for row in done.rows}),
        "steps_per_local_day": bars(steps, "Steps of all participants per local day", "steps"),
    }
    return dg.MaterializeResult(metadata=metadata)
