"""Acceleration at the sensor's rate from a formula: posture, walking, noise, planted pulses and glitches.

Every second is a function of (seed, second), so that a killed client which starts again makes the same samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

SENSOR_RATE_HZ: Final = 16_000
SENSOR_RANGE_G: Final = 32.0  # the largest planted glitch stays inside, so that none counts as clipped
NOISE_G: Final = 0.02

Floats = NDArray[np.float64]


class Pulse(NamedTuple):
    """A movement of 30 ms or more: half a sine along one direction."""

    start_s: float
    duration_s: float
    amplitude_g: float
    direction: tuple[float, float, float]


class Glitch(NamedTuple):
    """One wrong sample on one axis."""

    sample: int
    axis: int
    size_g: float


@dataclass(frozen=True)
class Motion:
    """What one wrist does; `pulses` and `glitches` are the planted truth."""

    seed: int
    posture: tuple[float, float, float]
    cadence_hz: float
    pulses: tuple[Pulse, ...] = ()
    glitches: tuple[Glitch, ...] = ()

    def second(self, number: int) -> NDArray[np.float32]:
        """Return the samples of one second, (16000, 3) g."""
        first = number * SENSOR_RATE_HZ
        accel_g = self.movement_g(first, SENSOR_RATE_HZ)
        noise = np.random.default_rng([self.seed, number])
        accel_g += noise.normal(0.0, NOISE_G, accel_g.shape)
        for glitch in self.glitches:
            if first <= glitch.sample < first + SENSOR_RATE_HZ:
                accel_g[glitch.sample - first, glitch.axis] += glitch.size_g
        return accel_g.astype(np.float32)

    def movement_g(self, first_sample: int, count: int) -> Floats:
        """Return what the body really did, (count, 3) g: no noise, no glitches."""
        t = (first_sample + np.arange(count)) / SENSOR_RATE_HZ
        down = np.array(self.posture)
        across = np.cross(down, [1.0, 0.3, 0.2])
        across /= np.linalg.norm(across)
        step = 2 * np.pi * self.cadence_hz * t
        impact = 0.30 * np.sin(step) + 0.10 * np.sin(2 * step + 1.0)
        accel_g: Floats = (1.0 + impact)[:, None] * down + (0.15 * np.sin(step / 2))[:, None] * across
        for pulse in self.pulses:
            if pulse.start_s < t[-1] and pulse.start_s + pulse.duration_s > t[0]:
                accel_g += _half_sine(pulse, t)[:, None] * np.array(pulse.direction)
        return accel_g

    def peak_g(self, pulse: Pulse) -> float:
        """Return the largest vector magnitude while the pulse lasts."""
        first, count = round(pulse.start_s * SENSOR_RATE_HZ), round(pulse.duration_s * SENSOR_RATE_HZ)
        return float(np.linalg.norm(self.movement_g(first, count), axis=1).max())


def _half_sine(pulse: Pulse, t: Floats) -> Floats:
    phase = (t - pulse.start_s) / pulse.duration_s
    shape: Floats = np.where((phase >= 0) & (phase < 1), np.sin(np.pi * np.clip(phase, 0, 1)), 0.0)
    return pulse.amplitude_g * shape


def unit_vector(rng: np.random.Generator) -> tuple[float, float, float]:
    """Draw a direction."""
    vector = rng.normal(size=3)
    x, y, z = (vector / np.linalg.norm(vector)).tolist()
    return x, y, z


def draw_pulse(rng: np.random.Generator, within_second: int) -> Pulse:
    """Draw a pulse of 30-300 ms and 4-12 g that begins in the first half of a second."""
    duration_s, amplitude_g = float(rng.uniform(0.03, 0.3)), float(rng.uniform(4, 12))
    return Pulse(within_second + float(rng.uniform(0.05, 0.5)), duration_s, amplitude_g, unit_vector(rng))


def draw_glitches(rng: np.random.Generator, seconds: list[int], per_second: int) -> list[Glitch]:
    """Draw one-sample glitches of 3-25 g, at least 10 ms apart, in the given seconds."""
    slots = SENSOR_RATE_HZ // 160 - 1
    found = []
    for second in seconds:
        for slot in rng.choice(slots, per_second, replace=False):
            sample = second * SENSOR_RATE_HZ + 160 * int(slot) + int(rng.integers(20, 140))
            size_g = float(rng.uniform(3, 25) * rng.choice([-1.0, 1.0]))
            found.append(Glitch(sample, int(rng.integers(0, 3)), size_g))
    return sorted(found)
