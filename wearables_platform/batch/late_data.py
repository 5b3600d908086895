"""Which days that are already built no longer say what the archive says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wearables_platform.batch.messages import late_days
from wearables_platform.clients.lake import Lake
from wearables_platform.clients.mongo import DocumentStore
from wearables_platform.clients.sql import SqlClient, load_queries
from wearables_platform.domain.channels import ACCELERATION, CHANNELS
from wearables_platform.wire.raw_messages import raw_dataset

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
