"""The `ml` group: training set, candidate, shadow, version in force; thresholds of devices; drift; and who watches."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg

from wearables_platform.assets.ml.activity_anomaly_model import activity_anomaly_model
from wearables_platform.assets.ml.device_drift import device_drift
from wearables_platform.assets.ml.device_thresholds import device_thresholds, published_thresholds
from wearables_platform.assets.ml.promoted_model import promoted_model
from wearables_platform.assets.ml.published_model import published_model
from wearables_platform.assets.ml.rolled_back_model import rolled_back_model
from wearables_platform.assets.ml.training_set import training_set
from wearables_platform.assets.ml.watch import WATCH_JOBS, WATCH_SENSORS, daily_drift_check
from wearables_platform.resources import LakeResource

ML_ASSETS = [training_set, activity_anomaly_model, published_model, promoted_model]
LOOP_ASSETS = [rolled_back_model, device_thresholds, published_thresholds, device_drift]

retrain_models_job = dg.define_asset_job("retrain_models", selection=dg.AssetSelection.assets(*ML_ASSETS))


@dg.schedule(
    job=retrain_models_job,
    cron_schedule="0 3 * * 1",  # Monday, after Sunday's day has been archived and computed
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def weekly_retraining(lake: LakeResource) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Retrain every week; a week without a single day of features is skipped."""
    from wearables_platform.wire.feature_schema import WINDOWS_DATASET

    if lake.open().partitions(WINDOWS_DATASET):
        yield dg.RunRequest()
    else:
        yield dg.SkipReason("there are no window features to learn from yet")


ML_SCHEDULES = [weekly_retraining, daily_drift_check]
ML_SENSORS = WATCH_SENSORS
ML_JOBS = [retrain_models_job, *WATCH_JOBS]
