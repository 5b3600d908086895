"""P7 and P8: what a million messages cost in processor time, from 100 devices to 32,000.

P7 holds 10,000 devices against 100, both with as many messages and rows. P8 is the slope of the total cost over
the number of devices, both logarithmic, for one message of each device: 1 is linear. Counted is the processor time of
the stream's process alone, from the first look for data to the end. Every log holds at least as many messages as that
of 10,000 devices: what a run costs however short it is (first and last transaction, snapshot, 60 ms and more) would
otherwise look like a cost of few devices.
"""

from __future__ import annotations

import statistics
from dataclasses import replace

import numpy as np

from wearables_platform_tests.benchmarks.fleet_log import LogShape
from wearables_platform_tests.benchmarks.runner import Figure, calibration, judged, tell
from wearables_platform_tests.benchmarks.stream_job import stage, stream_lap

FEW, MANY = 100, 10_000
DOUBLINGS = (1_000, 2_000, 4_000, 8_000, 16_000, 32_000)
SIZES = tuple(sorted({FEW, MANY, *DOUBLINGS}))
SLOPE_BAND, SLOPE_STRETCH = (0.95, 1.05), (0.98, 1.02)

Costs = dict[int, list[float]]


def measure(rounds: int, seconds: float) -> list[Figure]:
    """Run through all sizes, up in one round and down in the next."""
    with stage() as here:
        blocks = max(10, int(seconds * 4) // 10 * 10)
        jobs = {shape.devices: here.job(shape) for shape in shapes(blocks)}
        tell("P7 warm-up", 0, rounds)
        stream_lap(jobs[FEW])
        costs: Costs = {size: [] for size in SIZES}
        wrong = ""
        for done in range(rounds):
            tell("P7, P8", done, rounds)
            for size in SIZES if done % 2 == 0 else reversed(SIZES):
                lap = stream_lap(jobs[size])
                costs[size].append(lap.cpu_us_each)
                wrong = wrong or lap.wrong
    return [linearity(costs, wrong), slope(costs, wrong)]


def shapes(blocks: int) -> list[LogShape]:
    """Return a log per number of devices, of as many messages as the many send, or more; whole windows."""
    return [LogShape(size, -(-blocks * max(MANY, size) // size // 10) * 10) for size in SIZES]


def linearity(costs: Costs, wrong: str) -> Figure:
    """Judge P7."""
    ratios = [many / few for many, few in zip(costs[MANY], costs[FEW], strict=True)]
    figure = judged(
        "P7",
        ratios,
        must=1.15,
        stretch=1.05,
        unit="10,000 / 100",
        whole=not wrong,
        detail=said(costs, wrong),
        at_most=True,
    )
    return replace(figure, series=medians(costs))


def slope(costs: Costs, wrong: str) -> Figure:
    """Judge P8, which may neither rise above 1 nor fall below."""
    rounds = range(len(costs[FEW]))
    slopes = [
        float(np.polyfit(np.log(DOUBLINGS), np.log([costs[size][i] * size for size in DOUBLINGS]), 1)[0])
        for i in rounds
    ]
    low, high = SLOPE_BAND
    figure = judged(
        "P8",
        slopes,
        must=high,
        stretch=SLOPE_STRETCH[1],
        unit="slope (0.95-1.05)",
        whole=not wrong,
        detail=wrong,
        at_most=True,
    )
    ok = figure.loss_check and low <= figure.ratio <= high
    return replace(figure, ok=ok, stretch_low=SLOPE_STRETCH[0], series=medians(costs))


def medians(costs: Costs) -> dict[str, list[float]]:
    """Return the plot's points: devices, and microseconds per message."""
    return {
        "devices": [float(size) for size in costs],
        "cpu_us_per_message": [statistics.median(found) for found in costs.values()],
    }


def said(costs: Costs, wrong: str) -> str:
    """Say what each size cost: microseconds per message are seconds per million."""
    each = ", ".join(f"{size:,}: {statistics.median(found):.1f}" for size, found in costs.items())
    return f"{wrong}; " * bool(wrong) + f"CPU-seconds per million messages {each}, {calibration()}"
