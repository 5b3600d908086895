"""The gate: what may run beside the version in force, and in the end take its place."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from wearables_platform.assets.declare import WEEKLY, whole_asset
from wearables_platform.assets.ml.activity_anomaly_model import reload_check
from wearables_platform.assets.ml.training_set import MODEL
from wearables_platform.assets.report import terminal_errors_end_the_step
from wearables_platform.resources import KafkaResource, LakeResource, ModelSigningResource, SqlResource

if TYPE_CHECKING:
    from wearables_platform.models.publishing import Published

TRAINING_END = "training_end"
NOW = "now"


class PublishConfig(dg.Config):
    """From which event time a first version scores: `training_end`, `now`, or an instant as 2026-03-30T00:00:00Z."""

    effective_from: str = TRAINING_END


@whole_asset(
    group="ml",
    deps=["activity_anomaly_model"],
    kinds={"kafka", "postgres"},
    pool="models",
    freshness=WEEKLY,
    description=(
        "The gate: the newest candidate runs in shadow only if it is no worse than the version in force on held-out "
        "people neither has seen, overall and in every slice; a first version is in force at once. The registry row is "
        "signed and wearables.models.v1 tells the stream."
    ),
    check_specs=[
        dg.AssetCheckSpec(
            "in_force_reloads_and_scores_the_same",
            asset="published_model",
            blocking=True,
            description="The version in force passes every check of the stream's loader.",
        ),
        dg.AssetCheckSpec(
            "candidate_was_accepted",
            asset="published_model",
            description="The gate let the newest candidate through; a refusal is recorded, the last good one stays.",
        ),
    ],
)
def published_model(
    config: PublishConfig,
    lake: LakeResource,
    sql: SqlResource,
    kafka: KafkaResource,
    model_signing: ModelSigningResource,
) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster compares the bare class
    """Judge the newest candidate, let it run in shadow or refuse it, and bring the topic in line with the registry."""
    from wearables_platform.models.publishing import publish_candidate
    from wearables_platform.models.registry import ModelRegistry
    from wearables_platform.models.releases import ReleaseLog

    with terminal_errors_end_the_step() as spent, sql.open() as client:
        registry = ModelRegistry(client, model_signing.read(), "dagster published_model")
        published = publish_candidate(
            lake.open(),
            registry,
            ReleaseLog(kafka.require_url(), model_signing.read()),
            name=MODEL,
            effective_from=effective_instant(config.effective_from, datetime.now(UTC)),
        )
        in_force = registry.in_force(MODEL)
    checks = [reload_check("in_force_reloads_and_scores_the_same", lake, in_force), _accepted(published)]
    return dg.MaterializeResult(metadata=_metadata(published) | spent.rate(1), check_results=checks)


def effective_instant(text: str, now: datetime) -> datetime | None:
    """Return the instant a configuration means; None is the end of the training data.

    >>> effective_instant("2026-03-30T00:00:00Z", datetime(2026, 4, 1, tzinfo=UTC))
    datetime.datetime(2026, 3, 30, 0, 0, tzinfo=datetime.timezone.utc)
    """
    if text == TRAINING_END:
        return None
    instant = now if text == NOW else datetime.fromisoformat(text)
    if instant.tzinfo is None:
        msg = f"effective_from {text!r} has no time zone; write 2026-03-30T00:00:00Z"
        raise ValueError(msg)
    return instant


def _accepted(published: "Published") -> dg.AssetCheckResult:
    refusal = published.row.refusal if published.row and published.action == "refused" else None
    return dg.AssetCheckResult(
        check_name="candidate_was_accepted",
        passed=published.action != "refused",
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"outcome": published.action, "refusal": refusal or "none"},
    )


def _metadata(published: "Published") -> dict[str, Any]:
    from wearables_platform.assets.ml import plots
    from wearables_platform.models.card import model_card

    row = published.row
    if row is None:
        return {"outcome": dg.MetadataValue.text("no candidate and nothing in force")}
    metadata: dict[str, Any] = {
        "outcome": dg.MetadataValue.text(published.action),
        "version": dg.MetadataValue.text(row.version),
        "announced_now": dg.MetadataValue.bool(published.announced),
        "model_card": dg.MetadataValue.md(model_card(row)),
    }
    if published.action == "refused":
        metadata["why"] = dg.MetadataValue.text(row.refusal or "none")
    if row.effective_from is not None:
        metadata["effective_from"] = dg.MetadataValue.timestamp(row.effective_from)
    if published.verdict is not None:
        metadata["gate"] = dg.MetadataValue.json(published.verdict.as_metrics())
        metadata["champion_and_challenger"] = plots.champion_and_challenger(published.verdict)
    return metadata
