"""Everything Dagster knows of the platform: ``dagster dev`` loads this module.

Loading imports no driver and no science: those come in when a step runs.
"""

from typing import Any

import dagster as dg

from wearables_platform.assets.clean.heart_rate import heart_rate
from wearables_platform.assets.clean.steps import steps
from wearables_platform.assets.code_references import with_code_references
from wearables_platform.assets.features.hourly_activity import hourly_activity
from wearables_platform.assets.features.rules import rules_of_devices
from wearables_platform.assets.features.window_features import window_features_and_spikes
from wearables_platform.assets.ingest.collections import COLLECTIONS
from wearables_platform.assets.ingest.topics import TOPICS
from wearables_platform.assets.lake.acceleration_zoom import acceleration_zoom
from wearables_platform.assets.lake.lake_housekeeping import lake_housekeeping
from wearables_platform.assets.lake.quarantined_messages import quarantined_messages
from wearables_platform.assets.lake.raw_acceleration import raw_acceleration
from wearables_platform.assets.lake.raw_status import raw_status
from wearables_platform.assets.lake.raw_vitals import raw_vitals
from wearables_platform.assets.ml import LOOP_ASSETS, ML_ASSETS, ML_JOBS, ML_SCHEDULES, ML_SENSORS
from wearables_platform.assets.ml.activities import (
    ACTIVITY_ASSETS,
    retrain_activities_job,
    weekly_activity_retraining,
)
from wearables_platform.assets.quality.activity_on_spark import activity_on_spark
from wearables_platform.assets.quality.conservation import conservation
from wearables_platform.assets.quality.parity import parity
from wearables_platform.assets.serving.activity_segments import activity_segments
from wearables_platform.assets.serving.cohort_baselines import cohort_baselines
from wearables_platform.assets.serving.daily_activity import daily_activity
from wearables_platform.assets.serving.daily_heart_rate import daily_heart_rate
from wearables_platform.assets.serving.daily_summary import daily_summary
from wearables_platform.assets.serving.unusual_periods import unusual_periods
from wearables_platform.assets.serving.weekly_trend import weekly_trend
from wearables_platform.checks import CHECKS
from wearables_platform.components import sensor_definitions
from wearables_platform.freshness import CHECK_SCHEDULE, check_yesterday, yesterday_is_built
from wearables_platform.resources import RESOURCES
from wearables_platform.retention import PURGE_SCHEDULE, TEND_SCHEDULE, purge_old_runs, tend_time_series
from wearables_platform.schedules import JOBS, SCHEDULES
from wearables_platform.sensor_catalogue import declarations
from wearables_platform.sensors import SENSORS
from wearables_platform.settings import load_settings

OWN_ASSETS: list[Any] = [
    *TOPICS,
    *COLLECTIONS,
    raw_acceleration,
    raw_vitals,
    raw_status,
    quarantined_messages,
    acceleration_zoom,
    lake_housekeeping,
    heart_rate,
    steps,
    window_features_and_spikes,
    rules_of_devices,
    hourly_activity,
    daily_heart_rate,
    daily_summary,
    weekly_trend,
    cohort_baselines,
    daily_activity,
    *ML_ASSETS,
    *LOOP_ASSETS,
    *ACTIVITY_ASSETS,
    activity_segments,
    unusual_periods,
    parity,
    activity_on_spark,
    conservation,
]
ALL_JOBS: list[Any] = [*JOBS, *ML_JOBS, retrain_activities_job, purge_old_runs, tend_time_series, check_yesterday]


def _of_sensor_types() -> tuple[list[Any], list[Any]]:
    """Return assets and checks of the declared sensor types; Dagster takes one `Definitions` per module."""
    found = sensor_definitions(declarations(load_settings().sensor_types_dir), [*OWN_ASSETS, *ALL_JOBS])
    return list(found.assets or ()), list(found.asset_checks or ())


SENSOR_ASSETS, SENSOR_CHECKS = _of_sensor_types()
ASSETS: list[Any] = [*OWN_ASSETS, *SENSOR_ASSETS]
ASSET_CHECKS: list[Any] = [*CHECKS, *SENSOR_CHECKS]

defs = dg.Definitions(
    assets=with_code_references(ASSETS, load_settings()),
    asset_checks=[*ASSET_CHECKS, yesterday_is_built],
    jobs=ALL_JOBS,
    schedules=[*SCHEDULES, *ML_SCHEDULES, weekly_activity_retraining, PURGE_SCHEDULE, TEND_SCHEDULE, CHECK_SCHEDULE],
    sensors=[*SENSORS, *ML_SENSORS],
    resources=RESOURCES,
    # Steps are short and share a CPU budget with the live side: one process per run, not one per step.
    executor=dg.in_process_executor,
)
