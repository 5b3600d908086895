"""Aggregates for readers: a person's local days from SQL, a device's hours from the lake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from wearables_platform.batch.windows import day_bounds_us
from wearables_platform.clients.lake import Lake
from wearables_platform.clients.sql import BulkTable, SqlClient, load_queries, upsert
from wearables_platform.domain.groups import DEFAULT_CUT_POINTS
from wearables_platform.domain.time_policy import from_us
from wearables_platform.wire.feature_schema import INSTANT, WINDOW_SCHEMA, WINDOWS_DATASET

_queries: Any = load_queries(Path(__file__).parents[1] / "sql" / "serving")

_HOURLY_VALUES: Final = {
    "windows": "int4",
    "coverage": "float8",
    "enmo_mean_mg": "float8",
    "mad_mean_mg": "float8",
    "steps": "int4",
    "sedentary_s": "int4",
    "light_s": "int4",
    "moderate_s": "int4",
    "vigorous_s": "int4",
    "cut_points": "text",
}
_HOURLY: Final = BulkTable(
    "telemetry.hourly_activity",
    {"device_id": "text", "hour_start": "timestamptz", **_HOURLY_VALUES, "revision": "int8", "origin": "text"},
    "ON CONFLICT (device_id, hour_start) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in _HOURLY_VALUES)
    + ", revision = hourly_activity.revision + 1, origin = excluded.origin WHERE ("
    + ", ".join(f"hourly_activity.{name}" for name in _HOURLY_VALUES)
    + ") IS DISTINCT FROM ("
    + ", ".join(f"excluded.{name}" for name in _HOURLY_VALUES)
    + ")",
)
# A window is one second, so counting windows counts seconds. Below half coverage a window says too little to be put
# into an intensity; it still counts as a window.
MIN_COVERAGE: Final = 0.5
_AGGREGATE: Final = """
SELECT device_id,
       time_bucket(INTERVAL '1 hour', window_start) AS hour_start,
       count(*)::INTEGER AS windows,
       sum(coverage) / 3600 AS coverage,
       avg(enmo_mg) AS enmo_mean_mg,
       avg(mad_mg) AS mad_mean_mg,
       coalesce(sum(steps), 0)::INTEGER AS steps,
       (count(*) FILTER (coverage >= $min_coverage AND enmo_mg < $light))::INTEGER AS sedentary_s,
       (count(*) FILTER (coverage >= $min_coverage AND enmo_mg >= $light AND enmo_mg < $moderate))::INTEGER AS light_s,
       (count(*) FILTER (coverage >= $min_coverage AND enmo_mg >= $moderate AND enmo_mg < $vigorous))::INTEGER
           AS moderate_s,
       (count(*) FILTER (coverage >= $min_coverage AND enmo_mg >= $vigorous))::INTEGER AS vigorous_s,
       $cut_points AS cut_points
FROM windows
GROUP BY 1, 2
ORDER BY 1, 2
"""


@dataclass(frozen=True)
class Summarized:
    """The local days looked at, the rows they now have, and how many of those are new or changed."""

    first_day: date
    last_day: date
    rows: list[dict[str, Any]]
    changed: int


def summarize_days(sql: SqlClient, utc_days: Sequence[str], as_of: datetime) -> Summarized:
    """Summarize every local day that some zone begins or ends within these UTC days."""
    first = date.fromisoformat(min(utc_days)) - timedelta(days=1)
    last = date.fromisoformat(max(utc_days)) + timedelta(days=1)
    with sql.transaction() as connection:
        span = {"first_day": first, "last_day": last}
        _queries.remove_empty_days(connection, **span)
        changed: int = _queries.summarize_days(connection, **span, as_of=as_of)
    query = "SELECT * FROM telemetry.daily_summary WHERE local_day BETWEEN %s AND %s ORDER BY participant_id, local_day"
    return Summarized(first, last, sql.rows(query, (first, last)), changed)


def hourly_activity(lake: Lake, day: str) -> pa.Table:
    """Aggregate a day's window features by device and UTC hour, with DuckDB over the files of its manifest."""
    import duckdb

    columns = ["device_id", "window_start", "coverage", "enmo_mg", "mad_mg", "steps"]
    windows = lake.read_table(WINDOWS_DATASET, [day], columns=columns)
    with duckdb.connect() as engine:
        engine.register(
            "windows",
            _with_instants(windows if windows is not None else WINDOW_SCHEMA.empty_table(), pa.timestamp("us")),
        )
        parameters = {
            "light": DEFAULT_CUT_POINTS.light_mg,
            "moderate": DEFAULT_CUT_POINTS.moderate_mg,
            "vigorous": DEFAULT_CUT_POINTS.vigorous_mg,
            "cut_points": DEFAULT_CUT_POINTS.name,
            "min_coverage": MIN_COVERAGE,
        }
        return _with_instants(engine.sql(_AGGREGATE, params=parameters).to_arrow_table(), INSTANT)


def replace_hours(sql: SqlClient, day: str, hours: pa.Table) -> int:
    """Make the stored hours of a day equal to `hours`; returns how many rows are new, changed or removed."""
    first, last = map(from_us, day_bounds_us(day))
    rows = zip(*(hours.column(name).to_pylist() for name in hours.column_names), strict=True)
    with sql.transaction() as connection:
        changed = upsert(connection, _HOURLY, ((*row, 1, "batch") for row in rows))
        gone = (
            f"DELETE FROM {_HOURLY.name} h WHERE h.hour_start >= %s AND h.hour_start < %s AND NOT EXISTS (SELECT FROM"
            f" {_HOURLY.staging} i WHERE i.device_id = h.device_id AND i.hour_start = h.hour_start)"
        )
        return changed + connection.execute(gone, (first, last)).rowcount


def _with_instants(table: pa.Table, kind: pa.DataType) -> pa.Table:
    """Return the table with its instants as `kind`: DuckDB's wheel has no ICU, so it sees UTC without a zone."""
    place = table.column_names.index("window_start" if "window_start" in table.column_names else "hour_start")
    return table.set_column(place, table.column_names[place], table.column(place).cast(kind))
