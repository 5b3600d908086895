"""PostgreSQL and TimescaleDB: a pooled client with transactions, bulk upserts and named queries.

Every statement binds its parameters. Driver errors leave as `StoreUnavailable` (connection lost, deadlock,
serialization failure, server starting: try again) or `StoreRefused` (everything else).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import aiosql
import numpy as np
import numpy.typing as npt
import psycopg
import sqlalchemy
from psycopg import sql as pgsql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from wearables_platform.clients.binary_copy import (
    HEADER,
    TRAILER,
    Cells,
    Column,
    cells_of,
    encode,
    row_count,
    sort_key,
)
from wearables_platform.errors import AccessRefused, StoreRefused, StoreUnavailable

Connection = psycopg.Connection[Any]
Json = Jsonb

_TRANSIENT = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
    sqlalchemy.exc.TimeoutError,
    sqlalchemy.exc.DBAPIError,
)

# libpq says why no connection came about in words alone.
_DENIED = (
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "certificate verify failed",
    "root certificate file",
    "does not match host name",
    "server does not support SSL",
)


@dataclass(frozen=True)
class BulkTable:
    """Where rows go in bulk and what happens to those already there.

    Parameters
    ----------
    name
        Qualified table name.
    columns
        Column name to SQL type, in the order rows are given.
    on_conflict
        The statement's end, such as ``ON CONFLICT (id) DO NOTHING``; it makes the write idempotent.
    distinct_on
        Key columns of which one batch may hold several rows; the last given wins. Empty: keys are distinct already.
    """

    name: str
    columns: Mapping[str, str]
    on_conflict: str
    distinct_on: tuple[str, ...] = field(default=())

    @cached_property
    def staging(self) -> str:
        """Name of the temporary table the rows are copied into."""
        return "incoming_" + self.name.replace(".", "_")

    @cached_property
    def create(self) -> str:
        """Statement that makes the staging table; it vanishes with the transaction."""
        columns = ", ".join(f"{name} {kind}" for name, kind in self.columns.items())
        return f"CREATE TEMP TABLE {self.staging} (row_number bigserial, {columns}) ON COMMIT DROP"

    @cached_property
    def merge(self) -> str:
        """Statement that moves the staged rows into the table."""
        names = ", ".join(self.columns)
        source = f"SELECT {names} FROM {self.staging}"
        if self.distinct_on:
            keys = ", ".join(self.distinct_on)
            source = f"SELECT DISTINCT ON ({keys}) {names} FROM {self.staging} ORDER BY {keys}, row_number DESC"
        return f"INSERT INTO {self.name} ({names}) {source} {self.on_conflict}"

    @cached_property
    def columns_staging(self) -> str:
        """Name of the temporary table columns are copied into; it stays with the connection, empty."""
        return f"{self.staging}_{zlib.crc32(repr(self.columns).encode()):08x}"

    @cached_property
    def create_columns_staging(self) -> str:
        """Statement that makes it, once per connection."""
        columns = ", ".join(f"{name} {kind}" for name, kind in self.columns.items())
        return f"CREATE TEMP TABLE IF NOT EXISTS {self.columns_staging} ({columns}) ON COMMIT DELETE ROWS"

    @cached_property
    def merge_columns(self) -> str:
        """Statement that moves the rows from there into the table, in the order they lie."""
        names = ", ".join(self.columns)
        return f"INSERT INTO {self.name} ({names}) SELECT {names} FROM {self.columns_staging} {self.on_conflict}"


class SqlClient:
    """A pool of connections to one database.

    Parameters
    ----------
    url
        ``postgresql://user:password@host:port/database``.
    application_name
        Shown in ``pg_stat_activity``, so that a person can tell the processes apart.
    pool_size
        Connections kept open; one more caller waits.
    """

    def __init__(self, url: str, application_name: str, *, pool_size: int = 4) -> None:
        scheme, _, rest = url.partition("://")
        self._engine = sqlalchemy.create_engine(
            f"{scheme.split('+')[0]}+psycopg://{rest}",
            pool_size=pool_size,
            max_overflow=0,
            pool_pre_ping=True,
            connect_args={"application_name": application_name, "connect_timeout": 10},
        )

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Lend a connection for one transaction: committed at the end, rolled back on any error."""
        try:
            pooled = self._engine.raw_connection()
        except _TRANSIENT as exc:
            raise _translated(exc) from exc
        connection: Connection = pooled.driver_connection  # type: ignore[assignment]
        try:
            with _translating(), connection.transaction():
                yield connection
        except StoreUnavailable:
            pooled.invalidate()
            raise
        finally:
            pooled.close()

    def rows(self, query: str, parameters: Mapping[str, Any] | Sequence[Any] | None = None) -> list[dict[str, Any]]:
        """Run one query and return its rows as dictionaries."""
        with self.transaction() as connection:
            return rows_in(connection, query, parameters)

    @contextmanager
    def stream(
        self, query: str, parameters: Mapping[str, Any] | None = None, *, batch_rows: int = 2_000
    ) -> Iterator[tuple[list[tuple[str, int]], Iterator[list[tuple[Any, ...]]]]]:
        """Run one query with a cursor on the server: yield its columns (name, type OID) and its rows in batches.

        However many rows there are, two batches of them are in memory. The connection is held until the end.
        """
        with self.transaction() as connection, connection.cursor(name="streamed") as cursor:
            cursor.execute(_as_query(query), parameters)
            columns = [(column.name, column.type_code) for column in cursor.description or ()]
            yield columns, iter(lambda: cursor.fetchmany(batch_rows), [])

    def execute(self, statement: str, parameters: Mapping[str, Any] | Sequence[Any] | None = None) -> int:
        """Run one statement in its own transaction and return how many rows it touched."""
        with self.transaction() as connection:
            return connection.execute(_as_query(statement), parameters).rowcount

    def call(self, statement: str, parameters: tuple[Any, ...] | None = None) -> None:
        """Run one statement outside any transaction, as procedures that commit by themselves ask for."""
        with _translating(), self._engine.connect() as pooled:
            pooled.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql(statement, parameters)

    def upsert(self, table: BulkTable, rows: Iterable[Sequence[Any]]) -> int:
        """Write rows in bulk in their own transaction; idempotent as `table.on_conflict` says."""
        with self.transaction() as connection:
            return upsert(connection, table, rows)

    def close(self) -> None:
        """Close every pooled connection."""
        self._engine.dispose()


def rows_in(
    connection: Connection, query: str, parameters: Mapping[str, Any] | Sequence[Any] | None = None
) -> list[dict[str, Any]]:
    """Run one query in a transaction and return its rows as dictionaries."""
    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(_as_query(query), parameters).fetchall()


def upsert(connection: Connection, table: BulkTable, rows: Iterable[Sequence[Any]]) -> int:
    """Write rows in bulk inside the caller's transaction: binary COPY into a staging table, then one statement.

    Returns how many rows were inserted or changed; equal rows delivered again count nothing where the table's
    `on_conflict` says so.
    """
    with connection.cursor() as cursor:
        cursor.execute(_as_query(f"DROP TABLE IF EXISTS pg_temp.{table.staging}"))
        cursor.execute(_as_query(table.create))
        copy_rows(connection, table.staging, table.columns, rows)
        return cursor.execute(_as_query(table.merge)).rowcount


def upsert_columns(
    connection: Connection, table: BulkTable, columns: Mapping[str, Column], *, appended: AppendedRows | None = None
) -> int:
    """Write whole columns in bulk inside the caller's transaction; returns how many rows were inserted or changed.

    Rows go in the order of `table.distinct_on`, so that concurrent writers wait for each other instead of deadlocking;
    of rows with one key the last given wins. With `appended` they are first copied straight into the table, which
    costs half and fails, leaving nothing, if any key is there; then, and without it, they are staged and merged by one
    statement with `table.on_conflict`. Either way a repeat changes nothing.
    """
    n = row_count(columns)
    if not n:
        return 0
    cells = [cells_of(kind, columns[name], n) for name, kind in table.columns.items()]
    order = _in_order([sort_key(columns[name]) for name in table.distinct_on], n)
    if order is not None:
        cells, n = [cell.take(order) for cell in cells], len(order)
    if appended is not None and appended.worth_trying(table.name):
        if _appended(connection, table, cells, n):
            appended.succeeded(table.name)
            return n
        appended.failed(table.name)
    with connection.cursor() as cursor:
        cursor.execute(_as_query(table.create_columns_staging))
        _copy_cells(connection, table.columns_staging, table.columns, cells, n)
        merged = cursor.execute(_as_query(table.merge_columns)).rowcount
        # Another write of this transaction must not find these rows.
        cursor.execute(_as_query(f"TRUNCATE {table.columns_staging}"))
        return merged


@dataclass
class AppendedRows:
    """Remembers per table whether rows were new lately: after failures, appending is tried ever more rarely."""

    _failures: dict[str, int] = field(default_factory=dict)
    _waiting: dict[str, int] = field(default_factory=dict)

    def worth_trying(self, table: str) -> bool:
        """Whether to try now; counts the calls that are not worth it."""
        left = self._waiting.get(table, 0)
        self._waiting[table] = max(0, left - 1)
        return left == 0

    def succeeded(self, table: str) -> None:
        """Note that all rows were new."""
        self._failures[table] = 0

    def failed(self, table: str) -> None:
        """Note that some were not: skip 1, 2, 4 .. 64 calls."""
        failures = self._failures.get(table, 0)
        self._failures[table] = failures + 1
        self._waiting[table] = 2 ** min(failures, 6)


def copy_columns(connection: Connection, table: str, kinds: Mapping[str, str], columns: Mapping[str, Column]) -> int:
    """Append whole columns to a table by binary COPY inside the caller's transaction; returns how many rows.

    Not idempotent by itself: a key that is there already fails the transaction.
    """
    n = row_count(columns)
    _copy_cells(connection, table, kinds, [cells_of(kind, columns[name], n) for name, kind in kinds.items()], n)
    return n


def _appended(connection: Connection, table: BulkTable, cells: Sequence[Cells], n: int) -> bool:
    try:
        with connection.transaction():  # a savepoint
            _copy_cells(connection, table.name, table.columns, cells, n)
    except psycopg.errors.UniqueViolation:
        return False
    return True


def _copy_cells(connection: Connection, table: str, columns: Iterable[str], cells: Sequence[Cells], n: int) -> None:
    with connection.cursor() as cursor, cursor.copy(_copy_statement(table, columns)) as sink:
        sink.write(HEADER)
        for part in encode(cells, n):
            sink.write(part)
        sink.write(TRAILER)


def _in_order(keys: Sequence[npt.NDArray[Any] | None], n: int) -> npt.NDArray[np.int64] | None:
    """Return rows sorted by key, the last of each key only; None where the rows are that already."""
    telling = [key for key in keys if key is not None]
    if not telling:
        return None if not keys else np.array([n - 1])
    if _rise(telling):
        return None
    order = np.lexsort(telling[::-1])  # stable: of one key the last given stays last
    last = np.zeros(n, bool)
    last[-1] = True
    for key in telling:
        ordered = key[order]
        last[:-1] |= ordered[1:] != ordered[:-1]
    return order[last]


def _rise(keys: Sequence[npt.NDArray[Any]]) -> bool:
    """Whether each row's key is above the one before it."""
    tied = np.ones(len(keys[0]) - 1, bool)
    for key in keys:
        if (tied & (key[1:] < key[:-1])).any():
            return False
        tied &= key[1:] == key[:-1]
    return not tied.any()


def _copy_statement(table: str, columns: Iterable[str]) -> pgsql.Composed:
    return pgsql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        pgsql.Identifier(*table.split(".")), pgsql.SQL(", ").join(map(pgsql.Identifier, columns))
    )


def copy_rows(connection: Connection, table: str, columns: Mapping[str, str], rows: Iterable[Sequence[Any]]) -> int:
    """Append rows to a table by binary COPY inside the caller's transaction; returns how many.

    Not idempotent by itself: a key that is there already fails the transaction.
    """
    with connection.cursor() as cursor:
        with cursor.copy(_copy_statement(table, columns)) as sink:
            sink.set_types(list(columns.values()))
            for row in rows:
                sink.write_row(row)
        return cursor.rowcount


def load_queries(path: Path) -> Any:
    """Load named queries (``-- name: verb_noun``) from a file or folder; call them with a connection."""
    return aiosql.from_path(path, "psycopg")


def nullable(values: npt.NDArray[Any]) -> list[Any]:
    """Turn an array into a list for SQL: NaN becomes NULL, numpy scalars become Python's."""
    plain: list[Any] = values.tolist()
    if values.dtype.kind == "f":
        return [None if value != value else value for value in plain]  # noqa: PLR0124 - only NaN differs from itself
    return plain


def columns_to_rows(columns: Iterable[npt.NDArray[Any] | Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
    """Turn equally long columns into rows for `SqlClient.upsert`, NaN as NULL."""
    return zip(*(nullable(column) if isinstance(column, np.ndarray) else column for column in columns), strict=True)


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except (psycopg.Error, sqlalchemy.exc.SQLAlchemyError) as exc:
        raise _translated(exc) from exc


def _translated(exc: Exception) -> StoreUnavailable | StoreRefused:
    # Messages of libpq can hold the connection string but never the password; keep the first line.
    first_line = str(exc).strip().splitlines()[0] if str(exc).strip() else type(exc).__name__
    cause = exc.orig if isinstance(exc, sqlalchemy.exc.DBAPIError) and exc.orig is not None else exc
    if isinstance(cause, psycopg.OperationalError) and any(words in first_line for words in _DENIED):
        return AccessRefused("sql_url", first_line.rpartition("failed: ")[2])
    if isinstance(cause, psycopg.errors.InsufficientPrivilege | psycopg.errors.QueryCanceled):
        return StoreRefused(first_line)
    return StoreUnavailable(first_line) if isinstance(cause, _TRANSIENT) else StoreRefused(first_line)


def _as_query(text: str) -> Any:
    # psycopg asks for literal strings to keep user input out of statements; ours come from files and BulkTable.
    return text
