"""A participant's activity, hours, and what models make of them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from wearables_platform_tests.api_world import NOW, Caller, World

pytestmark = [pytest.mark.sql, pytest.mark.redis, pytest.mark.integration]

# 2026-03-29, 02:00 becomes 03:00 in Berlin.
SUNDAY = {"from": "2026-03-29", "to": "2026-03-29"}
MIDNIGHT = datetime(2026, 3, 28, 23, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def watch(world: World) -> str:
    world.study("sleep")
    return world.person("berliner", "sleep", zone="Europe/Berlin")


def test_a_day_of_activity_is_missing_not_worn_or_measured(caller: Caller, world: World, watch: str) -> None:
    world.activity("berliner", date(2026, 3, 28), mvpa_s=1800, steps=900)
    world.activity("berliner", date(2026, 3, 29), mvpa_s=60, steps=9, status="short", final=False)
    asked = {"from": "2026-03-27", "to": "2026-03-29"}
    items = caller.json("/v1/participants/berliner/activity/daily", **asked)["items"]
    assert [(item["status"], item["wear"], item["mvpa_s"], item["hours_in_day"]) for item in items] == [
        ("missing", None, None, 24.0),
        ("final", "valid", 1800, 24.0),
        ("provisional", "short", 60, 23.0),
    ]
    assert [(item["coverage"], item["cut_points"]) for item in items[:2]] == [(0.0, None), (0.5, "test")]


def test_hours_are_counted_from_local_midnight_and_there_are_23_when_the_clock_goes_forward(
    caller: Caller, world: World, watch: str
) -> None:
    world.steps(
        watch,
        [
            (MIDNIGHT - timedelta(minutes=1), timedelta(minutes=1), 7),  # the day before
            (MIDNIGHT, timedelta(minutes=30), 100),
            (MIDNIGHT + timedelta(minutes=50), timedelta(minutes=20), 10),  # runs into the next hour
            (MIDNIGHT + 22 * HOUR, timedelta(minutes=6), 0),
        ],
    )
    items = caller.json("/v1/participants/berliner/steps/hourly", **SUNDAY)["items"]
    assert len(items) == 23
    assert (items[0]["hour_start"], items[-1]["hour_end"]) == ("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z")
    measured = {n: (item["step_count"], item["coverage"]) for n, item in enumerate(items) if item["coverage"]}
    assert measured == {0: (110, pytest.approx(40 / 60)), 22: (0, pytest.approx(0.1))}
    assert {item["status"] for n, item in enumerate(items) if n not in measured} == {"missing"}


def test_an_hour_is_final_when_it_has_been_over_for_a_day(caller: Caller, world: World, watch: str) -> None:
    for ago in (24 * HOUR, 25 * HOUR):
        world.steps(watch, [(NOW - ago, timedelta(minutes=1), 1)])
    items = caller.json("/v1/participants/berliner/steps/hourly", **{"from": "2026-03-30", "to": "2026-03-31"})["items"]
    assert [item["status"] for item in items if item["step_count"]] == ["final", "provisional"]
    assert items[-1]["hour_start"] == "2026-03-31T12:00:00Z"  # later hours are not in the answer


def test_a_heart_rate_stands_for_the_time_to_the_next_within_its_hour(caller: Caller, world: World, watch: str) -> None:
    minutes = [0, 5, 10, 40, 58]  # 10 stands for five minutes as 5 does, 40 for none, 58 to the end of nothing
    world.heart_rates(watch, [(MIDNIGHT + timedelta(minutes=minute), 60.0 + minute) for minute in minutes])
    world.heart_rates(watch, [(MIDNIGHT + HOUR + timedelta(minutes=minute), 80.0) for minute in (50, 55)])
    items = caller.json("/v1/participants/berliner/heart-rate/hourly", **SUNDAY)["items"]
    first, second, third = items[:3]
    assert (first["readings"], first["mean_bpm"], first["min_bpm"], first["max_bpm"]) == (5, 82.6, 60.0, 118.0)
    assert first["coverage"] == pytest.approx(15 / 60)
    assert second["coverage"] == pytest.approx(10 / 60)
    assert (third["readings"], third["mean_bpm"], third["status"]) == (0, None, "missing")


def test_an_hour_in_which_a_device_changed_hands_is_nobodys(caller: Caller, world: World, watch: str) -> None:
    world.person("other", "sleep", zone="Europe/Berlin")
    for n in range(4):
        world.hour(watch, MIDNIGHT + n * HOUR, 100 + n)
    world.reassign(watch, "other", MIDNIGHT + 2 * HOUR + timedelta(minutes=30))
    found = {
        person: [item["steps"] for item in caller.json(f"/v1/participants/{person}/activity/hourly", **SUNDAY)["items"]]
        for person in ("berliner", "other")
    }
    assert found == {"berliner": [100, 101], "other": [103]}


def test_of_two_watches_worn_in_an_hour_the_one_given_last_counts(caller: Caller, world: World, watch: str) -> None:
    second = world.person("spare", "sleep")
    world.execute(
        "UPDATE registry.assignments SET participant_id = 'berliner', valid_from = %s WHERE device_id = %s",
        [(MIDNIGHT, second)],
    )
    for device_id, steps in ((watch, 100), (second, 90)):
        world.steps(device_id, [(MIDNIGHT, timedelta(minutes=10), steps)])
        world.heart_rates(device_id, [(MIDNIGHT, float(steps))])
    world.steps(watch, [(MIDNIGHT + HOUR, timedelta(minutes=10), 7)])
    steps = caller.json("/v1/participants/berliner/steps/hourly", **SUNDAY)["items"]
    assert [(item["step_count"], item["coverage"]) for item in steps[:2]] == [
        (90, pytest.approx(1 / 6)),
        (7, pytest.approx(1 / 6)),
    ]
    heart = caller.json("/v1/participants/berliner/heart-rate/hourly", **SUNDAY)["items"][0]
    assert (heart["readings"], heart["mean_bpm"]) == (1, 90.0)


def test_what_models_say_comes_in_pages_and_with_its_reasons(caller: Caller, world: World, watch: str) -> None:
    for n, activity in enumerate(("walking", "sitting", "walking")):
        world.segment("berliner", MIDNIGHT + 2 * HOUR + timedelta(minutes=n), activity)
    world.unusual("berliner", MIDNIGHT + 3 * HOUR)
    segments = caller.all_pages("/v1/participants/berliner/activities", limit=1, **SUNDAY)
    assert [(one["activity"], one["duration_s"]) for one in segments] == [
        ("walking", 60.0),
        ("sitting", 60.0),
        ("walking", 60.0),
    ]
    (period,) = caller.all_pages("/v1/participants/berliner/unusual-periods", **SUNDAY)
    assert (period["confidence"], period["model_version"]) == (0.99, "v1")
    assert [(one["feature"], one["robust_z"]) for one in period["because"]] == [("enmo_mg", 9.5), ("vm_std_g", -4.5)]
