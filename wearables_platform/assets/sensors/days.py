"""Readings of one declared sensor type per person and local day."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg

from wearables_platform.assets.report import bars, markdown_table, terminal_errors_end_the_step
from wearables_platform.assets.sensors.declare import sensor_asset
from wearables_platform.domain.sensor_types import SensorType
from wearables_platform.partitions import local_days
from wearables_platform.resources import SqlResource

ROWS = (
    "SELECT * FROM telemetry.sensor_days WHERE sensor = %s AND local_day BETWEEN %s AND %s"
    " ORDER BY local_day, participant_id, channel"
)


def days_asset(sensor: SensorType) -> dg.AssetsDefinition:
    """Define the asset that adds one type's readings up by local day."""

    @sensor_asset(
        sensor,
        name=sensor.asset_names[2],
        group="serving",
        deps=[sensor.name],
        description=(
            f"{sensor.title} per participant and local day (23 or 25 hours where clocks change): readings, coverage, "
            f"{', '.join(sensor.aggregates) or 'nothing else'}. A day without readings has no row."
        ),
        table="telemetry.sensor_days",
        view="analytics.sensor_days_v1",
    )
    def daily(context: dg.AssetExecutionContext, sql: SqlResource) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster compares the bare class
        from wearables_platform.batch.sensor_readings import aggregate_days

        with terminal_errors_end_the_step() as spent, sql.open() as client:
            changed = aggregate_days(client, sensor, context.partition_keys, datetime.now(UTC))
            rows = client.rows(ROWS, (sensor.name, *local_days(context.partition_keys)))
        readings: dict[str, float] = {}
        for row in rows:
            readings[str(row["local_day"])] = readings.get(str(row["local_day"]), 0) + row["readings"]
        metadata: dict[str, Any] = {
            "rows_in_run": len(rows),
            "changed": changed,
            **spent.rate(len(rows)),
            "participants": len({row["participant_id"] for row in rows}),
            "readings_per_local_day": bars(readings, f"{sensor.title}: readings per local day", "readings"),
        }
        if rows:
            metadata["sample"] = markdown_table(list(rows[0]), (row.values() for row in rows[:5]))
        return dg.MaterializeResult(metadata=metadata)

    return daily
