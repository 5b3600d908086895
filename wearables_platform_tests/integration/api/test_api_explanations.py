"""What a daily number rests on, and what was said of it before it was corrected."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import psycopg
import pytest

from wearables_platform_tests.api_world import Caller, World

pytestmark = [pytest.mark.sql, pytest.mark.redis, pytest.mark.integration]

DAY = date(2026, 3, 29)
NOON = datetime(2026, 3, 29, 12, tzinfo=UTC)


@pytest.fixture
def watch(world: World) -> str:
    world.study("sleep")
    return world.person("berliner", "sleep", zone="Europe/Berlin")


def explained(caller: Caller, number: str = "steps", **asked: str) -> Any:
    return caller.json("/v1/participants/berliner/explain", day=DAY.isoformat(), number=number, **asked)


def test_a_number_names_its_readings_and_what_was_excluded_by_which_rule(
    caller: Caller, world: World, watch: str
) -> None:
    world.day("berliner", DAY, 30, zone="Europe/Berlin")
    world.heart_rates(watch, [(NOON, 60.0), (NOON + timedelta(hours=9, minutes=59), 62.0)])
    world.heart_rates(watch, [(NOON + timedelta(hours=10), 99.0)])  # 00:00 of the next day in Berlin
    world.execute(
        "INSERT INTO quality.rejected_readings VALUES ('heart_rate', %s, 0, %s, %s, %s, 'above_range')",
        [("m1", watch, NOON, 300.0), ("m2", watch, NOON, 290.0), ("m3", watch, NOON - timedelta(days=2), 310.0)],
    )
    answer = explained(caller, "heart_rate")
    (contribution,) = answer["contributions"]
    assert (contribution["device_id"], contribution["cleaned_by"], contribution["readings"]) == (watch, "test", 2)
    assert (contribution["first_time"], contribution["last_time"]) == ("2026-03-29T12:00:00Z", "2026-03-29T21:59:00Z")
    assert answer["exclusions"] == [
        {"device_id": watch, "rule": "above_range", "readings": 2, "least": 290.0, "greatest": 300.0}
    ]
    assert explained(caller, "steps")["contributions"] == explained(caller, "steps")["exclusions"] == []


def test_what_was_said_then_is_kept_when_a_day_is_corrected_and_when_it_goes(
    caller: Caller, world: World, watch: str
) -> None:
    world.day("berliner", DAY, 10, zone="Europe/Berlin", final=False)
    correct = "UPDATE telemetry.daily_summary SET step_count = %s, final = true, revision = revision + 1"
    world.execute(correct, [(20,)])
    world.execute("DELETE FROM telemetry.daily_summary WHERE local_day = %s", [(DAY,)])
    with psycopg.connect(world.sql_url) as connection:
        query = "SELECT written_at, superseded_at FROM telemetry.daily_summary_history ORDER BY revision"
        (first_from, first_until), (second_from, second_until) = connection.execute(query).fetchall()
    assert first_until == second_from

    def said(at: datetime) -> Any:
        answer = explained(caller, as_of=at.isoformat())
        then = answer["said_then"] or {}
        return (then.get("value"), then.get("final"), then.get("revision")), len(answer["revisions"])

    assert said(first_from - timedelta(seconds=1)) == ((None, None, None), 0)
    assert said(first_from) == ((10.0, False, 1), 1)
    assert said(second_from) == ((20.0, True, 2), 2)
    after = explained(caller, as_of=second_until.isoformat())
    assert after["said_then"] is None
    assert [one["superseded_because"] for one in after["revisions"]] == ["no data left", "recomputed"]


def test_a_row_whose_age_is_not_known_was_always_said(caller: Caller, world: World, watch: str) -> None:
    world.day("berliner", DAY, 10, zone="Europe/Berlin")
    world.execute("ALTER TABLE telemetry.daily_summary DISABLE TRIGGER keep_superseded", [()])
    world.execute("UPDATE telemetry.daily_summary SET written_at = %s", [(None,)])
    world.execute("ALTER TABLE telemetry.daily_summary ENABLE TRIGGER keep_superseded", [()])
    answer = explained(caller, as_of="2026-03-30T00:00:00Z")
    assert (answer["said_then"]["value"], answer["said_then"]["said_from"], answer["coverage"]) == (10.0, None, 0.5)


def wear(world: World, watch: str, quarters: dict[datetime, str]) -> None:
    world.execute(
        "INSERT INTO telemetry.wear (device_id, window_start, state, seconds, still_axes, sd_mg, feature_version,"
        " provisional, revision, origin) VALUES (%s, %s, %s, 900, 0, 5, '2', false, 2, 'stream')",
        [(watch, start, state) for start, state in quarters.items()],
    )


def test_activity_names_its_seconds_per_device_and_what_was_excluded_by_which_rule(
    caller: Caller, world: World, watch: str
) -> None:
    world.activity("berliner", DAY, mvpa_s=600, steps=900)
    quarter = timedelta(minutes=15)
    world.windows(watch, NOON, 20)  # worn
    world.windows(watch, NOON + quarter, 30)  # not worn
    world.windows(watch, NOON + 2 * quarter, 5)  # nobody knows
    world.windows(watch, NOON + timedelta(hours=10), 7)  # the next day in Berlin
    wear(world, watch, {NOON: "worn", NOON + quarter: "not_worn"})
    few = "UPDATE telemetry.window_features SET {} WHERE window_start >= %s AND window_start < %s"
    world.execute(few.format("coverage = 0.25"), [(NOON, NOON + timedelta(seconds=3))])
    world.execute(few.format("enmo_mg = NULL"), [(NOON + timedelta(seconds=3), NOON + timedelta(seconds=4))])
    second = "newer-watch"
    world.execute("INSERT INTO registry.devices (device_id, registered_at) VALUES (%s, %s)", [(second, NOON)])
    world.execute("INSERT INTO registry.assignments VALUES (%s, 'berliner', %s)", [(second, NOON + timedelta(hours=2))])
    world.windows(watch, NOON + timedelta(hours=3), 11)
    world.windows(second, NOON + timedelta(hours=3), 13)  # given last: it counts for the hour
    answer = explained(caller, "activity")
    assert (answer["unit"], answer["coverage"], answer["contributions"]) == ("s", 0.5, [])
    assert answer["definition"]["cut_points"] == "test"
    windows = {one["device_id"]: one for one in answer["windows"]}
    assert {name: (one["windows"], one["used"]) for name, one in windows.items()} == {
        watch: (66, 20 - 4 + 5),
        second: (13, 13),
    }
    assert (windows[watch]["worn"], windows[watch]["wear_unknown"]) == (20, 5)
    assert {(one["device_id"], one["rule"]): one["readings"] for one in answer["exclusions"]} == {
        (watch, "not_worn"): 30,
        (watch, "too_few_samples"): 3,
        (watch, "no_enmo"): 1,
        (watch, "another_device"): 11,
    }
    said = answer["said_then"]
    assert (said["value"], said["activity"]["steps"], said["activity"]["cut_points"]) == (600.0, 900, "test")


def test_activity_that_was_corrected_is_explained_as_it_was_said(caller: Caller, world: World, watch: str) -> None:
    world.activity("berliner", DAY, mvpa_s=600, steps=900)
    before = explained(caller, "activity", as_of="2026-03-29T11:59:59Z")
    assert (before["said_then"], before["revisions"]) == (None, [])
    said = explained(caller, "activity", as_of="2026-03-29T12:00:00Z")["said_then"]
    assert (said["value"], said["said_from"], said["activity"]["wear"]) == (600.0, "2026-03-29T12:00:00Z", "valid")
