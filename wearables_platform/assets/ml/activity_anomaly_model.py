"""A candidate version of the model that finds unusual windows."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from wearables_platform.assets.declare import WEEKLY, whole_asset
from wearables_platform.assets.ml.training_set import MODEL
from wearables_platform.assets.report import terminal_errors_end_the_step
from wearables_platform.resources import LakeResource, ModelSigningResource, SqlResource

if TYPE_CHECKING:
    from wearables_platform.models.publishing import Trained


class ForestConfig(dg.Config):
    """How the forest is grown; see `models.train.ForestParams`."""

    n_trees: int = 100
    max_samples: int = 1_024
    seed: int = 20_250_101
    alarm_rate: float = 0.01


@whole_asset(
    group="ml",
    deps=["training_set"],
    kinds={"scikitlearn"},
    pool="models",
    freshness=WEEKLY,
    description=(
        "An isolation forest over one-second window features, trained without the held-out people and judged person "
        "by person. Registered as a candidate; the same training set again gives the version that is there already."
    ),
    check_specs=[
        dg.AssetCheckSpec(
            "reloads_and_scores_the_same",
            asset="activity_anomaly_model",
            blocking=True,
            description="The stored artefact passes every check of the stream's loader and scores its probe alike.",
        )
    ],
)
def activity_anomaly_model(
    config: ForestConfig, lake: LakeResource, sql: SqlResource, model_signing: ModelSigningResource
) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster compares the bare class
    """Train, evaluate and register a candidate from the current training set."""
    from wearables_platform.models import training_files
    from wearables_platform.models.publishing import train_candidate
    from wearables_platform.models.registry import ModelRegistry
    from wearables_platform.models.train import ForestParams

    opened = lake.open()
    with terminal_errors_end_the_step() as spent, sql.open() as client:
        training = training_files.load_current(opened, MODEL).training_set
        learnt = int((~training.held_out).sum())
        trained = train_candidate(
            opened,
            ModelRegistry(client, model_signing.read(), "dagster activity_anomaly_model"),
            training,
            name=MODEL,
            params=ForestParams(**config.model_dump()),
            trained_at=datetime.now(UTC),
        )
    opened_bytes = len(opened.get(trained.row.lake_path))
    check = reload_check("reloads_and_scores_the_same", lake, trained.row)
    return dg.MaterializeResult(
        metadata=_metadata(trained, lake) | spent.rate(learnt) | {"rows_in_run": learnt, "bytes": opened_bytes},
        check_results=[check],
    )


def reload_check(check_name: str, lake: LakeResource, row: object) -> dg.AssetCheckResult:
    """Load a version from the lake as the stream would, and say what came of it."""
    from wearables_platform.errors import ModelRefused
    from wearables_platform.models.archives import files_of
    from wearables_platform.models.predict import load_scorer
    from wearables_platform.models.registry import ModelVersion

    if not isinstance(row, ModelVersion):
        return dg.AssetCheckResult(check_name=check_name, passed=True, metadata={"version": "none"})
    release = row.release if row.effective_from else row.draft_release()
    try:
        scorer = load_scorer(release, files_of(lake.open()))
    except ModelRefused as exc:
        return dg.AssetCheckResult(check_name=check_name, passed=False, metadata={"refused": str(exc)})
    probes = len(scorer.description.probe_scores)
    return dg.AssetCheckResult(
        check_name=check_name, passed=True, metadata={"version": scorer.version, "probe_rows": probes}
    )


def _metadata(trained: "Trained", lake: LakeResource) -> dict[str, Any]:
    from wearables_platform.assets.ml import pictures, plots
    from wearables_platform.models.card import model_card

    row = trained.row
    judged = row.metrics["by_person"]
    figures = {"people": len(row.training_people), "alarm_rate": judged["alarm_rate"], "events": judged["events"]}
    if judged["average_precision"] is not None:
        figures["average_precision"] = judged["average_precision"]
    if judged["vus_pr"] is not None:
        figures["vus_pr"] = judged["vus_pr"]
    drawn = {"alarm-rates": pictures.by_person(judged["alarm_rate_by_person"], "Alarm rate by unseen person", "share")}
    if judged["curve"]:
        drawn["precision-recall"] = pictures.precision_recall(judged["curve"], judged["prevalence"])
        spread = judged["average_precision_by_person"]
        drawn["people"] = pictures.by_person(spread, "Average precision by unseen person", "average precision")
    return {
        "version": dg.MetadataValue.text(row.version),
        "state": dg.MetadataValue.text(row.state),
        "outcome": dg.MetadataValue.text(
            "a new candidate" if trained.added else f"nothing new: these data gave {row.version} before ({row.state})"
        ),
        "path": dg.MetadataValue.path(lake.open().address(row.lake_path)),
        "sha256": dg.MetadataValue.text(row.sha256),
        "trained_on": dg.MetadataValue.text(row.training_days),
        **{name: dg.MetadataValue.float(float(value)) for name, value in figures.items()},
        "alarm_rates": plots.alarm_rates(judged["alarm_rate_by_person"], row.metrics["params"]["alarm_rate"]),
        **pictures.keep(lake.open(), row.lake_path, drawn),
        "model_card": dg.MetadataValue.md(model_card(row)),
    }
