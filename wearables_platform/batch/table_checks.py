"""Keys and missing values of what lies in SQL, and of the raw datasets of the lake; with the rows that are wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from wearables_platform.batch.feature_checks import MAX_ROWS, Fault, occurs_before
from wearables_platform.batch.null_bounds import is_missing, too_many
from wearables_platform.batch.windows import day_bounds_us
from wearables_platform.clients.lake import Lake
from wearables_platform.clients.manifest import DataFile
from wearables_platform.clients.sql import SqlClient
from wearables_platform.domain.channels import CHANNEL_BY_NAME
from wearables_platform.domain.time_policy import from_us
from wearables_platform.wire.raw_messages import raw_dataset


class Table(NamedTuple):
    """A table of readings or summaries: its key, and the column that says of which day a row is."""

    name: str
    key: tuple[str, ...]
    time: str
    by_local_day: bool = False


TABLES: Final = {
    "heart_rate": Table("telemetry.heart_rate", ("device_id", "time"), "time"),
    "steps": Table("telemetry.steps", ("device_id", "start_time"), "start_time"),
    "daily_summary": Table("telemetry.daily_summary", ("participant_id", "local_day"), "local_day", by_local_day=True),
}
MESSAGE_KEY: Final = ["device_id", "boot_id", "sequence"]
# What every message has; its samples, readings and payload are another matter.
JUDGED: Final = [*MESSAGE_KEY, "message_id", "start_time_us", "end_time_us", "append_time_us", "topic", "offset"]

_COLUMNS = """
SELECT column_name AS name, data_type IN ('real', 'double precision') AS may_be_nan
FROM information_schema.columns WHERE table_schema || '.' || table_name = %s ORDER BY ordinal_position
"""


def faults_of_table(asset: str, sql: SqlClient, days: Sequence[str]) -> tuple[int, list[Fault]]:
    """Return how many rows a table holds of these days, and what is wrong with their keys and missing values."""
    table, span = TABLES[asset], span_of(asset, days)
    where = f"{table.time} >= %(first)s AND {table.time} < %(end)s"
    columns = sql.rows(_COLUMNS, (table.name,))
    missing = {row["name"]: _missing(row["name"], may_be_nan=row["may_be_nan"]) for row in columns}
    counts = ", ".join(f"count(*) FILTER (WHERE {is_so}) AS {name}" for name, is_so in missing.items())
    (counted,) = sql.rows(f"SELECT count(*) AS all_rows, {counts} FROM {table.name} WHERE {where}", span)
    rows = counted.pop("all_rows")
    faults: list[Fault] = []
    for name, count in counted.items():
        said = too_many(asset, name, count, rows)
        if said is not None:
            shown = sql.rows(f"SELECT * FROM {table.name} WHERE {where} AND {missing[name]} LIMIT {MAX_ROWS}", span)
            faults.append(Fault(days[0], said, count, tuple(shown)))
    key = ", ".join(table.key)
    grouped = f"SELECT {key}, count(*) AS times FROM {table.name} WHERE {where} GROUP BY {key} HAVING count(*) > 1"
    repeated = sql.rows(f"SELECT *, count(*) OVER () AS all_keys FROM ({grouped}) r LIMIT {MAX_ROWS}", span)
    if repeated:
        faults.append(Fault(days[0], "the key occurs more than once", repeated[0]["all_keys"], tuple(repeated)))
    return rows, faults


def faults_of_messages(channel: str, lake: Lake, days: Sequence[str]) -> tuple[int, list[Fault]]:
    """Return how many messages the raw partitions hold, and what is wrong with their keys and missing values.

    A device is in one bucket, so keys are compared bucket by bucket; samples and readings are not read.
    """
    dataset, asset = raw_dataset(CHANNEL_BY_NAME[channel]), f"raw_{channel}"
    rows = 0
    faults: list[Fault] = []
    for day in days:
        manifest = lake.manifest(dataset, day)
        for files in _by_bucket(manifest.files if manifest else ()):
            parts = [part.select(JUDGED) for file in files for part in lake.scan_file(file, columns=JUDGED)]
            if not parts:
                continue
            table = pa.concat_tables(parts)
            rows += table.num_rows
            faults += _faults_of_bucket(day, asset, table)
    return rows, faults


def _missing(name: str, *, may_be_nan: bool) -> str:
    return f"{name} IS NULL OR {name} = 'NaN'" if may_be_nan else f"{name} IS NULL"


def span_of(asset: str, days: Sequence[str]) -> dict[str, Any]:
    """Return the bounds, `first` included and `end` not, that a table's rows of some UTC days lie in."""
    table = TABLES[asset]
    first, last = min(days), max(days)
    if table.by_local_day:  # a UTC day touches the local days around it
        return {"first": date.fromisoformat(first) - timedelta(1), "end": date.fromisoformat(last) + timedelta(2)}
    return {"first": from_us(day_bounds_us(first)[0]), "end": from_us(day_bounds_us(last)[1])}


def _by_bucket(files: Sequence[DataFile]) -> Iterator[list[DataFile]]:
    for bucket in sorted({(file.buckets, file.bucket) for file in files}):
        yield [file for file in files if (file.buckets, file.bucket) == bucket]


def _faults_of_bucket(day: str, asset: str, table: pa.Table) -> Iterator[Fault]:
    for name in table.column_names:
        missing = is_missing(table.column(name))
        count = pc.sum(missing).as_py() or 0
        said = too_many(asset, name, count, table.num_rows)
        if said is not None:
            yield Fault(day, said, count, tuple(table.filter(missing).slice(0, MAX_ROWS).to_pylist()))
    for key in (MESSAGE_KEY, ["message_id"]):
        again = table.filter(occurs_before(table, key))
        if again.num_rows:
            what = f"{', '.join(key)} occurs more than once"
            yield Fault(day, what, again.num_rows, tuple(again.slice(0, MAX_ROWS).to_pylist()))
