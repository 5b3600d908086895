"""Regular times from stamps that jitter, stall and repeat."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wearables_platform.edge.stamps import regular_times
from wearables_platform.signals.rates import measured_rate_hz


def sample_times(time_us: np.ndarray, rate_hz: float, per_piece: int) -> tuple[np.ndarray, int]:
    """Every sample's time as a reader of the pieces would have it, and how many pieces follow a gap."""
    times, gaps = [], 0
    for piece in regular_times(time_us, rate_hz).pieces(per_piece):
        times.append(piece.start_us + np.arange(piece.last - piece.first) * 1e6 / rate_hz)
        gaps += not piece.continues
    return np.concatenate(times), gaps - 1


@given(st.floats(10, 400), st.integers(1, 50), st.integers(2, 900))
def test_regular_stamps_are_left_as_they_are(rate_hz: float, per_piece: int, size: int) -> None:
    stamps = np.round(np.arange(size) * 1e6 / rate_hz).astype(np.int64)
    times, gaps = sample_times(stamps, rate_hz, per_piece)
    assert gaps == 0
    assert np.abs(times - stamps).max() <= 2


@given(st.integers(0, 2**32 - 1), st.integers(1, 20))
def test_stalls_and_repeated_stamps_lose_no_sample_and_open_no_gap(seed: int, per_piece: int) -> None:
    rng = np.random.default_rng(seed)
    true_us = np.arange(1_500) * 1e6 / 104.3
    late_us = np.where(rng.random(1_500) < 0.02, 40_000, 0) + rng.integers(0, 5_000, 1_500)
    stamps = np.maximum.accumulate(true_us + late_us).astype(np.int64) // 1_000 * 1_000
    times, gaps = sample_times(stamps, 104.3, per_piece)
    assert len(times) == 1_500
    assert gaps == 0
    assert np.abs(times - true_us).max() < 8_000
    steps_us = np.diff(times)
    assert steps_us.min() >= 0
    assert steps_us.max() <= 1.5e6 / 104.3 + 2_000


@pytest.mark.parametrize("lost", [2, 7, 200])
def test_missing_samples_are_a_gap_at_their_place(lost: int) -> None:
    stamps = (np.arange(1_000) * 10_000)[np.r_[0:437, 437 + lost : 1_000]]
    timeline = regular_times(stamps, 100.0)
    assert timeline.breaks.tolist() == [437]
    times, _ = sample_times(stamps, 100.0, 10)
    np.testing.assert_allclose(times, stamps, atol=2)


def test_a_slow_clock_is_followed() -> None:
    stamps = np.round(np.arange(20_000) * 10_002.0).astype(np.int64)  # 200 ppm slow against the nominal rate
    times, gaps = sample_times(stamps, 100.0, 10)
    assert gaps == 0
    assert np.abs(times - stamps).max() < 1_000


def test_the_rate_counts_stalls_and_leaves_gaps_out() -> None:
    stamps = np.r_[np.arange(500) * 9_600, 60_000_000 + np.arange(500) * 9_600] // 1_000 * 1_000
    assert measured_rate_hz(stamps) == pytest.approx(1e6 / 9_600, rel=1e-3)
    assert np.isnan(measured_rate_hz(np.array([5])))
