"""Results into SQL: one bulk write per table, idempotent; what it replaces goes to the table's history."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final

from wearables_platform.clients.sql import BulkTable, Connection, SqlClient, copy_rows

# Who computed a row is written with it and no reason to write it again.
_PROVENANCE: Final = {"engine": "text", "run_id": "text", "revision": "int8", "origin": "text"}
_WEAR: Final = dict.fromkeys(("worn_s", "not_worn_s", "wear_unknown_s", "unclassified_s"), "int4")
_INTENSITIES: Final = dict.fromkeys(("sedentary_s", "light_s", "moderate_s", "vigorous_s", "mvpa_s"), "int4")
_DISTRIBUTION: Final = {"enmo_used_mean_mg": "float8", "enmo_histogram_s": "int4[]"}
_VERSIONS: Final = {"cut_points": "text", "definition_version": "text"}


@dataclass(frozen=True)
class Replaced:
    """A table whose rows of a span are made equal to what was computed.

    Attributes
    ----------
    keys, values
        Column name to SQL type; a row whose values are unchanged is left alone, with its revision and run.
    touches
        Condition under which a row speaks of something in [%(first)s, %(end)s).
    """

    name: str
    keys: Mapping[str, str]
    values: Mapping[str, str]
    touches: str

    @cached_property
    def bulk(self) -> BulkTable:
        """How rows go in."""
        short = self.name.rpartition(".")[2]
        updated = ", ".join(f"{name} = excluded.{name}" for name in (*self.values, "engine", "run_id", "origin"))
        return BulkTable(
            self.name,
            {**self.keys, **self.values, **_PROVENANCE},
            f"ON CONFLICT ({', '.join(self.keys)}) DO UPDATE SET {updated}, revision = {short}.revision + 1,"
            " written_at = now()"
            f" WHERE ({_of(short, self.values)}) IS DISTINCT FROM ({_of('excluded', self.values)})",
        )

    @property
    def _same(self) -> str:
        return " AND ".join(f"i.{name} = h.{name}" for name in self.keys)

    def keep_changed(self) -> str:
        """Statement that copies rows about to change into the history."""
        names = ", ".join(self.bulk.columns)
        return (
            f"INSERT INTO {self.name}_history ({names}, written_at, superseded_at, superseded_because)"
            f" SELECT {_of('h', self.bulk.columns)}, h.written_at, now(), 'recomputed' FROM {self.name} h"
            f" JOIN {self.bulk.staging} i ON {self._same}"
            f" WHERE ({_of('h', self.values)}) IS DISTINCT FROM ({_of('i', self.values)})"
        )

    def remove_gone(self) -> str:
        """Statement that moves rows of the span that were not computed again into the history."""
        names = ", ".join(self.bulk.columns)
        return (
            f"WITH gone AS (DELETE FROM {self.name} h WHERE {self.touches}"
            f" AND NOT EXISTS (SELECT FROM {self.bulk.staging} i WHERE {self._same}) RETURNING h.*)"
            f" INSERT INTO {self.name}_history ({names}, written_at, superseded_at, superseded_because)"
            f" SELECT {names}, written_at, now(), 'no data left' FROM gone"
        )

    def continue_revisions(self) -> str:
        """Statement that lets a row that comes back go on counting where its history ended."""
        return (
            f"UPDATE {self.bulk.staging} i SET revision = 1 + coalesce((SELECT max(h.revision)"
            f" FROM {self.name}_history h WHERE {self._same}), 0)"
            f" WHERE NOT EXISTS (SELECT FROM {self.name} h WHERE {self._same})"
        )


HOURS: Final = Replaced(
    "telemetry.hourly_activity",
    {"device_id": "text", "hour_start": "timestamptz"},
    {
        "windows": "int4",
        "coverage": "float8",
        "enmo_mean_mg": "float8",
        "mad_mean_mg": "float8",
        "steps": "int4",
        **_INTENSITIES,
        **_WEAR,
        **_DISTRIBUTION,
        **_VERSIONS,
    },
    "h.hour_start >= %(first)s AND h.hour_start < %(end)s",
)
DAYS_OF_PEOPLE: Final = Replaced(
    "telemetry.daily_activity",
    {"participant_id": "text", "local_day": "date"},
    {
        "time_zone": "text",
        "begins": "timestamptz",
        "ends": "timestamptz",
        "hours_in_day": "float8",
        "device_ids": "text[]",
        "status": "text",
        "windows": "int4",
        "coverage": "float8",
        **_WEAR,
        "steps": "int4",
        **_INTENSITIES,
        **dict.fromkeys(("mvpa_bout_1min_s", "mvpa_bout_5min_s", "mvpa_bout_10min_s"), "int4"),
        **_DISTRIBUTION,
        "m10_mg": "float8",
        "m10_start": "timestamptz",
        "l5_mg": "float8",
        "l5_start": "timestamptz",
        **_VERSIONS,
        "final": "bool",
    },
    "h.ends > %(first)s AND h.begins < %(end)s",
)


@dataclass(frozen=True)
class MadeBy:
    """Who computes: stored with every row this changes."""

    engine: str
    run_id: str


def replace_rows(
    sql: SqlClient, table: Replaced, rows: Sequence[Mapping[str, Any]], span: tuple[datetime, datetime], by: MadeBy
) -> int:
    """Make the stored rows that touch [first, end) equal to `rows`; returns how many are new, changed or removed."""
    with sql.transaction() as connection:
        connection.execute(f"DROP TABLE IF EXISTS pg_temp.{table.bulk.staging}")
        connection.execute(table.bulk.create)
        copy_rows(connection, table.bulk.staging, table.bulk.columns, _values(table, rows, by))
        return _merge(connection, table, span)


def _merge(connection: Connection, table: Replaced, span: tuple[datetime, datetime]) -> int:
    connection.execute(table.continue_revisions())
    connection.execute(table.keep_changed())
    written = connection.execute(table.bulk.merge).rowcount
    removed = connection.execute(table.remove_gone(), {"first": span[0], "end": span[1]}).rowcount
    return written + removed


def _values(table: Replaced, rows: Sequence[Mapping[str, Any]], by: MadeBy) -> Iterator[list[Any]]:
    more = {"engine": by.engine, "run_id": by.run_id, "revision": 1, "origin": "batch"}
    for row in rows:
        yield [more[name] if name in more else row[name] for name in table.bulk.columns]


def _of(alias: str, names: Mapping[str, str]) -> str:
    return ", ".join(f"{alias}.{name}" for name in names)
