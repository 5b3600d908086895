"""One-second windows: rows that are a pure function of the samples in and around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from wearables_platform.signals.cleaning import CleanParams, CleanSamples, clean, finite_rows
from wearables_platform.signals.features import FEATURE_COLUMNS, Column, SampleSeries, epoch_features
from wearables_platform.signals.flags import QualityFlag
from wearables_platform.signals.motion import jerk_g_s
from wearables_platform.signals.samples import Index, SampleTable
from wearables_platform.signals.segments import gap_limit_us
from wearables_platform.signals.steps import StepParams, find_steps

WINDOW_US = 1_000_000
"""Windows are one second long and start at whole UTC seconds."""

HALO_BEFORE_US = 5_000_000
"""No sample earlier than this before a window's start changes its row."""

HALO_AFTER_US = 2_500_000
"""No sample later than this after a window's end changes its row."""

FEATURE_VERSION = "2"
"""Changes whenever a row may change for the same samples."""

RATE_TOLERANCE = 0.05
"""A full window whose count differs from the nominal rate by more than this share is flagged."""

_DTYPES = {column.name: np.dtype(column.dtype) for column in FEATURE_COLUMNS}


@dataclass(frozen=True)
class WindowParams:
    """Settings of the window rows; part of what a row is a function of."""

    clean: CleanParams = field(default_factory=CleanParams)
    steps: StepParams = field(default_factory=StepParams)


@dataclass(frozen=True)
class WindowRows:
    """Rows sorted by (device, start_us); all arrays share the first axis R.

    Attributes
    ----------
    device : (R,) int32
    start_us : (R,) int64
    features : dict of (R,) arrays
        One per entry of `FEATURE_COLUMNS`, in that order.
    """

    device: NDArray[np.int32]
    start_us: NDArray[np.int64]
    features: dict[str, Column]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.device)

    def __getitem__(self, name: str) -> Column:
        """Return one feature column."""
        return self.features[name]

    def take(self, index: Index) -> WindowRows:
        """Return the rows that `index` selects."""
        features = {name: column[index] for name, column in self.features.items()}
        return WindowRows(self.device[index], self.start_us[index], features)

    @classmethod
    def concat(cls, parts: Sequence[WindowRows]) -> WindowRows:
        """Join rows end to end."""
        if not parts:
            return compute_windows(SampleTable.empty())
        features = {name: np.concatenate([part.features[name] for part in parts]) for name in _DTYPES}
        device = np.concatenate([part.device for part in parts])
        return cls(device, np.concatenate([part.start_us for part in parts]), features)


def compute_windows(samples: SampleTable, params: WindowParams | None = None) -> WindowRows:
    """Return a row for every (device, UTC second) that holds a sample.

    Parameters
    ----------
    samples : SampleTable
        Any number of devices, sorted by (device, time). Not changed.
    params : WindowParams, optional

    Returns
    -------
    WindowRows

    Notes
    -----
    A row depends on the samples of its device in [start - HALO_BEFORE_US, start + 1 s + HALO_AFTER_US) and
    on nothing else: not on other devices, on further context, or on how the caller cuts the samples.
    Rows whose halo is not wholly in `samples` are computed from what is there; the caller drops them.
    """
    params = params or WindowParams()
    samples.require_sorted()
    return windows_in(samples, clean(samples, params.clean), params)


def windows_in(samples: SampleTable, cleaned: CleanSamples, params: WindowParams) -> WindowRows:
    """As `compute_windows`, for samples already cleaned with ``params.clean``: events are found in the same ones."""
    device, start_us = _window_keys(samples)
    row_of_sample = _row_of(device, start_us, cleaned.table)
    steps = find_steps(cleaned, params.steps)
    features = _empty_columns(len(device))
    whole = _sample_series(cleaned)
    for rows, index in _grouped_by_count(row_of_sample, len(device)):
        for name, values in epoch_features(whole.gather(index)).items():
            features[name][rows] = values
    features.update(_tallies(cleaned, row_of_sample, len(device)))
    features["steps"] = _count_at(_row_of_instants(device, start_us, steps.device, steps.time_us), len(device))
    features["flags"] = _flags(samples, cleaned, device, start_us, row_of_sample, features)
    return WindowRows(device, start_us, {name: features[name].astype(dtype) for name, dtype in _DTYPES.items()})


def window_start_us(time_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the start of the window that holds each instant (also before 1970)."""
    return time_us // WINDOW_US * WINDOW_US


def _window_keys(samples: SampleTable) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    start_us = window_start_us(samples.time_us)
    fresh = np.ones(len(samples), dtype=np.bool_)
    fresh[1:] = (np.diff(samples.device) != 0) | (np.diff(start_us) != 0)
    return samples.device[fresh], start_us[fresh]


def _row_of(device: NDArray[np.int32], start_us: NDArray[np.int64], table: SampleTable) -> NDArray[np.int64]:
    return _row_of_instants(device, start_us, table.device, table.time_us)


def _row_of_instants(
    device: NDArray[np.int32], start_us: NDArray[np.int64], at_device: NDArray[np.int32], at_us: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the row of each (device, instant); every instant must fall into a row."""
    if not len(device):
        return np.zeros(0, dtype=np.int64)
    origin = int(start_us.min())
    seconds = int((start_us.max() - origin) // WINDOW_US) + 1
    lowest = int(device.min())
    keys = (device.astype(np.int64) - lowest) * seconds + (start_us - origin) // WINDOW_US
    sought = (at_device.astype(np.int64) - lowest) * seconds + (at_us - origin) // WINDOW_US
    return np.searchsorted(keys, sought)


def _grouped_by_count(row_of_sample: NDArray[np.int64], n_rows: int) -> list[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Return, per sample count n > 0, the rows that have it and their samples' positions (W, n)."""
    counts = np.bincount(row_of_sample, minlength=n_rows)
    first = np.cumsum(counts) - counts
    groups = []
    for count in np.unique(counts[counts > 0]):
        rows = np.flatnonzero(counts == count)
        groups.append((rows, first[rows][:, None] + np.arange(count)))
    return groups


def _sample_series(cleaned: CleanSamples) -> SampleSeries:
    accel_g = cleaned.accel_g
    return SampleSeries(
        x_g=accel_g[:, 0],
        y_g=accel_g[:, 1],
        z_g=accel_g[:, 2],
        vm_g=cleaned.vm_g,
        jerk_g_s=jerk_g_s(accel_g, cleaned.table.rate_hz, cleaned.breaks),
        local_maximum=_local_maxima(cleaned),
        rate_hz=cleaned.table.rate_hz,
    )


def _local_maxima(cleaned: CleanSamples) -> NDArray[np.bool_]:
    """Mark samples above the one before and not below the next, inside their segment."""
    vm_g, mark = cleaned.vm_g, np.zeros(len(cleaned.vm_g), dtype=np.bool_)
    mark[1:-1] = (vm_g[1:-1] > vm_g[:-2]) & (vm_g[1:-1] >= vm_g[2:]) & ~cleaned.breaks[1:-1] & ~cleaned.breaks[2:]
    return mark


def _empty_columns(n_rows: int) -> dict[str, Column]:
    return {
        name: np.full(n_rows, np.nan) if dtype.kind == "f" else np.zeros(n_rows, dtype=np.int32)
        for name, dtype in _DTYPES.items()
    }


def _count_at(rows: NDArray[np.int64], n_rows: int, weights: NDArray[np.generic] | None = None) -> Column:
    counts = np.bincount(rows, weights=weights, minlength=n_rows)
    return np.minimum(counts, np.iinfo(np.int32).max).astype(np.int32)  # a device may claim any count


def _tallies(cleaned: CleanSamples, rows: NDArray[np.int64], n_rows: int) -> dict[str, Column]:
    """Return counts, coverage and block peaks: exact whatever the order of the samples."""
    table = cleaned.table
    n_samples = _count_at(rows, n_rows)
    first = np.searchsorted(rows, np.arange(n_rows))
    known = n_samples > 0
    rate_hz = np.full(n_rows, np.nan)
    rate_hz[known] = table.rate_hz[first[known]]
    coverage = np.where(known, np.minimum(1.0, n_samples / rate_hz), 0.0)
    return {
        "n_samples": n_samples,
        "rate_hz": rate_hz,
        "coverage": coverage,
        "glitches": _count_at(rows, n_rows, cleaned.glitch + table.glitches),
        "clipped": _count_at(rows, n_rows, cleaned.clipped + table.clipped),
        "peak_raw_g": _largest(table.peak_raw_g, rows, n_rows),
        "peak_g": _largest(table.peak_g, rows, n_rows),
    }


def _largest(values: NDArray[np.float32], rows: NDArray[np.int64], n_rows: int) -> NDArray[np.float64]:
    """Return the largest number of each row, NaN where it has none."""
    known = ~np.isnan(values)
    top = np.full(n_rows, -np.inf)
    np.maximum.at(top, rows[known], values[known].astype(np.float64))
    return np.where(np.isneginf(top), np.nan, top)


def _flags(
    samples: SampleTable,
    cleaned: CleanSamples,
    device: NDArray[np.int32],
    start_us: NDArray[np.int64],
    rows: NDArray[np.int64],
    features: dict[str, Column],
) -> NDArray[np.int32]:
    flags = np.zeros(len(device), dtype=np.int32)
    np.bitwise_or.at(flags, rows, cleaned.flags)
    if len(cleaned.table) < len(samples):
        bad = samples.take(~finite_rows(samples))
        np.bitwise_or.at(flags, _row_of(device, start_us, bad), bad.flags | int(QualityFlag.NON_FINITE))
    gap = _has_gap(cleaned, start_us, rows)
    flags[gap] |= int(QualityFlag.GAP)
    expected = features["rate_hz"]
    off = np.abs(features["n_samples"] - expected) > np.maximum(RATE_TOLERANCE * expected, 2.0)
    flags[off & ~gap] |= int(QualityFlag.RATE_MISMATCH)
    return flags


def _has_gap(cleaned: CleanSamples, start_us: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mark windows with a step between two samples, or to either edge, longer than a gap's limit."""
    gap = np.ones(len(start_us), dtype=np.bool_)
    gap[rows] = False
    table, limit_us = cleaned.table, gap_limit_us(cleaned.table.rate_hz)
    opens = np.ones(len(rows), dtype=np.bool_)
    opens[1:] = np.diff(rows) != 0
    previous_us = np.where(opens, start_us[rows], np.roll(table.time_us, 1))
    after_us = start_us[rows] + WINDOW_US - table.time_us
    gap[rows[table.time_us - previous_us > limit_us]] = True
    gap[rows[np.roll(opens, -1) & (after_us > limit_us)]] = True
    return gap
