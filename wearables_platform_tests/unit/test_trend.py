"""Trends against a worked example, scipy, and what must hold of any series."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from wearables_platform.signals.trend import mann_kendall, robust_z, theil_sen

# J. Little, College of the Holy Cross, "A Mann-Kendall Example (By Hand)": one pair of equal values.
BY_HAND = np.array([12.9, 14.8, 13.2, 15.7, 13.8, 15.6, 12.9, 11.0, 17.3, 15.9, 19.0, 18.3, 20.1, 21.7])
series = st.lists(st.integers(-50, 50).map(float), min_size=3, max_size=28).map(np.array)


def test_mann_kendall_is_that_of_the_worked_example() -> None:
    found = mann_kendall(BY_HAND)
    assert found.score == 54
    assert found.z == pytest.approx(2.9058, abs=5e-4)
    assert found.p / 2 == pytest.approx(0.0018, abs=5e-5)


@given(series)
def test_tau_is_scipys(values: np.ndarray) -> None:
    expected = stats.kendalltau(np.arange(len(values)), values, method="asymptotic").statistic
    assert mann_kendall(values).tau == pytest.approx(0.0 if np.isnan(expected) else expected, abs=1e-12)


@pytest.mark.parametrize("values", [(1, 2, 3, 4, 5, 6), (1, 2, 2, 3, 9, 9), (4, 4, 4, 5, 7, 6)])
def test_the_variance_with_ties_is_that_of_all_orders_of_the_values(values: tuple[float, ...]) -> None:
    found = mann_kendall(np.array(values, np.float64))
    scores = [mann_kendall(np.array(order, np.float64)).score for order in permutations(values)]
    assert found.z == pytest.approx((found.score - 1) / np.std(scores), rel=1e-9)


@given(st.integers(2, 40), st.floats(0.1, 1e3))
def test_values_that_only_rise_have_tau_one_and_turned_round_minus_one(n: int, step: float) -> None:
    rising = np.arange(n) * step
    assert mann_kendall(rising).tau == pytest.approx(1.0)
    assert mann_kendall(rising[::-1]).tau == pytest.approx(-1.0)
    assert mann_kendall(rising).p == pytest.approx(mann_kendall(rising[::-1]).p)


def test_values_that_are_all_equal_have_no_trend() -> None:
    assert mann_kendall(np.full(20, 61.0)) == (0, 0.0, 0.0, 1.0)


@given(series, st.integers(-1_000, 1_000), st.integers(-1_000, 1_000))
def test_a_slope_does_not_move_with_the_series_and_turns_with_a_line_added(
    values: np.ndarray, shift: int, rise: int
) -> None:
    at = np.arange(len(values), dtype=np.float64)
    slope = theil_sen(at, values)
    assert theil_sen(at + shift, values + shift).value == pytest.approx(slope.value)
    assert theil_sen(at, values + rise * at).value == pytest.approx(slope.value + rise)
    assert slope.low <= slope.value <= slope.high


def test_a_slope_is_the_median_of_all_pairs_and_days_may_be_missing() -> None:
    at, values = np.array([0.0, 1.0, 4.0, 6.0]), np.array([10.0, 13.0, 11.0, 40.0])
    # Pairs: 3, 0.25, 5, -2/3, 5.4, 14.5; the middle two are 3 and 5.
    assert theil_sen(at, values).value == pytest.approx(4.0)


def test_what_cannot_have_a_trend_says_so() -> None:
    with pytest.raises(ValueError, match="at least two points at distinct times, got 3"):
        theil_sen(np.array([1.0, 1.0, 2.0]), np.arange(3.0))
    with pytest.raises(ValueError, match="at least two values, got 1"):
        mann_kendall(np.ones(1))


def test_robust_z_is_told_in_deviations_and_says_nothing_where_all_are_equal() -> None:
    assert robust_z(70.0, np.array([58.0, 59.0, 60.0, 61.0, 99.0])) == pytest.approx(10 / 1.4826)
    assert np.isnan(robust_z(70.0, np.full(9, 60.0)))
