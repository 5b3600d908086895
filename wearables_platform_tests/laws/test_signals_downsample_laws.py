"""Downsampling gives the same bits whatever the chunks, and equals plain numpy."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from wearables_platform.signals.downsample import Blocks, DownsamplePlan, downsample, finish, plan, start, step
from wearables_platform.signals.source_blocks import SourceFilter, _mend_all, _mend_at_jumps
from wearables_platform_tests.simulated_motion import add_glitches, at_rest

RATES_HZ = (16_000.0, 4_000.0, 405.0, 250.0, 104.3, 32.0)
NAMES = ("accel_g", "peak_raw_g", "peak_g", "glitches", "clipped")


def source(seed: int, rate_hz: float, devices: int = 2) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    seconds = min(1.5, 12_000 / rate_hz)
    accel_g = np.stack([at_rest(rng, seconds, rate_hz) for _ in range(devices)])
    for device in range(devices):
        at = rng.integers(0, accel_g.shape[1], accel_g.shape[1] // 50)
        accel_g[device] = add_glitches(accel_g[device], rng, at, 0.2, 30.0)
    accel_g[0, rng.integers(0, accel_g.shape[1], 2), 1] = [np.nan, -np.inf]
    return accel_g.astype(np.float32)


def in_chunks(the_plan: DownsamplePlan, accel_g: NDArray[np.float32], cuts: list[int], stored: bool) -> Blocks:
    state, parts = start(len(accel_g)), []
    for low, high in zip([0, *cuts], [*cuts, accel_g.shape[1]], strict=True):
        state, blocks = step(the_plan, state, accel_g[:, low:high])
        state = pickle.loads(pickle.dumps(state)) if stored else state
        parts.append(blocks)
    return Blocks.concat([*parts, finish(the_plan, state)])


@settings(max_examples=60)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), rate_hz=st.sampled_from(RATES_HZ), stored=st.booleans())
def test_any_chunks_and_any_resume_give_the_same_bits(
    data: st.DataObject, seed: int, rate_hz: float, stored: bool
) -> None:
    accel_g, the_plan = source(seed, rate_hz), plan(rate_hz)
    cuts = data.draw(st.lists(st.integers(0, accel_g.shape[1]), max_size=8).map(sorted))
    chunked, whole = in_chunks(the_plan, accel_g, cuts, stored), downsample(the_plan, accel_g)
    for name in NAMES:
        assert getattr(chunked, name).tobytes() == getattr(whole, name).tobytes(), name


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), cut=st.integers(0, 16_000))
def test_fir_chunks_agree_to_a_millionth_of_a_g(seed: int, cut: int) -> None:
    accel_g, the_plan = np.nan_to_num(source(seed, 16_000.0), neginf=0.0), plan(16_000.0, method="fir")
    chunked = in_chunks(the_plan, accel_g, [min(cut, accel_g.shape[1])], stored=False)
    np.testing.assert_allclose(chunked.accel_g, downsample(the_plan, accel_g).accel_g, atol=1e-6)


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32 - 1), rate_hz=st.sampled_from(RATES_HZ))
def test_devices_do_not_touch_each_other_and_inputs_stay(seed: int, rate_hz: float) -> None:
    accel_g, the_plan = source(seed, rate_hz, devices=3), plan(rate_hz)
    before = accel_g.copy()
    together = downsample(the_plan, accel_g)
    alone = [downsample(the_plan, accel_g[device : device + 1]) for device in range(3)]
    for name in NAMES:
        joined = np.concatenate([getattr(blocks, name) for blocks in alone])
        assert joined.tobytes() == getattr(together, name).tobytes(), name
    assert accel_g.tobytes() == before.tobytes()


@pytest.mark.parametrize("rate_hz", [104.3, 100.0, 50.0, 32.0])
def test_rates_at_the_target_pass_untouched(rate_hz: float) -> None:
    accel_g = source(5, rate_hz)
    blocks = downsample(plan(rate_hz), accel_g)
    assert blocks.accel_g.tobytes() == accel_g.tobytes()
    assert np.isnan(blocks.peak_g).all()
    assert not blocks.glitches.any()


@given(st.integers(0, 2**31), st.floats(0.005, 0.3), st.booleans())
@settings(max_examples=60)
def test_both_ways_to_look_for_glitches_replace_the_same_samples(seed: int, noise_g: float, broken: bool) -> None:
    """Near jumps one by one, or all counted through: which is quicker depends on the noise, the answer must not."""
    random, params = np.random.default_rng(seed), SourceFilter(3, 4.4478, 0.3)
    held = (random.normal(0, noise_g, (1_600, 3)) + [0, 0, 1]).astype(np.float32)
    held[random.integers(0, 1_600, 20), random.integers(0, 3, 20)] += random.normal(0, 3, 20).astype(np.float32)
    if broken:
        held[random.integers(0, 1_600, 5), 0] = np.nan
    flat, ranked, close = held.ravel(), np.empty(7), np.empty(4_800, np.int32)
    one_by_one, counted = flat.copy(), flat.copy()
    settings_of = (3, params.spread, params.floor_g, np.float32(params.jump_g), ranked)
    replaced = _mend_at_jumps(flat, one_by_one, *settings_of)
    assert replaced == _mend_all(flat, counted, *settings_of, close) > 0
    assert one_by_one.tobytes() == counted.tobytes()
