"""Which days that are already built no longer say what the archive says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from wearables_platform.batch.messages import late_days
from wearables_platform.clients.lake import Lake
from wearables_platform.clients.mongo import DocumentStore
from wearables_platform.clients.sql import SqlClient, load_queries
from wearables_platform.domain.channels import ACCELERATION, CHANNELS
from wearables_platform.wire.raw_messages import raw_dataset

# Looks are a minute apart: a day that never comes to rest is rebuilt every ten minutes all the same.
PATIENCE: Final = 10

Waiting = dict[str, tuple[str, int]]

_queries: Any = load_queries(Path(__file__).parents[1] / "sql" / "repair")


def days_with_late_data(sql: SqlClient, archive: DocumentStore, lake: Lake, today: str) -> dict[str, str]:
    """Return the built days before `today` to rebuild, each with a mark that changes when there is more to rebuild.

    The day in progress grows all the time and is built on its own schedule.
    """
    built = {day for day in lake.partitions(raw_dataset(ACCELERATION)) if day < today}
    with sql.transaction() as connection:
        dirty = _queries.find_days_with_dirty_windows(connection)
        found = {day: f"{windows} dirty until {last}" for day, windows, last in dirty if day in built}
    for channel in CHANNELS:
        for day, messages in late_days(archive, lake, channel).items():
            if day < today:
                found[day] = f"{found.get(day, '')} {messages} {channel.name}".strip()
    return found


def settled_days(found: Mapping[str, str], waiting: Waiting) -> tuple[dict[str, str], Waiting]:
    """Return the days to rebuild now, and the state for the next look.

    A day waits while it still changes from one look to the next, so that a night of late messages is one rebuild and
    not a hundred; but never longer than `PATIENCE` looks.

    >>> now, waiting = settled_days({"2026-03-29": "5 late"}, {})
    >>> now, settled_days({"2026-03-29": "5 late"}, waiting)[0]
    ({}, {'2026-03-29': '5 late'})
    """
    now: dict[str, str] = {}
    later: Waiting = {}
    for day, mark in found.items():
        seen, looks = waiting.get(day, ("", 0))
        if seen == mark or looks >= PATIENCE:
            now[day] = mark
            later[day] = (mark, 0)
        else:
            later[day] = (mark, looks + 1)
    return now, later
