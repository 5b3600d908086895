"""Steps: as many as were walked, none at rest."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import firwin

from wearables_platform.signals.offline import RecordingSummary, analyze_recording
from wearables_platform.signals.steps import StepParams, _taps
from wearables_platform_tests.simulated_motion import at_rest, walking


def analyzed(accel_g: np.ndarray, rate_hz: float) -> RecordingSummary:
    time_us = 1_700_000_000_000_000 + np.round(np.arange(len(accel_g)) * 1e6 / rate_hz).astype(np.int64)
    return analyze_recording(time_us, accel_g, rate_hz=rate_hz)


@pytest.mark.parametrize("rate_hz", [32.0, 50.0, 100.0, 104.3, 405.0])
@pytest.mark.parametrize("cadence_hz", [1.5, 1.9, 2.4])
def test_simulated_walks_are_counted_at_every_rate(rate_hz: float, cadence_hz: float) -> None:
    rng = np.random.default_rng(9)
    accel_g = np.concatenate(
        [at_rest(rng, 10, rate_hz), walking(rng, 60, rate_hz, cadence_hz), at_rest(rng, 10, rate_hz)]
    )
    assert analyzed(accel_g, rate_hz).steps == pytest.approx(60 * cadence_hz, rel=0.05)


def test_lone_jolts_are_no_steps() -> None:
    accel_g = at_rest(np.random.default_rng(6), 60, 100.0)
    for start in range(300, 5700, 250):
        accel_g[start : start + 20] *= 1.8
    assert analyzed(accel_g, 100.0).steps == 0


def test_a_gap_ends_a_walk_and_adds_no_steps() -> None:
    accel_g = walking(np.random.default_rng(3), 60, 100.0)
    time_us = np.arange(6000) * 10_000
    kept = (time_us % 10_000_000) < 5_000_000
    summary = analyze_recording(time_us[kept], accel_g[kept], rate_hz=100.0)
    assert 0.7 * 30 * 1.9 <= summary.steps <= 30 * 1.9 + 1


def test_spans_beyond_the_halo_are_refused() -> None:
    with pytest.raises(ValueError, match="bins back"):
        StepParams(look_ahead=30)


def test_the_band_pass_is_scipys() -> None:
    taps = firwin(37, [0.8, 2.5], pass_zero=False, fs=25.0)
    np.testing.assert_allclose(_taps(0.8, 2.5, 18), (taps - taps.mean())[18:], atol=1e-15)


def test_a_recording_without_two_stamps_says_why_it_was_not_used() -> None:
    summary = analyze_recording([0, 0], [[0, 0, 1], [0, 0, 1]])
    assert (summary.samples, summary.skipped, summary.steps) == (0, {"no_rate": 2}, 0)
    assert summary.to_dict()["enmo_mg"] is None
    mixed = analyze_recording([0, 10_000, 20_000], [[0, 0, 1], [np.nan, 0, 1], [0, 0, 1]])
    assert (mixed.samples, mixed.skipped) == (2, {"non_finite": 1})
