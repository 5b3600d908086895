"""The windows the anomaly model learns from and is judged on."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from wearables_platform.assets.declare import WEEKLY, whole_asset
from wearables_platform.assets.report import sample_table, terminal_errors_end_the_step
from wearables_platform.resources import LakeResource, ModelSigningResource, SqlResource

if TYPE_CHECKING:
    from wearables_platform.models.training_files import StoredSet
    from wearables_platform.models.training_set import TrainingSet

DEFAULT_DAYS = 28
MODEL = "activity_anomaly"


class TrainingSetConfig(dg.Config):
    """Which days to learn from; by default the last 28 that hold features."""

    first_day: str | None = None
    last_day: str | None = None
    days: int = DEFAULT_DAYS


@whole_asset(
    group="ml",
    deps=[
        dg.AssetDep("window_features", partition_mapping=dg.AllPartitionMapping()),
        dg.AssetDep("spike_events", partition_mapping=dg.AllPartitionMapping()),
    ],
    kinds={"parquet", "numpy"},
    pool="models",
    freshness=WEEKLY,
    description=(
        "Clean one-second windows of known wearers, with those marked in which a spike event starts, and with the "
        "people set apart on whom every version is judged. Named after its content, kept for every version's lineage."
    ),
    check_specs=[
        dg.AssetCheckSpec(
            "can_be_learnt_from",
            asset="training_set",
            blocking=True,
            description="Enough clean windows, people on both sides of the split, each window once.",
        )
    ],
)
def training_set(
    config: TrainingSetConfig, lake: LakeResource, sql: SqlResource, model_signing: ModelSigningResource
) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster compares the bare class
    """Gather the windows of the days asked for and store them."""
    from wearables_platform.models import training_files
    from wearables_platform.models.gathering import gather
    from wearables_platform.models.registry import ModelRegistry
    from wearables_platform.wire.feature_schema import WINDOWS_DATASET

    opened = lake.open()
    days = chosen_days(opened.partitions(WINDOWS_DATASET), config)
    with terminal_errors_end_the_step() as spent, sql.open() as client:
        wears = ModelRegistry(client, model_signing.read()).wears()
        stored = training_files.store(opened, MODEL, gather(opened, days, wears))
    return dg.MaterializeResult(
        metadata=_metadata(stored, opened.address(stored.path)) | spent.rate(len(stored.training_set)),
        check_results=[_check(stored)],
    )


def chosen_days(partitions: list[str], config: TrainingSetConfig) -> list[str]:
    """Return the days to read, ascending.

    >>> chosen_days(["2026-03-01", "2026-03-02", "2026-03-03"], TrainingSetConfig(days=2))
    ['2026-03-02', '2026-03-03']
    """
    first, last = config.first_day or "", config.last_day or "9999"
    chosen = sorted(day for day in partitions if first <= day <= last)
    return chosen if config.first_day else chosen[-config.days :]


def _metadata(stored: "StoredSet[TrainingSet]", address: str) -> dict[str, Any]:
    from wearables_platform.assets.ml import plots
    from wearables_platform.models.inputs import MODEL_FEATURES
    from wearables_platform.models.training_set import HELD_OUT_SHARE

    windows = stored.training_set
    columns = [dg.TableColumn(field.name, str(field.type)) for field in windows.to_table().schema]
    return {
        "dagster/row_count": dg.MetadataValue.int(len(windows)),
        "dagster/column_schema": dg.MetadataValue.table_schema(dg.TableSchema(columns)),
        "bytes": dg.MetadataValue.int(stored.size_bytes),
        "path": dg.MetadataValue.path(address),
        "sha256": dg.MetadataValue.text(windows.sha256),
        "feature_version": dg.MetadataValue.text(windows.feature_version),
        "days": dg.MetadataValue.json(windows.days),
        "people": dg.MetadataValue.json(windows.people),
        "held_out_people": dg.MetadataValue.json(windows.take(windows.held_out).people),
        "held_out_share_aimed_at": dg.MetadataValue.float(HELD_OUT_SHARE),
        "event_windows": dg.MetadataValue.int(int(windows.is_event.sum())),
        "features": dg.MetadataValue.json(list(MODEL_FEATURES)),
        "first": dg.MetadataValue.text(min(windows.days, default="-")),
        "last": dg.MetadataValue.text(max(windows.days, default="-")),
        "sample": sample_table(windows.to_table()),
        "windows_by_person": plots.windows_by_person(windows),
    }


def _check(stored: "StoredSet[TrainingSet]") -> dg.AssetCheckResult:
    import numpy as np

    from wearables_platform.models.train import MIN_TRAINING_WINDOWS

    windows = stored.training_set
    keys = list(zip(windows.device_id.tolist(), windows.start_us.tolist(), strict=True))
    learnt_from = int((~windows.held_out).sum())
    found = {
        f"{learnt_from} windows to learn from, {MIN_TRAINING_WINDOWS} needed": learnt_from < MIN_TRAINING_WINDOWS,
        "nobody is held out: no version can be judged": not windows.held_out.any(),
        "a window appears twice": len(keys) != len(set(keys)),
        "a feature is infinite": bool(np.isinf(windows.matrix).any()),
    }
    problems = [problem for problem, holds in found.items() if holds]
    return dg.AssetCheckResult(
        check_name="can_be_learnt_from",
        passed=not problems,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={"problems": dg.MetadataValue.json(problems), "windows_to_learn_from": learnt_from},
    )
