"""From shadow to in force by what live traffic says, and how champion and challenger did over time."""

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import dagster as dg

from wearables_platform.assets.declare import WEEKLY, whole_asset
from wearables_platform.assets.ml.training_set import MODEL
from wearables_platform.assets.report import terminal_errors_end_the_step
from wearables_platform.resources import KafkaResource, LakeResource, ModelSigningResource, SqlResource

if TYPE_CHECKING:
    from wearables_platform.models.promotion import Promotion


class PatienceConfig(dg.Config):
    """How much live traffic decides: windows scored in shadow, and hours of event time they lie in."""

    windows: int = 10_000
    hours: int = 24


@whole_asset(
    group="ml",
    deps=["published_model"],
    kinds={"kafka", "postgres"},
    pool="models",
    freshness=WEEKLY,
    description=(
        "The version in shadow goes in force once it has scored enough live windows and their distribution is what its "
        "card promises; it is refused where that is not so, and waits until then."
    ),
    check_specs=[
        dg.AssetCheckSpec(
            "shadow_does_as_its_card_says",
            asset="promoted_model",
            description="What the shadow scored live is no reason to refuse it.",
        ),
        dg.AssetCheckSpec(
            "in_force_does_as_its_card_says",
            asset="promoted_model",
            description="What the version in force scored live is no reason to roll it back.",
        ),
    ],
)
def promoted_model(
    config: PatienceConfig,
    lake: LakeResource,
    sql: SqlResource,
    kafka: KafkaResource,
    model_signing: ModelSigningResource,
) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster compares the bare class
    """Promote, refuse or wait; then say how the version in force does."""
    from wearables_platform.assets.ml import history
    from wearables_platform.models.live_scores import Patience
    from wearables_platform.models.promotion import broken_in_force, promote_when_ready
    from wearables_platform.models.registry import ModelRegistry
    from wearables_platform.models.releases import ReleaseLog

    patience = Patience(config.windows, config.hours)
    with terminal_errors_end_the_step() as spent, sql.open() as client:
        registry = ModelRegistry(client, model_signing.read(), "dagster promoted_model")
        log = ReleaseLog(kafka.require_url(), model_signing.read())
        promotion = promote_when_ready(
            lake.open(), registry, log, MODEL, clock=partial(datetime.now, UTC), patience=patience
        )
        problems = broken_in_force(registry, MODEL, patience)
        pictures = history.pictures(registry, MODEL)
    return dg.MaterializeResult(
        metadata={**_metadata(promotion), **pictures, **spent.rate(1)},
        check_results=[_shadow(promotion), _in_force(problems)],
    )


def _shadow(promotion: "Promotion") -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name="shadow_does_as_its_card_says",
        passed=promotion.action != "refused",
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"outcome": promotion.action, "why": promotion.why or "none"},
    )


def _in_force(problems: list[str]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name="in_force_does_as_its_card_says",
        passed=not problems,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={"problems": dg.MetadataValue.json(problems)},
    )


def _metadata(promotion: "Promotion") -> dict[str, dg.MetadataValue]:
    metadata: dict[str, dg.MetadataValue] = {
        "outcome": dg.MetadataValue.text(promotion.action),
        "why": dg.MetadataValue.text(promotion.why or "none"),
    }
    if promotion.row is not None:
        metadata["version"] = dg.MetadataValue.text(promotion.row.version)
        if promotion.row.effective_from is not None:
            metadata["effective_from"] = dg.MetadataValue.timestamp(promotion.row.effective_from)
    if promotion.live is not None:
        metadata["live_windows"] = dg.MetadataValue.int(promotion.live.total.windows)
        metadata["live_alarm_rate"] = dg.MetadataValue.float(promotion.live.total.alarm_rate)
    return metadata
