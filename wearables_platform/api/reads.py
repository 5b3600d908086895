"""The named queries, over connections that can only read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from wearables_platform.clients.sql import SqlClient, load_queries

QUERIES = Path(__file__).parents[1] / "sql" / "queries"

# A request that takes longer than this has asked for too much; the thread that serves it is worth more.
STATEMENT_TIMEOUT_MS = 10_000
POOL_SIZE = 4
_SESSION = f"-c default_transaction_read_only=on -c statement_timeout={STATEMENT_TIMEOUT_MS} -c timezone=UTC"


@dataclass(frozen=True)
class RowStream:
    """Rows on their way: the columns (name, type OID) and batches of rows."""

    columns: list[tuple[str, int]]
    batches: Iterator[list[tuple[Any, ...]]]


class Reads:
    """Runs the queries of `sql/queries/` by name."""

    def __init__(self, sql_url: str, *, pool_size: int = POOL_SIZE) -> None:
        self._client = SqlClient(reading_url(sql_url), "wearables-api", pool_size=pool_size)
        self._queries = load_queries(QUERIES)

    def rows(self, query: str, **parameters: Any) -> list[dict[str, Any]]:
        """Run a named query and return its rows."""
        statement: str = getattr(self._queries, query).sql
        return self._client.rows(statement, parameters)

    @contextmanager
    def streamed(self, query: str, **parameters: Any) -> Iterator[RowStream]:
        """Run a named query and lend its rows in batches; a connection is held meanwhile."""
        statement: str = getattr(self._queries, query).sql
        with self._client.stream(statement, parameters) as (columns, batches):
            yield RowStream(columns, batches)

    def ping(self) -> None:
        """Raise `StoreUnavailable` unless the database answers."""
        self._client.rows("SELECT 1")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def reading_url(sql_url: str) -> str:
    """Add the session settings under which the API reads.

    >>> reading_url("postgresql://u@h/d").split("?")[0]
    'postgresql://u@h/d'
    """
    return f"{sql_url}{'&' if '?' in sql_url else '?'}options={quote(_SESSION)}"
