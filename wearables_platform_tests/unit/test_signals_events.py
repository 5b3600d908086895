"""Spike events: each planted movement is found, where and as high as it was, and none is invented."""

from __future__ import annotations

import numpy as np
import pytest

from wearables_platform.signals.downsample import downsample, plan
from wearables_platform.signals.events import EventRows, SpikeParams, spike_events
from wearables_platform.signals.samples import SampleTable
from wearables_platform_tests.recordings import seglearn_watch, spsw_watch
from wearables_platform_tests.simulated_motion import (
    Pulse,
    add_glitches,
    add_pulses,
    at_rest,
    table_from_blocks,
    walking,
)

SOURCE_HZ = 16_000.0


def events_of_source(accel_g: np.ndarray) -> EventRows:
    the_plan = plan(SOURCE_HZ)
    blocks = downsample(the_plan, accel_g[None].astype(np.float32))
    return spike_events(table_from_blocks(blocks, the_plan.rate_hz, the_plan.per_block))


def assert_exactly(events: EventRows, pulses: list[Pulse]) -> None:
    assert len(events) == len(pulses)
    for position, pulse in enumerate(pulses):
        assert abs(events.start_us[position] / 1e6 - pulse.start_s) <= 0.05
        assert events.peak_g[position] == pytest.approx(pulse.peak_g, rel=0.1)
        assert 0.3 * pulse.duration_ms <= events.duration_ms[position] <= pulse.duration_ms + 40


@pytest.mark.parametrize("background", [at_rest, walking])
@pytest.mark.parametrize("seed", range(12))
def test_planted_movements_are_found_through_the_downsampling(seed: int, background: object) -> None:
    rng = np.random.default_rng(seed)
    accel_g = background(rng, 24.0, SOURCE_HZ)  # type: ignore[operator]
    accel_g, pulses = add_pulses(accel_g, rng, SOURCE_HZ, count=8)
    assert_exactly(events_of_source(accel_g), pulses)


@pytest.mark.parametrize("seed", range(6))
def test_glitches_make_no_events(seed: int) -> None:
    rng = np.random.default_rng(seed)
    accel_g = walking(rng, 20.0, SOURCE_HZ)
    accel_g = add_glitches(accel_g, rng, rng.integers(0, len(accel_g), 400), 2.0, 100.0)
    assert len(events_of_source(accel_g)) == 0


def test_the_direction_is_that_of_the_movement() -> None:
    rng = np.random.default_rng(8)
    accel_g = at_rest(rng, 6.0, SOURCE_HZ)
    direction = np.array([2.0, -1.0, 2.0]) / 3.0
    inside = slice(40_000, 41_600)
    accel_g[inside] += 8.0 * np.sin(np.pi * np.arange(1600) / 1600)[:, None] * direction
    events = events_of_source(accel_g)
    found = np.array([events.direction_x[0], events.direction_y[0], events.direction_z[0]])
    assert np.linalg.norm(found) == pytest.approx(1.0)
    assert found @ direction > 0.99
    assert events.kind == "spike"


def turned_arm(impact_g: float) -> np.ndarray:
    """Six seconds at 100 Hz of an arm that turns over in 0.3 s, 3 s after the start, and is pushed as it arrives."""
    rng = np.random.default_rng(4)
    share = np.clip((np.arange(600) - 300) / 30, 0, 1)[:, None]
    accel_g = np.array([0.0, 0.0, 1.0]) * np.cos(np.pi * share) + np.array([1.0, 0, 0]) * np.sin(np.pi * share)
    accel_g[325:340] += impact_g * np.sin(np.pi * (np.arange(15) + 0.5) / 15)[:, None] * [0.0, 0.0, -1.0]
    return np.asarray(accel_g + rng.normal(0, 0.02, (600, 3)))


def events_at_100_hz(accel_g: np.ndarray) -> EventRows:
    time_us = np.arange(len(accel_g)) * 10_000
    return spike_events(SampleTable.build(device=0, time_us=time_us, rate_hz=100.0, accel_g=accel_g))


def test_a_change_of_posture_is_no_sudden_movement() -> None:
    accel_g = turned_arm(1.3)
    assert np.linalg.norm(accel_g, axis=1).max() > SpikeParams().trigger_g
    assert np.linalg.norm(accel_g - (0.0, 0.0, 1.0), axis=1).max() > SpikeParams().spike_threshold_g
    assert len(events_at_100_hz(accel_g)) == 0


def test_an_impact_after_which_the_arm_lies_otherwise_is_an_event_no_longer_than_it() -> None:
    events = events_at_100_hz(turned_arm(6.0))
    assert len(events) == 1
    assert abs(events.start_us[0] - 3_250_000) <= 50_000
    assert 80 <= events.duration_ms[0] <= 250
    assert events.direction_z[0] < -0.95


def test_movements_in_quick_succession_are_an_event_each_and_do_not_overlap() -> None:
    rng = np.random.default_rng(6)
    accel_g = at_rest(rng, 10.0, 100.0)
    shape = 5.0 * np.sin(np.pi * (np.arange(24) + 0.5) / 24)[:, None] * np.array([0.6, 0.0, 0.8])
    starts = np.arange(300, 700, 36)  # every 360 ms: too soon for the arm to come to rest
    for start in starts:
        accel_g[start : start + 24] += shape
    events = events_at_100_hz(accel_g)
    assert len(events) == len(starts)
    assert np.abs(events.start_us / 10_000 - starts).max() <= 5
    assert not_overlapping(events)


def test_no_two_events_of_real_movement_overlap() -> None:
    tables = [
        SampleTable.build(device=number, time_us=r.time_us, rate_hz=r.rate_hz, accel_g=r.accel_g)
        for number, r in enumerate(seglearn_watch())
    ]
    events = spike_events(SampleTable.concat(tables).sorted())
    assert len(events) > 200
    assert not_overlapping(events)
    assert np.mean(events.duration_ms > 1_000) < 0.05


def not_overlapping(events: EventRows) -> bool:
    end_us = events.start_us + np.rint(events.duration_ms * 1000).astype(np.int64)
    return bool(np.all((events.start_us[1:] >= end_us[:-1]) | (np.diff(events.device) != 0)))


def test_standing_up_and_walking_rarely_make_an_event() -> None:
    tables = [
        SampleTable.build(device=number, time_us=r.time_us, rate_hz=r.rate_hz, accel_g=r.accel_g)
        for number, r in enumerate(spsw_watch())
    ]
    samples = SampleTable.concat(tables).sorted()
    minutes = len(samples) / 104.3 / 60
    assert len(spike_events(samples)) / minutes < 0.5


def test_a_span_that_outruns_the_halo_is_refused() -> None:
    with pytest.raises(ValueError, match="max_duration_ms <= 2000"):
        SpikeParams(max_duration_ms=5000)
