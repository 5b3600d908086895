"""What each person did when, as the activity model tells it."""

from typing import Any

import dagster as dg

from wearables_platform.assets.declare import day_asset
from wearables_platform.assets.report import bars, terminal_errors_end_the_step
from wearables_platform.resources import LakeResource, ModelSigningResource, SqlResource


@day_asset(
    deps=["window_features"],
    group="serving",
    kinds={"python", "postgres"},
    pool="sql",
    description=(
        "Consecutive seconds of one activity joined, five seconds or longer, per person and day, with the mean "
        "probability and the version of activity_class in force at their start. Cut at midnight, UTC and local."
    ),
    metadata={"table": "telemetry.activity_segments", "view": "analytics.activity_segments_v1"},
)
def activity_segments(
    context: dg.AssetExecutionContext, lake: LakeResource, sql: SqlResource, model_signing: ModelSigningResource
) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster compares the bare class
    """Tell the activities of these days and make the stored segments equal to them."""
    from wearables_platform.assets.ml.activity_training_set import CLASS_MODEL
    from wearables_platform.batch.insights import tell_activities
    from wearables_platform.models.archives import files_of
    from wearables_platform.models.class_predict import load_class_timeline
    from wearables_platform.models.registry import ModelRegistry
    from wearables_platform.models.worn import read_worn_days

    opened = lake.open()
    with terminal_errors_end_the_step() as spent, sql.open() as client:
        releases = ModelRegistry(client, model_signing.read()).releases(CLASS_MODEL)
        timeline, refused = load_class_timeline(releases, files_of(opened))
        told = [
            tell_activities(client, opened, day, timeline, read_worn_days(client, day))
            for day in context.partition_keys
        ]
    seconds: dict[str, float] = {}
    for day in told:
        for name, lasted in day.seconds.items():
            seconds[name] = seconds.get(name, 0.0) + lasted
    metadata: dict[str, Any] = {
        "rows_in_run": sum(day.rows for day in told),
        "changed": sum(day.changed for day in told),
        "versions": sorted({scorer.version for scorer in timeline.scorers if scorer is not None}),
        "refused_versions": refused,
        "seconds_by_activity": bars(seconds, "Seconds by activity", "s"),
    }
    return dg.MaterializeResult(metadata=metadata | spent.rate(metadata["rows_in_run"]))
