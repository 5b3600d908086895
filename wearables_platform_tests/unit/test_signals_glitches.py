"""Glitches are found and replaced; movements of 30 ms or more stay as they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from wearables_platform.signals.glitches import GlitchParams, hampel, remove_glitches
from wearables_platform.signals.samples import SampleTable
from wearables_platform.signals.segments import continuity_breaks, segments_from_breaks
from wearables_platform_tests.reference_glitches import glitches_removed
from wearables_platform_tests.simulated_motion import at_rest

Floats = NDArray[np.float64]


def plain_hampel(x: Floats, k: int, n: float, floor_g: float) -> tuple[Floats, NDArray[np.bool_]]:
    """The definition, sample by sample."""
    padded = np.pad(x, k, mode="reflect")
    cleaned, flagged = x.copy(), np.zeros(len(x), dtype=np.bool_)
    for i in range(len(x)):
        window = padded[i : i + 2 * k + 1]
        median = np.median(window)
        limit = max(n * 1.4826 * np.median(np.abs(window - median)), floor_g)
        if abs(x[i] - median) > limit:
            cleaned[i], flagged[i] = median, True
    return cleaned, flagged


def cleaned_table(accel_g: Floats, rate_hz: float) -> tuple[Floats, NDArray[np.bool_]]:
    size = len(accel_g)
    time_us = np.round(np.arange(size) * 1e6 / rate_hz).astype(np.int64)
    table = SampleTable.build(device=0, time_us=time_us, rate_hz=rate_hz, accel_g=accel_g)
    return remove_glitches(accel_g, table.rate_hz, segments_from_breaks(continuity_breaks(table)))


@given(
    x=hnp.arrays(np.float64, st.integers(7, 60), elements=st.floats(-20, 20, width=16)),
    k=st.sampled_from([1, 2, 3, 5]),
    floor_g=st.sampled_from([0.05, 0.3, 2.0]),
)
def test_the_fast_identifier_equals_its_definition(x: Floats, k: int, floor_g: float) -> None:
    if len(x) < 2 * k + 1:
        x = np.resize(x, 2 * k + 1)
    cleaned, flagged = hampel(x, k=k, n=3.0, floor_g=floor_g)
    expected, expected_flags = plain_hampel(x, k, 3.0, floor_g)
    assert flagged.tolist() == expected_flags.tolist()
    assert cleaned.tolist() == expected.tolist()


@given(
    seed=st.integers(0, 2**31),
    scale_g=st.sampled_from([0.1, 0.8, 3.0]),
    grain_g=st.sampled_from([0.0, 0.125]),
    wander=st.booleans(),
    params=st.sampled_from([GlitchParams(), GlitchParams(k=5, floor_g=0.05, movement_ms=60.0)]),
)
@settings(max_examples=60)
def test_restless_samples_are_cleaned_exactly_as_described(
    seed: int, scale_g: float, grain_g: float, wander: bool, params: GlitchParams
) -> None:
    rng = np.random.default_rng(seed)
    size = int(rng.integers(1, 600))
    breaks = rng.random(size) < rng.choice([0.0, 0.01, 0.15])
    breaks[0] = True
    segments = segments_from_breaks(breaks)
    rate_hz = rng.choice([10.0, 25.0, 50.0, 100.0, 104.3, 405.0], size)[segments.first]
    accel_g = rng.normal(0, scale_g, (size, 3))
    accel_g = accel_g.cumsum(axis=0) if wander else accel_g
    accel_g = np.round(accel_g / grain_g) * grain_g if grain_g else accel_g  # equal values, and no deviation at all
    cleaned, glitch = remove_glitches(accel_g, rate_hz, segments, params)
    expected, expected_glitch = glitches_removed(accel_g, rate_hz, segments, params)
    assert np.array_equal(cleaned, expected)  # of 0.0 and -0.0, which are equal, either may be the median
    assert glitch.tolist() == expected_glitch.tolist()


@pytest.mark.parametrize("width", [1, 2])
def test_one_or_two_samples_at_100_hz_are_a_glitch(width: int) -> None:
    accel_g = at_rest(np.random.default_rng(1), 2.0, 100.0)
    spoilt = accel_g.copy()
    spoilt[100 : 100 + width, 1] += 4.0
    cleaned, found = cleaned_table(spoilt, 100.0)
    assert np.flatnonzero(found).tolist() == list(range(100, 100 + width))
    assert np.abs(cleaned - accel_g).max() < 0.15


@pytest.mark.parametrize("offset_ms", range(0, 10, 1))
@pytest.mark.parametrize("duration_ms", [30, 45, 60, 120, 300])
def test_half_sines_of_30_ms_or_more_stay_untouched(offset_ms: int, duration_ms: int) -> None:
    rng = np.random.default_rng(duration_ms * 100 + offset_ms)
    fine_ms = np.arange(0, 3000, 0.1)
    phase = (fine_ms - 1000 - offset_ms) / duration_ms
    shape = np.where((phase >= 0) & (phase <= 1), np.sin(np.pi * phase), 0.0)
    direction = rng.normal(size=3)
    movement = rng.uniform(4, 12) * shape.reshape(-1, 100).mean(axis=1)[:, None] * direction / np.linalg.norm(direction)
    accel_g = at_rest(rng, 3.0, 100.0) + movement
    cleaned, found = cleaned_table(accel_g, 100.0)
    assert not found.any()
    assert np.array_equal(cleaned, accel_g)


def test_what_is_a_glitch_is_decided_by_milliseconds() -> None:
    accel_g = at_rest(np.random.default_rng(4), 2.0, 400.0)
    accel_g[200:206, 2] += [2.0, 3.0, 4.0, 4.0, 3.0, 2.0]  # six samples: 15 ms
    assert cleaned_table(accel_g, 400.0)[1].sum() == 6
    assert cleaned_table(accel_g, 100.0)[1].sum() == 0  # the same six samples: 60 ms


def test_quiet_data_are_not_flagged_for_their_last_bit() -> None:
    accel_g = np.tile([0.0, 0.0, 1.0], (200, 1))
    accel_g[50, 0] = 1 / 64
    assert not cleaned_table(accel_g, 32.0)[1].any()


def test_settings_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        GlitchParams(floor_g=0.0)
