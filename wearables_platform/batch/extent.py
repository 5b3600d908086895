"""How much lies in a SQL table for a span of time: rows, bytes, first and last instant, columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wearables_platform.batch.table_checks import TABLES, span_of
from wearables_platform.clients.sql import SqlClient

_COLUMNS = """
SELECT c.column_name AS name, c.data_type AS type, c.is_nullable = 'YES' AS nullable,
       col_description((c.table_schema || '.' || c.table_name)::regclass, c.ordinal_position) AS description
FROM information_schema.columns c WHERE c.table_schema || '.' || c.table_name = %s ORDER BY c.ordinal_position
"""


@dataclass(frozen=True)
class Extent:
    """What a table holds of some days; `first` and `last` are None where it holds nothing."""

    rows: int
    size_bytes: int
    first: Any
    last: Any
    columns: tuple[Mapping[str, Any], ...]
    sample: tuple[Mapping[str, Any], ...]


def extent_of(asset: str, sql: SqlClient, days: Sequence[str], sample_rows: int = 5) -> Extent:
    """Measure what the table of an asset holds of these UTC days; reads their rows once."""
    table, span = TABLES[asset], span_of(asset, days)
    where = f"FROM {table.name} t WHERE {table.time} >= %(first)s AND {table.time} < %(end)s"
    (found,) = sql.rows(
        f"SELECT count(*) AS rows, coalesce(sum(pg_column_size(t.*)), 0)::bigint AS size_bytes, "
        f"min({table.time}) AS first, max({table.time}) AS last {where}",
        span,
    )
    newest = sql.rows(f"SELECT t.* {where} ORDER BY {table.time} DESC, 1 LIMIT {sample_rows}", span)
    return Extent(**found, columns=tuple(sql.rows(_COLUMNS, (table.name,))), sample=tuple(newest))
