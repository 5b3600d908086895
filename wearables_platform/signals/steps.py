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

import numpy as np
from numpy.typing import NDArray
from scipy.signal import firwin

from wearables_platform.signals.cleaning import CleanSamples
from wearables_platform.signals.flags import QualityFlag
from wearables_platform.signals.samples import SampleTable
from wearables_platform.signals.segments import Segments, continuity_breaks, segments_from_breaks

Floats = NDArray[np.float64]

GRID_US = 40_000
"""Grid of 25 Hz: bins start at whole multiples of 40 ms since the Unix epoch, so 25 fill a UTC second."""

GRID_HZ = 25.0

MAX_BRIDGE = 4
"""Empty bins in a row that are filled by interpolation (160 ms); a longer hole ends a series."""

MIN_RATE_HZ = 10.0
"""Below this a step has too few samples for a peak."""

MAX_BEFORE, MAX_AFTER = 110, 52
"""Bins that a step may look back and ahead (4.4 s, 2.08 s), leaving the cleaning its 0.4 s of the window's halo."""


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
        around = max(self.valley, self.distance) + self.filter_half + MAX_BRIDGE + 1
        if self.look_back + around > MAX_BEFORE or self.look_ahead + around > MAX_AFTER:
            msg = f"steps may look {MAX_BEFORE} bins back and {MAX_AFTER} ahead, got {self}"
            raise ValueError(msg)


@dataclass(frozen=True)
class Steps:
    """Instants of steps, sorted by (device, time).

    Attributes
    ----------
    device : (N,) int32
    time_us : (N,) int64
        Middle of the step's bin.
    """

    device: NDArray[np.int32]
    time_us: NDArray[np.int64]


@dataclass(frozen=True)
class _Grid:
    """Mean vector magnitude on the grid; G bins, series after series."""

    device: NDArray[np.int32]
    bin: NDArray[np.int64]
    vm_g: Floats
    series: Segments


def find_steps(cleaned: CleanSamples, params: StepParams | None = None) -> Steps:
    """Return the steps in cleaned samples of any number of devices.

    Parameters
    ----------
    cleaned : CleanSamples
    params : StepParams, optional

    Returns
    -------
    Steps

    Notes
    -----
    A step depends on `look_back` + `valley` + `filter_half` + `MAX_BRIDGE` + 1 bins before its own (4.04 s), and
    with `look_ahead` in place of `look_back` after it (2.04 s), besides what the cleaning of those looks at.
    """
    params = params or StepParams()
    grid = _to_grid(cleaned)
    if not len(grid.bin):
        return Steps(grid.device, grid.bin)
    filtered_g = _band_pass(grid, params)
    peak, prominence_g = _peaks(filtered_g, grid.series, params)
    at = np.flatnonzero(peak)
    walked = at[_in_a_walk(grid, at, prominence_g[at] >= params.strong_g, params)]
    return Steps(grid.device[walked], grid.bin[walked] * GRID_US + GRID_US // 2)


def _to_grid(cleaned: CleanSamples) -> _Grid:
    """Average the magnitude over the samples of each bin, and bridge short holes."""
    use = cleaned.table.rate_hz >= MIN_RATE_HZ
    table = cleaned.table.take(use)
    bins = table.time_us // GRID_US
    fresh = _series_breaks(table, bins)
    bin_fresh = fresh.copy()
    bin_fresh[1:] |= np.diff(bins) != 0
    of_sample = np.cumsum(bin_fresh) - 1
    size = int(bin_fresh.sum())
    vm_g = np.bincount(of_sample, weights=cleaned.vm_g[use], minlength=size) / np.bincount(of_sample, minlength=size)
    return _bridge(table.device[bin_fresh], bins[bin_fresh], vm_g, fresh[bin_fresh])


def _series_breaks(table: SampleTable, bins: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mark samples that open a series: other than `continuity_breaks` only by the longer hole it bridges."""
    fresh = continuity_breaks(table)
    if len(table) > 1:
        bridged = (np.diff(table.device) == 0) & (np.diff(table.boot) == 0) & (np.diff(table.rate_hz) == 0)
        stepped = (table.flags & int(QualityFlag.CLOCK_STEP)) != 0
        bridged &= (np.diff(bins) <= MAX_BRIDGE + 1) & ~(stepped[1:] & ~stepped[:-1])
        fresh[1:] &= ~bridged
    return fresh


def _bridge(device: NDArray[np.int32], bins: NDArray[np.int64], vm_g: Floats, fresh: NDArray[np.bool_]) -> _Grid:
    """Fill the empty bins inside each series on a straight line between their neighbours."""
    repeat = np.ones(len(bins), dtype=np.int64)
    repeat[:-1] = np.where(fresh[1:], 1, np.diff(bins))
    source = np.repeat(np.arange(len(bins)), repeat)
    offset = np.arange(len(source)) - (np.cumsum(repeat) - repeat)[source]
    following = np.minimum(source + 1, len(bins) - 1)
    slope = (vm_g[following] - vm_g[source]) / repeat[source]
    filled = np.where(offset > 0, vm_g[source] + slope * offset, vm_g[source])
    return _Grid(device[source], bins[source] + offset, filled, segments_from_breaks(fresh[source] & (offset == 0)))


@cache
def _taps(low_hz: float, high_hz: float, half: int) -> tuple[float, ...]:
    """Return half of a symmetric band-pass (Hamming window) whose sum is zero, the middle tap first."""
    taps = firwin(2 * half + 1, [low_hz, high_hz], pass_zero=False, fs=GRID_HZ)
    taps = taps - taps.mean()
    return tuple(float(tap) for tap in taps[half:])


def _band_pass(grid: _Grid, params: StepParams) -> Floats:
    """Filter each series with zero delay, its ends held; tap by tap, so that every bin adds in one order."""
    position = np.arange(len(grid.vm_g))
    middle, *others = _taps(params.low_hz, params.high_hz, params.filter_half)
    out = middle * grid.vm_g
    for offset, tap in enumerate(others, start=1):
        before = grid.vm_g[np.maximum(position - offset, grid.series.first)]
        after = grid.vm_g[np.minimum(position + offset, grid.series.last)]
        out += tap * (before + after)
    return out


def _peaks(x: Floats, series: Segments, params: StepParams) -> tuple[NDArray[np.bool_], Floats]:
    """Mark the values that are largest around and prominent enough; ties go to the first."""
    position = np.arange(len(x))
    peak = np.ones(len(x), dtype=np.bool_)
    low_before, low_after = x.copy(), x.copy()
    for offset in range(1, max(params.distance, params.valley) + 1):
        before, after = np.maximum(position - offset, series.first), np.minimum(position + offset, series.last)
        if offset <= params.distance:
            peak &= ((x > x[before]) | (before == position)) & ((x >= x[after]) | (after == position))
        if offset <= params.valley:
            np.minimum(low_before, x[before], out=low_before)
            np.minimum(low_after, x[after], out=low_after)
    prominence = x - np.maximum(low_before, low_after)
    return peak & (prominence >= params.prominence_g), prominence


def _in_a_walk(grid: _Grid, at: NDArray[np.intp], strong: NDArray[np.bool_], params: StepParams) -> NDArray[np.bool_]:
    """Tell which peaks have enough strong ones in the rhythm around them."""
    count = strong.astype(np.int64)
    count += _strong_in_reach(grid, at, strong, params.max_period, params.look_back, step=-1)
    count += _strong_in_reach(grid, at, strong, params.max_period, params.look_ahead, step=1)
    return count >= params.min_strong


def _strong_in_reach(
    grid: _Grid, at: NDArray[np.intp], strong: NDArray[np.bool_], max_period: int, reach: int, step: int
) -> NDArray[np.int64]:
    """Count the strong peaks reached from each peak by pauses of at most `max_period`, within `reach` bins."""
    count = np.zeros(len(at), dtype=np.int64)
    here = np.arange(len(at))
    linked = np.ones(len(at), dtype=np.bool_)
    while linked.any():
        following = np.clip(here + step, 0, len(at) - 1)
        same = (grid.series.first[at[following]] == grid.series.first[at]) & (following != here)
        near = np.abs(at[following] - at[here]) <= max_period
        linked = linked & same & near & (np.abs(at[following] - at) <= reach)
        count += linked & strong[following]
        here = following
    return count
