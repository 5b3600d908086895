"""One maker for the clean quantities: they differ in quantity and description only."""

from typing import Any

import dagster as dg

from wearables_platform.assets.declare import day_asset
from wearables_platform.assets.report import bars, table_metadata, terminal_errors_end_the_step
from wearables_platform.resources import LakeResource, SqlResource


def clean_asset(quantity: str, description: str) -> dg.AssetsDefinition:
    """Define the asset that cleans one quantity of the raw vitals."""

    @day_asset(
        name=quantity,
        deps=["raw_vitals"],
        group="clean",
        kinds={"sql", "postgres"},
        pool="sql",
        description=description,
        metadata={"table": f"telemetry.{quantity}", "script": f"sql/clean/{quantity}.sql"},
    )
    def cleaned(context: dg.AssetExecutionContext, lake: LakeResource, sql: SqlResource) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster compares the bare class
        from wearables_platform.batch import vitals
        from wearables_platform.batch.extent import extent_of

        cleaning = vitals.CLEANINGS[quantity]
        opened, load_id = lake.open(), f"{context.run.run_id}:{quantity}"
        with terminal_errors_end_the_step() as spent, sql.open() as client:
            # A week at a time: one transaction's readings fit in memory whatever the range.
            days = context.partition_keys
            loads = [
                vitals.clean_days(client, opened, cleaning, days[at : at + 7], load_id) for at in range(0, len(days), 7)
            ]
            extent = extent_of(quantity, client, days)
        return dg.MaterializeResult(metadata=table_metadata(extent, spent) | cleaning_metadata(loads))

    return cleaned


def cleaning_metadata(loads: list[Any]) -> dict[str, Any]:
    """Describe what became of the readings."""
    rules: dict[str, float] = {}
    for load in loads:
        for rule, count in load.rules.items():
            rules[rule] = rules.get(rule, 0) + count
    metadata: dict[str, Any] = {
        name: sum(getattr(load, name) for load in loads) for name in ("readings", "accepted", "rejected", "changed")
    }
    metadata["by_rule"] = bars({"accepted": metadata["accepted"], **rules}, "What became of the readings", "readings")
    return metadata
