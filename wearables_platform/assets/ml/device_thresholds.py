"""Thresholds of single devices: computed from the lake, bounded, and told to stream and batch."""

from datetime import UTC, datetime
from functools import partial

import dagster as dg

from wearables_platform.assets.declare import DAILY, whole_asset
from wearables_platform.assets.report import terminal_errors_end_the_step
from wearables_platform.resources import KafkaResource, LakeResource, ModelSigningResource, SqlResource

DEFAULT_DAYS = 7


class ThresholdConfig(dg.Config):
    """From which days, and how much there must be of a device before it gets a threshold of its own."""

    days: int = DEFAULT_DAYS
    moving_windows: int = 1_800
    still_windows: int = 600
    readings: int = 600


@whole_asset(
    group="ml",
    deps=[
        dg.AssetDep("window_features", partition_mapping=dg.AllPartitionMapping()),
        dg.AssetDep("raw_vitals", partition_mapping=dg.AllPartitionMapping()),
    ],
    kinds={"parquet", "numpy"},
    pool="lake",
    freshness=DAILY,
    description=(
        "Per device: least deviation of a spike, ENMO at rest, heart rate that is high at rest; medians and quantiles "
        "of what it measured on its wearer, inside safe limits. A device with too few data keeps the defaults."
    ),
    check_specs=[
        dg.AssetCheckSpec(
            "within_safe_limits",
            asset="device_thresholds",
            blocking=True,
            description="No threshold lies outside what is allowed whatever the data say.",
        )
    ],
)
def device_thresholds(
    config: ThresholdConfig, lake: LakeResource, sql: SqlResource, model_signing: ModelSigningResource
) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster compares the bare class
    """Compute and register a candidate."""
    from wearables_platform.models.archives import files_of
    from wearables_platform.models.registry import ModelRegistry
    from wearables_platform.models.threshold_training import Minimum, device_baselines, register_thresholds
    from wearables_platform.models.thresholds import load_thresholds
    from wearables_platform.wire.feature_schema import WINDOWS_DATASET

    opened = lake.open()
    days = sorted(opened.partitions(WINDOWS_DATASET))[-config.days :]
    minimum = Minimum(config.moving_windows, config.still_windows, config.readings)
    with terminal_errors_end_the_step() as spent, sql.open() as client:
        registry = ModelRegistry(client, model_signing.read(), "dagster device_thresholds")
        found = device_baselines(opened, days, registry.wears(), minimum)
        row, added = register_thresholds(opened, registry, found, days, datetime.now(UTC))
        table = load_thresholds(row.draft_release(), files_of(opened))  # raises what the stream would refuse it for
    check = dg.AssetCheckResult(
        check_name="within_safe_limits", passed=True, metadata={"version": row.version, "devices": len(table.devices)}
    )
    return dg.MaterializeResult(
        metadata={
            "version": row.version,
            "outcome": "a new candidate" if added else f"nothing new ({row.state})",
            "devices_with_own": len(found.devices),
            **{f"with_own_{kind}": count for kind, count in found.counted.items()},
            "path": dg.MetadataValue.path(opened.address(row.lake_path)),
            **spent.rate(len(found.devices)),
        },
        check_results=[check],
    )


@whole_asset(
    group="ml",
    deps=["device_thresholds"],
    kinds={"kafka", "postgres"},
    pool="lake",
    freshness=DAILY,
    description="Puts the newest thresholds in force a few seconds from now, for stream and batch alike.",
    check_specs=[
        dg.AssetCheckSpec(
            "thresholds_were_accepted",
            asset="published_thresholds",
            description="The newest thresholds passed the stream's loader and rest on nobody who was erased since.",
        )
    ],
)
def published_thresholds(
    lake: LakeResource, sql: SqlResource, kafka: KafkaResource, model_signing: ModelSigningResource
) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster compares the bare class
    """Publish or refuse the newest candidate."""
    from wearables_platform.models.promotion import publish_thresholds
    from wearables_platform.models.registry import ModelRegistry
    from wearables_platform.models.releases import ReleaseLog

    with terminal_errors_end_the_step() as spent, sql.open() as client:
        registry = ModelRegistry(client, model_signing.read(), "dagster published_thresholds")
        row, outcome = publish_thresholds(
            lake.open(),
            registry,
            ReleaseLog(kafka.require_url(), model_signing.read()),
            clock=partial(datetime.now, UTC),
        )
    check = dg.AssetCheckResult(
        check_name="thresholds_were_accepted",
        passed=outcome != "refused",
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"refusal": (row.refusal if row else None) or "none"},
    )
    metadata = {"outcome": outcome, "version": row.version if row else "none"}
    return dg.MaterializeResult(metadata={**metadata, **spent.rate(1)}, check_results=[check])
