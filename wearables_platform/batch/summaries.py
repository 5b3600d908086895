"""Aggregates for readers: a person's local days from clean readings in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from wearables_platform.clients.sql import SqlClient, load_queries
from wearables_platform.partitions import local_days

_queries: Any = load_queries(Path(__file__).parents[1] / "sql" / "serving")


@dataclass(frozen=True)
class Summarized:
    """The local days looked at, the rows they now have, and how many of those are new or changed."""

    first_day: date
    last_day: date
    rows: list[dict[str, Any]]
    changed: int


def summarize_days(sql: SqlClient, utc_days: Sequence[str], as_of: datetime) -> Summarized:
    """Summarize every local day that some zone begins or ends within these UTC days."""
    first, last = local_days(utc_days)
    with sql.transaction() as connection:
        span = {"first_day": first, "last_day": last}
        _queries.remove_empty_days(connection, **span)
        changed: int = _queries.summarize_days(connection, **span, as_of=as_of)
    query = "SELECT * FROM telemetry.daily_summary WHERE local_day BETWEEN %s AND %s ORDER BY participant_id, local_day"
    return Summarized(first, last, sql.rows(query, (first, last)), changed)
