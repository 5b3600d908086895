"""What the API answers, over rows whose truth is known."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from wearables_platform.clients.redis import LatestWriter
from wearables_platform.domain.time_policy import to_us
from wearables_platform_tests.api_world import NOW, Caller, World
from wearables_platform_tests.latest_updates import LatestUpdate, write_updates

pytestmark = [pytest.mark.sql, pytest.mark.redis, pytest.mark.integration]

START = datetime(2026, 3, 29, 10, tzinfo=UTC)


@pytest.fixture
def berliner(world: World) -> str:
    world.study("sleep")
    world.person("berliner", "sleep", zone="Europe/Berlin")
    return "berliner"


def test_a_day_has_23_hours_when_the_clock_goes_forward_and_25_when_it_goes_back(
    caller: Caller, world: World, berliner: str
) -> None:
    # 2026-03-29: 02:00 becomes 03:00.  2026-10-25: 03:00 becomes 02:00.
    for day in (date(2026, 3, 28), date(2026, 3, 29), date(2026, 3, 30)):
        world.day(berliner, day, 1000 + day.day, zone="Europe/Berlin")
    reply = caller.json(f"/v1/participants/{berliner}/steps/daily", **{"from": "2026-03-28", "to": "2026-03-30"})
    assert [(item["local_day"], item["hours_in_day"], item["step_count"]) for item in reply["items"]] == [
        ("2026-03-28", 24.0, 1028),
        ("2026-03-29", 23.0, 1029),
        ("2026-03-30", 24.0, 1030),
    ]
    assert reply["items"][1]["day_start"] == "2026-03-28T23:00:00Z"
    assert reply["items"][1]["day_end"] == "2026-03-29T22:00:00Z"
    autumn = caller.json(
        f"/v1/participants/{berliner}/steps/daily",
        **{"from": "2026-10-25", "to": "2026-10-25", "as_of": "2026-11-01T00:00:00Z"},
    )
    assert [item["hours_in_day"] for item in autumn["items"]] == [25.0]


def test_the_past_month_is_thirty_local_days_up_to_the_day_of_as_of(caller: Caller, berliner: str) -> None:
    # 23:30 UTC is already the next day in Berlin.
    reply = caller.json(f"/v1/participants/{berliner}/steps/daily", as_of="2026-03-30T23:30:00Z")
    days = [item["local_day"] for item in reply["items"]]
    assert days == [(date(2026, 3, 2) + timedelta(days=n)).isoformat() for n in range(30)]
    assert days[-1] == "2026-03-31"


def test_a_day_is_missing_provisional_or_final(caller: Caller, world: World, berliner: str) -> None:
    world.day(berliner, date(2026, 3, 28), None, zone="Europe/Berlin")
    world.day(berliner, date(2026, 3, 29), 10, zone="Europe/Berlin", final=False)
    world.day(berliner, date(2026, 3, 30), 0, zone="Europe/Berlin")
    world.day(berliner, date(2026, 3, 31), 30, zone="Europe/Berlin")  # not over at NOW, whatever the row says
    reply = caller.json(f"/v1/participants/{berliner}/steps/daily", **{"from": "2026-03-27"})
    assert [(item["status"], item["step_count"]) for item in reply["items"]] == [
        ("missing", None),
        ("missing", None),
        ("provisional", 10),
        ("final", 0),
        ("provisional", 30),
    ]


def test_days_after_as_of_are_not_in_the_answer(caller: Caller, world: World, berliner: str) -> None:
    world.day(berliner, date(2026, 3, 31), 30, zone="Europe/Berlin")
    asked = {"from": "2026-03-29", "to": "2026-04-05", "as_of": "2026-03-30T12:00:00Z"}
    reply = caller.json(f"/v1/participants/{berliner}/steps/daily", **asked)
    assert [item["local_day"] for item in reply["items"]] == ["2026-03-29", "2026-03-30"]


def test_daily_heart_rate_comes_from_the_same_days(caller: Caller, world: World, berliner: str) -> None:
    world.day(berliner, date(2026, 3, 29), None, zone="Europe/Berlin", bpm=61.25)
    asked = {"from": "2026-03-29", "to": "2026-03-30"}
    measured, missing = caller.json(f"/v1/participants/{berliner}/heart-rate/daily", **asked)["items"]
    assert (measured["mean_bpm"], measured["min_bpm"], measured["resting_bpm"], measured["readings"]) == (
        61.25,
        50,
        52,
        12,
    )
    assert (measured["hours_in_day"], measured["status"]) == (23.0, "final")
    assert (missing["mean_bpm"], missing["readings"], missing["status"]) == (None, 0, "missing")


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 7, 1000])
def test_pages_of_events_are_complete_and_without_repeats_under_ties(caller: Caller, world: World, limit: int) -> None:
    world.study("sleep")
    device_id = world.person("tied", "sleep")
    planted = [
        (kind, START + timedelta(seconds=window), START + timedelta(seconds=window, microseconds=started))
        for window in (0, 1)
        for kind in ("flat", "spike")
        for started in (0, 1, 250_001)
    ]
    for kind, window_start, started_at in planted:
        world.anomaly(device_id, kind, window_start, started_at)
    items = caller.all_pages(f"/v1/devices/{device_id}/anomalies", limit=limit)
    found = [
        (item["kind"], *(datetime.fromisoformat(item[name]) for name in ("window_start", "started_at")))
        for item in items
    ]
    assert sorted(found) == sorted(planted)
    assert [key[1] for key in found] == sorted(key[1] for key in found)


def test_events_of_one_kind_and_time_range_are_the_only_ones(caller: Caller, world: World) -> None:
    world.study("sleep")
    device_id = world.person("mixed", "sleep")
    for second in range(4):
        world.anomaly(device_id, "spike", START + timedelta(seconds=second), START + timedelta(seconds=second))
        world.anomaly(device_id, "flat", START + timedelta(seconds=second), START + timedelta(seconds=second))
    asked = {
        "kind": "spike",
        "from": (START + timedelta(seconds=1)).isoformat(),
        "to": (START + timedelta(seconds=3)).isoformat(),
    }
    items = caller.all_pages(f"/v1/devices/{device_id}/anomalies", limit=1, **asked)
    assert [(item["kind"], item["window_start"]) for item in items] == [
        ("spike", "2026-03-29T10:00:01Z"),
        ("spike", "2026-03-29T10:00:02Z"),
    ]


def test_pages_of_features_are_the_whole_range_and_the_end_is_exclusive(caller: Caller, world: World) -> None:
    world.study("sleep")
    device_id = world.person("walker", "sleep")
    world.windows(device_id, START, 10)
    asked = {"from": START.isoformat(), "to": (START + timedelta(seconds=9)).isoformat()}
    items = caller.all_pages(f"/v1/devices/{device_id}/features", limit=4, **asked)
    assert [item["enmo_mg"] for item in items] == [float(second) for second in range(9)]
    assert items[0]["rate_hz"] == 100.0  # every column of the view is there


def test_a_cursor_is_refused_where_it_was_not_given_out(caller: Caller, world: World) -> None:
    world.study("sleep")
    device_id, other = world.person("one", "sleep"), world.person("two", "sleep")
    world.windows(device_id, START, 3)
    cursor = caller.json(f"/v1/devices/{device_id}/features", limit=1)["next_cursor"]
    for path in (f"/v1/devices/{other}/features", f"/v1/devices/{device_id}/anomalies", "/v1/devices"):
        problem = caller.problem(path, 400, cursor=cursor)
        assert [parameter["name"] for parameter in problem["parameters"]] == ["cursor"]
    for forged in ("", "AAAA", "bm90IGpzb24", cursor[:-4], "WyJ4IiwgIlx1MDAwMCJd"):
        problem = caller.problem(f"/v1/devices/{device_id}/features", 400, cursor=forged)
        assert [parameter["name"] for parameter in problem["parameters"]] == ["cursor"]


def _motion(device_id: str, time_us: int, append_us: int) -> LatestUpdate:
    fields = {
        "time_us": time_us, "append_us": append_us, "sequence": 7, "boot_id": "00000000000000ff",
        "x_g": 0.0, "y_g": 0.6, "z_g": 0.8, "vm_g": 1.0, "rate_hz": 100.0,
    }  # fmt: skip
    return LatestUpdate(device_id, "motion", time_us, 7, fields, [(time_us, 1.0)])


def test_latest_values_say_whether_they_are_of_now(caller: Caller, world: World, live: LatestWriter) -> None:
    world.study("sleep")
    now_us = to_us(NOW)
    ages_s = {"fresh": (1, 1), "uploads": (7200, 1), "gone": (7200, 3600)}
    for person, (event_s, append_s) in ages_s.items():
        device_id = world.person(person, "sleep")
        write_updates(live, [_motion(device_id, now_us - event_s * 1_000_000, now_us - append_s * 1_000_000)])
    world.person("unseen", "sleep")
    found = {name: caller.json(f"/v1/devices/{name}-watch/latest") for name in (*ages_s, "unseen")}
    assert {name: (reply["freshness"], reply["stale"]) for name, reply in found.items()} == {
        "fresh": ("live", False),
        "uploads": ("late", True),
        "gone": ("silent", True),
        "unseen": ("silent", True),
    }
    assert found["fresh"]["motion_time"] == "2026-03-31T11:59:59Z"
    assert (found["fresh"]["vm_g"], found["fresh"]["age_s"], found["fresh"]["boot_id"]) == (
        1.0,
        1.0,
        "00000000000000ff",
    )
    assert found["unseen"]["event_time"] is None
    # A recording replayed today is of now for whoever asks as of then.
    then = (NOW - timedelta(seconds=7199)).isoformat()
    assert caller.json("/v1/devices/uploads-watch/latest", as_of=then)["age_s"] == 1.0


def test_readings_without_motion_are_live_while_they_come(caller: Caller, world: World, live: LatestWriter) -> None:
    world.study("sleep")
    device_id = world.person("heart", "sleep")
    time_us = to_us(NOW) - 2_000_000
    write_updates(live, [LatestUpdate(device_id, "heart_rate", time_us, 1, {"hr_bpm": 61.5, "hr_time_us": time_us})])
    reply = caller.json(f"/v1/devices/{device_id}/latest")
    assert (reply["freshness"], reply["heart_rate_bpm"], reply["vm_g"]) == ("live", 61.5, None)
    assert reply["event_time"] == "2026-03-31T11:59:58Z"


def test_recent_events_are_newest_first(caller: Caller, live: LatestWriter) -> None:
    for n in range(3):
        event = {
            "device_id": f"d{n}",
            "kind": "spike",
            "start_us": to_us(START) + n,
            "peak_g": 8.0 + n,
            "severity": "warning",
        }
        live.add_anomalies({f"d{n}:spike": event})
    items = caller.json("/v1/anomalies/recent", limit=2)["items"]
    assert [(item["device_id"], item["peak_g"]) for item in items] == [("d2", 10.0), ("d1", 9.0)]


def test_the_published_version_that_takes_effect_last_before_as_of_is_in_force(caller: Caller, world: World) -> None:
    world.execute(
        "INSERT INTO ml.model_versions VALUES ('motion', %s, %s, repeat('a', 64), 'models/x', '1', '0.1', %s, %s,"
        " '2026-03-01..2026-03-28', '{a,b,c}', '{\"auc\": 0.9}', NULL, 'sig')",
        [
            ("1", "retired", START, START),
            ("2", "retired", START + timedelta(hours=1), START + timedelta(hours=1)),
            ("3", "candidate", START + timedelta(hours=2), None),
            ("4", "in_force", START + timedelta(hours=3), NOW + timedelta(hours=1)),
        ],
    )
    reply = caller.json("/v1/models")
    assert [(item["version"], item["in_force"]) for item in reply["items"]] == [
        ("4", False), ("3", False), ("2", True), ("1", False),
    ]  # fmt: skip
    assert reply["items"][0]["training_people"] == 3  # how many, never who
    earlier = caller.json("/v1/models", as_of=(START + timedelta(minutes=1)).isoformat())
    assert [item["version"] for item in earlier["items"] if item["in_force"]] == ["1"]


def test_stage_counts_add_up_the_positions_of_the_ledger(caller: Caller, world: World) -> None:
    world.execute(
        "INSERT INTO quality.ledger VALUES ('archive', 'wearables.vitals.v1', %s, %s, %s::int8multirange)",
        [(0, "stored", "{[0,5),[7,10)}"), (1, "stored", "{[0,2)}"), (0, "duplicate", "{[5,7)}")],
    )
    assert caller.json("/v1/stages")["items"] == [
        {"consumer": "archive", "topic": "wearables.vitals.v1", "outcome": "duplicate", "messages": 2},
        {"consumer": "archive", "topic": "wearables.vitals.v1", "outcome": "stored", "messages": 10},
    ]
