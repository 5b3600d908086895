"""Activity per person and local day."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg

from wearables_platform.assets.declare import day_asset
from wearables_platform.assets.features.activity_report import activity_metadata
from wearables_platform.assets.report import bars, terminal_errors_end_the_step
from wearables_platform.partitions import contiguous_keys
from wearables_platform.resources import LakeResource, SqlResource
from wearables_platform.settings import load_settings


def _around(asset: str) -> dg.AssetDep:
    mapping = dg.TimeWindowPartitionMapping(start_offset=-1, end_offset=1, allow_nonexistent_upstream_partitions=True)
    return dg.AssetDep(asset, partition_mapping=mapping)


@day_asset(
    # A local day reaches into the UTC days around it.
    deps=[_around("window_features"), _around("wear"), "hourly_activity"],
    group="serving",
    kinds={"duckdb", "postgres"},
    pool="sql",
    follows=False,
    description=(
        "One row per participant and local day (23 or 25 hours where clocks change) with at least one window: time by "
        "intensity with the cut points' name, MVPA in all and in bouts, the distribution of ENMO, the most active ten "
        "and the least active five hours, steps, wear, and whether the day is valid. A UTC day touches the local days "
        "around it; all of them are written anew."
    ),
    metadata={"table": "telemetry.daily_activity", "view": "analytics.daily_activity_v1"},
)
def daily_activity(context: dg.AssetExecutionContext, lake: LakeResource, sql: SqlResource) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster compares the bare class
    """Aggregate every local day these UTC days touch."""
    from wearables_platform.batch.activity.compute import aggregate_days

    opened, settings, now = lake.open(), load_settings(), datetime.now(UTC)
    with terminal_errors_end_the_step(), sql.open() as client:
        done = [
            aggregate_days(opened, client, days, settings, context.run.run_id, now)
            for days in contiguous_keys(context.partition_keys)
        ]
    rows = [row for each in done for row in each.rows]
    worn: dict[str, float] = {}
    for row in rows:
        worn[str(row["local_day"])] = worn.get(str(row["local_day"]), 0.0) + row["worn_s"] / 3_600
    metadata: dict[str, Any] = activity_metadata(done) | {
        "valid": sum(row["status"] == "valid" for row in rows),
        "not_worn": sum(row["status"] == "not_worn" for row in rows),
        "participants": len({row["participant_id"] for row in rows}),
        "worn_per_local_day": bars(worn, "Hours worn by all participants per local day", "h"),
    }
    return dg.MaterializeResult(metadata=metadata)
