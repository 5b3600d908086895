"""From raw vitals to clean readings: explode, stage, run the cleaning script of `sql/clean/`, in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from wearables_platform.clients.binary_copy import Column, Exact
from wearables_platform.clients.lake import Lake
from wearables_platform.clients.manifest import DataFile
from wearables_platform.clients.sql import Connection, SqlClient, copy_columns, load_queries
from wearables_platform.domain.channels import QUANTITY_BY_NAME, VITALS
from wearables_platform.domain.time_policy import EARLIEST_EVENT_US, FUTURE_TOLERANCE_US, from_us
from wearables_platform.wire.raw_messages import raw_dataset

# Named in every row; changes whenever a cleaning rule does.
CLEANED_BY: Final = "vitals-1"
# A vendor's longest summary is a day; a longer span says nothing about when the steps were taken.
LONGEST_STEP_SPAN: Final = timedelta(hours=24)

queries: Any = load_queries(Path(__file__).parents[1] / "sql" / "clean")
TIME_RULES: Final = {
    "earliest": from_us(EARLIEST_EVENT_US),
    "future_tolerance": timedelta(microseconds=FUTURE_TOLERANCE_US),
}
_HEART_RATE, _STEP_RATE = QUANTITY_BY_NAME["heart_rate"], QUANTITY_BY_NAME["step_rate"]
_WHO = {"load_id": "text", "message_id": "text", "reading_number": "int4", "device_id": "text"}
# Which day of the lake a message lies in: what its rows are found by once it has left.
_MESSAGE_DAY: Final = "message_day"


@dataclass(frozen=True)
class Cleaning:
    """One quantity's way through staging: where its readings lie in a message, and by which rules they are judged.

    Attributes
    ----------
    quantity
        What tables, staging table and statements are called.
    column, time_field
        The list column of raw messages, and the field of its items that says when.
    columns, values
        What is staged of a reading, with SQL types, and how it is made of the items.
    rules
        Parameters of the judging statement.
    wanted
        Which items are of this quantity; None where all are.
    sensor
        The declared sensor type, where one table holds the readings of many.
    """

    quantity: str
    column: str
    time_field: str
    columns: Mapping[str, str]
    rules: Mapping[str, Any]
    values: Callable[[pa.StructArray], Mapping[str, Column]]
    wanted: Callable[[pa.StructArray], pa.BooleanArray] | None = None
    sensor: str | None = None

    @property
    def name(self) -> str:
        """Return what rejected readings call the quantity."""
        return self.sensor or self.quantity

    @property
    def staged_columns(self) -> dict[str, str]:
        """Return the columns the readings are copied into, with their SQL types."""
        return {**_WHO, **self.columns, "append_time": "timestamptz", _MESSAGE_DAY: "date"}

    def run(self, statement: str, connection: Connection, **parameters: Any) -> int:
        """Run one statement of the cleaning script and return how many rows it touched."""
        touched: int = getattr(queries, statement.format(self.quantity))(connection, **parameters)
        return touched


def _heart_rate_values(readings: pa.StructArray) -> Mapping[str, Column]:
    return {"time": readings.field("time_us"), "bpm": Exact(readings.field("bpm"))}


def _step_values(readings: pa.StructArray) -> Mapping[str, Column]:
    begins, ends = readings.field("start_time_us"), readings.field("end_time_us")
    return {"start_time": begins, "end_time": ends, "step_count": readings.field("count").cast(pa.int64())}


HEART_RATE: Final = Cleaning(
    "heart_rate",
    "heart_rate",
    "time_us",
    {"time": "timestamptz", "bpm": "float8"},
    {**TIME_RULES, "low": _HEART_RATE.low, "high": _HEART_RATE.high},
    _heart_rate_values,
)
STEPS: Final = Cleaning(
    "steps",
    "steps",
    "start_time_us",
    {"start_time": "timestamptz", "end_time": "timestamptz", "step_count": "int4"},
    {**TIME_RULES, "longest_span": LONGEST_STEP_SPAN, "high_per_minute": _STEP_RATE.high},
    _step_values,
)
CLEANINGS: Final = {cleaning.quantity: cleaning for cleaning in (HEART_RATE, STEPS)}


@dataclass(frozen=True)
class Cleaned:
    """What became of the readings of some days."""

    readings: int
    accepted: int
    rejected: int
    changed: int
    rules: Mapping[str, int]


def clean_days(sql: SqlClient, lake: Lake, cleaning: Cleaning, days: Sequence[str], load_id: str) -> Cleaned:
    """Make SQL say what the messages of these days say, in one transaction; again, and nothing changes.

    Rows of messages that have left a day of the lake go, clean or rejected; a day without a manifest says nothing.

    A reading counts once per device and instant, whichever messages carry it and in whichever order days are cleaned.
    """
    messages = read_messages(lake, cleaning, days)
    told = {"quantity": cleaning.name, "days": messages.days, "load_id": load_id}
    with sql.transaction() as connection:
        for table in messages:
            _make_room(connection, cleaning, table)
        readings = stage(connection, cleaning, messages, load_id)
        # First of all: a reading whose message is gone must not count as the one that others repeat.
        gone = cleaning.run("remove_{}_without_message", connection, **told)
        cleaning.run("judge_{}", connection, load_id=load_id, **cleaning.rules)
        cleaning.run("forget_rejected_{}", connection, **told)
        for statement in ("set_repeated_{}_aside", "set_{}_already_held_aside", "withdraw_{}"):
            cleaning.run(statement, connection, load_id=load_id)
        rejected = cleaning.run("record_rejected_{}", connection, load_id=load_id)
        changed = cleaning.run("accept_{}", connection, load_id=load_id, cleaned_by=CLEANED_BY)
        rules = _rules(connection, cleaning, load_id)
        cleaning.run("clear_{}", connection, load_id=load_id)
    return Cleaned(readings, readings - rejected, rejected, gone + changed, rules)


@dataclass(frozen=True)
class Messages:
    """What cleaning needs of some days' messages: a row group at a time, however large the days; each pass the same."""

    lake: Lake
    files: Mapping[str, tuple[DataFile, ...]]
    column: str

    @property
    def days(self) -> list[str]:
        """Return the days the lake has been built for, also those without a message."""
        return list(self.files)

    def __iter__(self) -> Iterator[pa.Table]:
        """Yield the messages of the files that have such readings at all: those of an earlier version may not."""
        columns = ["message_id", "device_id", "append_time_us", self.column]
        for day, files in self.files.items():
            for table in (table for file in files for table in self.lake.scan_file(file, columns=columns)):
                if self.column in table.column_names:
                    days = pa.repeat(pa.scalar(date.fromisoformat(day)), table.num_rows)
                    yield table.append_column(_MESSAGE_DAY, days)


def read_messages(lake: Lake, cleaning: Cleaning, days: Sequence[str]) -> Messages:
    """Return the messages of these days as the lake holds them now."""
    manifests = {day: lake.manifest(raw_dataset(VITALS), day) for day in days}
    files = {day: found.files for day, found in manifests.items() if found is not None}
    return Messages(lake, files, cleaning.column)


def stage(connection: Connection, cleaning: Cleaning, messages: Iterable[pa.Table], load_id: str) -> int:
    """Copy the readings into the staging table, in place of what this load had there; returns how many."""
    cleaning.run("clear_{}", connection, load_id=load_id)
    readings = 0
    for columns in (columns for table in messages for columns in staged_columns(cleaning, table, load_id)):
        readings += copy_columns(connection, f"staging.{cleaning.quantity}", cleaning.staged_columns, columns)
    # Nobody else vacuums or analyzes in time: without it the planner takes a full load for an empty table.
    connection.execute(f"ANALYZE staging.{cleaning.quantity}")
    return readings


def staged_columns(cleaning: Cleaning, messages: pa.Table, load_id: str) -> Iterator[dict[str, Column]]:
    """Yield the columns of the staging table, a row per reading."""
    for batch in messages.combine_chunks().to_batches():
        lists = batch.column(cleaning.column)
        parents, readings = pc.list_parent_indices(lists), lists.flatten()
        places = _places(parents.to_numpy())
        if cleaning.wanted is not None:
            mine = cleaning.wanted(readings)
            parents, readings, places = parents.filter(mine), readings.filter(mine), places[mine.to_numpy(False)]
        who = {name: batch.column(name).take(parents) for name in ("message_id", "device_id", _MESSAGE_DAY)}
        append_us = batch.column("append_time_us").take(parents)
        yield {
            "load_id": load_id,
            "reading_number": places,
            "append_time": append_us,
            **who,
            **cleaning.values(readings),
        }


def _places(parents: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return each reading's place in its message; readings of a message lie together."""
    begins = np.flatnonzero(np.diff(parents, prepend=-1))
    places: npt.NDArray[np.int64] = np.arange(len(parents)) - np.repeat(begins, np.diff(begins, append=len(parents)))
    return places


def _make_room(connection: Connection, cleaning: Cleaning, messages: pa.Table) -> None:
    """On plain PostgreSQL, make the monthly partitions that plausible readings fall into; the others are rejected."""
    readings = messages.column(cleaning.column).combine_chunks().flatten()
    instants = (readings if cleaning.wanted is None else readings.filter(cleaning.wanted(readings))).field(
        cleaning.time_field
    )
    latest_us = (pc.max(messages.column("append_time_us")).as_py() or 0) + FUTURE_TOLERANCE_US
    plausible = pc.and_(pc.greater_equal(instants, EARLIEST_EVENT_US), pc.less_equal(instants, latest_us))
    months = pc.unique(pc.floor_temporal(instants.filter(plausible).cast(pa.timestamp("us")), unit="month"))
    for month in months.to_pylist():
        query = f"SELECT platform.ensure_partitions('telemetry.{cleaning.quantity}', %s, %s)"
        connection.execute(query, (month.date(), month.date()))


def _rules(connection: Connection, cleaning: Cleaning, load_id: str) -> dict[str, int]:
    query = f"SELECT rule, count(*) FROM staging.{cleaning.quantity} WHERE load_id = %s AND rule IS NOT NULL GROUP BY 1"
    return dict(sorted(connection.execute(query, (load_id,)).fetchall()))
