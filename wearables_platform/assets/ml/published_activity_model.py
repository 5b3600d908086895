"""The version in force that tells activities."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from wearables_platform.assets.declare import WEEKLY, whole_asset
from wearables_platform.assets.ml.activity_class_model import class_reload_check
from wearables_platform.assets.ml.activity_training_set import CLASS_MODEL
from wearables_platform.assets.report import terminal_errors_end_the_step
from wearables_platform.resources import LakeResource, ModelSigningResource, SqlResource

if TYPE_CHECKING:
    from wearables_platform.models.class_publishing import ClassPublished


@whole_asset(
    group="ml",
    deps=["activity_class_model"],
    kinds={"postgres"},
    pool="models",
    freshness=WEEKLY,
    description=(
        "The gate: the newest candidate replaces the version in force only if it is no worse on held-out people "
        "neither has seen, overall and in every slice. Batch alone tells activities, so the stream is told nothing."
    ),
    check_specs=[
        dg.AssetCheckSpec(
            "in_force_reloads_and_tells_the_same",
            asset="published_activity_model",
            blocking=True,
            description="The version in force passes every check of the loader.",
        ),
        dg.AssetCheckSpec(
            "activity_candidate_was_accepted",
            asset="published_activity_model",
            description="The gate let the newest candidate through; a refusal is recorded, the last good one stays.",
        ),
    ],
)
def published_activity_model(
    lake: LakeResource, sql: SqlResource, model_signing: ModelSigningResource
) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster compares the bare class
    """Judge the newest candidate and put it in force or refuse it."""
    from wearables_platform.models.class_publishing import publish_class_candidate
    from wearables_platform.models.registry import ModelRegistry
    from wearables_platform.models.slices import read_people_and_devices

    with terminal_errors_end_the_step() as spent, sql.open() as client:
        registry = ModelRegistry(client, model_signing.read(), "dagster published_activity_model")
        published = publish_class_candidate(lake.open(), registry, read_people_and_devices(client), name=CLASS_MODEL)
        in_force = registry.in_force(CLASS_MODEL)
    checks = [class_reload_check("in_force_reloads_and_tells_the_same", lake, in_force), _accepted(published)]
    return dg.MaterializeResult(metadata=_metadata(published) | spent.rate(1), check_results=checks)


def _accepted(published: "ClassPublished") -> dg.AssetCheckResult:
    refusal = published.row.refusal if published.row and published.action == "refused" else None
    return dg.AssetCheckResult(
        check_name="activity_candidate_was_accepted",
        passed=published.action != "refused",
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"outcome": published.action, "refusal": refusal or "none"},
    )


def _metadata(published: "ClassPublished") -> dict[str, Any]:
    from wearables_platform.models.class_card import class_card

    row = published.row
    if row is None:
        return {"outcome": dg.MetadataValue.text("no candidate and nothing in force")}
    metadata: dict[str, Any] = {
        "outcome": dg.MetadataValue.text(published.action),
        "version": dg.MetadataValue.text(row.version),
        "model_card": dg.MetadataValue.md(class_card(row)),
    }
    if published.verdict is not None:
        metadata["gate"] = dg.MetadataValue.json(published.verdict.as_metrics())
    if "retold" in row.metrics:
        metadata["told_otherwise"] = dg.MetadataValue.json(row.metrics["retold"])
    return metadata
