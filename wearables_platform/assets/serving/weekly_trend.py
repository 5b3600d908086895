"""Trends of a person's measures, week by week."""

from datetime import UTC, datetime

import dagster as dg

from wearables_platform.assets.declare import day_asset
from wearables_platform.assets.report import bars, terminal_errors_end_the_step
from wearables_platform.assets.serving.person_rows import table_metadata
from wearables_platform.resources import SqlResource


@day_asset(
    deps=["daily_summary", "daily_heart_rate", "daily_activity"],
    group="serving",
    kinds={"python", "postgres"},
    pool="sql",
    description=(
        "One row per participant, ISO week and measure: Theil-Sen slope with interval, Mann-Kendall tau and p over the "
        "28 local days that end with the week, the week's median and how far it is from the three weeks before. Only "
        "final days with enough wear count; below 14 of them there is a reason instead of a trend."
    ),
    metadata={"table": "telemetry.weekly_trend", "view": "analytics.weekly_trend_v1"},
)
def weekly_trend(context: dg.AssetExecutionContext, sql: SqlResource) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster compares the bare class
    """Compute every week whose 28 days these UTC days touch."""
    from wearables_platform.batch.weekly_trend import write_weekly_trend

    with terminal_errors_end_the_step() as spent, sql.open() as client:
        written = write_weekly_trend(client, context.partition_keys, datetime.now(UTC), context.run.run_id)
    given = [row for row in written.rows if row["missing_because"] is None]
    falling = sum(row["p_value"] < 0.05 and row["slope_per_week"] < 0 for row in given)
    rising = sum(row["p_value"] < 0.05 and row["slope_per_week"] > 0 for row in given)
    found = {
        "falling": falling,
        "rising": rising,
        "neither": len(given) - falling - rising,
        "too few days": len(written.rows) - len(given),
    }
    return dg.MaterializeResult(
        metadata=table_metadata(written, spent)
        | {"trends": bars(found, "Weeks by trend (p < 0.05)", "weeks and measures")}
    )
