"""Blocking checks of one declared sensor type: they read the stores again, before anything is built on a day."""

from typing import TYPE_CHECKING

import dagster as dg

from wearables_platform.assets.sensors.declare import sensor_check
from wearables_platform.assets.verdict import named, offending, verdict
from wearables_platform.domain.sensor_types import SensorType
from wearables_platform.resources import LakeResource, SqlResource

if TYPE_CHECKING:
    from wearables_platform.batch.sensor_checks import Found


def sensor_checks(sensor: SensorType) -> list[dg.AssetChecksDefinition]:
    """Define every check of the type's three assets."""
    return [
        _values_are_plausible(sensor),
        _keys_are_unique(sensor),
        _no_reading_is_lost(sensor),
        _few_readings_are_rejected(sensor),
        _hours_add_up(sensor),
        _days_add_up(sensor),
    ]


def _result(context: dg.AssetCheckExecutionContext, found: "Found") -> dg.AssetCheckResult:
    metadata = {"rows": found.rows, **offending(named(row=found.faults))}
    return verdict(context, passed=not found.faults, metadata=metadata)


def _values_are_plausible(sensor: SensorType) -> dg.AssetChecksDefinition:
    @sensor_check(
        sensor.name,
        "values_are_plausible",
        f"Every clean reading is {sensor.low:g} to {sensor.high:g} {sensor.unit}, of a declared channel, in that unit.",
    )
    def values_are_plausible(context: dg.AssetCheckExecutionContext, sql: SqlResource) -> dg.AssetCheckResult:
        from wearables_platform.batch.sensor_checks import implausible_readings

        with sql.open() as client:
            return _result(context, implausible_readings(client, sensor, context.partition_keys))

    return values_are_plausible


def _keys_are_unique(sensor: SensorType) -> dg.AssetChecksDefinition:
    @sensor_check(sensor.name, "keys_are_unique", "One clean reading per channel, device and instant.")
    def keys_are_unique(context: dg.AssetCheckExecutionContext, sql: SqlResource) -> dg.AssetCheckResult:
        from wearables_platform.batch.sensor_checks import repeated_readings

        with sql.open() as client:
            return _result(context, repeated_readings(client, sensor, context.partition_keys))

    return keys_are_unique


def _no_reading_is_lost(sensor: SensorType) -> dg.AssetChecksDefinition:
    @sensor_check(
        sensor.name,
        "no_reading_is_lost",
        "Every reading in the lake's messages of the day is clean, or set aside with the name of a rule.",
    )
    def no_reading_is_lost(
        context: dg.AssetCheckExecutionContext, lake: LakeResource, sql: SqlResource
    ) -> dg.AssetCheckResult:
        from wearables_platform.batch.sensor_checks import lost_readings

        with sql.open() as client:
            load_id = f"{context.run.run_id}:{sensor.name}:check"
            return _result(context, lost_readings(client, lake.open(), sensor, context.partition_keys, load_id))

    return no_reading_is_lost


def _few_readings_are_rejected(sensor: SensorType) -> dg.AssetChecksDefinition:
    @sensor_check(
        sensor.name,
        "few_readings_are_rejected",
        f"Rules set aside at most {sensor.max_rejected_share:.0%} of the readings (repeats not counted).",
    )
    def few_readings_are_rejected(context: dg.AssetCheckExecutionContext, sql: SqlResource) -> dg.AssetCheckResult:
        from wearables_platform.batch.sensor_checks import rejected_share

        with sql.open() as client:
            share, rules = rejected_share(client, sensor, context.partition_keys)
        passed = share <= sensor.max_rejected_share
        return verdict(context, passed=passed, metadata={"rejected_share": share, "by_rule": rules})

    return few_readings_are_rejected


def _hours_add_up(sensor: SensorType) -> dg.AssetChecksDefinition:
    @sensor_check(
        f"{sensor.name}_hourly",
        "hours_add_up_to_readings",
        "The readings counted by hour are the clean readings, per channel and device.",
    )
    def hours_add_up_to_readings(context: dg.AssetCheckExecutionContext, sql: SqlResource) -> dg.AssetCheckResult:
        from wearables_platform.batch.sensor_checks import hours_that_do_not_add_up

        with sql.open() as client:
            return _result(context, hours_that_do_not_add_up(client, sensor, context.partition_keys))

    return hours_add_up_to_readings


def _days_add_up(sensor: SensorType) -> dg.AssetChecksDefinition:
    @sensor_check(
        f"{sensor.name}_daily",
        "days_add_up_to_readings",
        "The readings counted by person and local day are the clean readings of the devices they wore.",
    )
    def days_add_up_to_readings(context: dg.AssetCheckExecutionContext, sql: SqlResource) -> dg.AssetCheckResult:
        from wearables_platform.batch.sensor_checks import days_that_do_not_add_up

        with sql.open() as client:
            return _result(context, days_that_do_not_add_up(client, sensor, context.partition_keys))

    return days_add_up_to_readings
