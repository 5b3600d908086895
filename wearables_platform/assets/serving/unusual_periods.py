"""When each person's movement was unusual, and what made it so."""

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
        "Windows over the alarm threshold of the version of activity_anomaly in force at their start, joined to "
        "periods, with the three features furthest from the person's own baseline, their sign and size."
    ),
    metadata={"table": "telemetry.unusual_periods", "view": "analytics.unusual_periods_v1"},
)
def unusual_periods(
    context: dg.AssetExecutionContext, lake: LakeResource, sql: SqlResource, model_signing: ModelSigningResource
) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster compares the bare class
    """Tell the unusual periods of these days and make the stored ones equal to them."""
    from wearables_platform.assets.ml.training_set import MODEL
    from wearables_platform.batch.insights import Usual, tell_unusual
    from wearables_platform.models.in_force import load_timeline
    from wearables_platform.models.registry import ModelRegistry
    from wearables_platform.models.worn import read_worn_days

    opened = lake.open()
    with terminal_errors_end_the_step() as spent, sql.open() as client:
        timeline, refused = load_timeline(opened, ModelRegistry(client, model_signing.read()), MODEL)
        usual = Usual(opened, MODEL, timeline)
        told = [
            tell_unusual(client, opened, day, timeline, usual, read_worn_days(client, day))
            for day in context.partition_keys
        ]
    seconds: dict[str, float] = {}
    for day in told:
        for name, lasted in day.seconds.items():
            seconds[name] = seconds.get(name, 0.0) + lasted
    metadata: dict[str, Any] = {
        "rows_in_run": sum(day.rows for day in told),
        "changed": sum(day.changed for day in told),
        "versions": sorted(usual.scorers),
        "refused_versions": refused,
        "seconds_by_foremost_feature": bars(seconds, "Unusual seconds by the feature that stood out most", "s"),
    }
    return dg.MaterializeResult(metadata=metadata | spent.rate(metadata["rows_in_run"]))
