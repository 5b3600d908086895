"""What every figure shares: rounds in which the sides alternate, a check after each, medians of ratios.

A figure's module gives ``measure(rounds, seconds)``; `seconds` is what one round may take in all. Absolute rates drift
between runs; ratios of sides measured in turn within one round do not, so ratios are judged wherever there can be one.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Figure:
    """One line of the table: `ratio` is what `must` and `stretch` are compared with, in `unit`.

    `spread` is (largest - smallest) / median over the rounds; `detail` says what the sides did, absolutely; with
    `at_most` smaller is better, but for what is below `stretch_low`.
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
    at_most: bool = False
    stretch_low: float | None = None
    series: dict[str, list[float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Lap:
    """One side's turn: work done, wall seconds, whether its output was whole and right, processor seconds of ours.

    `wrong` says what was not.
    """

    work: float
    seconds: float
    whole: bool
    cpu_seconds: float = 0.0
    wrong: str = ""

    @property
    def rate(self) -> float:
        """Units of work per second."""
        return self.work / self.seconds

    @property
    def cpu_us_each(self) -> float:
        """Microseconds of our processor time per unit of work."""
        return self.cpu_seconds / self.work * 1e6


# Told of progress: what is measured, rounds done, rounds in all.
Listener = Callable[[str, int, int], None]
listeners: list[Listener] = []


def tell(what: str, done: int, of: int) -> None:
    """Say how far a figure is."""
    for listener in listeners:
        listener(what, done, of)


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
    tell(f"{name} warm-up", 0, rounds)
    run_first(), run_second()  # warm both: imports, pools, page cache
    ratios, whole, wrong = [], True, ""
    rates: dict[str, list[float]] = {first: [], second: []}
    cpu: dict[str, list[float]] = {first: [], second: []}
    for done in range(rounds):
        tell(name, done, rounds)
        laps = [run_first(), run_second(), run_first(), run_second()]
        for side, lap in zip((first, second) * 2, laps, strict=True):
            rates[side].append(lap.rate)
            cpu[side].append(lap.cpu_us_each)
        ratios.append((laps[0].rate + laps[2].rate) / (laps[1].rate + laps[3].rate))
        whole = whole and all(lap.whole for lap in laps)
        wrong = wrong or next((lap.wrong for lap in laps if not lap.whole), "")
    detail = f"{wrong}; " if wrong else ""
    detail += ", ".join(f"{side} {statistics.median(found):,.0f}/s{_cpu(cpu[side])}" for side, found in rates.items())
    return judged(name, ratios, must=must, stretch=stretch, unit=unit, whole=whole, detail=f"{detail}, {calibration()}")


def judged(
    name: str,
    values: Sequence[float],
    *,
    must: float,
    stretch: float,
    unit: str,
    whole: bool,
    detail: str = "",
    at_most: bool = False,
) -> Figure:
    """Return the median and spread of the rounds, held against the goal."""
    middle = statistics.median(values)
    spread = (max(values) - min(values)) / middle if middle else 0.0
    reached = middle <= must if at_most else middle >= must
    return Figure(name, unit, middle, spread, must, stretch, whole and reached, len(values), whole, detail, at_most)


def _cpu(each_us: list[float]) -> str:
    middle = statistics.median(each_us)
    return f" ({middle:.1f} us CPU each)" if middle else ""


def calibration_ms() -> float:
    """Time a fixed loop of plain Python: how fast this machine is right now."""
    began = time.perf_counter()
    total = 0
    for i in range(1_000_000):
        total += i & 7
    return (time.perf_counter() - began) * 1_000


def calibration() -> str:
    """Say how fast this machine is right now."""
    return f"calibration {calibration_ms():.0f} ms"
