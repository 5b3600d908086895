"""The step counter as it is described, over whole recordings at once: what the compiled one is compared with."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from wearables_platform.signals.cleaning import CleanSamples
from wearables_platform.signals.flags import QualityFlag
from wearables_platform.signals.samples import SampleTable
from wearables_platform.signals.segments import Segments, continuity_breaks, segments_from_breaks
from wearables_platform.signals.steps import MAX_BRIDGE, StepParams, _taps
from wearables_platform.signals.walk import GRID_US
from wearables_platform.signals.walk import MIN_GRID_RATE_HZ as MIN_RATE_HZ

Floats = NDArray[np.float64]


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
