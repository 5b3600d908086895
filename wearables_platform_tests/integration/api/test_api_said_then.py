"""`as_of`: what was said then, of days, windows and events; the same in SQL; and said so where it is not known."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from wearables_platform.batch.activity.tables import DAYS_OF_PEOPLE, MadeBy, replace_rows
from wearables_platform.clients.sql import SqlClient
from wearables_platform_tests.api_world import Caller, World

pytestmark = [pytest.mark.sql, pytest.mark.redis, pytest.mark.integration]

DAY = date(2026, 3, 29)
BEGINS = datetime(2026, 3, 29, tzinfo=UTC)
HOUR = timedelta(hours=1)
# What whoever reads SQL asks, as the guide shows it; `{}` is the view.
IN_SQL = (
    "SELECT * FROM analytics.{} WHERE (written_at IS NULL OR written_at <= %(as_of)s)"
    " AND (superseded_at IS NULL OR superseded_at > %(as_of)s)"
)


@pytest.fixture
def watch(world: World) -> str:
    world.study("sleep")
    return world.person("ada", "sleep")


def in_sql(world: World, view: str, as_of: datetime) -> list[dict[str, Any]]:
    with psycopg.connect(world.sql_url, row_factory=dict_row) as connection:
        return connection.execute(IN_SQL.format(view), {"as_of": as_of}).fetchall()  # type: ignore[arg-type]


def corrections(world: World, table: str) -> list[datetime]:
    with psycopg.connect(world.sql_url) as connection:
        rows = connection.execute(f"SELECT superseded_at FROM telemetry.{table}_history ORDER BY 1")  # type: ignore[arg-type]
        return [at for (at,) in rows]


def day(caller: Caller, what: str, as_of: datetime | None = None) -> dict[str, Any]:
    asked = {"from": DAY.isoformat(), "to": DAY.isoformat()}
    reply = caller.json(
        f"/v1/participants/ada/{what}/daily", **asked, **({"as_of": as_of.isoformat()} if as_of else {})
    )
    assert reply["values"] == "as_of"
    found: dict[str, Any] = reply["items"][0]
    return found


def test_steps_and_heart_rate_of_a_day_are_those_that_were_said_then(caller: Caller, world: World, watch: str) -> None:
    world.day("ada", DAY, 10, zone="UTC", final=False, bpm=60)
    world.execute("UPDATE telemetry.daily_summary SET step_count = 20, heart_rate_mean_bpm = 70, final = true", [()])
    world.execute("UPDATE telemetry.daily_summary SET step_count = 30", [()])
    first, second = corrections(world, "daily_summary")
    said = datetime(2026, 3, 29, 12, tzinfo=UTC)  # when the world writes a day
    expected = {said: (10, 60), first - timedelta(microseconds=1): (10, 60), first: (20, 70), second: (30, 70)}
    for as_of, (steps, bpm) in expected.items():
        assert day(caller, "steps", as_of)["step_count"] == steps
        assert day(caller, "heart-rate", as_of)["mean_bpm"] == bpm
        (row,) = in_sql(world, "daily_summary_revisions_v1", as_of)
        assert (row["step_count"], row["heart_rate_mean_bpm"]) == (steps, bpm)
    assert day(caller, "steps")["step_count"] == 30
    assert datetime.fromisoformat(day(caller, "steps", first)["said_from"]) == first

    nothing = day(caller, "steps", said - timedelta(microseconds=1))
    assert (nothing["status"], nothing["step_count"], nothing["said_from"]) == ("missing", None, None)
    assert in_sql(world, "daily_summary_revisions_v1", said - timedelta(microseconds=1)) == []


def test_activity_of_a_day_is_what_batch_had_written_then(caller: Caller, world: World, watch: str) -> None:
    row = dict.fromkeys(DAYS_OF_PEOPLE.values) | {
        "participant_id": "ada", "local_day": DAY, "time_zone": "UTC", "begins": BEGINS, "ends": BEGINS + 24 * HOUR,
        "hours_in_day": 24.0, "device_ids": [watch], "status": "valid", "windows": 80_000, "coverage": 0.9,
        "worn_s": 70_000, "not_worn_s": 0, "wear_unknown_s": 0, "unclassified_s": 0, "mvpa_s": 600,
        "cut_points": "test", "definition_version": "1", "final": False,
    }  # fmt: skip
    client = SqlClient(world.sql_url, "tests")
    span, by = (BEGINS, BEGINS + 24 * HOUR), MadeBy("test", "run")
    replace_rows(client, DAYS_OF_PEOPLE, [row], span, by)
    replace_rows(client, DAYS_OF_PEOPLE, [{**row, "mvpa_s": 900, "final": True}], span, by)
    replace_rows(client, DAYS_OF_PEOPLE, [], span, by)
    replace_rows(client, DAYS_OF_PEOPLE, [{**row, "mvpa_s": 1_200}], span, by)
    client.close()
    changed, gone = corrections(world, "daily_activity")
    assert day(caller, "activity")["mvpa_s"] == 1_200
    for as_of, mvpa_s in ((changed - timedelta(microseconds=1), 600), (changed, 900)):
        assert day(caller, "activity", as_of)["mvpa_s"] == mvpa_s
        assert [said["mvpa_s"] for said in in_sql(world, "daily_activity_revisions_v1", as_of)] == [mvpa_s]
    assert day(caller, "activity", changed)["wear"] == "valid"
    assert datetime.fromisoformat(day(caller, "activity", changed)["said_from"]) == changed
    assert (day(caller, "activity", gone)["mvpa_s"], day(caller, "activity", gone)["status"]) == (None, "missing")


def test_a_day_that_was_always_there_is_said_without_since_when(caller: Caller, world: World, watch: str) -> None:
    world.activity("ada", DAY, mvpa_s=60, steps=5)
    world.execute("UPDATE telemetry.daily_activity SET written_at = NULL", [()])
    found = day(caller, "activity", BEGINS + HOUR)
    assert (found["mvpa_s"], found["said_from"]) == (60, None)


def supersede(world: World, table: str, at: datetime, change: str) -> None:
    """Correct every row as batch does: what was said goes to the history, a later revision takes its place."""
    moved = (
        "INSERT INTO telemetry.{0}_history ({1}, superseded_at, superseded_because)"
        " SELECT {1}, %s, 'recomputed' FROM telemetry.{0}"
    )
    query = (
        "SELECT string_agg(column_name, ', ') FROM information_schema.columns"
        " WHERE (table_schema, table_name) = ('telemetry', %s)"
    )
    with psycopg.connect(world.sql_url) as connection:
        (columns,) = connection.execute(query, (table,)).fetchone() or ("",)
        connection.execute(moved.format(table, columns), (at,))
        connection.execute(f"UPDATE telemetry.{table} SET {change}, revision = revision + 1")


def signals(caller: Caller, watch: str, what: str, as_of: datetime | None) -> list[dict[str, Any]]:
    asked = {"limit": 2, **({"as_of": as_of.isoformat()} if as_of else {})}
    return caller.all_pages(f"/v1/devices/{watch}/{what}", **asked)


def test_windows_and_events_are_those_that_were_said_then(caller: Caller, world: World, watch: str) -> None:
    world.windows(watch, BEGINS, 5)
    world.anomaly(watch, "spike", BEGINS, BEGINS)
    corrected, again = BEGINS + 5 * HOUR, BEGINS + 9 * HOUR
    for at, enmo_mg, peak_g in ((corrected, 77.0, 9.5), (again, 88.0, 9.75)):
        supersede(world, "window_features", at, f"enmo_mg = {enmo_mg}")
        supersede(world, "anomalies", at, f"peak_g = {peak_g}")
    now = (signals(caller, watch, "features", None), signals(caller, watch, "anomalies", None))
    assert {one["enmo_mg"] for one in now[0]} == {88.0}
    for as_of, enmo_mg, peak_g, since in (
        (corrected - timedelta(microseconds=1), None, None, None),
        (corrected, 77.0, 9.5, corrected),
        (again, 88.0, 9.75, again),
    ):
        windows, events = (signals(caller, watch, what, as_of) for what in ("features", "anomalies"))
        assert (len(windows), len(events)) == (5, 1)
        assert {_instant(one["said_from"]) for one in (*windows, *events)} == {since}
        if enmo_mg is not None:
            assert {one["enmo_mg"] for one in windows} == {enmo_mg}
            assert events[0]["peak_g"] == peak_g
        for view, items, number in (
            ("window_feature_revisions_v1", windows, "enmo_mg"),
            ("anomaly_revisions_v1", events, "peak_g"),
        ):
            assert [row[number] for row in in_sql(world, view, as_of)] == [one[number] for one in items]
    # What lies after the instant cannot have been said.
    assert len(signals(caller, watch, "features", BEGINS + timedelta(seconds=2))) == 3


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


@pytest.mark.parametrize("what", ["steps/hourly", "activity/hourly", "activities", "unusual-periods"])
def test_where_no_history_is_kept_the_answer_says_that_its_values_are_of_now(
    caller: Caller, watch: str, what: str
) -> None:
    assert caller.json(f"/v1/participants/ada/{what}", as_of="2026-03-30T00:00:00Z")["values"] == "now"
