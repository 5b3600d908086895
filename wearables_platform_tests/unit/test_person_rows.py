"""Weeks and groups without a database: which days a trend is of, and which groups may be shown."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wearables_platform.batch.cohort_baselines import Person, baselines, published
from wearables_platform.batch.measures import PersonDay
from wearables_platform.batch.weekly_trend import MIN_VALID_DAYS, TREND_DAYS, trends, weeks_touched
from wearables_platform.signals.bootstrap import bootstrap_interval

MONDAY = date(2026, 3, 23)
ZONES = {"p": ZoneInfo("Europe/Berlin")}
LATER = datetime(2026, 6, 1, tzinfo=UTC)


def days(first: date, values: list[float]) -> list[PersonDay]:
    return [PersonDay("p", first + timedelta(days=n), value) for n, value in enumerate(values)]


def test_a_trend_sees_28_days_to_the_weeks_end_and_no_more() -> None:
    begin = MONDAY - timedelta(days=21)
    inside = days(begin, [60.0 + n for n in range(28)])
    outside = [PersonDay("p", begin - timedelta(days=1), 500.0), PersonDay("p", MONDAY + timedelta(days=7), 5.0)]
    (row,) = trends("steps", [outside[0], *inside, outside[1]], [MONDAY], ZONES, LATER)
    _, week, _, _, n, of_week, _, missing, slope, *_, median, z, status, _ = row
    assert (week, n, of_week, missing, status) == (MONDAY, 28, 7, None, "final")
    assert (slope, median) == (pytest.approx(7.0), 84.0)
    assert z == pytest.approx((84 - 70) / (1.4826 * 5))


@pytest.mark.parametrize(("n", "reason"), [(MIN_VALID_DAYS - 1, "too_few_valid_days"), (MIN_VALID_DAYS, None)])
def test_below_the_minimum_there_is_a_reason_and_no_trend(n: int, reason: str | None) -> None:
    own = days(MONDAY + timedelta(days=7 - n), [61.0] * n)
    (row,) = trends("mean_heart_rate", own, [MONDAY], ZONES, LATER)
    assert row[7] == reason
    assert all((value is None) == (reason is not None) for value in row[8:13])


def test_a_week_is_final_when_its_sunday_has_been_over_for_a_day_where_the_person_is() -> None:
    # The 29th, with 23 hours in Berlin, ends at 22:00 UTC.
    ends = datetime(2026, 3, 29, 22, tzinfo=UTC) + timedelta(hours=24)
    for as_of, expected in ((ends - timedelta(seconds=1), "provisional"), (ends, "final")):
        (row,) = trends("steps", days(MONDAY, [1.0]), [MONDAY], ZONES, as_of)
        assert row[-2] == expected


def test_a_week_without_a_day_of_its_own_has_no_row() -> None:
    assert list(trends("steps", days(MONDAY - timedelta(days=7), [1.0] * 7), [MONDAY], ZONES, LATER)) == []


@given(st.dates(date(2020, 1, 1), date(2030, 1, 1)), st.integers(0, 60))
def test_the_weeks_touched_are_those_whose_28_days_meet_the_days(first: date, length: int) -> None:
    last = first + timedelta(days=length)
    touched = set(weeks_touched(first, last))
    monday = first - timedelta(days=first.weekday() + 70)
    for week in (monday + timedelta(days=7 * n) for n in range(40)):
        meets = week + timedelta(days=6) >= first and week + timedelta(days=7 - TREND_DAYS) <= last
        assert (week in touched) == meets


@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=2), st.integers(1, 12)), st.integers(0, 6))
def test_what_is_shown_tells_of_nobody_left_out(sizes: dict[str, int], without_member: int) -> None:
    smallest, people = 5, sum(sizes.values()) + without_member
    shown = published(sizes, people, smallest)
    left_out = people - sum(sizes[member] for member in shown)
    assert all(sizes[member] >= smallest for member in shown)
    assert not shown or left_out == 0 or left_out >= smallest


def person(number: int, sex: str, mean: float) -> Person:
    members = {"age_band": None, "sex": sex, "device_model": "m"}
    return Person(f"p-{number}", "s", members, 20, mean)


def test_groups_are_means_of_persons_and_an_unknown_age_is_no_group() -> None:
    means = [60.0, 62.0, 64.0, 70.0, 74.0, 80.0]
    people = [person(n, "female" if n < 5 else "male", mean) for n, mean in enumerate(means)]
    rows = {row[2:4]: row for row in baselines("steps", date(2026, 3, 1), people, 5)}
    assert set(rows) == {("study", "s"), ("sex", "female"), ("sex", "male"), ("device_model", "m")}
    study = rows["study", "s"]
    assert (study[6], study[7], study[8]) == (6, 120, pytest.approx(np.mean(means)))
    assert study[11:16] == pytest.approx(tuple(np.percentile(means, (5, 25, 50, 75, 95))))
    assert [rows["sex", sex][-1] for sex in ("female", "male")] == [True, True]
    assert not study[-1]


def test_the_bootstrap_is_the_same_again_and_near_the_normal_interval() -> None:
    values = np.random.default_rng(5).normal(70, 8, 400)
    low, high = bootstrap_interval(values, ("2026-03", "s"))
    assert (low, high) == bootstrap_interval(values, ("2026-03", "s"))
    assert (low, high) != bootstrap_interval(values, ("2026-04", "s"))
    half = 1.96 * values.std() / 20
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.15)
