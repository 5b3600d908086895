"""Planted cases: each kind of event appears where it was planted, once, and nowhere else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from wearables_platform.signals.device_rules import DeviceRules, Findings, final_findings
from wearables_platform.signals.flags import QualityFlag
from wearables_platform.signals.minutes import Readings
from wearables_platform.signals.rule_kinds import RULE_KINDS
from wearables_platform.signals.silence import Silence
from wearables_platform.signals.windows import WindowRows
from wearables_platform_tests.rule_rows import START_US, readings, rows

HOUR = np.arange(3600)
MINUTE_US = 60_000_000


def events(found: Findings) -> list[tuple[str, float, float, float]]:
    """Return kind, start and end in minutes after the start, and value; sorted."""
    return sorted(
        (
            RULE_KINDS[event["kind"]].name,
            float(event["start_us"] - START_US) / MINUTE_US,
            float(event["end_us"] - START_US) / MINUTE_US,
            round(float(event["value"]), 3),
        )
        for event in found.events
    )


def judged(found_rows: WindowRows, heart: Readings | None = None) -> list[tuple[str, float, float, float]]:
    """Return the events of one device."""
    return events(final_findings(found_rows, heart or Readings.none(), 1))


def within(seconds: Any, first_minute: int, end_minute: int, inside: Any, outside: Any) -> Any:
    """Return one value inside a span of minutes and another outside."""
    return np.where((seconds >= 60 * first_minute) & (seconds < 60 * end_minute), inside, outside)


def test_a_quiet_hour_has_no_events() -> None:
    assert judged(rows(HOUR), readings(HOUR[::5], 64.0)) == []


def test_a_stuck_sensor_is_reported_from_its_first_to_its_last_minute() -> None:
    stuck = within(HOUR, 20, 25, int(QualityFlag.STUCK), 0)
    assert judged(rows(HOUR, flags=stuck)) == [("stuck_sensor", 20.0, 25.0, 60.0)]


def test_a_second_that_repeats_a_value_is_no_stuck_sensor() -> None:
    flags = np.where(HOUR % 7 == 0, int(QualityFlag.STUCK), 0)
    assert judged(rows(HOUR, flags=flags)) == []


@pytest.mark.parametrize(("count", "percent"), [(104, 4.0), (96, -4.0)])
def test_drift_of_the_rate_has_a_direction(count: int, percent: float) -> None:
    assert judged(rows(HOUR, n_samples=within(HOUR, 10, 14, count, 100))) == [("rate_drift", 10.0, 14.0, percent)]


def test_seconds_with_a_gap_say_nothing_of_the_rate() -> None:
    assert judged(rows(HOUR, n_samples=50, coverage=0.5, flags=int(QualityFlag.GAP))) == []


def test_an_implausible_heart_rate_is_reported_with_the_reading_furthest_out() -> None:
    at = np.arange(0, 3600, 5)
    bpm = np.where(at == 600, 2.2, np.where(at == 605, 25.0, np.where(at == 665, 250.0, 70.0)))
    assert judged(rows(HOUR), readings(at, bpm)) == [("implausible_heart_rate", 10.0, 12.0, 250.0)]


@pytest.mark.parametrize(
    ("at", "bpm", "minutes"),
    [
        (604, 104.0, [(10.0, 11.0, 70.0)]),  # up by 34, and down again: the furthest from 125 is what came after
        (604, 99.0, []),
        (609, 104.0, [(10.0, 11.0, 104.0)]),  # the way down is in the next message
    ],
)
def test_a_heart_rate_that_changes_by_over_30_in_a_second_is_implausible(at: int, bpm: float, minutes: Any) -> None:
    found = judged(rows(HOUR), readings(HOUR, np.where(at == HOUR, bpm, 70.0)))
    assert [event[1:] for event in found if event[0] == "implausible_heart_rate"] == minutes


def test_a_heart_rate_read_every_five_seconds_may_change() -> None:
    at = np.arange(0, 3600, 5)
    assert judged(rows(HOUR), readings(at, np.where(at // 5 % 2, 60.0, 95.0))) == []


def test_a_high_heart_rate_counts_only_after_ten_minutes_at_rest() -> None:
    bpm = within(HOUR, 20, 30, 112.0, 70.0)
    enmo = within(HOUR, 12, 15, 60.0, 8.0)  # movement until minute 15: rest is ten minutes old at minute 24
    assert ("high_heart_rate_at_rest", 24.0, 30.0, 112.0) in judged(rows(HOUR, enmo_mg=enmo), readings(HOUR, bpm))


def test_a_high_heart_rate_while_moving_is_none_at_rest() -> None:
    found = judged(rows(HOUR, enmo_mg=45.0), readings(HOUR, 140.0))
    assert found == []


def test_a_heart_rate_that_follows_the_steps_is_reported() -> None:
    steps = np.where(HOUR % 6 == 5, 1, 2)  # 110 a minute
    walking = rows(HOUR, steps=within(HOUR, 5, 12, steps, 0))
    assert judged(walking, readings(HOUR, 111.5)) == [("heart_rate_locked_to_cadence", 5.0, 12.0, 111.5)] + [
        ("high_heart_rate_at_rest", 9.0, 60.0, 111.5)
    ]


def test_one_minute_of_agreement_is_chance() -> None:
    steps = within(HOUR, 5, 6, 2, 0)
    assert judged(rows(HOUR, steps=steps), readings(HOUR, within(HOUR, 5, 6, 120.0, 75.0))) == []


def test_a_change_of_activity_after_the_warm_up_is_unusual() -> None:
    busy = {"enmo_mg": within(HOUR, 30, 40, 400.0, 8.0), "mad_mg": within(HOUR, 30, 40, 380.0, 9.0)}
    found = judged(rows(HOUR, **busy))
    assert [event[:3] for event in found] == [("unusual_enmo", 31.0, 44.0), ("unusual_mad", 30.0, 40.0)]


def test_nothing_is_unusual_in_the_warm_up() -> None:
    assert judged(rows(HOUR, enmo_mg=within(HOUR, 5, 12, 400.0, 8.0), mad_mg=within(HOUR, 5, 12, 300.0, 9.0))) == []


def test_what_lasts_longer_than_an_hour_is_reported_hour_by_hour() -> None:
    two = np.arange(7200)
    flags = within(two, 50, 70, int(QualityFlag.STUCK), 0)
    assert judged(rows(two, flags=flags)) == [("stuck_sensor", 50.0, 60.0, 60.0), ("stuck_sensor", 60.0, 70.0, 60.0)]


def test_minutes_without_data_end_an_event() -> None:
    seconds = np.concatenate((np.arange(1200, 1500), np.arange(1800, 2100)))
    found = judged(rows(seconds, flags=int(QualityFlag.STUCK)))
    assert found == [("stuck_sensor", 20.0, 25.0, 60.0), ("stuck_sensor", 30.0, 35.0, 60.0)]


def test_a_watch_on_a_table_is_not_worn_after_an_hour() -> None:
    seconds = np.arange(3 * 3600)
    table = {f"{axis}_std_g": within(seconds, 30, 150, 0.004, 0.05) for axis in "xyz"}
    found = final_findings(rows(seconds, **table), Readings.none(), 1)
    assert [row.tolist()[1:4] for row in found.wear] == [
        (START_US // 900_000_000 + n, state, 900) for n, state in enumerate([0, 0, 0, 1, 1, 2, 2, 2, 2, 2, 1, 1])
    ]
    assert [event[:3] for event in events(found)] == [("not_worn", 75.0, 120.0), ("not_worn", 120.0, 150.0)]


def test_a_still_watch_that_is_turned_once_is_worn() -> None:
    seconds = np.arange(2 * 3600)
    still = {f"{axis}_std_g": 0.004 for axis in "xyz"}
    turned = rows(
        seconds, **still, x_mean_g=within(seconds, 0, 70, 0.0, 0.7), z_mean_g=within(seconds, 0, 70, 1.0, 0.7)
    )
    found = final_findings(turned, Readings.none(), 1)
    assert found.wear["state"].tolist() == [0, 0, 0, 2, 1, 1, 1, 1]


def test_without_most_of_an_hour_wear_is_unknown() -> None:
    seconds = np.concatenate((np.arange(3000), np.arange(4000, 7200)))
    found = final_findings(rows(seconds), Readings.none(), 1)
    assert found.wear["state"].tolist() == [0, 0, 0, 0, 0, 0, 0, 1]  # the fourth quarter lacks most


def test_silence_is_what_the_log_waited_for_newer_data() -> None:
    silence = Silence()
    silence.grow(2)
    device, minute = np.array([0, 0, 1, 0, 0, 1], np.int32), np.array([1, 2, 2, 2, 9, 3]) * MINUTE_US
    log = np.array([1, 2, 2, 8, 10, 3]) * MINUTE_US  # the fourth message is old data, in the midst of the silence
    found = silence.step(device, minute, log)
    assert found[["device", "start_us", "end_us", "value"]].tolist() == [(0, 2 * MINUTE_US, 10 * MINUTE_US, 480.0)]
    assert silence.overdue(int(10.5 * MINUTE_US))[["device", "value", "open"]].tolist() == [(1, 450.0, True)]
    assert not len(silence.overdue(int(10.6 * MINUTE_US))), "it is said once"
    back = silence.step(np.array([1], np.int32), np.array([20 * MINUTE_US]), np.array([21 * MINUTE_US]))
    assert back[["device", "start_us", "value", "open"]].tolist() == [(1, 3 * MINUTE_US, 1080.0, False)]


def test_a_silence_is_at_most_half_a_day_long() -> None:
    silence = Silence()
    silence.grow(1)
    hour = np.array([0, 30]) * 3_600_000_000
    found = silence.step(np.zeros(2, np.int32), hour, np.array([0, 1]))  # the log did not wait, but a day is missing
    assert found["value"].tolist() == [43_200.0]
    assert silence.finish(13 * 3_600_000_000)["start_us"].tolist() == [30 * 3_600_000_000]


@pytest.mark.parametrize("with_heart", [True, False])
def test_memory_per_device_stays_small(with_heart: bool) -> None:
    rules, sizes = DeviceRules(), []
    rules.grow(1)
    for first in range(0, 5400, 90):
        seconds = np.arange(first, first + 90)
        heart = readings(seconds[seconds < first + 80], 70.0) if with_heart else Readings.none()
        rules.step(rows(seconds), heart)
        sizes.append(sum(column.nbytes for column in rules.columns().values()))
    assert max(sizes[40:]) <= 720, "an hour of data and no more"


def test_heart_rate_that_comes_after_its_minute_was_judged_is_named_late() -> None:
    rules = DeviceRules()
    rules.grow(1)
    assert not len(rules.step(rows(np.arange(600)), readings(np.arange(300), 70.0)).late)
    found = rules.step(rows(np.arange(600, 660)), readings(np.arange(300, 600), 70.0))
    assert found.late["span"].tolist() == [START_US // MINUTE_US + minute for minute in (5, 6)]


def test_a_minute_of_movement_that_heart_rate_leaves_behind_is_named_at_once() -> None:
    rules = DeviceRules()
    rules.grow(2)
    rules.step(rows(np.arange(330)), readings(np.arange(0, 330, 5), 70.0))  # ends in the midst of minute 5
    found = rules.step(rows(np.zeros(0)), readings(np.arange(330, 440, 5), 70.0))
    assert not len(found.late), "patience is not at its end"
    found = rules.step(rows(np.zeros(0)), readings(np.arange(440, 600, 5), 70.0))
    assert found.late.tolist() == [(0, START_US // MINUTE_US + 5, False)]
    assert not len(rules.step(rows(np.zeros(0)), readings(np.arange(600, 900, 5), 70.0)).late), "it is said once"


def test_what_a_device_remembers_is_found_again_row_by_row() -> None:
    rules = DeviceRules()
    rules.grow(3)
    for device in (0, 2):
        rules.step(rows(np.arange(5000), device), readings(np.arange(5000), 66.0, device))
    whole, some = rules.columns(), rules.rows_of(np.array([2, 0]))
    for array in ("heard", "quarters", "tens"):
        assert some[array].tolist() == whole[array][[2, 0]].tolist()
    for table in ("motion_waiting", "heart_waiting", "runs"):
        device = whole[f"{table}.device"]
        order = np.concatenate((np.flatnonzero(device == 2), np.flatnonzero(device == 0)))
        assert some[f"{table}.device"].tolist() == device[order].tolist()
        assert some[f"{table}.rows"].tobytes() == whole[f"{table}.rows"][order].tobytes()
    rules.mark_saved()
    rules.step(rows(np.arange(5000, 5001), 2), Readings.none())
    assert rules.changed().tolist() == [2]
