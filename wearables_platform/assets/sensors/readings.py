"""Clean readings of one declared sensor type, and those of types nobody has declared."""

from typing import Any

import dagster as dg

from wearables_platform.assets.clean.readings import cleaning_metadata
from wearables_platform.assets.declare import day_asset
from wearables_platform.assets.report import bars, markdown_table, terminal_errors_end_the_step
from wearables_platform.assets.sensors.declare import sensor_asset
from wearables_platform.domain.sensor_types import SensorType
from wearables_platform.resources import LakeResource, SqlResource

NEWEST = (
    "SELECT * FROM telemetry.sensor_readings WHERE sensor = %s AND time >= %s ORDER BY time DESC, device_id LIMIT 5"
)
WEEK = 7


def readings_asset(sensor: SensorType) -> dg.AssetsDefinition:
    """Define the asset that cleans one type's readings."""

    @sensor_asset(
        sensor,
        name=sensor.name,
        group="clean",
        deps=["raw_vitals"],
        description=(
            f"{sensor.title}: readings people may rely on, {sensor.low:g} to {sensor.high:g} {sensor.unit}, at a "
            "possible time, one per device, channel and instant. What is set aside is in quality.rejected_readings."
        ),
        table="telemetry.sensor_readings",
        script="sql/clean/sensor_readings.sql",
    )
    def cleaned(context: dg.AssetExecutionContext, lake: LakeResource, sql: SqlResource) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster compares the bare class
        from wearables_platform.batch.sensor_readings import cleaning_of, span_of
        from wearables_platform.batch.vitals import clean_days

        opened, load_id = lake.open(), f"{context.run.run_id}:{sensor.name}"
        days, cleaning = context.partition_keys, cleaning_of(sensor)
        with terminal_errors_end_the_step() as spent, sql.open() as client:
            # A week at a time: one transaction's readings fit in memory whatever the range.
            weeks = [days[at : at + WEEK] for at in range(0, len(days), WEEK)]
            loads = [clean_days(client, opened, cleaning, week, load_id) for week in weeks]
            newest = client.rows(NEWEST, (sensor.name, span_of(days)["first"]))
        return dg.MaterializeResult(
            metadata=cleaning_metadata(loads) | spent.rate(sum(load.readings for load in loads)) | _newest(newest)
        )

    return cleaned


def _newest(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"newest": markdown_table(list(rows[0]), (row.values() for row in rows))} if rows else {}


def undeclared_asset(sensors: tuple[SensorType, ...]) -> dg.AssetsDefinition:
    """Define the asset that names what no declaration speaks of."""

    @day_asset(
        name="undeclared_readings",
        deps=["raw_vitals"],
        group="clean",
        kinds={"sql", "postgres"},
        pool="sql",
        description=(
            "Readings of sensors nobody has declared, by name in quality.rejected_readings (unknown_sensor). They stay "
            "in the archive and the lake: declare the sensor, build the days again, and they are clean readings."
        ),
        metadata={"table": "quality.rejected_readings", "script": "sql/clean/sensor_readings.sql"},
    )
    def undeclared(context: dg.AssetExecutionContext, lake: LakeResource, sql: SqlResource) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster compares the bare class
        from wearables_platform.batch.sensor_readings import set_undeclared_aside

        opened, load_id = lake.open(), f"{context.run.run_id}:undeclared"
        days, declared = context.partition_keys, [sensor.name for sensor in sensors]
        found: dict[str, int] = {}
        with terminal_errors_end_the_step(), sql.open() as client:
            for at in range(0, len(days), WEEK):
                week = set_undeclared_aside(client, opened, declared, days[at : at + WEEK], load_id)
                found = {name: found.get(name, 0) + week.get(name, 0) for name in sorted({*found, *week})}
        metadata: dict[str, Any] = {"readings": sum(found.values()), "sensors": list(found)}
        if found:
            metadata["by_sensor"] = bars(found, "Readings of sensors nobody has declared", "readings")
        return dg.MaterializeResult(metadata=metadata)

    return undeclared
