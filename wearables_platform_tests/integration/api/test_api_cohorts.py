"""Means over groups of people: equal to the truth, and nobody can be read out of them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from statistics import fmean
from typing import Any

import pytest

from wearables_platform_tests.api_world import Caller, World

pytestmark = [pytest.mark.sql, pytest.mark.redis, pytest.mark.integration]

START = datetime(2026, 3, 29, 10, tzinfo=UTC)


def shown(caller: Caller, path: str = "heart-rate", **asked: str) -> dict[str, int]:
    groups = caller.json(f"/v1/cohorts/{path}", **asked)["groups"]
    return {group["group"]: group["n_people"] for group in groups if not group["hidden"]}


def test_a_cohort_mean_is_the_mean_of_peoples_means_and_small_groups_are_hidden(caller: Caller, world: World) -> None:
    world.study("sleep")
    truth = []
    for n in range(5):  # 36 years old in 2026; person n sends n + 1 readings
        device_id = world.person(f"adult-{n}", "sleep", birth_year=1990)
        readings = [(START + timedelta(minutes=k), 60.0 + 10 * n + k) for k in range(n + 1)]
        world.heart_rates(device_id, readings)
        truth.append(fmean(bpm for _, bpm in readings))
    for n in range(8):  # 66 and 76 years old: one person too few in each group
        world.heart_rates(world.person(f"elder-{n}", "sleep", birth_year=1960 - n // 4 * 10), [(START, 91.0 + n)])
    response = caller.get("/v1/cohorts/heart-rate?by=age_group")
    groups = {group["age_group"]: group for group in response.json["groups"]}  # type: ignore[index]
    assert groups["30-39"]["heart_rate_mean_bpm"] == pytest.approx(fmean(truth), abs=1e-9)
    assert groups["30-39"]["n_people"] == 5
    low, high = (groups["30-39"][f"heart_rate_mean_{end}_bpm"] for end in ("low", "high"))
    assert min(truth) <= low < fmean(truth) < high <= max(truth)
    hidden = {"hidden": True, "n_people": None} | dict.fromkeys(
        ("heart_rate_mean_bpm", "heart_rate_mean_low_bpm", "heart_rate_mean_high_bpm")
    )
    assert groups["60-69"] == {"group": "60-69", "age_group": "60-69", **hidden}
    # An empty group looks the same as a small one: whether somebody is in it is not said.
    assert groups["40-49"] == {"group": "40-49", "age_group": "40-49", **hidden}
    assert list(groups) == ["18-29", "30-39", "40-49", "50-59", "60-69", "70+"]
    assert "92.5" not in response.text


def test_a_cohort_month_is_made_of_local_days(caller: Caller, world: World) -> None:
    world.study("sleep")
    new_year_in_tokyo = datetime(2026, 2, 28, 15, tzinfo=UTC)  # 2026-03-01 00:00 in Tokyo
    for n in range(5):
        device_id = world.person(f"tokyo-{n}", "sleep", zone="Asia/Tokyo")
        world.heart_rates(device_id, [(new_year_in_tokyo - timedelta(seconds=1), 50.0), (new_year_in_tokyo, 70.0 + n)])
    march = {group["age_group"]: group for group in caller.json("/v1/cohorts/heart-rate", month="2026-03")["groups"]}
    february = {g["age_group"]: g for g in caller.json("/v1/cohorts/heart-rate", month="2026-02")["groups"]}
    assert march["30-39"]["heart_rate_mean_bpm"] == 72.0
    assert february["30-39"]["heart_rate_mean_bpm"] == 50.0


def test_who_is_left_over_cannot_be_had_by_subtraction(caller: Caller, world: World) -> None:
    # All women, so that by sex the whole is shown; of the seventeen one is alone in her age group.
    world.study("sleep")
    for n in range(17):
        birth_year = 1950 if n == 0 else 1990 if n < 8 else 1980
        world.heart_rates(world.person(f"p-{n}", "sleep", birth_year=birth_year, sex="female"), [(START, 60.0 + n)])
    assert shown(caller, by="sex") == {"female": 17}
    assert shown(caller) == {"40-49": 9}  # without the seven of 30-39 hidden, 17 - 9 - 7 would be her


def test_people_are_grouped_by_the_model_that_measured(caller: Caller, world: World) -> None:
    world.study("sleep")
    for n in range(10):
        world.heart_rates(world.person(f"p-{n}", "sleep", model="old" if n < 5 else "new"), [(START, 60.0 + n)])
    groups = caller.json("/v1/cohorts/heart-rate", by="device_model")["groups"]
    assert [(group["group"], group["heart_rate_mean_bpm"]) for group in groups] == [("new", 67.0), ("old", 62.0)]
    assert all(group["age_group"] is None for group in groups)


def test_activity_is_the_mean_of_peoples_valid_final_days(caller: Caller, world: World) -> None:
    world.study("sleep")
    for n in range(5):
        world.person(f"p-{n}", "sleep", sex="male")
        world.activity(f"p-{n}", date(2026, 3, 1), mvpa_s=600 * (n + 1), steps=1000)
        world.activity(f"p-{n}", date(2026, 3, 2), mvpa_s=0, steps=3000)
        world.activity(f"p-{n}", date(2026, 3, 3), mvpa_s=6000, steps=9000, status="short")
        world.activity(f"p-{n}", date(2026, 3, 4), mvpa_s=6000, steps=9000, final=False)
    world.person("p-alone", "sleep", sex="female")

    def group(**asked: Any) -> Any:
        reply = caller.json("/v1/cohorts/activity", by="sex", month="2026-03", **asked)
        return reply["unit"], {one["group"]: one for one in reply["groups"]}["male"]

    unit, mvpa = group()
    assert (unit, mvpa["mean"], mvpa["n_people"]) == ("min/d", 15.0, 5)
    assert 5.0 <= mvpa["low"] < 15.0 < mvpa["high"] <= 25.0
    assert group(measure="steps")[1]["mean"] == 2000.0
    assert group(measure="steps") == group(measure="steps")  # the interval is drawn from a seed
    assert shown(caller, "activity", by="sex", month="2026-02") == {}
