"""What watches models: live scores that break roll back, live scores that are in promote, drift retrains."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg

from wearables_platform.assets.ml.attempts import request
from wearables_platform.assets.ml.training_set import MODEL
from wearables_platform.resources import ModelSigningResource, SqlResource

promote_model_job = dg.define_asset_job("promote_model", selection=dg.AssetSelection.assets("promoted_model"))
roll_back_model_job = dg.define_asset_job("roll_back_model", selection=dg.AssetSelection.assets("rolled_back_model"))
drift_job = dg.define_asset_job(
    "check_drift",
    selection=dg.AssetSelection.assets("device_drift", "device_thresholds", "published_thresholds"),
    description="What new software of devices did to what they measure, and thresholds of devices anew.",
)


@dg.sensor(
    jobs=[promote_model_job, roll_back_model_job],
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Rolls the version in force back when its live scores cannot be right, and promotes the one in shadow when it "
        "has seen enough live traffic; each is asked for once, and again where its run failed."
    ),
)
def model_watch(
    context: dg.SensorEvaluationContext, sql: SqlResource, model_signing: ModelSigningResource
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Look at what the stream has counted."""
    from wearables_platform.models.live_scores import Patience
    from wearables_platform.models.promotion import broken_in_force, is_ready
    from wearables_platform.models.registry import ModelRegistry

    patience = Patience()
    with sql.open() as client:
        registry = ModelRegistry(client, model_signing.read())
        problems = broken_in_force(registry, MODEL, patience)
        current, shadow = registry.in_force(MODEL), registry.shadow(MODEL)
        ready = shadow is not None and is_ready(registry, shadow, patience)
    if problems and current is not None:
        values = {"because": "; ".join(problems), "version": current.version}
        yield request(
            context.instance,
            roll_back_model_job.name,
            f"roll back {current.version}",
            now=datetime.now(UTC),
            run_config={"ops": {"rolled_back_model": {"config": values}}},
            because="live scores",
        )
    elif ready and shadow is not None:
        what_for = f"promote {shadow.version}"
        yield request(context.instance, promote_model_job.name, what_for, now=datetime.now(UTC))
    else:
        yield dg.SkipReason(_quiet(current is not None, shadow is not None))


def _quiet(in_force: bool, shadow: bool) -> str:  # noqa: FBT001
    if not in_force:
        return "no model is in force"
    return "the version in force does as it should; " + ("its shadow needs more" if shadow else "nothing in shadow")


@dg.sensor(
    job_name="retrain_models",
    minimum_interval_seconds=600,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Retrains when devices' software has shifted a feature, or live scores have drifted, since the last.",
)
def drift_retraining(
    context: dg.SensorEvaluationContext, sql: SqlResource, model_signing: ModelSigningResource
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Look for what was found since the newest version was trained."""
    from wearables_platform.models.drift import new_since_training
    from wearables_platform.models.live_scores import Patience
    from wearables_platform.models.promotion import drifted_in_force
    from wearables_platform.models.registry import ModelRegistry

    with sql.open() as client:
        found = new_since_training(client, MODEL)
        found += drifted_in_force(ModelRegistry(client, model_signing.read()), MODEL, Patience())
    if found:
        what_for = "; ".join(found)
        yield request(context.instance, "retrain_models", what_for, now=datetime.now(UTC), because="drift")
    else:
        yield dg.SkipReason("nothing has shifted since the last training")


@dg.schedule(
    job=drift_job,
    cron_schedule="20 2 * * *",  # yesterday has been built
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Looks every day for drift, and computes the devices' thresholds anew.",
)
def daily_drift_check() -> dg.RunRequest:
    """Check."""
    return dg.RunRequest()


WATCH_SENSORS = [model_watch, drift_retraining]
WATCH_JOBS = [promote_model_job, roll_back_model_job, drift_job]
