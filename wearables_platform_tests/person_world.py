"""People with clean readings in a real database, and the assets that serve them, run by Dagster; no other store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from wearables_platform.batch.cohort_baselines import write_cohort_baselines
from wearables_platform.batch.heart_rate_days import write_daily_heart_rate
from wearables_platform.batch.summaries import summarize_days
from wearables_platform.batch.weekly_trend import write_weekly_trend
from wearables_platform.checks import CHECKS
from wearables_platform.clients.sql import SqlClient
from wearables_platform.definitions import ASSETS
from wearables_platform.resources import RESOURCES, SqlResource

SERVING = ("daily_heart_rate", "daily_summary", "weekly_trend", "cohort_baselines")


@dataclass
class PersonWorld:
    """The database, what stands in it, and Dagster."""

    sql_url: str
    instance: dg.DagsterInstance

    def __post_init__(self) -> None:
        self.sql = SqlClient(self.sql_url, "tests")
        self.sql.execute("INSERT INTO registry.studies VALUES ('study', 'Study')")

    def enrol(self, who: str, zone: str, *, born: int = 1980, sex: str = "female", device: str | None = None) -> None:
        """Somebody who wears a device of their own for good; no device: none yet."""
        self.sql.execute(
            "INSERT INTO registry.participants VALUES (%s, 'study', %s, %s, %s, '2025-01-01')", (who, born, sex, zone)
        )
        if device is not None:
            self.wear(who, device, "2025-01-01T00:00Z", "infinity")

    def wear(self, who: str, device: str, valid_from: str, valid_to: str) -> None:
        self.sql.execute(
            "INSERT INTO registry.devices (device_id, device_model, registered_at) VALUES (%s, 'model-1', '2025-01-01')"
            " ON CONFLICT DO NOTHING",
            (device,),
        )
        self.sql.execute(
            "INSERT INTO registry.assignments VALUES (%s, %s, %s, %s)", (device, who, valid_from, valid_to)
        )

    def heart(self, device: str, first: str, last: str, every_s: int, bpm: str) -> None:
        """Readings at first, first + every_s .. before last; `bpm` is SQL over n, the reading's number from 0."""
        self.sql.execute(
            "INSERT INTO telemetry.heart_rate"
            f" SELECT %s, t, {bpm}, %s || ':' || n, 1, 'batch', 'test'"
            " FROM (SELECT t, row_number() OVER (ORDER BY t) - 1 AS n FROM generate_series("
            "%s::timestamptz, %s::timestamptz - interval '1 ms', make_interval(secs => %s)) AS t) s",
            (device, device, first, last, every_s),
        )

    def walk(self, device: str, first: str, last: str, count: str) -> None:
        """Steps by quarters of an hour; `count` is SQL over t, the quarter's begin."""
        self.sql.execute(
            f"INSERT INTO telemetry.steps SELECT %s, t, t + interval '15 minutes', {count}, 'm', 1, 'batch', 'test'"
            " FROM generate_series(%s::timestamptz, %s::timestamptz - interval '1 ms', interval '15 minutes') AS t",
            (device, first, last),
        )

    def build(self, first: str, last: str, selection: Any = SERVING, *, raise_on_error: bool = True) -> Any:
        """Materialize assets, with their checks, for a range of UTC days in one run."""
        tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        return dg.materialize(
            [*ASSETS, *CHECKS],
            selection=selection if isinstance(selection, dg.AssetSelection) else list(selection),
            resources={**RESOURCES, "sql": SqlResource(url=self.sql_url)},
            instance=self.instance,
            tags=tags,
            raise_on_error=raise_on_error,
        )

    def write(self, first: str, last: str, min_group_size: int = 5) -> list[int]:
        """What the assets do, in their order, without Dagster's account of it; returns how many rows each changed."""
        days, now = [first, last], datetime.now(UTC)
        return [
            write_daily_heart_rate(self.sql, days, now, "run").changed,
            summarize_days(self.sql, days, now).changed,
            write_weekly_trend(self.sql, days, now, "run").changed,
            write_cohort_baselines(self.sql, days, now, "run", min_group_size).changed,
        ]

    def days(self, who: str, columns: str = "*") -> list[dict[str, Any]]:
        query = f"SELECT {columns} FROM telemetry.daily_heart_rate WHERE participant_id = %s ORDER BY local_day"
        return self.sql.rows(query, (who,))

    def tables(self) -> list[list[dict[str, Any]]]:
        """Everything served, with revisions and runs."""
        names = ("daily_heart_rate", "daily_summary", "weekly_trend", "cohort_baselines")
        return [self.sql.rows(f"SELECT * FROM telemetry.{name} ORDER BY 1, 2, 3, 4, 5") for name in names]

    def close(self) -> None:
        self.sql.close()
