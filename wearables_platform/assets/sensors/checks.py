"""Blocking checks of one declared sensor type: they read the stores again, before anything is built on a day."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg

from wearables_platform.assets.sensors.declare import sensor_check
from wearables_platform.assets.verdict import offending, verdict
from wearables_platform.domain.sensor_types import SensorType
from wearables_platform.partitions import DAYS
from wearables_platform.resources import LakeResource, SqlResource

if TYPE_CHECKING:
    from wearables_platform.batch.reading_checks import Found


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


def undeclared_check(sensors: Sequence[SensorType]) -> dg.AssetChecksDefinition:
    """Define the check that no table holds rows of a sensor whose file is gone.

    A warning: a file may be away by mistake, and nothing is built on what is left. Building their days removes them.
    """

    @dg.asset_check(
        asset="undeclared_readings",
        name="no_rows_of_undeclared_sensors",
        blocking=False,
        partitions_def=DAYS,
        description=(
            "No table holds rows of a sensor that no file declares. Put the file back, or build the days of such rows "
            "again: they become undeclared readings."
        ),
    )
    def no_rows_of_undeclared_sensors(context: dg.AssetCheckExecutionContext, sql: SqlResource) -> dg.AssetCheckResult:
        from wearables_platform.batch.sensor_checks import rows_of_undeclared_sensors

        with sql.open() as client:
            left = rows_of_undeclared_sensors(client, [sensor.name for sensor in sensors])
        metadata = offending(left, sum(each["rows"] for each in left))
        return verdict(context, passed=not left, metadata=metadata, severity=dg.AssetCheckSeverity.WARN)

    return no_rows_of_undeclared_sensors


def _result(context: dg.AssetCheckExecutionContext, found: "Found") -> dg.AssetCheckResult:
    metadata = {"rows": found.rows, **offending(found.faults, found.offending)}
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
        "Every reading in the lake's messages of the day is clean, or set aside with the name of a rule; every clean "
        "reading is in one of the lake's messages.",
    )
    def no_reading_is_lost(
        context: dg.AssetCheckExecutionContext, lake: LakeResource, sql: SqlResource
    ) -> dg.AssetCheckResult:
        from wearables_platform.batch.reading_checks import readings_unlike_messages
        from wearables_platform.batch.sensor_readings import cleaning_of

        load_id, days = f"{context.run.run_id}:{sensor.name}:check", context.partition_keys
        with sql.open() as client:
            return _result(context, readings_unlike_messages(client, lake.open(), cleaning_of(sensor), days, load_id))

    return no_reading_is_lost


def _few_readings_are_rejected(sensor: SensorType) -> dg.AssetChecksDefinition:
    @sensor_check(
        sensor.name,
        "few_readings_are_rejected",
        f"Rules set aside at most {sensor.max_rejected_share:.0%} of the readings in the day's messages (repeats not "
        "counted).",
    )
    def few_readings_are_rejected(
        context: dg.AssetCheckExecutionContext, lake: LakeResource, sql: SqlResource
    ) -> dg.AssetCheckResult:
        from wearables_platform.batch.sensor_checks import rejected_readings

        load_id = f"{context.run.run_id}:{sensor.name}:rejected"
        with sql.open() as client:
            found, rules = rejected_readings(client, lake.open(), sensor, context.partition_keys, load_id)
        share = found.offending / max(found.rows, 1)
        metadata = {"rows": found.rows, "rejected_share": share, "by_rule": rules}
        passed = share <= sensor.max_rejected_share
        return verdict(context, passed=passed, metadata=metadata | offending(found.faults, found.offending))

    return few_readings_are_rejected


def _hours_add_up(sensor: SensorType) -> dg.AssetChecksDefinition:
    @sensor_check(
        sensor.asset_names[1],
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
        sensor.asset_names[2],
        "days_add_up_to_readings",
        "The readings counted by person and local day are the clean readings of the devices that count for them.",
    )
    def days_add_up_to_readings(context: dg.AssetCheckExecutionContext, sql: SqlResource) -> dg.AssetCheckResult:
        from wearables_platform.batch.sensor_checks import days_that_do_not_add_up

        with sql.open() as client:
            return _result(context, days_that_do_not_add_up(client, sensor, context.partition_keys))

    return days_add_up_to_readings
