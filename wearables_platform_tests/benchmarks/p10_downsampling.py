"""P10a, P10b: how fast one core reduces 16 kHz x 3 x float32 to 100 Hz, without and with the glitch filter.

Run with `python -m wearables_platform_tests.benchmarks.p10_downsampling [--rounds 5] [--seconds 10] [--json]`.
P10a is the bare anti-alias filter, P10b the same through the whole kernel: glitches, peaks, counts; once at one glitch
a second, once at ten. The block mean, the thin client's default, stands beside them. Sides alternate within a round;
every round checks the outputs' sums, the planted glitches' count and the alias of a tone, and a round that fails has
no speed.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # one core; before numpy is loaded

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from wearables_platform.signals.decimate import fir_decimate, fir_reach
from wearables_platform.signals.downsample import downsample, plan

SOURCE_HZ, FACTOR = 16_000.0, 160
MINUTE = 16_000 * 60
PLANTED, CROWDED = 60, 600
"""One glitch a second, far more than a sound sensor has; ten, one in every block."""

FRAMES_AT_ONCE = 400


@dataclass(frozen=True)
class Figure:
    """One line of the table: `ratio` is what `must` and `stretch` are compared with, in `unit`."""

    id: str
    unit: str
    ratio: float
    spread: float
    must: float
    stretch: float
    ok: bool
    rounds: int
    loss_check: bool


def source(seed: int, planted: int = PLANTED) -> NDArray[np.float32]:
    """Return a minute of one device: noise, gravity, a tone at 80 Hz, and planted one-sample glitches."""
    rng = np.random.default_rng(seed)
    accel_g = rng.normal(0, 0.02, (1, MINUTE, 3)) + [0.0, 0.0, 1.0]
    accel_g[0, :, 0] += 0.1 * np.sin(2 * np.pi * 80.0 * np.arange(MINUTE) / SOURCE_HZ)
    at = np.sort(rng.choice(MINUTE // 20, planted, replace=False) * 20)
    accel_g[0, at, 1] += rng.uniform(2, 8, planted)
    return accel_g.astype(np.float32)


def bare_filter(accel_g: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the filtered samples without any other work; the ends of the recording yield none."""
    frames, reach = accel_g.shape[1] // FACTOR, fir_reach(FACTOR)
    parts = []
    for begin in range(reach, frames - reach, FRAMES_AT_ONCE):
        end = min(begin + FRAMES_AT_ONCE, frames - reach)
        parts.append(fir_decimate(accel_g[:, (begin - reach) * FACTOR : (end + reach) * FACTOR], FACTOR))
    return np.concatenate(parts, axis=1)


def rate_gb_s(work: Callable[[], None], size: int, seconds: float) -> float:
    """Repeat `work` on `size` bytes for `seconds` of processor time; return gigabytes per second of it."""
    runs, began = 0, time.process_time()
    while (spent := time.process_time() - began) < seconds:
        work()
        runs += 1
    return runs * size / spent / 1e9


def outputs_hold(accel_g: NDArray[np.float32], planted: int) -> bool:
    """Check counts, means and the alias at 20 Hz of what the three sides compute."""
    mean, fir = (downsample(plan(SOURCE_HZ, method=method), accel_g) for method in ("mean", "fir"))
    bare = bare_filter(accel_g)
    reach = fir_reach(FACTOR)
    alias_g = 2 * np.abs(np.fft.rfft(fir.accel_g[0, :, 0])[1200]) / fir.accel_g.shape[1]
    return bool(
        mean.glitches.sum() == fir.glitches.sum() == planted
        and mean.accel_g.shape == fir.accel_g.shape == (1, 6000, 3)
        and np.allclose(mean.accel_g[0, :, 2].mean(), accel_g[0, :, 2].mean(), atol=1e-4)
        and np.allclose(bare[0, :, 2], fir.accel_g[0, reach:-reach, 2], atol=1e-3)
        and alias_g < 0.1 * 10 ** (-60 / 20)
    )


def measure(rounds: int, seconds: float) -> list[Figure]:
    """Alternate the sides for `rounds` rounds of `seconds` in all."""
    mean_plan, fir_plan = plan(SOURCE_HZ), plan(SOURCE_HZ, method="fir")
    speeds: dict[str, list[float]] = {"bare": [], "whole": [], "crowded": [], "mean": []}
    checks = []
    for seed in range(rounds):
        accel_g, crowded_g = source(seed), source(seed, CROWDED)
        sides: dict[str, Callable[[], object]] = {
            "bare": lambda held=accel_g: bare_filter(held),
            "whole": lambda held=accel_g: downsample(fir_plan, held),
            "crowded": lambda held=crowded_g: downsample(fir_plan, held),
            "mean": lambda held=accel_g: downsample(mean_plan, held),
        }
        checks.append(outputs_hold(accel_g, PLANTED) and outputs_hold(crowded_g, CROWDED))  # also warms every side
        for name, work in [*sides.items(), *sides.items()]:
            speeds[name].append(rate_gb_s(work, accel_g.nbytes, seconds / 8))
    shares = {name: [b / a for a, b in zip(speeds["bare"], held, strict=True)] for name, held in speeds.items()}
    held = all(checks)
    return [
        figure("P10a", "GB/s/core", speeds["bare"], 1.3, 1.92, rounds, held),
        figure("P10b", "of P10a", shares["whole"], 0.5, 0.9, rounds, held),
        figure("P10b-10", "of P10a", shares["crowded"], 0.5, 0.9, rounds, held),
        figure("P10b-mean", "of P10a", shares["mean"], 0.5, 0.9, rounds, held),
    ]


def figure(name: str, unit: str, values: list[float], must: float, stretch: float, rounds: int, held: bool) -> Figure:
    """Return the median and the spread of the rounds."""
    middle = statistics.median(values)
    spread = (max(values) - min(values)) / middle
    return Figure(name, unit, middle, spread, must, stretch, held and middle >= must, rounds, held)


def main() -> int:
    """Print the table, or JSON; the exit code is 0 only if every check and every goal holds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    figures = measure(options.rounds, options.seconds)
    if options.json:
        sys.stdout.write(json.dumps([asdict(one) for one in figures], indent=1) + "\n")
    else:
        for one in figures:
            goal = f"must {one.must}, stretch {one.stretch}"
            verdict = "ok" if one.ok else "MISSED"
            sys.stdout.write(
                f"{one.id:10} {one.ratio:6.2f} {one.unit:10} spread {one.spread:4.0%}  {goal}  {verdict}\n"
            )
    return 0 if all(one.ok for one in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
