"""Steps: peaks of the band-passed vector magnitude that come in a rhythm.

The method is windowed peak detection on a band-passed vector magnitude, as compared by Brajdic and Harle,
with a continuity rule as in Gu et al.; every part looks a fixed time back and ahead, so that the steps of
one second do not depend on how the recording is cut.

References
----------
A. Brajdic, R. Harle, "Walk detection and step counting on unconstrained smartphones", UbiComp 2013.
F. Gu et al., "Robust and accurate smartphone-based step counting for indoor localization",
IEEE Sensors Journal 17 (2017) 3453-3460.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wearables_platform.signals.compiled import compiled, plain
from wearables_platform.signals.overlaps import WINDOW_US
from wearables_platform.signals.walk import BINS, NEVER_US

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

GRID_HZ: Final = 25.0

MAX_BRIDGE: Final = 4
"""Empty bins in a row that are filled by interpolation (160 ms); a longer hole ends a series."""

MAX_BEFORE: Final = 110
"""Bins that a step may look back (4.4 s), leaving the cleaning its share of the window's halo."""

SECONDS_AHEAD: Final = 2
"""The steps of a second are known when so many seconds after it have been taken."""

_AHEAD: Final = SECONDS_AHEAD * BINS

# What is remembered of a bin.
_FILLED, _FRESH, _PEAK, _STRONG = 1, 2, 4, 8


@dataclass(frozen=True)
class StepParams:
    """Settings of the step counter; spans are in bins of 40 ms.

    Attributes
    ----------
    low_hz, high_hz : float
        Pass band of the filter.
    filter_half : int
        Half length of the linear-phase filter.
    distance : int
        A peak is the largest value within this span on both sides.
    valley : int
        A peak's prominence is its height over the higher of the lowest values this far on either side.
    prominence_g, strong_g : float
        Least prominence of a step, and of a strong one.
    max_period : int
        Longest pause between two steps of one walk.
    look_back, look_ahead : int
        How far the other steps of a walk are sought.
    min_strong : int
        A peak counts if the walk around it, itself included, has this many strong peaks.
    """

    low_hz: float = 0.8
    high_hz: float = 2.5
    filter_half: int = 18
    distance: int = 6
    valley: int = 8
    prominence_g: float = 0.03
    strong_g: float = 0.14
    max_period: int = 20
    look_back: int = 70
    look_ahead: int = 20
    min_strong: int = 4

    def __post_init__(self) -> None:
        """Refuse spans that reach further than a window's halo allows."""
        around = self.around + self.filter_half + MAX_BRIDGE
        if self.look_back + around + 1 > MAX_BEFORE or self.look_ahead + around > _AHEAD:
            msg = f"steps may look {MAX_BEFORE} bins back and {_AHEAD} ahead, got {self}"
            raise ValueError(msg)

    @property
    def around(self) -> int:
        """Bins on either side that decide whether one is a peak."""
        return max(self.valley, self.distance)

    @property
    def grid_carry(self) -> int:
        """Bins of the grid that a second needs from before it."""
        return _AHEAD - self.look_ahead + self.around + self.filter_half

    @property
    def code_carry(self) -> int:
        """Bins before a second of which it must be known whether they are peaks."""
        return _AHEAD + self.look_back


@dataclass(frozen=True)
class StepCarry:
    """What the next second's steps need of the seconds before; changed in place.

    Attributes
    ----------
    until_us : (D,) int64
        Start of the second that comes next; NEVER_US before the first.
    grid_g : (D, grid_carry) float32
    code : (D, code_carry) uint8
        Per bin whether it is filled, opens a series, is a peak, is a strong one.
    """

    until_us: Ints
    grid_g: NDArray[np.float32]
    code: NDArray[np.uint8]

    @classmethod
    def blank(cls, devices: int, params: StepParams) -> StepCarry:
        """Return the carry of devices that have not sent anything."""
        return cls(
            np.full(devices, NEVER_US),
            np.zeros((devices, params.grid_carry), np.float32),
            np.zeros((devices, params.code_carry), np.uint8),
        )


def count_steps(
    carry: StepCarry,
    rows: tuple[Ints, Ints],
    grids: tuple[NDArray[np.float32], NDArray[np.uint32]],
    until_us: Ints,
    params: StepParams,
) -> NDArray[np.int32]:
    """Take the seconds up to `until_us`, empty or not, and return the steps of every row that they make known.

    Parameters
    ----------
    carry : StepCarry
        Goes forward to `until_us`.
    rows : ((R,) int64, (R,) int64)
        Device and start, sorted: rows whose steps are not known yet, then those that have not been taken.
    grids : ((R, 25) float32, (R,) uint32)
        As in `Walked`; not looked at where a row was taken before.
    until_us : (D,) int64
        Whole seconds.

    Returns
    -------
    (R,) int32
        Steps of the rows that start before `until_us` less `SECONDS_AHEAD`; 0 elsewhere.

    Notes
    -----
    A step depends on `look_back` + `around` + `filter_half` + `MAX_BRIDGE` + 1 bins before its own (4.04 s), and on
    the two seconds after its own, besides what the cleaning of those looks at.
    """
    steps = np.zeros(len(rows[0]), np.int32)
    first = np.searchsorted(rows[0], np.arange(len(until_us) + 1))
    taps = np.array(_taps(params.low_hz, params.high_hz, params.filter_half))
    spans = (params.around, params.distance, params.valley, params.look_back, params.look_ahead, params.max_period)
    limits = (params.prominence_g, params.strong_g, params.min_strong)
    carried = carry.until_us, carry.grid_g, carry.code
    _count_steps(carried, plain(first, rows[1], *grids, until_us), steps, taps, spans, limits)
    return steps


@cache
def _taps(low_hz: float, high_hz: float, half: int) -> tuple[float, ...]:
    """Return half of a symmetric band-pass whose sum is zero, the middle tap first.

    The windowed ideal filter (Hamming), of unit gain in the middle of the band: as `scipy.signal.firwin`, whose import
    would cost every start of the stream a second.
    """
    offset = np.arange(-half, half + 1)
    low, high = 2 * low_hz / GRID_HZ, 2 * high_hz / GRID_HZ
    taps = (high * np.sinc(high * offset) - low * np.sinc(low * offset)) * np.hamming(2 * half + 1)
    taps = taps / np.sum(taps * np.cos(np.pi * offset * (low + high) / 2))
    taps = taps - taps.mean()
    return tuple(float(tap) for tap in taps[half:])


@compiled
def _fill(grid: Any, code: Any, shift: int, row_g: Any, row_fresh: int) -> None:
    """Put a second's bins behind those carried, and bridge short holes on a straight line."""
    base = len(grid) - BINS
    for bin_ in range(BINS):
        if np.isnan(row_g[bin_]):
            continue
        at = base + bin_
        grid[at] = row_g[bin_]
        code[at + shift] = _FILLED
        hole = 0
        while hole <= MAX_BRIDGE and not code[at + shift - hole - 1] & _FILLED:
            hole += 1
        if hole > MAX_BRIDGE or (row_fresh >> bin_) & 1:
            code[at + shift] |= _FRESH
            continue
        before = np.float64(grid[at - hole - 1])
        slope = (np.float64(grid[at]) - before) / (hole + 1)
        for offset in range(1, hole + 1):
            grid[at - hole - 1 + offset] = before + slope * offset
            code[at - hole - 1 + offset + shift] = _FILLED


@compiled
def _mark_peaks(  # noqa: C901 (one compiled loop)
    grid: Any, code: Any, shift: int, taps: Any, spans: Any, limits: Any, work: Any
) -> None:
    """Filter the grid with zero delay, the ends of a series held, and mark the peaks of the next 25 bins."""
    around, distance, valley, _, look_ahead, _ = spans
    prominence_g, strong_g, _ = limits
    left, right, x = work
    size, half = len(grid), len(taps) - 1
    lowest, highest, any_filled = np.float32(np.inf), np.float32(-np.inf), False
    for k in range(size):
        left[k] = 0
        if code[k + shift] & _FILLED:
            any_filled = True
            lowest, highest = min(lowest, grid[k]), max(highest, grid[k])
            if k and code[k + shift - 1] & _FILLED and not code[k + shift] & _FRESH:
                left[k] = left[k - 1] + 1
    gain = abs(taps[0])
    for offset in range(1, half + 1):
        gain += 2.0 * abs(taps[offset])
    if not any_filled or gain * (np.float64(highest) - np.float64(lowest)) < 0.99 * prominence_g:
        return  # no value differs from another by a peak's height
    right[size - 1] = 0
    for k in range(size - 2, -1, -1):
        right[k] = right[k + 1] + 1 if left[k + 1] else 0
    centre = size - BINS - _AHEAD + look_ahead
    for k in range(centre - around, centre + BINS + around):
        if code[k + shift] & _FILLED:
            total = taps[0] * grid[k]
            for offset in range(1, half + 1):
                total += taps[offset] * (
                    np.float64(grid[k - min(offset, left[k])]) + np.float64(grid[k + min(offset, right[k])])
                )
            x[k] = total
    for k in range(centre, centre + BINS):
        if not code[k + shift] & _FILLED:
            continue
        peak = True
        for offset in range(1, min(distance, left[k]) + 1):
            peak = peak and x[k] > x[k - offset]
        for offset in range(1, min(distance, right[k]) + 1):
            peak = peak and x[k] >= x[k + offset]
        if not peak:
            continue
        low_before, low_after = x[k], x[k]
        for offset in range(1, min(valley, left[k]) + 1):
            low_before = min(low_before, x[k - offset])
        for offset in range(1, min(valley, right[k]) + 1):
            low_after = min(low_after, x[k + offset])
        prominence = x[k] - max(low_before, low_after)
        if prominence >= prominence_g:
            code[k + shift] |= _PEAK | (_STRONG if prominence >= strong_g else 0)


@compiled
def _walked(code: Any, begin: int, spans: Any, limits: Any) -> int:
    """Count the peaks of 25 bins that have enough strong ones in the rhythm around them."""
    _, _, _, look_back, look_ahead, max_period = spans
    steps = 0
    for at in range(begin, begin + BINS):
        if not code[at] & _PEAK:
            continue
        strong = 1 if code[at] & _STRONG else 0
        here = at
        for back in range(at - 1, at - look_back - 1, -1):
            if not code[back] & _FILLED or code[back + 1] & _FRESH or here - back > max_period:
                break
            if code[back] & _PEAK:
                strong += 1 if code[back] & _STRONG else 0
                here = back
        here = at
        for ahead in range(at + 1, at + look_ahead + 1):
            if not code[ahead] & _FILLED or code[ahead] & _FRESH or ahead - here > max_period:
                break
            if code[ahead] & _PEAK:
                strong += 1 if code[ahead] & _STRONG else 0
                here = ahead
        steps += 1 if strong >= limits[2] else 0
    return steps


@compiled
def _count_steps(  # noqa: C901 (one compiled loop)
    carried: Any, seconds: Any, steps: Any, taps: Any, spans: Any, limits: Any
) -> None:
    carried_until_us, carried_grid_g, carried_code = carried
    first, start_us, row_grid_g, row_fresh, until_us = seconds
    kept_grid, kept_code = carried_grid_g.shape[1], carried_code.shape[1]
    shift = kept_code - kept_grid
    grid, code = np.empty(kept_grid + BINS, np.float32), np.empty(kept_code + BINS, np.uint8)
    work = (np.zeros(len(grid), np.int64), np.zeros(len(grid), np.int64), np.zeros(len(grid)))
    for device in range(len(until_us)):
        taken, known, end = first[device], first[device], first[device + 1]
        now_us = carried_until_us[device]
        while taken < end and start_us[taken] < now_us:
            taken += 1
        if now_us == NEVER_US:
            if taken == end or start_us[taken] >= until_us[device]:
                continue
            now_us = start_us[taken]
        for k in range(kept_grid):  # slices would take seconds to compile
            grid[k] = carried_grid_g[device, k]
        for k in range(kept_code):
            code[k] = carried_code[device, k]
        since_any = 0  # seconds in a row without a bin: after enough of them nothing is left to look at
        while now_us < until_us[device]:
            has_row = taken < end and start_us[taken] == now_us
            if not has_row and since_any * BINS > kept_code:
                now_us = until_us[device] if taken == end else min(until_us[device], start_us[taken])
                continue
            for k in range(BINS):
                grid[kept_grid + k] = 0.0
                code[kept_code + k] = 0
            if has_row:
                _fill(grid, code, shift, row_grid_g[taken], row_fresh[taken])
            since_any = 0 if has_row else since_any + 1
            taken += 1 if has_row else 0
            _mark_peaks(grid, code, shift, taps, spans, limits, work)
            known_us = now_us - SECONDS_AHEAD * WINDOW_US
            while known < end and start_us[known] < known_us:
                known += 1
            if known < end and start_us[known] == known_us:
                steps[known] = _walked(code, kept_code - _AHEAD, spans, limits)
            for k in range(kept_grid):
                grid[k] = grid[k + BINS]
            for k in range(kept_code):
                code[k] = code[k + BINS]
            now_us += WINDOW_US
        carried_until_us[device] = until_us[device]
        for k in range(kept_grid):
            carried_grid_g[device, k] = grid[k]
        for k in range(kept_code):
            carried_code[device, k] = code[k]
