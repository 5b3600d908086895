"""What the time series in SQL need each night: partitions ahead, and the end of what is past its retention."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from wearables_platform.clients.sql import SqlClient

# A night or two may be missed and no row falls into a default partition; more would only be empty tables.
AHEAD: Final = timedelta(days=35)
# Aggregates are no longer made anew of days that may be dropped before the next night.
REFRESH_MARGIN: Final = timedelta(days=2)


@dataclass(frozen=True)
class Tended:
    """How many partitions were made, and how many chunks or partitions dropped."""

    made: int
    dropped: int


def tend(client: SqlClient, now: datetime, keep_features_days: int | None) -> Tended:
    """Make partitions for the coming weeks, and drop features that are past their retention.

    Safe to run again at any time. On TimescaleDB the aggregates are brought up to date before rows go, and what is to
    go is not made anew afterwards.
    """
    (made,) = client.rows("SELECT platform.ensure_all_partitions(%s, %s) AS n", (now.date(), (now + AHEAD).date()))
    _limit_refresh(client, keep_features_days)
    if keep_features_days is None:
        return Tended(made["n"], 0)
    before = now - timedelta(days=keep_features_days)
    refresh_features(client, before + REFRESH_MARGIN)
    _give_strays_their_month(client, before)
    (dropped,) = client.rows("SELECT platform.drop_features_before(%s) AS n", (before,))
    return Tended(made["n"], dropped["n"])


def refresh_features(client: SqlClient, before: datetime) -> None:
    """On TimescaleDB, bring minutes, hours and days of features up to date where rows have changed; else nothing."""
    (kind,) = client.rows(
        "SELECT platform.has_timescale() AS timescale,"
        " CASE WHEN isfinite(until_time) THEN until_time END AS dropped_until FROM telemetry.features_kept_until"
    )
    if not kind["timescale"]:
        return
    for level in ("minute", "hour", "day"):
        statement = f"CALL refresh_continuous_aggregate('telemetry.features_{level}', %s::timestamptz, %s::timestamptz)"
        client.call(statement, (kind["dropped_until"], before))


def _give_strays_their_month(client: SqlClient, before: datetime) -> None:
    """On plain PostgreSQL, make the partitions of rows that came before theirs were there: only these are dropped."""
    for series in ("telemetry.window_features", "telemetry.rolling_features"):
        if client.rows("SELECT to_regclass(%s) IS NULL AS missing", (f"{series}_default",))[0]["missing"]:
            continue  # TimescaleDB
        months = client.rows(
            f"SELECT DISTINCT date_trunc('month', window_start AT TIME ZONE 'UTC')::date AS month FROM {series}_default"
            " WHERE window_start < %s",
            (before,),
        )
        for month in months:
            client.rows("SELECT platform.ensure_partitions(%s, %s, %s)", (series, month["month"], month["month"]))


def _limit_refresh(client: SqlClient, keep_features_days: int | None) -> None:
    age = None if keep_features_days is None else timedelta(days=keep_features_days) - REFRESH_MARGIN
    client.rows("SELECT platform.refresh_features_within(%s)", (age,))
