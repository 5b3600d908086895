"""Zoom levels of the raw acceleration: any span drawn in a few thousand points without reading its samples."""

import dagster as dg

from wearables_platform.assets.declare import day_asset
from wearables_platform.assets.report import (
    lake_metadata,
    report_partitions,
    terminal_errors_end_the_step,
)
from wearables_platform.resources import LakeResource


@day_asset(
    deps=["raw_acceleration"],
    group="lake",
    kinds={"parquet", "numpy"},
    pool="lake",
    description=(
        "Least, mean and greatest sample per device and cell of 10 ms, 100 ms, 1 s, 10 s and 60 s, as fine as the "
        "device's rate gives sense to; one file per width."
    ),
)
def acceleration_zoom(context: dg.AssetExecutionContext, lake: LakeResource) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Make the levels of each day from its raw partition."""
    from wearables_platform.batch.zoom import build_zoom
    from wearables_platform.wire.lake_schemas import ZOOM_DATASET

    opened = lake.open()
    with terminal_errors_end_the_step() as spent:
        built = {day: build_zoom(opened, day) for day in context.partition_keys}
    manifests = {day: manifest for day, manifest in built.items() if manifest is not None}
    report_partitions(context, manifests, "acceleration_zoom")
    newest = max((day for day, manifest in manifests.items() if manifest.rows), default=None)
    sample = next(opened.scan(ZOOM_DATASET, [newest]), None) if newest else None
    return dg.MaterializeResult(metadata=lake_metadata(manifests, sample, spent))
