"""What must hold between the messages of the lake and the clean readings in SQL, in both directions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from wearables_platform.batch.vitals import Cleaning, queries, read_messages, stage
from wearables_platform.batch.windows import day_bounds_us
from wearables_platform.clients.lake import Lake
from wearables_platform.clients.sql import Connection, SqlClient, rows_in
from wearables_platform.domain.time_policy import from_us


class Found(NamedTuple):
    """How many rows were looked at, the first of those that are not as they should be, and how many these are."""

    rows: int
    faults: list[dict[str, Any]]
    offending: int


def readings_unlike_messages(
    sql: SqlClient, lake: Lake, cleaning: Cleaning, days: Sequence[str], load_id: str
) -> Found:
    """Find readings of these days' messages that are lost, and clean readings that no message holds.

    Lost is what is neither clean nor set aside with a rule. Without a message is what names one of these days and is in
    none of its messages, or names no day and lies in one of these: written by somebody else, or by an earlier version.
    """
    about = {"quantity": cleaning.name, "load_id": load_id}
    span = {"first": from_us(day_bounds_us(min(days))[0]), "last": from_us(day_bounds_us(max(days))[1])}
    with staged_readings(sql, lake, cleaning, days, load_id) as (connection, readings):
        lost = getattr(queries, f"find_lost_{cleaning.quantity}")
        unheld = getattr(queries, f"find_{cleaning.quantity}_without_message")
        rows, count = found_rows(connection, lost, **about)
        more_rows, more = found_rows(connection, unheld, days=list(days), **about, **span)
    return Found(readings, rows + more_rows, count + more)


@contextmanager
def staged_readings(
    sql: SqlClient, lake: Lake, cleaning: Cleaning, days: Sequence[str], load_id: str
) -> Iterator[tuple[Connection, int]]:
    """Lend a transaction with the readings of these days' messages in the staging table, and how many there are."""
    with sql.transaction() as connection:
        readings = stage(connection, cleaning, read_messages(lake, cleaning, days), load_id)
        yield connection, readings
        cleaning.run("clear_{}", connection, load_id=load_id)


def found_rows(connection: Connection, query: Any, **parameters: Any) -> tuple[list[dict[str, Any]], int]:
    """Run a query that says in `all_rows` how many rows there are; returns the first of them, and that number."""
    rows = rows_in(connection, query.sql, parameters)
    counts = [row.pop("all_rows") for row in rows]
    return rows, counts[0] if counts else 0
