"""Stream against batch: what the stream said of a day, compared bit by bit with what the archive gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from wearables_platform.batch.comparison import DayKeys, ParityCounts, count_parity
from wearables_platform.batch.derived_tables import (
    SPIKES,
    WINDOWS,
    DerivedTable,
    groups_of_devices,
    keyed_from_lake,
    keyed_from_sql,
    stored_rows,
    streamed_rows,
)
from wearables_platform.batch.device_groups import DayRows
from wearables_platform.batch.repair import DayEvidence, day_keys
from wearables_platform.clients.sql import Connection, Json, SqlClient, load_queries
from wearables_platform.domain.time_policy import from_us

_queries: Any = load_queries(Path(__file__).parents[1] / "sql" / "repair")


EXAMPLES = 20  # names of unexplained rows that are kept per table
NOTHING_COMPARED = ParityCounts(0, 0, 0, 0, 0, 0, 0, ())


@dataclass(frozen=True)
class DayParity:
    """One day's comparison of the derived tables; `rules` sums up what rules find: events, wear, rolling rows."""

    day: str
    windows: ParityCounts
    spikes: ParityCounts
    examples: tuple[str, ...]
    rules: ParityCounts = NOTHING_COMPARED

    @property
    def parts(self) -> tuple[ParityCounts, ...]:
        """Return the figures of every table."""
        return self.windows, self.spikes, self.rules

    @property
    def unexplained(self) -> int:
        """Return how many rows differ without a cause."""
        return sum(part.unexplained for part in self.parts)

    @property
    def holds(self) -> bool:
        """Tell whether clean rows are equal, dirty rows are equal after recompute, and nothing is unexplained."""
        return not self.unexplained and all(part.dirty == part.dirty_equal_after for part in self.parts)


def day_parity(
    sql: SqlClient, day: str, day_us: tuple[int, int], windows: DayRows, spikes: DayRows, evidence: DayEvidence
) -> DayParity:
    """Compare a day; run it after the repair, as often as wanted: the stream's rows are kept as history."""
    with sql.transaction() as connection:
        of_windows, window_names = table_parity(connection, WINDOWS, windows, day_us, evidence)
        of_spikes, spike_names = table_parity(connection, SPIKES, spikes, day_us, evidence)
    return DayParity(day, of_windows, of_spikes, (*window_names, *spike_names))


def record_parity(sql: SqlClient, parity: DayParity, *, run_id: str, at: datetime) -> None:
    """Write the day's figures to ``quality.parity_runs``; the same run again replaces them."""
    row = {
        "clean_rows": sum(part.clean for part in parity.parts),
        "clean_equal": sum(part.clean_equal for part in parity.parts),
        "dirty_rows": sum(part.dirty for part in parity.parts),
        "dirty_equal_after": sum(part.dirty_equal_after for part in parity.parts),
        "unexplained": parity.unexplained,
        "detail": Json(_detail(parity)),
    }
    with sql.transaction() as connection:
        day = date.fromisoformat(parity.day)
        _queries.record_parity(connection, run_id=run_id, event_day=day, checked_at=at, **row)


def _detail(parity: DayParity) -> Mapping[str, Any]:
    tables = {"windows": parity.windows, "spikes": parity.spikes, "rules": parity.rules}
    return {**{name: asdict(part) for name, part in tables.items()}, "examples": list(parity.examples)}


def table_parity(
    connection: Connection,
    table: DerivedTable,
    batch: DayRows,
    day_us: tuple[int, int],
    evidence: DayEvidence,
    *,
    rows_at_once: int | None = None,
) -> tuple[ParityCounts, list[str]]:
    """Compare one table's rows of a day, some devices at a time; returns the figures and names of unexplained rows."""
    parts: list[ParityCounts] = []
    names: list[str] = []
    groups = groups_of_devices(connection, table, batch, day_us, rows_at_once)
    keys = day_keys(day_us, evidence, *groups)
    for device_ids in groups:
        parts.append(_parity_of_devices(connection, table, batch.of(device_ids), day_us, keys, device_ids, evidence))
        names += [f"{table.name}: {name}" for name in _names(keys, parts[-1])]
    counts = sum_of_counts(parts, EXAMPLES)
    return counts, names[:EXAMPLES]


def _parity_of_devices(
    connection: Connection,
    table: DerivedTable,
    rows: pa.Table,
    day_us: tuple[int, int],
    keys: DayKeys,
    device_ids: Sequence[str],
    evidence: DayEvidence,
) -> ParityCounts:
    now = stored_rows(connection, table, day_us, device_ids)
    said = streamed_rows(connection, table, day_us, device_ids)
    computed = keyed_from_lake(table, rows, keys)
    stored, streamed = keyed_from_sql(table, now, keys), keyed_from_sql(table, said, keys)
    known = evidence.about(keys, (computed, stored, streamed))
    if not evidence.stream_read:  # no stream has read this log: nothing it did not say is its fault
        known = replace(known, awaited=np.union1d(computed.keys, stored.keys))
    return count_parity(computed, streamed, stored, tuple(table.values), known)


def sum_of_counts(parts: Iterable[ParityCounts], examples: int) -> ParityCounts:
    """Add up figures; keep so many examples."""
    names = ("clean", "clean_equal", "dirty", "dirty_equal_after", "unexplained", "provisional", "awaited")
    every = list(parts)
    kept = tuple(key for part in every for key in part.examples)[:examples]
    return ParityCounts(**{name: sum(getattr(part, name) for part in every) for name in names}, examples=kept)


def _names(keys: DayKeys, counts: ParityCounts) -> list[str]:
    wrong = np.array(counts.examples, np.int64)
    instants = (from_us(us).isoformat() for us in keys.instants_us(wrong).tolist())
    return [f"{device_id} at {instant}" for device_id, instant in zip(keys.devices(wrong), instants, strict=True)]
