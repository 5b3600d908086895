"""Readings of one declared sensor type per device and hour."""

from typing import Any

import dagster as dg

from wearables_platform.assets.report import lines, markdown_table, terminal_errors_end_the_step
from wearables_platform.assets.sensors.declare import sensor_asset
from wearables_platform.domain.sensor_types import SensorType
from wearables_platform.partitions import neighbours
from wearables_platform.resources import SqlResource

SAMPLE = (
    "SELECT * FROM analytics.sensor_hours_v1 WHERE sensor = %s AND hour_start >= %s"
    " ORDER BY hour_start, device_id, channel LIMIT 5"
)
COUNT = (
    "SELECT count(*) AS rows, coalesce(sum(readings), 0)::bigint AS readings, count(DISTINCT device_id) AS devices,"
    " coalesce(avg(coverage), 0) AS mean_coverage FROM telemetry.sensor_hours"
    " WHERE sensor = %(sensor)s AND hour_start >= %(first)s AND hour_start < %(last)s"
)


def hours_asset(sensor: SensorType) -> dg.AssetsDefinition:
    """Define the asset that adds one type's readings up by hour."""

    @sensor_asset(
        sensor,
        name=sensor.asset_names[1],
        group="features",
        deps=[sensor.name],
        description=(
            f"{sensor.title} per device and UTC hour: readings, coverage (against {sensor.rate_per_hour:g} an hour), "
            f"{', '.join(sensor.aggregates) or 'nothing else'}."
        ),
        table="telemetry.sensor_hours",
        view="analytics.sensor_hours_v1",
    )
    def hourly(context: dg.AssetExecutionContext, sql: SqlResource) -> dg.MaterializeResult:  # type: ignore[type-arg] # Dagster compares the bare class
        from wearables_platform.batch.sensor_checks import fleet_hours
        from wearables_platform.batch.sensor_readings import aggregate_hours, span_of

        days = context.partition_keys
        span = span_of(days)
        with terminal_errors_end_the_step() as spent, sql.open() as client:
            # A message may tell of the days around its own: their hours are made anew, too.
            changed = aggregate_hours(client, sensor, neighbours(days))
            (counted,) = client.rows(COUNT, {"sensor": sensor.name, **span})
            sample = client.rows(SAMPLE, (sensor.name, span["first"]))
            hours = fleet_hours(client, sensor, days)
        metadata: dict[str, Any] = {"changed": changed, **counted, **spent.rate(counted["rows"])}
        metadata["mean_coverage"] = float(counted["mean_coverage"])
        if sample:
            metadata["sample"] = markdown_table(list(sample[0]), (row.values() for row in sample))
            metadata["by_hour"] = lines(_series(hours), f"{sensor.title}, all devices", sensor.unit)
        return dg.MaterializeResult(metadata=metadata)

    return hourly


def _series(hours: list[tuple[Any, ...]]) -> dict[str, tuple[list[Any], list[float]]]:
    at, *columns = (list(column) for column in zip(*hours, strict=True))
    named = dict(zip(("least", "mean", "greatest"), columns, strict=True))
    return {name: (at, values) for name, values in named.items() if values[0] is not None}
