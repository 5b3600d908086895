"""A version taken back: the one before it is in force again. Run by hand, or by the sensor that watches live scores."""

from datetime import UTC, datetime
from functools import partial

import dagster as dg

from wearables_platform.assets.declare import ON_DEMAND, whole_asset
from wearables_platform.assets.ml.training_set import MODEL
from wearables_platform.assets.report import terminal_errors_end_the_step
from wearables_platform.resources import KafkaResource, LakeResource, ModelSigningResource, SqlResource


class RollBackConfig(dg.Config):
    """What to take back and why; a run repeated takes no second version back, for `version` names the one meant."""

    version: str
    because: str
    name: str = MODEL


@whole_asset(
    group="ml",
    deps=["promoted_model"],
    kinds={"kafka", "postgres"},
    pool="models",
    freshness=ON_DEMAND,
    description=(
        "Takes the version in force back: the one it replaced is in force again a few seconds from now, of a first "
        "version nothing is. What it scored stands. A version once rolled back never comes again."
    ),
    check_specs=[
        dg.AssetCheckSpec(
            "the_log_says_what_the_registry_says",
            asset="rolled_back_model",
            blocking=True,
            description="The last release on wearables.models.v1 is what the registry has in force.",
        )
    ],
)
def rolled_back_model(
    config: RollBackConfig,
    lake: LakeResource,
    sql: SqlResource,
    kafka: KafkaResource,
    model_signing: ModelSigningResource,
) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster compares the bare class
    """Roll back, unless that was done already."""
    from wearables_platform.models.promotion import roll_back
    from wearables_platform.models.publishing import announce
    from wearables_platform.models.registry import ModelRegistry
    from wearables_platform.models.releases import ReleaseLog

    with terminal_errors_end_the_step() as spent, sql.open() as client:
        registry = ModelRegistry(client, model_signing.read(), "dagster rolled_back_model")
        log = ReleaseLog(kafka.require_url(), model_signing.read())
        current = registry.in_force(config.name)
        if current is None or current.version != config.version:
            announce(registry, log, config.name)  # a run that died after the registry was written
            outcome = f"{config.version} is not in force any more"
        else:
            taken, _ = roll_back(
                lake.open(),
                registry,
                log,
                config.name,
                clock=partial(datetime.now, UTC),
                because=config.because,
                version=config.version,
            )
            outcome = f"{taken.version} rolled back"
        now = registry.in_force(config.name)
        last, said = registry.releases(config.name)[-1:], log.latest(config.name)
    check = dg.AssetCheckResult(
        check_name="the_log_says_what_the_registry_says",
        passed=bool(last) and said == last[0],
        metadata={"in_force": now.version if now else "none", "log": said.version if said else "nothing"},
    )
    metadata = {"outcome": outcome, "in_force": now.version if now else "none", "because": config.because}
    return dg.MaterializeResult(metadata={**metadata, **spent.rate(1)}, check_results=[check])
