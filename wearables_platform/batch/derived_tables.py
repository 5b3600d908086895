"""The tables of derived rows that stream and batch both write: columns, keys, and how their rows are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from wearables_platform.batch.comparison import DayKeys, KeyedRows
from wearables_platform.batch.device_groups import ROWS_AT_ONCE, DayRows, device_groups
from wearables_platform.clients.sql import Connection
from wearables_platform.domain.time_policy import from_us
from wearables_platform.signals.features import FEATURE_COLUMNS
from wearables_platform.wire.feature_schema import EVENT_NUMBERS

# An integer column that is NULL in SQL; no count of ours is negative.
NO_INTEGER = -1
_INSTANT_US = "(extract(epoch FROM {}) * 1000000)::bigint"
_WITHIN = "window_start >= %s AND window_start < %s"
_DTYPES = {"float8": np.float64, "int4": np.int32}


@dataclass(frozen=True)
class DerivedTable:
    """One table of rows computed from samples.

    Attributes
    ----------
    name
        Qualified; its history is ``<name>_history``.
    instant
        The column that, with the device, is a row's key within `only`.
    values
        The columns that make a row what it is, with their SQL types; what stream and batch are compared by.
    only
        A condition that selects the rows this is about.
    constants
        Columns with one value for every row batch writes.
    """

    name: str
    instant: str
    values: Mapping[str, str]
    only: str = "true"
    constants: Mapping[str, tuple[str, str | int]] = field(default_factory=dict)

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the instants that are stored: the window's start, and the event's own where it has one."""
        return ("window_start",) if self.instant == "window_start" else ("window_start", self.instant)


WINDOWS = DerivedTable(
    "telemetry.window_features",
    "window_start",
    {column.name: {"float64": "float8", "int32": "int4"}[column.dtype] for column in FEATURE_COLUMNS},
)
SPIKES = DerivedTable(
    "telemetry.anomalies",
    "started_at",
    dict.fromkeys(EVENT_NUMBERS, "float8"),
    only="kind = 'spike'",
    constants={"kind": ("text", "spike")},
)


def groups_of_devices(
    connection: Connection, table: DerivedTable, rows: DayRows, day_us: tuple[int, int], limit: int | None = None
) -> list[list[str]]:
    """Return every device that has rows of a day, in the lake, the database or its history, in groups to compare."""
    weights = dict(rows.counts)
    for name in (table.name, f"{table.name}_history"):
        query = f"SELECT device_id, count(*) FROM {name} WHERE {_WITHIN} AND {table.only} GROUP BY device_id"
        for device_id, count in connection.execute(query, _instants(day_us)).fetchall():
            weights[device_id] = max(count, weights.get(device_id, 0))
    return device_groups(weights, limit or ROWS_AT_ONCE)


def stored_rows(
    connection: Connection, table: DerivedTable, day_us: tuple[int, int], device_ids: Sequence[str]
) -> list[tuple[Any, ...]]:
    """Read a day's rows of some devices as tuples: device, instant, revision, from_stream, provisional, values."""
    return _read(connection, table, day_us, device_ids, f"SELECT {_columns(table)} FROM {table.name} WHERE")


def streamed_rows(
    connection: Connection, table: DerivedTable, day_us: tuple[int, int], device_ids: Sequence[str]
) -> list[tuple[Any, ...]]:
    """Read what the stream last said of each row of a day, also where batch has replaced or removed it since."""
    names = ", ".join(("device_id", "revision", "origin", "provisional", *table.keys, *table.values, *_scope(table)))
    source = f"(SELECT {names} FROM {table.name} UNION ALL SELECT {names} FROM {table.name}_history) AS said"
    distinct = f"SELECT DISTINCT ON (device_id, {table.instant}) {_columns(table)} FROM {source} WHERE"
    order = f"ORDER BY device_id, {table.instant}, revision DESC"
    return _read(connection, table, day_us, device_ids, f"{distinct} origin = 'stream' AND", order)


def keyed_from_sql(table: DerivedTable, rows: Sequence[tuple[Any, ...]], keys: DayKeys) -> KeyedRows:
    """Turn rows of `stored_rows` into comparable columns."""
    columns = list(zip(*rows, strict=True)) or [()] * (5 + len(table.values))
    found = {
        "revision": np.array(columns[2], np.int64),
        "from_stream": np.array(columns[3], bool),
        "provisional": np.array(columns[4], bool),
        **{name: _column(values, kind) for (name, kind), values in zip(table.values.items(), columns[5:], strict=True)},
    }
    return _sorted(keys.of(columns[0], np.array(columns[1], np.int64)), found)


def keyed_from_lake(table: DerivedTable, rows: pa.Table, keys: DayKeys) -> KeyedRows:
    """Turn a lake table of the day into comparable columns."""
    for name, (_, value) in table.constants.items():
        if name in rows.column_names:
            rows = rows.filter(pc.equal(rows.column(name), value))
    instants = rows.column(table.instant).cast(pa.int64()).to_numpy()
    found = {name: rows.column(name).to_numpy() for name in table.values}
    return _sorted(keys.of(rows.column("device_id").to_pylist(), instants), found)


def _columns(table: DerivedTable) -> str:
    instant = _INSTANT_US.format(table.instant)
    return ", ".join(("device_id", instant, "revision", "origin = 'stream'", "provisional", *table.values))


def _scope(table: DerivedTable) -> tuple[str, ...]:
    return tuple(table.constants)


def _read(
    connection: Connection,
    table: DerivedTable,
    day_us: tuple[int, int],
    device_ids: Sequence[str],
    select: str,
    order: str = "",
) -> list[tuple[Any, ...]]:
    query = f"{select} {_WITHIN} AND device_id = ANY(%s) AND {table.only} {order}"
    with connection.cursor(binary=True) as cursor:
        found: list[tuple[Any, ...]] = cursor.execute(query, (*_instants(day_us), list(device_ids))).fetchall()
    return found


def _instants(day_us: tuple[int, int]) -> tuple[datetime, datetime]:
    return from_us(day_us[0]), from_us(day_us[1])


def _column(values: Sequence[Any], kind: str) -> npt.NDArray[Any]:
    missing = np.nan if kind == "float8" else NO_INTEGER
    return np.array([missing if value is None else value for value in values], _DTYPES[kind])


def _sorted(keys: npt.NDArray[np.int64], columns: Mapping[str, npt.NDArray[Any]]) -> KeyedRows:
    order = np.argsort(keys, kind="stable")
    return KeyedRows(keys[order], {name: column[order] for name, column in columns.items()})
