"""By how much a version of the devices' software shifted what they measure."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from wearables_platform.assets.declare import DAILY, whole_asset
from wearables_platform.assets.report import terminal_errors_end_the_step
from wearables_platform.resources import LakeResource, ModelSigningResource, SqlResource

if TYPE_CHECKING:
    from wearables_platform.models.drift import Shift


class DriftConfig(dg.Config):
    """Which days are compared: the last that hold features."""

    days: int = 14


@whole_asset(
    group="ml",
    deps=[
        dg.AssetDep("window_features", partition_mapping=dg.AllPartitionMapping()),
        dg.AssetDep("raw_status", partition_mapping=dg.AllPartitionMapping()),
    ],
    kinds={"parquet", "postgres"},
    pool="lake",
    freshness=DAILY,
    description=(
        "Per device model: window features under one version of client and firmware against the version before, hour "
        "by hour of the day within the same people where there are enough; with a bootstrap interval, in ml.drift."
    ),
    check_specs=[
        dg.AssetCheckSpec(
            "no_version_shifted_a_feature",
            asset="device_drift",
            description="No interval leaves out 0 with a change of 5 % or more; one that does asks for a retraining.",
        )
    ],
)
def device_drift(
    config: DriftConfig, lake: LakeResource, sql: SqlResource, model_signing: ModelSigningResource
) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster compares the bare class
    """Compare and write."""
    from wearables_platform.models import drift
    from wearables_platform.models.registry import ModelRegistry, span_of
    from wearables_platform.models.slices import read_device_models
    from wearables_platform.wire.feature_schema import WINDOWS_DATASET

    opened = lake.open()
    days = sorted(opened.partitions(WINDOWS_DATASET))[-config.days :]
    with terminal_errors_end_the_step() as spent, sql.open() as client:
        registry = ModelRegistry(client, model_signing.read())
        hours = drift.gather_hours(opened, days, registry.wears(), read_device_models(client))
        found = drift.shifts(hours)
        drift.write(client, found, span_of(days))
    shifted = [one for one in found if one.significant]
    check = dg.AssetCheckResult(
        check_name="no_version_shifted_a_feature",
        passed=not shifted,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"shifted": dg.MetadataValue.json([_said(one) for one in shifted])},
    )
    metadata: dict[str, Any] = {"hours": len(hours), "comparisons": len(found), "shifts": _table(found)}
    return dg.MaterializeResult(metadata=metadata | spent.rate(len(hours)), check_results=[check])


def _said(one: "Shift") -> str:
    return (
        f"{one.version_after} on {one.device_model} shifted {one.feature} by {one.shift_percent:+.1f} % "
        f"({one.low_percent:+.1f} to {one.high_percent:+.1f}) against {one.version_before}, {one.people} people"
    )


def _table(found: "list[Shift]") -> dg.MarkdownMetadataValue:
    lines = ["| model | feature | before | after | people | same people | shift | interval |", "|---" * 8 + "|"]
    lines += [
        f"| {one.device_model} | {one.feature} | {one.version_before} | {one.version_after} | {one.people} "
        f"| {'yes' if one.paired else 'no'} | {one.shift_percent:+.1f} % "
        f"| {one.low_percent:+.1f} to {one.high_percent:+.1f} % |"
        for one in found
    ]
    return dg.MetadataValue.md("\n".join(lines))
