"""The labelled windows the activity model learns from and is judged on."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from wearables_platform.assets.declare import WEEKLY, whole_asset
from wearables_platform.assets.ml.training_set import TrainingSetConfig, chosen_days
from wearables_platform.assets.report import bars, terminal_errors_end_the_step
from wearables_platform.resources import LakeResource, ModelSigningResource, SqlResource

if TYPE_CHECKING:
    from wearables_platform.models.class_set import ClassSet
    from wearables_platform.models.training_files import StoredSet

CLASS_MODEL = "activity_class"


@whole_asset(
    group="ml",
    deps=[dg.AssetDep("window_features", partition_mapping=dg.AllPartitionMapping())],
    kinds={"parquet", "postgres"},
    pool="models",
    freshness=WEEKLY,
    description=(
        "One-second windows of known wearers of which somebody said what was done (ml.labels: people, and recordings "
        "that carry labels), each with the five seconds around it. Named after its content, kept for every version's "
        "lineage; nobody erased is in it."
    ),
    check_specs=[
        dg.AssetCheckSpec(
            "activities_can_be_learnt",
            asset="activity_training_set",
            blocking=True,
            description="Enough labelled windows, two activities or more, people on both sides, each window once.",
        )
    ],
)
def activity_training_set(
    config: TrainingSetConfig, lake: LakeResource, sql: SqlResource, model_signing: ModelSigningResource
) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster compares the bare class
    """Gather the labelled windows of the days asked for and store them."""
    from wearables_platform.models import training_files
    from wearables_platform.models.gathering import gather_classes
    from wearables_platform.models.labels import LabelBook
    from wearables_platform.models.registry import ModelRegistry
    from wearables_platform.wire.feature_schema import WINDOWS_DATASET

    opened = lake.open()
    days = chosen_days(opened.partitions(WINDOWS_DATASET), config)
    with terminal_errors_end_the_step() as spent, sql.open() as client:
        wears = ModelRegistry(client, model_signing.read()).wears()
        windows = gather_classes(opened, days, wears, LabelBook(client).read())
        stored = training_files.store(opened, CLASS_MODEL, windows)
    return dg.MaterializeResult(
        metadata=_metadata(stored, opened.address(stored.path)) | spent.rate(len(windows)),
        check_results=[_check(windows)],
    )


def _metadata(stored: "StoredSet[ClassSet]", address: str) -> dict[str, Any]:
    windows = stored.training_set
    by_class = {name: float((windows.label == name).sum()) for name in windows.classes}
    return {
        "dagster/row_count": dg.MetadataValue.int(len(windows)),
        "bytes": dg.MetadataValue.int(stored.size_bytes),
        "path": dg.MetadataValue.path(address),
        "sha256": dg.MetadataValue.text(windows.sha256),
        "feature_version": dg.MetadataValue.text(windows.feature_version),
        "days": dg.MetadataValue.json(windows.days),
        "people": dg.MetadataValue.json(windows.people),
        "held_out_people": dg.MetadataValue.json(windows.take(windows.held_out).people),
        "said_by": dg.MetadataValue.json(sorted(set(windows.said_by.tolist()))[:20]),
        "left_out": dg.MetadataValue.json(dict(windows.left_out)),
        "windows_by_activity": bars(by_class, "Labelled windows by activity", "windows of 1 s"),
    }


def _check(windows: "ClassSet") -> dg.AssetCheckResult:
    from wearables_platform.models.class_train import why_too_little

    keys = list(zip(windows.device_id.tolist(), windows.start_us.tolist(), strict=True))
    found = [
        why_too_little(windows),
        None if windows.held_out.any() else "nobody is held out: no version can be judged",
        None if len(keys) == len(set(keys)) else "a window appears twice",
    ]
    problems = [problem for problem in found if problem is not None]
    return dg.AssetCheckResult(
        check_name="activities_can_be_learnt",
        passed=not problems,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={"problems": dg.MetadataValue.json(problems), "windows": len(windows)},
    )
