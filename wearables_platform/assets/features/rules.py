"""What rules find in a day: events, wear, rolling rows; one computation, three datasets."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import dagster as dg

from wearables_platform.assets.declare import day_assets, day_spec
from wearables_platform.assets.report import (
    lake_metadata,
    report_partitions,
    terminal_errors_end_the_step,
)
from wearables_platform.resources import LakeResource, ModelSigningResource, SqlResource

if TYPE_CHECKING:
    from wearables_platform.batch.days import RuledDay


def _dep(asset: str, first: int, last: int) -> dg.AssetDep:
    mapping = dg.TimeWindowPartitionMapping(
        start_offset=first, end_offset=last, allow_nonexistent_upstream_partitions=True
    )
    return dg.AssetDep(asset, partition_mapping=mapping)


def _spec(name: str, description: str) -> dg.AssetSpec:
    return day_spec(
        name,
        follows=False,  # it looks into the days around it
        # The hour before midnight is looked at, heart rates lie in messages that began the day before, and a silence
        # may end the day after.
        deps=[_dep("window_features", -1, 0), _dep("raw_acceleration", -1, 1), _dep("raw_vitals", -1, 1)],
        group="features",
        kinds={"python", "parquet", "postgres"},
        description=description,
    )


@day_assets(
    "rules_of_devices",
    specs=[
        _spec(
            "rule_events",
            "Events of the rules over movement, heart rate and messages, by the same functions as the stream's; in the "
            "lake, and in telemetry.anomalies wherever the stream's row was dirty, missing or different.",
        ),
        _spec("wear", "Whether each device was worn, per quarter of an hour; in the lake and in telemetry.wear."),
        _spec(
            "rolling_features",
            "Features over 10 s and 60 s from the one-second rows; in the lake and in telemetry.rolling_features.",
        ),
    ],
    pool="sql",
)
def rules_of_devices(
    context: dg.AssetExecutionContext, lake: LakeResource, sql: SqlResource, model_signing: ModelSigningResource
) -> Iterator[dg.MaterializeResult]:  # type: ignore[type-arg] # Dagster compares the bare class
    """Judge days from the lake and bring the database in line."""
    from wearables_platform.batch.days import judge_day
    from wearables_platform.batch.repair import Load
    from wearables_platform.models.in_force import load_threshold_timeline
    from wearables_platform.models.registry import ModelRegistry
    from wearables_platform.wire.rule_schema import ROLLING_DATASET, RULES_DATASET, WEAR_DATASET

    opened, load = lake.open(), Load(context.run.run_id, datetime.now(UTC))
    with terminal_errors_end_the_step() as spent, sql.open() as client:
        thresholds, _ = load_threshold_timeline(opened, ModelRegistry(client, model_signing.read()))
        days = {day: judge_day(client, opened, day, load, thresholds) for day in context.partition_keys}
    datasets = (("rule_events", RULES_DATASET), ("wear", WEAR_DATASET), ("rolling_features", ROLLING_DATASET))
    for name, dataset in datasets:
        manifests = {day: found.manifests[dataset] for day, found in days.items()}
        report_partitions(context, manifests, name)
        newest = max((day for day, manifest in manifests.items() if manifest.rows), default=None)
        table = next(opened.scan(dataset, [newest]), None) if newest else None
        yield dg.MaterializeResult(
            asset_key=name, metadata=lake_metadata(manifests, table, spent) | _repairs(days, dataset)
        )


def _repairs(days: "dict[str, RuledDay]", dataset: str) -> dict[str, Any]:
    repaired = [found.repaired[dataset] for found in days.values()]
    reasons: dict[str, int] = {}
    for one in repaired:
        for reason, rows in one.reasons.items():
            reasons[reason] = reasons.get(reason, 0) + rows
    return {"rows_repaired": sum(one.rows for one in repaired), "repaired_because": reasons}
