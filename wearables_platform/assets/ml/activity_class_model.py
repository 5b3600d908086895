"""A candidate version of the model that tells activities."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from wearables_platform.assets.declare import WEEKLY, whole_asset
from wearables_platform.assets.ml.activity_training_set import CLASS_MODEL
from wearables_platform.assets.report import terminal_errors_end_the_step
from wearables_platform.resources import LakeResource, ModelSigningResource, SqlResource

if TYPE_CHECKING:
    from wearables_platform.models.publishing import Trained
    from wearables_platform.models.registry import ModelVersion


class TreesConfig(dg.Config):
    """How the trees are grown; see `models.class_train.ClassParams`."""

    n_trees: int = 100
    min_leaf: int = 2
    seed: int = 20_250_101


@whole_asset(
    group="ml",
    deps=["activity_training_set"],
    kinds={"scikitlearn"},
    pool="models",
    freshness=WEEKLY,
    description=(
        "Extremely randomised trees over the features of a second and the two before and after it, trained without "
        "the held-out people and judged person by person. Registered as a candidate; the same training set again "
        "gives the version that is there already."
    ),
    check_specs=[
        dg.AssetCheckSpec(
            "reloads_and_tells_the_same",
            asset="activity_class_model",
            blocking=True,
            description="The stored artefact passes every check of the loader and tells its probe alike.",
        )
    ],
)
def activity_class_model(
    config: TreesConfig, lake: LakeResource, sql: SqlResource, model_signing: ModelSigningResource
) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster compares the bare class
    """Train, evaluate and register a candidate from the current labelled windows."""
    from wearables_platform.models import training_files
    from wearables_platform.models.class_set import ClassSet
    from wearables_platform.models.class_train import ClassParams
    from wearables_platform.models.class_training import train_class_candidate
    from wearables_platform.models.registry import ModelRegistry
    from wearables_platform.models.slices import read_people_and_devices

    opened = lake.open()
    with terminal_errors_end_the_step() as spent, sql.open() as client:
        trained = train_class_candidate(
            opened,
            ModelRegistry(client, model_signing.read()),
            training_files.load_current_as(ClassSet, opened, CLASS_MODEL).training_set,
            read_people_and_devices(client),
            name=CLASS_MODEL,
            params=ClassParams(**config.model_dump()),
            trained_at=datetime.now(UTC),
        )
    check = class_reload_check("reloads_and_tells_the_same", lake, trained.row)
    windows = trained.row.metrics["training_set"]["windows"]
    return dg.MaterializeResult(metadata=_metadata(trained, lake) | spent.rate(windows), check_results=[check])


def class_reload_check(check_name: str, lake: LakeResource, row: "ModelVersion | None") -> dg.AssetCheckResult:
    """Load a version from the lake, and say what came of it."""
    from wearables_platform.errors import ModelRefused
    from wearables_platform.models.archives import files_of
    from wearables_platform.models.class_predict import load_class_scorer

    if row is None:
        return dg.AssetCheckResult(check_name=check_name, passed=True, metadata={"version": "none"})
    try:
        scorer = load_class_scorer(row.release if row.effective_from else row.draft_release(), files_of(lake.open()))
    except ModelRefused as exc:
        return dg.AssetCheckResult(check_name=check_name, passed=False, metadata={"refused": str(exc)})
    metadata = {"version": scorer.version, "activities": ", ".join(scorer.classes)}
    return dg.AssetCheckResult(check_name=check_name, passed=True, metadata=metadata)


def _metadata(trained: "Trained", lake: LakeResource) -> dict[str, Any]:
    from wearables_platform.assets.ml import pictures
    from wearables_platform.models.class_card import class_card

    row, opened = trained.row, lake.open()
    judged = row.metrics["by_person"]
    drawn = {
        "confusion": pictures.confusion_matrix(judged["classes"], judged["confusion"]),
        "people": pictures.by_person(judged["macro_f1_by_person"], "Macro-F1 by unseen person", "macro-F1"),
    }
    warned = row.metrics["random_split"]
    return {
        "version": dg.MetadataValue.text(row.version),
        "state": dg.MetadataValue.text(row.state),
        "outcome": dg.MetadataValue.text(
            "a new candidate" if trained.added else f"nothing new: these data gave {row.version} before ({row.state})"
        ),
        "path": dg.MetadataValue.path(opened.address(row.lake_path)),
        "sha256": dg.MetadataValue.text(row.sha256),
        "trained_on": dg.MetadataValue.text(row.training_days),
        "people": dg.MetadataValue.int(len(row.training_people)),
        "accuracy": dg.MetadataValue.float(judged["accuracy"]),
        "macro_f1": dg.MetadataValue.float(judged["macro_f1"]),
        "held_out_macro_f1": dg.MetadataValue.float(row.metrics["held_out"]["macro_f1"]),
        "flattering_random_split_macro_f1": dg.MetadataValue.float(warned["macro_f1"]),
        **pictures.keep(opened, row.lake_path, drawn),
        "model_card": dg.MetadataValue.md(class_card(row)),
    }
