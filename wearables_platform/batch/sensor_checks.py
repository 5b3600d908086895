"""What must hold of a declared sensor type's rows; each check returns what it looked at and the rows that break it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from wearables_platform.batch.reading_checks import Found, found_rows, staged_readings
from wearables_platform.batch.sensor_readings import cleaning_of, span_of
from wearables_platform.batch.vitals import queries
from wearables_platform.clients.lake import Lake
from wearables_platform.clients.sql import SqlClient, load_queries
from wearables_platform.domain.sensor_types import SensorType
from wearables_platform.partitions import local_days

_queries: Final[Any] = load_queries(Path(__file__).parents[1] / "sql" / "sensors")
REPEATED: Final = "duplicate_reading"  # which rule is no fault of the sensor


def implausible_readings(sql: SqlClient, sensor: SensorType, days: Sequence[str]) -> Found:
    """Find clean readings outside the declared range, of no declared channel, or in another unit."""
    declared = {"channels": list(sensor.channels), "low": sensor.low, "high": sensor.high, "unit": sensor.unit}
    return _found(sql, "find_implausible_readings", sensor, days, **declared)


def repeated_readings(sql: SqlClient, sensor: SensorType, days: Sequence[str]) -> Found:
    """Find instants of a channel and device that have more than one clean reading."""
    return _found(sql, "find_repeated_readings", sensor, days)


def rejected_readings(
    sql: SqlClient, lake: Lake, sensor: SensorType, days: Sequence[str], load_id: str
) -> tuple[Found, dict[str, int]]:
    """Return who sent what rules have set aside of these days' messages, and how many each rule; repeats count nowhere.

    The messages say which readings are meant, not the readings' times: those may be what is wrong with them.
    """
    with staged_readings(sql, lake, cleaning_of(sensor), days, load_id) as (connection, _):
        rules = dict(_queries.count_readings_of_load(connection, load_id=load_id))
        rows, count = found_rows(connection, _queries.find_rejected_of_load, load_id=load_id)
    rules.pop(REPEATED, None)
    looked_at = sum(rules.values())
    rules.pop("", None)
    return Found(looked_at, rows, count), rules


def hours_that_do_not_add_up(sql: SqlClient, sensor: SensorType, days: Sequence[str]) -> Found:
    """Compare the readings counted by hour with the clean readings, per channel and device."""
    return _found(sql, "find_hours_that_do_not_add_up", sensor, days)


def days_that_do_not_add_up(sql: SqlClient, sensor: SensorType, utc_days: Sequence[str]) -> Found:
    """Compare each person's local days with the clean readings of the devices that count for them."""
    first, last = local_days(utc_days)
    query = _queries.find_days_that_do_not_add_up
    with sql.transaction() as connection:
        rows, count = found_rows(connection, query, sensor=sensor.name, first_day=first, last_day=last)
        return Found(_count(connection, sensor, utc_days), rows, count)


def rows_of_undeclared_sensors(sql: SqlClient, declared: Sequence[str]) -> list[dict[str, Any]]:
    """Return what tables still hold of sensors that no file declares, by sensor and table."""
    return sql.rows(queries.find_rows_of_undeclared_sensors.sql, {"declared": list(declared)})


def fleet_hours(sql: SqlClient, sensor: SensorType, days: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return (hour, least, mean, greatest) over all devices, for a plot."""
    with sql.transaction() as connection:
        return list(_queries.list_fleet_hours(connection, sensor=sensor.name, **span_of(days)))


def _found(sql: SqlClient, query: str, sensor: SensorType, days: Sequence[str], **parameters: Any) -> Found:
    with sql.transaction() as connection:
        found = found_rows(connection, getattr(_queries, query), sensor=sensor.name, **span_of(days), **parameters)
        return Found(_count(connection, sensor, days), *found)


def _count(connection: Any, sensor: SensorType, days: Sequence[str]) -> int:
    readings: int = _queries.count_readings(connection, sensor=sensor.name, **span_of(days))
    return readings
