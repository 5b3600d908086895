"""P5: processor time of the stream while 10,000 devices send 100,000 messages a second in real time.

The fleet is a process of its own and sends when messages are due; the stream is the real process; counted is what the
stream alone takes, from two seconds after the fleet's begin to its end. If the machine cannot carry servers, fleet and
stream at that rate, a smaller fleet is sent, its rate is stated, and the cores are scaled by the rate.
"""

from __future__ import annotations

import statistics
from dataclasses import replace

from wearables_platform_tests.benchmarks.live import Platform, Run, live_platform, percentile_ms, run_fleet
from wearables_platform_tests.benchmarks.runner import Figure, calibration_ms, judged, tell

HEADLINE = 100_000
FLEETS = (10_000, 5_000, 2_500, 1_000)
TRIAL_S = 8.0


def measure(rounds: int, seconds: float) -> list[Figure]:
    """Find the largest fleet that is carried, then let it send for every round."""
    with live_platform() as platform:
        devices = largest_carried(platform)
        runs, times_ms = [], []
        for done in range(rounds):
            tell(f"P5, {devices:,} devices", done, rounds)
            times_ms.append(calibration_ms())
            runs.append(run_fleet(platform, devices, max(10.0, seconds)))
    return [figure(runs, statistics.median(times_ms))]


def largest_carried(platform: Platform) -> int:
    """Return the largest fleet whose rate is offered and taken; the smallest of all if none is."""
    for devices in FLEETS:
        tell(f"P5 trying {devices:,} devices", 0, 1)
        if run_fleet(platform, devices, TRIAL_S).kept_up:
            return devices
    return FLEETS[-1]


def figure(runs: list[Run], calibrated_ms: float) -> Figure:
    """Judge the cores at the headline rate."""
    cores = [run.cpu_us_each * HEADLINE / 1e6 for run in runs]
    rate = runs[0].rate
    scaled = (
        "" if rate >= HEADLINE else f", scaled from {rate:,.0f}/s, all that servers, fleet and stream can carry here"
    )
    wrong = next((run.wrong for run in runs if run.wrong), "")
    kept_up = all(run.kept_up for run in runs)
    said = wrong or ("" if kept_up else "the stream did not keep up")
    each_us = statistics.median(run.cpu_us_each for run in runs)
    idle = statistics.median(run.idle_share for run in runs)
    detail = f"{said}; " * bool(said) + ", ".join(
        (
            f"{runs[0].devices:,} devices at {rate:,.0f} messages/s{scaled}",
            f"{each_us:.1f} us CPU each",
            f"visible in Redis p50 {percentile_ms(runs, 50):.0f} ms p99 {percentile_ms(runs, 99):.0f} ms",
            f"machine {idle:.0%} idle",
            f"calibration {calibrated_ms:.0f} ms",
        )
    )
    judgement = judged(
        "P5", cores, must=0.5, stretch=0.25, unit="cores at 100 k/s", whole=not wrong, detail=detail, at_most=True
    )
    return replace(judgement, ok=judgement.ok and kept_up)
