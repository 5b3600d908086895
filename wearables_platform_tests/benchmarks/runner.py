"""What every figure shares: rounds in which the sides alternate, a check after each, medians of ratios.

A figure's module gives `IDS` and ``measure(rounds, seconds)``; `seconds` is what one round may take in all. Absolute
rates drift between runs; ratios of sides measured in turn within one round do not, so only ratios are judged.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One line of the table: `ratio` is what `must` and `stretch` are compared with, in `unit`.

    `spread` is (largest - smallest) / median over the rounds; `detail` says what the sides did, absolutely.
    """

    id: str
    unit: str
    ratio: float
    spread: float
    must: float
    stretch: float
    ok: bool
    rounds: int
    loss_check: bool
    detail: str = ""


@dataclass(frozen=True)
class Lap:
    """One side's turn: work done, wall seconds, whether its output was whole and right, processor seconds of ours."""

    work: float
    seconds: float
    whole: bool
    cpu_seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Units of work per second."""
        return self.work / self.seconds


def compare(
    name: str,
    sides: Mapping[str, Callable[[], Lap]],
    *,
    rounds: int,
    must: float,
    stretch: float,
    unit: str,
) -> Figure:
    """Alternate two sides A-B-A-B for `rounds` rounds and judge first / second."""
    (first, run_first), (second, run_second) = sides.items()
    run_first(), run_second()  # warm both: imports, pools, page cache
    ratios, whole = [], True
    rates: dict[str, list[float]] = {first: [], second: []}
    cpu = {first: "", second: ""}
    for _ in range(rounds):
        laps = [run_first(), run_second(), run_first(), run_second()]
        rates[first] += [laps[0].rate, laps[2].rate]
        rates[second] += [laps[1].rate, laps[3].rate]
        ratios.append((laps[0].rate + laps[2].rate) / (laps[1].rate + laps[3].rate))
        whole = whole and all(lap.whole for lap in laps)
        cpu = {first: _cpu(laps[0]), second: _cpu(laps[1])}
    middle = statistics.median(ratios)
    spread = (max(ratios) - min(ratios)) / middle
    detail = ", ".join(f"{side} {statistics.median(found):,.0f}/s{cpu[side]}" for side, found in rates.items())
    ok = whole and middle >= must
    return Figure(name, unit, middle, spread, must, stretch, ok, rounds, whole, f"{detail}, {calibration()}")


def _cpu(lap: Lap) -> str:
    return f" ({lap.cpu_seconds / lap.work * 1e6:.1f} us CPU each)" if lap.cpu_seconds else ""


def calibration() -> str:
    """Say how fast this machine is right now: a fixed loop of plain Python."""
    began = time.perf_counter()
    total = 0
    for i in range(1_000_000):
        total += i & 7
    return f"calibration {(time.perf_counter() - began) * 1_000:.0f} ms"
