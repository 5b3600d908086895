"""Window features and spike events of acceleration: one computation, two datasets."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from wearables_platform.assets.declare import day_assets, day_spec
from wearables_platform.assets.report import (
    lake_metadata,
    lines,
    report_partitions,
    terminal_errors_end_the_step,
)
from wearables_platform.resources import LakeResource, ModelSigningResource, SqlResource

if TYPE_CHECKING:
    from wearables_platform.batch.days import RecomputedDay
    from wearables_platform.clients.lake import Lake


def _spec(name: str, description: str) -> dg.AssetSpec:
    return day_spec(
        name,
        follows=False,  # it looks into the days around it
        # A day's rows look a few seconds into the days around it.
        deps=[
            dg.AssetDep(
                "raw_acceleration",
                partition_mapping=dg.TimeWindowPartitionMapping(
                    start_offset=-1, end_offset=1, allow_nonexistent_upstream_partitions=True
                ),
            )
        ],
        group="features",
        kinds={"python", "parquet", "postgres"},
        description=description,
    )


@day_assets(
    "features_of_acceleration",
    specs=[
        _spec(
            "window_features",
            "One row per device and UTC second, by the same functions as the stream's; in the lake, and in "
            "telemetry.window_features wherever the stream's row was dirty, missing or different. What was replaced is "
            "in telemetry.window_features_history.",
        ),
        _spec(
            "spike_events",
            "Movements of 30 ms or more over the spike threshold, by the same functions as the stream's; in the lake, "
            "and in telemetry.anomalies wherever the stream's row was dirty, missing or different.",
        ),
    ],
    pool="sql",
)
def window_features_and_spikes(
    context: dg.AssetExecutionContext, lake: LakeResource, sql: SqlResource, model_signing: ModelSigningResource
) -> Iterator[dg.MaterializeResult]:  # type: ignore[type-arg] # Dagster compares the bare class
    """Recompute days from the raw messages and bring the database in line."""
    from wearables_platform.batch.days import recompute_day
    from wearables_platform.batch.repair import Load
    from wearables_platform.models.in_force import load_threshold_timeline, load_timeline
    from wearables_platform.models.inputs import ACTIVITY_ANOMALY
    from wearables_platform.models.registry import ModelRegistry
    from wearables_platform.wire.feature_schema import SPIKES_DATASET, WINDOWS_DATASET

    opened, load = lake.open(), Load(context.run.run_id, datetime.now(UTC))
    with terminal_errors_end_the_step() as spent, sql.open() as client:
        registry = ModelRegistry(client, model_signing.read())
        timeline, refused = load_timeline(opened, registry, ACTIVITY_ANOMALY)
        thresholds, refused_tables = load_threshold_timeline(opened, registry)
        refused |= refused_tables
        days = {day: recompute_day(client, opened, day, load, timeline, thresholds) for day in context.partition_keys}
    for name, dataset in (("window_features", WINDOWS_DATASET), ("spike_events", SPIKES_DATASET)):
        manifests = {day: found.manifests[dataset] for day, found in days.items()}
        report_partitions(context, manifests, name)
        newest = max((day for day, manifest in manifests.items() if manifest.rows), default=None)
        table = next(opened.scan(dataset, [newest]), None) if newest else None
        metadata = lake_metadata(manifests, table, spent) | _repairs(days, name) | {"models_refused": refused}
        if newest and name == "window_features":
            metadata["enmo"] = _enmo(opened, newest)
        yield dg.MaterializeResult(asset_key=name, metadata=metadata)


def _repairs(days: "dict[str, RecomputedDay]", name: str) -> dict[str, Any]:
    repaired = [found.windows if name == "window_features" else found.spikes for found in days.values()]
    reasons: dict[str, int] = {}
    for one in repaired:
        for reason, rows in one.reasons.items():
            reasons[reason] = reasons.get(reason, 0) + rows
    resolved = {"dirty_windows_resolved": sum(found.resolved for found in days.values())}
    return {"rows_repaired": sum(one.rows for one in repaired), "repaired_because": reasons, **resolved}


def _enmo(lake: "Lake", day: str) -> dg.MarkdownMetadataValue:
    from wearables_platform.wire.feature_schema import WINDOWS_DATASET

    first = next(lake.scan(WINDOWS_DATASET, [day], columns=["device_id"]))
    device_id = first.column("device_id")[0].as_py()
    columns = ["device_id", "window_start", "enmo_mg"]
    table = lake.read_table(WINDOWS_DATASET, [day], columns=columns, device_id=device_id)
    assert table is not None, "the day has rows"
    one = table.filter(_is(table, device_id))
    series = (one.column("window_start").to_pylist(), one.column("enmo_mg").to_numpy())
    return lines({device_id: series}, f"ENMO of {device_id} on {day}", "mg")


def _is(table: Any, device_id: str) -> Any:
    import pyarrow.compute as pc

    return pc.equal(table.column("device_id"), device_id)
