"""Whose window it is, and on which of that person's days: the spans in which a device was worn, by local day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wearables_platform.clients.sql import SqlClient, load_queries

_queries: Final[Any] = load_queries(Path(__file__).parents[1] / "sql" / "models" / "insights.sql")

NOBODY: Final = -1


@dataclass(frozen=True)
class WornDay:
    """A device on a person from when (inclusive) to when (exclusive), within one local day of that person."""

    device_id: str
    participant_id: str
    local_day: date
    from_us: int
    to_us: int


def read_worn_days(sql: SqlClient, day: str) -> list[WornDay]:
    """Return the spans that touch a UTC day, by device and time; local days reach a day to either side of it."""
    middle = date.fromisoformat(day)
    span = {"first_day": middle - timedelta(days=1), "last_day": middle + timedelta(days=1)}
    with sql.transaction() as connection:
        return [WornDay(*row) for row in _queries.list_worn_days(connection, **span)]


def place_windows(
    device_id: NDArray[np.str_], start_us: NDArray[np.int64], worn: Sequence[WornDay]
) -> NDArray[np.int64]:
    """Return which of the spans each window begins in, `NOBODY` where none; spans of one device do not overlap."""
    place = np.full(len(start_us), NOBODY, dtype=np.int64)
    order = sorted(range(len(worn)), key=lambda number: (worn[number].device_id, worn[number].from_us))
    for device in np.unique(device_id):
        mine = np.array([number for number in order if worn[number].device_id == device], dtype=np.int64)
        rows = np.flatnonzero(device_id == device)
        if len(mine):
            begins = np.array([worn[number].from_us for number in mine])
            ends = np.array([worn[number].to_us for number in mine])
            at = np.searchsorted(begins, start_us[rows], side="right") - 1
            inside = (at >= 0) & (start_us[rows] < ends[at])
            place[rows[inside]] = mine[at[inside]]
    return place
