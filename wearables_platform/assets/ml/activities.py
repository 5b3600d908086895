"""The assets that learn to tell activities, and when they are made anew."""

from __future__ import annotations

from collections.abc import Iterator

import dagster as dg

from wearables_platform.assets.ml.activity_class_model import activity_class_model
from wearables_platform.assets.ml.activity_training_set import activity_training_set
from wearables_platform.assets.ml.published_activity_model import published_activity_model
from wearables_platform.resources import SqlResource

ACTIVITY_ASSETS = [activity_training_set, activity_class_model, published_activity_model]

retrain_activities_job = dg.define_asset_job("retrain_activities", selection=dg.AssetSelection.assets(*ACTIVITY_ASSETS))


@dg.schedule(
    job=retrain_activities_job,
    cron_schedule="30 3 * * 1",  # after the weekly retraining of the anomaly model
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
def weekly_activity_retraining(sql: SqlResource) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Retrain every week; where nobody has said anything there is nothing to learn."""
    with sql.open() as client:
        said = client.rows("SELECT count(*) AS n FROM ml.labels")[0]["n"]
    if said:
        yield dg.RunRequest()
    else:
        yield dg.SkipReason("there are no labels to learn from yet")
