"""Simulated acceleration with known truth, for tests of `signals`: walking, pulses, glitches, faults."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wearables_platform.signals.downsample import Blocks
from wearables_platform.signals.flags import QualityFlag
from wearables_platform.signals.samples import SampleTable

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pulse:
    """A half sine of one direction: the truth of a spike event."""

    start_s: float
    amplitude_g: float
    duration_ms: float
    peak_g: float


def at_rest(rng: np.random.Generator, seconds: float, rate_hz: float, noise_g: float = 0.02) -> Floats:
    """Return (N, 3) g of a wrist that keeps one posture."""
    posture = rng.normal(size=3)
    size = round(seconds * rate_hz)
    return np.tile(posture / np.linalg.norm(posture), (size, 1)) + rng.normal(0, noise_g, (size, 3))


def walking(rng: np.random.Generator, seconds: float, rate_hz: float, cadence_hz: float = 1.9) -> Floats:
    """Return (N, 3) g of a wrist that walks: an impact per step along gravity, arm swing across it."""
    accel_g = at_rest(rng, seconds, rate_hz)
    posture = np.median(accel_g, axis=0)
    posture /= np.linalg.norm(posture)
    t = np.arange(len(accel_g)) / rate_hz
    impact = 0.3 * np.sin(2 * np.pi * cadence_hz * t) + 0.1 * np.sin(4 * np.pi * cadence_hz * t + 1.0)
    swing = 0.15 * np.sin(np.pi * cadence_hz * t)
    across = np.cross(posture, [1.0, 0.3, 0.2])
    return accel_g + impact[:, None] * posture + swing[:, None] * across / np.linalg.norm(across)


def add_pulses(accel_g: Floats, rng: np.random.Generator, rate_hz: float, count: int) -> tuple[Floats, list[Pulse]]:
    """Add half sines of 4-12 g and 30-300 ms at random places in equal stretches, two seconds apart or more."""
    t = np.arange(len(accel_g)) / rate_hz
    accel_g, pulses = accel_g.copy(), []
    stretch = (t[-1] - 4.0) / count
    for number in range(count):
        start_s = 2.0 + number * stretch + rng.uniform(0, max(stretch - 2.0, 0.1))
        amplitude_g, duration_s = rng.uniform(4, 12), rng.uniform(0.03, 0.3)
        direction = rng.normal(size=3)
        inside = (t >= start_s) & (t < start_s + duration_s)
        if not inside.any():  # at 32 Hz a pulse of 30 ms may fall between two samples
            continue
        shape = amplitude_g * np.sin(np.pi * (t[inside] - start_s) / duration_s)
        accel_g[inside] += shape[:, None] * direction / np.linalg.norm(direction)
        peak_g = float(np.linalg.norm(accel_g[inside], axis=1).max())
        pulses.append(Pulse(start_s, amplitude_g, duration_s * 1000, peak_g))
    return accel_g, pulses


def add_glitches(
    accel_g: Floats, rng: np.random.Generator, at: NDArray[np.intp], low_g: float, high_g: float
) -> Floats:
    """Add one-sample spikes of random sign on a random axis at the given positions."""
    accel_g = accel_g.copy()
    size_g = rng.uniform(low_g, high_g, len(at)) * rng.choice([-1.0, 1.0], len(at))
    accel_g[at, rng.integers(0, 3, len(at))] += size_g
    return accel_g


def table_from_blocks(blocks: Blocks, rate_hz: float, per_block: int, start_us: int = 0) -> SampleTable:
    """Return the samples of downsampled devices as the platform would decode them."""
    devices, size, _ = blocks.accel_g.shape
    at = np.arange(size)
    first = at % per_block == 0

    def spread(values: NDArray[np.generic], empty: float) -> NDArray[np.float64]:
        return np.where(first, np.repeat(values, per_block, axis=1)[:, :size], empty).reshape(-1)

    return SampleTable.build(
        device=np.repeat(np.arange(devices), size),
        time_us=np.tile(start_us + np.round(at * 1e6 / rate_hz).astype(np.int64), devices),
        rate_hz=rate_hz,
        accel_g=blocks.accel_g.reshape(-1, 3),
        peak_raw_g=spread(blocks.peak_raw_g, np.nan),
        peak_g=spread(blocks.peak_g, np.nan),
        glitches=spread(blocks.glitches, 0),
        clipped=spread(blocks.clipped, 0),
    )


def rough_device(rng: np.random.Generator, device: int, seconds: float, origin_us: int) -> SampleTable:
    """Return one device's samples with everything that goes wrong in the field.

    Rates and jitter of real watches, pulses, glitches, gaps, a reboot, a clock step, repeated stamps, values that are
    not finite, a stuck stretch, block peaks on every tenth sample.
    """
    rate_hz = float(rng.choice([32.0, 50.0, 100.0, 104.3, 205.0]))
    accel_g = walking(rng, seconds, rate_hz, cadence_hz=rng.uniform(1.5, 2.6))
    accel_g, _ = add_pulses(accel_g, rng, rate_hz, count=max(1, int(seconds / 5)))
    size = len(accel_g)
    accel_g = add_glitches(accel_g, rng, rng.integers(0, size, size // 40), 1.0, 8.0)
    accel_g[rng.integers(0, size, 3), rng.integers(0, 3, 3)] = [np.nan, np.inf, 40.0]
    stuck = int(rng.integers(0, max(1, size - round(2 * rate_hz))))
    accel_g[stuck : stuck + round(rng.uniform(0.5, 2.0) * rate_hz)] = accel_g[stuck]
    time_us = origin_us + np.round(np.arange(size) * 1e6 / rate_hz + rng.normal(0, 800, size)).astype(np.int64)
    time_us = np.maximum.accumulate(time_us // 1000 * 1000)
    boot, flags = np.zeros(size, dtype=np.int64), np.zeros(size, dtype=np.int32)
    boot[rng.integers(0, size) :] = 1
    flags[rng.integers(0, size) :][:10] = int(QualityFlag.CLOCK_STEP)
    peak_g = np.where(np.arange(size) % 10 == 0, np.abs(np.nan_to_num(accel_g, posinf=0)).max(axis=1) * 1.1, np.nan)
    table = SampleTable.build(
        device=device, boot=boot, time_us=time_us, rate_hz=rate_hz, accel_g=accel_g, flags=flags, peak_g=peak_g,
        peak_raw_g=peak_g, glitches=rng.integers(0, 2, size), clipped=rng.integers(0, 2, size),
    )  # fmt: skip
    kept = np.ones(size, dtype=np.bool_)
    for _ in range(3):
        gap = int(rng.integers(0, size))
        kept[gap : gap + int(rng.integers(1, round(1.5 * rate_hz)))] = False
    return table.take(kept)
