"""The named queries, over connections that can only read."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from wearables_platform.clients.sql import SqlClient, load_queries

QUERIES = Path(__file__).parents[1] / "sql" / "queries"

# A request that takes longer than this has asked for too much; the thread that serves it is worth more.
STATEMENT_TIMEOUT_MS = 10_000
_SESSION = f"-c default_transaction_read_only=on -c statement_timeout={STATEMENT_TIMEOUT_MS} -c timezone=UTC"


class Reads:
    """Runs the queries of `sql/queries/` by name."""

    def __init__(self, sql_url: str, *, pool_size: int = 4) -> None:
        self._client = SqlClient(reading_url(sql_url), "wearables-api", pool_size=pool_size)
        self._queries = load_queries(QUERIES)

    def rows(self, query: str, **parameters: Any) -> list[dict[str, Any]]:
        """Run a named query and return its rows."""
        statement: str = getattr(self._queries, query).sql
        return self._client.rows(statement, parameters)

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
