"""What is usual among people of a study, an age band, a sex, a device model."""

from datetime import UTC, datetime

import dagster as dg

from wearables_platform.assets.declare import day_asset
from wearables_platform.assets.report import bars, terminal_errors_end_the_step
from wearables_platform.assets.serving.person_rows import table_metadata
from wearables_platform.resources import SqlResource
from wearables_platform.settings import load_settings


@day_asset(
    deps=["daily_summary", "daily_heart_rate", "daily_activity"],
    group="serving",
    kinds={"python", "postgres"},
    pool="sql",
    description=(
        "Per calendar month, study, age band, sex and device model, and measure: mean of per-person means with a "
        "bootstrap interval, and their percentiles. Groups smaller than WEARABLES_MIN_GROUP_SIZE, and those that would "
        "give them away, are not in the view."
    ),
    metadata={"table": "telemetry.cohort_baselines", "view": "analytics.cohort_baselines_v1"},
)
def cohort_baselines(context: dg.AssetExecutionContext, sql: SqlResource) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster compares the bare class
    """Compute every month these UTC days touch."""
    from dataclasses import replace

    from wearables_platform.batch.cohort_baselines import write_cohort_baselines

    with terminal_errors_end_the_step() as spent, sql.open() as client:
        written = write_cohort_baselines(
            client, context.partition_keys, datetime.now(UTC), context.run.run_id, load_settings().min_group_size
        )
    # Metadata is read by more people than the table is: the hidden groups stay out of it.
    shown = [row for row in written.rows if not row["hidden"]]
    people = {f"{row['dimension']}: {row['member']}": float(row["n_people"]) for row in shown}
    return dg.MaterializeResult(
        metadata=table_metadata(replace(written, rows=shown), spent)
        | {
            "groups_hidden": len(written.rows) - len(shown),
            "people": bars(people, "People per published group", "people"),
        }
    )
