"""What downsampling computes: means, peaks, counts, and what it lets through."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.signal import freqz, upfirdn

from wearables_platform.signals.decimate import fir_decimate, fir_reach, fir_taps, resample_reference
from wearables_platform.signals.downsample import downsample, plan
from wearables_platform.signals.source_blocks import SourceBlocks, SourceFilter, scan_blocks
from wearables_platform_tests.recordings import endaq_piezo
from wearables_platform_tests.simulated_motion import add_glitches, at_rest

Floats = NDArray[np.float64]


def scanned(accel_g: Floats, block: int = 1_600) -> SourceBlocks:
    params = plan(16_000.0).glitch_filter
    assert params is not None
    return scan_blocks(accel_g.astype(np.float32), block, 15.84, params)


def plain_filter(accel_g: Floats, params: SourceFilter) -> tuple[Floats, NDArray[np.bool_]]:
    """The definition, sample by sample, for one block of one device."""
    size, width = len(accel_g), 2 * params.k + 1
    mended, found = accel_g.copy(), np.zeros(size, dtype=np.bool_)
    step = ~(np.abs(np.diff(accel_g.astype(np.float32), axis=0)) <= np.float32(params.jump_g)).all(axis=1)
    for at in range(size if size >= width else 0):
        if not step[max(0, at - 2) : at + 2].any():
            continue
        low = min(max(at - params.k, 0), size - width)
        near = np.sort(accel_g[low : low + width], axis=0)
        median = near[params.k]
        distance = np.sort(np.abs(accel_g[low : low + width] - median), axis=0)[params.k]
        hit = ~(np.abs(accel_g[at] - median) <= np.maximum(params.spread * distance, params.floor_g))
        mended[at, hit], found[at] = median[hit], hit.any()
    return mended, found


@pytest.mark.filterwarnings("ignore:invalid value encountered in subtract")  # infinite less infinite
@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), block=st.sampled_from([3, 6, 7, 8, 20, 100, 1_600]))
def test_the_source_filter_equals_its_definition(seed: int, block: int) -> None:
    rng = np.random.default_rng(seed)
    accel_g = at_rest(rng, 0.02, 16_000.0, noise_g=float(rng.choice([0.0, 0.06, 0.3])))
    accel_g = add_glitches(accel_g, rng, rng.integers(0, len(accel_g), 30), 0.1, 30.0)
    accel_g[rng.integers(0, len(accel_g), 4), rng.integers(0, 3, 4)] = [np.nan, -np.nan, np.inf, -np.inf]
    accel_g = accel_g.astype(np.float32).astype(np.float64)
    blocks = scanned(accel_g[None], block)
    for number, first in enumerate(range(0, len(accel_g), block)):
        held = accel_g[first : first + block]
        mended, found = plain_filter(held, SourceFilter(3, 3 * 1.4826, 0.3))
        np.testing.assert_array_equal(blocks.accel_g[0, first : first + block], mended.astype(np.float32))
        assert blocks.glitches[0, number] == found.sum()
        for peaks, samples in ((blocks.peak_raw_g, held), (blocks.peak_g, mended)):
            magnitude = np.sqrt((samples.astype(np.float32) ** 2).sum(axis=1, dtype=np.float32))
            largest = magnitude[np.isfinite(magnitude)].max(initial=0.0)
            assert peaks[0, number] == pytest.approx(largest, rel=1e-6)


def test_a_glitch_on_the_edge_of_a_block_is_found() -> None:
    for at in (0, 1, 2, 1_597, 1_598, 1_599):
        for width in (1, 2):
            accel_g = at_rest(np.random.default_rng(at), 0.3, 16_000.0)
            accel_g[1_600 + at : 1_600 + at + width, 1] += 4.0
            assert scanned(accel_g[None]).glitches.sum() == width


@pytest.mark.parametrize("seed", range(5))
def test_planted_source_glitches_are_found_and_nothing_else(seed: int) -> None:
    rng = np.random.default_rng(seed)
    accel_g = at_rest(rng, 4.0, 16_000.0)
    planted = np.sort(rng.choice(len(accel_g) // 20, 200, replace=False) * 20)
    accel_g = add_glitches(accel_g, rng, planted, 2.0, 8.0)
    found = np.flatnonzero((scanned(accel_g[None]).accel_g[0] != accel_g.astype(np.float32)).any(axis=1))
    hits = np.intersect1d(found, planted)
    assert len(hits) >= 0.99 * len(planted)
    assert len(hits) >= 0.93 * len(found)


def test_the_fir_filter_rejects_60_db_of_what_would_fold() -> None:
    frequency_hz, response = freqz(fir_taps(160), worN=2**17, fs=16_000.0)
    gain_db = 20 * np.log10(np.abs(response) + 1e-15)
    assert gain_db[frequency_hz >= 60.0].max() <= -60.0
    assert np.abs(gain_db[frequency_hz <= 40.0]).max() <= 0.01


def test_the_fir_filter_equals_scipys_upfirdn() -> None:
    factor, reach = 16, fir_reach(16)
    accel_g = np.random.default_rng(1).normal(0, 1, (1, (30 + 2 * reach) * factor, 3)).astype(np.float32)
    expected = upfirdn(fir_taps(factor), accel_g[0].astype(np.float64), 1, 1, axis=0)
    first = len(fir_taps(factor)) - 1
    expected = expected[first : first + 30 * factor : factor]
    np.testing.assert_allclose(fir_decimate(accel_g, factor)[0], expected, atol=2e-6)


def test_a_tone_at_80_hz_folds_through_the_mean_and_not_through_the_filters() -> None:
    t = np.arange(16_000 * 4) / 16_000.0
    accel_g = np.zeros((1, len(t), 3), dtype=np.float32)
    accel_g[0, :, 2] = 1.0 + 0.5 * np.sin(2 * np.pi * 80.0 * t)
    inner = slice(100, 300)
    alias = {
        name: downsample(plan(16_000.0, method=name), accel_g).accel_g[0, inner, 2].std() for name in ("mean", "fir")
    }
    alias["scipy"] = resample_reference(accel_g, 160)[0, inner, 2].std()
    assert alias["mean"] == pytest.approx(0.083, abs=0.002)
    assert alias["fir"] < 0.0005
    assert alias["scipy"] < 0.0005


@pytest.mark.parametrize("rate_hz", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_rate_is_refused_by_name(rate_hz: float) -> None:
    with pytest.raises(ValueError, match="rates and block_ms must be positive"):
        plan(rate_hz)


def test_real_knocks_at_20_khz_keep_their_peaks_where_the_mean_loses_them() -> None:
    recording = endaq_piezo()
    blocks = downsample(plan(20_000.0), recording.accel_g[None].astype(np.float32))
    magnitude_g = np.linalg.norm(recording.accel_g, axis=1)
    assert blocks.peak_raw_g.max() == pytest.approx(magnitude_g.max(), rel=1e-6)
    assert (np.linalg.norm(blocks.accel_g[0], axis=1) > 16).sum() == 0
    assert (magnitude_g[: 966 * 200].reshape(966, 200).max(axis=1) > 16).sum() == 46
