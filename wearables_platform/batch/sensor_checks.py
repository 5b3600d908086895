"""What must hold of a declared sensor type's rows; each check returns what it looked at and the rows that break it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from wearables_platform.batch.sensor_readings import cleaning_of, span_of
from wearables_platform.batch.vitals import read_messages, stage
from wearables_platform.clients.lake import Lake
from wearables_platform.clients.sql import SqlClient, load_queries
from wearables_platform.domain.sensor_types import SensorType
from wearables_platform.partitions import local_days

_queries: Final[Any] = load_queries(Path(__file__).parents[1] / "sql" / "sensors")


class Found(NamedTuple):
    """How many rows were looked at, and texts of those that are not as they should be (20 at most)."""

    rows: int
    faults: list[str]


def implausible_readings(sql: SqlClient, sensor: SensorType, days: Sequence[str]) -> Found:
    """Find clean readings outside the declared range, of no declared channel, or in another unit."""
    declared = {"channels": list(sensor.channels), "low": sensor.low, "high": sensor.high, "unit": sensor.unit}
    return _found(sql, "find_implausible_readings", sensor, days, **declared)


def repeated_readings(sql: SqlClient, sensor: SensorType, days: Sequence[str]) -> Found:
    """Find instants of a channel and device that have more than one clean reading."""
    return _found(sql, "find_repeated_readings", sensor, days)


def lost_readings(sql: SqlClient, lake: Lake, sensor: SensorType, days: Sequence[str], load_id: str) -> Found:
    """Find readings in the lake's messages of these days that are neither clean nor set aside with a rule."""
    cleaning = cleaning_of(sensor)
    messages = read_messages(lake, cleaning, days)
    if messages is None:
        return Found(0, [])
    with sql.transaction() as connection:
        readings = stage(connection, cleaning, messages, load_id)
        lost = [str(row) for row in _queries.find_lost_readings(connection, load_id=load_id)]
        cleaning.run("clear_{}", connection, load_id=load_id)
    return Found(readings, lost)


def rejected_share(sql: SqlClient, sensor: SensorType, days: Sequence[str]) -> tuple[float, dict[str, int]]:
    """Return which share of the readings of these days rules have set aside, and how many each rule; 0 of none."""
    span = span_of(days)
    with sql.transaction() as connection:
        clean: int = _queries.count_readings(connection, sensor=sensor.name, **span)
        rules = dict(_queries.count_rejected(connection, sensor=sensor.name, **span))
    rejected = sum(rules.values())
    return rejected / max(clean + rejected, 1), rules


def hours_that_do_not_add_up(sql: SqlClient, sensor: SensorType, days: Sequence[str]) -> Found:
    """Compare the readings counted by hour with the clean readings, per channel and device."""
    return _found(sql, "find_hours_that_do_not_add_up", sensor, days)


def days_that_do_not_add_up(sql: SqlClient, sensor: SensorType, utc_days: Sequence[str]) -> Found:
    """Compare each person's local days with the clean readings of the devices they wore."""
    first, last = local_days(utc_days)
    with sql.transaction() as connection:
        rows = _queries.find_days_that_do_not_add_up(connection, sensor=sensor.name, first_day=first, last_day=last)
        return Found(0, [str(row) for row in rows])


def fleet_hours(sql: SqlClient, sensor: SensorType, days: Sequence[str]) -> list[tuple[Any, ...]]:
    """Return (hour, least, mean, greatest) over all devices, for a plot."""
    with sql.transaction() as connection:
        return list(_queries.list_fleet_hours(connection, sensor=sensor.name, **span_of(days)))


def _found(sql: SqlClient, query: str, sensor: SensorType, days: Sequence[str], **parameters: Any) -> Found:
    span = span_of(days)
    with sql.transaction() as connection:
        rows: int = _queries.count_readings(connection, sensor=sensor.name, **span)
        faults = getattr(_queries, query)(connection, sensor=sensor.name, **span, **parameters)
        return Found(rows, [str(row) for row in faults])
