"""What is followed over weeks and compared between people: a small catalogue, one SQL source each.

A new measure is a query ``measure_<name>`` in ``sql/serving/measures.sql`` and a line here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final

from wearables_platform.clients.sql import BulkTable, Connection, load_queries, upsert

queries: Any = load_queries(Path(__file__).parents[1] / "sql" / "serving")

# A day with fewer hours of wear says too little of the person's day (the field's custom; GGIR's and skdh's default).
MIN_HOURS: Final = 10.0
MEASURES: Final[Mapping[str, str]] = {
    "steps": "steps",
    "mean_heart_rate": "beats per minute",
    "resting_heart_rate": "beats per minute",
    "mvpa": "minutes",
}
"""Name to unit."""


@dataclass(frozen=True)
class PersonDay:
    """A measure's value of one person and valid, final local day."""

    participant_id: str
    local_day: date
    value: float


def valid_days(connection: Connection, measure: str, first: date, last: date) -> Iterator[PersonDay]:
    """Yield the valid days of [first, last] by person, then day."""
    ask = getattr(queries, f"measure_{measure}")
    for row in ask(connection, first_day=first, last_day=last, min_hours=MIN_HOURS):
        yield PersonDay(*row)


def status(settled_at: datetime, as_of: datetime) -> str:
    """Name what may still change and what may not."""
    return "final" if settled_at <= as_of else "provisional"


@dataclass(frozen=True)
class DerivedRows:
    """A table that is computed whole, span by span: after a write its rows of the span are the given ones.

    `keys` and `values` map columns to SQL types. A row whose values are there already keeps its revision and the run
    that wrote it.
    """

    name: str
    keys: Mapping[str, str]
    values: Mapping[str, str]

    @property
    def columns(self) -> Mapping[str, str]:
        """Return the columns in the order rows are given."""
        return {**self.keys, **self.values, "run_id": "text", "revision": "int8", "origin": "text"}

    def replace(
        self, connection: Connection, span_column: str, span: tuple[date, date], rows: Iterable[Sequence[Any]]
    ) -> int:
        """Make the stored rows of a span (both ends included) equal to `rows`, which end with the run's id.

        Returns how many are new, changed or removed.
        """
        table = self._bulk()
        changed = upsert(connection, table, ((*row, 1, "batch") for row in rows))
        same = " AND ".join(f"i.{name} = t.{name}" for name in self.keys)
        gone = (
            f"DELETE FROM {self.name} t WHERE t.{span_column} BETWEEN %s AND %s"
            f" AND NOT EXISTS (SELECT FROM {table.staging} i WHERE {same})"
        )
        return changed + connection.execute(gone, span).rowcount

    def _bulk(self) -> BulkTable:
        own = self.name.rpartition(".")[2]
        replaced = ", ".join(f"{name} = excluded.{name}" for name in (*self.values, "run_id", "origin"))
        stored, given = (", ".join(f"{of}.{name}" for name in self.values) for of in (own, "excluded"))
        return BulkTable(
            self.name,
            self.columns,
            f"ON CONFLICT ({', '.join(self.keys)}) DO UPDATE SET {replaced}, revision = {own}.revision + 1"
            f" WHERE ({stored}) IS DISTINCT FROM ({given})",
        )
