"""Readings of declared sensor types: cleaned like heart rate, then added up by hour and by local day."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from wearables_platform.batch.vitals import TIME_RULES, Cleaning, queries, read_messages, stage
from wearables_platform.batch.windows import day_bounds_us
from wearables_platform.clients.binary_copy import Column, Exact
from wearables_platform.clients.lake import Lake
from wearables_platform.clients.sql import SqlClient, load_queries
from wearables_platform.domain.sensor_types import SensorType
from wearables_platform.domain.time_policy import from_us
from wearables_platform.partitions import local_days, neighbours

_aggregates: Any = load_queries(Path(__file__).parents[1] / "sql" / "sensors")
_STAGED: Final = {"sensor": "text", "channel": "text", "time": "timestamptz", "value": "float8", "unit": "text"}


def cleaning_of(sensor: SensorType) -> Cleaning:
    """Return how readings of one type are cleaned; an empty channel is the first."""
    rules = {**TIME_RULES, "channels": list(sensor.channels), "low": sensor.low, "high": sensor.high}
    return _cleaning(rules, lambda readings: pc.equal(readings.field("sensor"), sensor.name), sensor)


def _cleaning(
    rules: dict[str, Any], wanted: Callable[[pa.StructArray], pa.BooleanArray], sensor: SensorType | None
) -> Cleaning:
    first_channel, unit = (sensor.channels[0], sensor.unit) if sensor else ("", "")

    def values(readings: pa.StructArray) -> Mapping[str, Column]:
        channel = pc.fill_null(readings.field("channel"), "")
        return {
            "sensor": readings.field("sensor"),
            "channel": pc.if_else(pc.equal(channel, ""), first_channel, channel),
            "time": readings.field("time_us"),
            "value": Exact(readings.field("value")),
            "unit": unit,
        }

    return Cleaning(
        "sensor_readings", "readings", "time_us", _STAGED, rules, values, wanted, sensor.name if sensor else None
    )


def set_undeclared_aside(
    sql: SqlClient, lake: Lake, declared: Sequence[str], days: Sequence[str], load_id: str
) -> dict[str, int]:
    """Name every reading of these days whose sensor nobody declares; returns how many there are by sensor.

    They stay in the archive and the lake: once a file declares the sensor, building the days again cleans them. The
    other way round, clean readings, hours and local days of a sensor whose file is gone go with these days.
    """
    names = pa.array(sorted(declared), pa.string())
    cleaning = _cleaning({}, lambda readings: pc.invert(pc.is_in(readings.field("sensor"), names)), None)
    messages = read_messages(lake, cleaning, days)
    first_day, last_day = local_days(days)
    with sql.transaction() as connection:
        stage(connection, cleaning, messages, load_id)
        queries.forget_undeclared_readings(connection, days=messages.days, load_id=load_id)
        queries.withdraw_undeclared_readings(connection, days=messages.days, declared=list(declared))
        _aggregates.remove_undeclared_hours(connection, declared=list(declared), **span_of(neighbours(days)))
        _aggregates.remove_undeclared_days(connection, declared=list(declared), first_day=first_day, last_day=last_day)
        queries.set_undeclared_readings_aside(connection, load_id=load_id)
        query = "SELECT sensor, count(*) FROM staging.sensor_readings WHERE load_id = %s GROUP BY 1 ORDER BY 1"
        found = dict(connection.execute(query, (load_id,)).fetchall())
        cleaning.run("clear_{}", connection, load_id=load_id)
    return found


def aggregate_hours(sql: SqlClient, sensor: SensorType, days: Sequence[str]) -> int:
    """Make the hours of an unbroken range of UTC days equal to their clean readings; returns how many changed."""
    span = span_of(days)
    with sql.transaction() as connection:
        gone: int = _aggregates.remove_empty_hours(connection, sensor=sensor.name, **span)
        changed: int = _aggregates.aggregate_hours(connection, **_asked(sensor), **span)
    return gone + changed


def aggregate_days(sql: SqlClient, sensor: SensorType, utc_days: Sequence[str], as_of: datetime) -> int:
    """Make every local day these UTC days touch, in any zone, equal to its clean readings; returns how many changed."""
    first, last = local_days(utc_days)
    span = {"first_day": first, "last_day": last}
    with sql.transaction() as connection:
        gone: int = _aggregates.remove_empty_days(connection, sensor=sensor.name, **span)
        changed: int = _aggregates.aggregate_days(connection, **_asked(sensor), **span, as_of=as_of)
    return gone + changed


def _asked(sensor: SensorType) -> dict[str, Any]:
    return {"sensor": sensor.name, "aggregates": list(sensor.aggregates), "rate_per_hour": sensor.rate_per_hour}


def span_of(days: Sequence[str]) -> dict[str, datetime]:
    """Return first and last instant, exclusive, of an unbroken range of UTC days."""
    return {"first": from_us(day_bounds_us(min(days))[0]), "last": from_us(day_bounds_us(max(days))[1])}
