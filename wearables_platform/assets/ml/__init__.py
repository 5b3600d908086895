"""The `ml` group: training set, candidate, version in force; retrained every week."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg

from wearables_platform.assets.ml.activity_anomaly_model import activity_anomaly_model
from wearables_platform.assets.ml.published_model import published_model
from wearables_platform.assets.ml.training_set import training_set
from wearables_platform.resources import LakeResource

ML_ASSETS = [training_set, activity_anomaly_model, published_model]

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


ML_SCHEDULES = [weekly_retraining]
