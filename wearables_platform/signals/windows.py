"""One-second windows: rows that are a pure function of the samples in and around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from wearables_platform.signals.cleaning import CleanParams, CleanSamples, clean, finite_rows
from wearables_platform.signals.events import EventRows, SpikeParams, describe_events, find_onsets
from wearables_platform.signals.features import FEATURE_COLUMNS, GRAVITY, Column, SampleSeries, epoch_features
from wearables_platform.signals.flags import QualityFlag
from wearables_platform.signals.limits import DeviceLimits
from wearables_platform.signals.motion import jerk_g_s
from wearables_platform.signals.overlaps import WINDOW_US as WINDOW_US  # windows' readers find it here
from wearables_platform.signals.overlaps import Seconds, always, into_seconds
from wearables_platform.signals.samples import Index, SampleTable
from wearables_platform.signals.steps import SECONDS_AHEAD, StepCarry, StepParams, count_steps
from wearables_platform.signals.walk import Walked, nothing_before, postures_before, walk

HALO_BEFORE_US = 5_000_000
"""No sample earlier than this before a window's start changes its row."""

HALO_AFTER_US = 2_500_000
"""No sample later than this after a window's end changes its row."""

AWAITED_US: Final = SECONDS_AHEAD * WINDOW_US
"""A second's row is whole when so much after it has been taken."""

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
    def none(cls) -> WindowRows:
        """Return no rows."""
        features: dict[str, Column] = {name: np.zeros(0, dtype) for name, dtype in _DTYPES.items()}
        return cls(np.zeros(0, np.int32), np.zeros(0, np.int64), features)

    @classmethod
    def concat(cls, parts: Sequence[WindowRows]) -> WindowRows:
        """Join rows end to end."""
        if not parts:
            return cls.none()
        features = {name: np.concatenate([part.features[name] for part in parts]) for name in _DTYPES}
        device = np.concatenate([part.device for part in parts])
        return cls(device, np.concatenate([part.start_us for part in parts]), features)


def compute_windows(samples: SampleTable, params: WindowParams | None = None) -> WindowRows:
    """Return a row for every (device, UTC second) that holds a sample.

    Parameters
    ----------
    samples : SampleTable
        Any number of devices, sorted by (device, boot, segment, time). Not changed.
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
    return compute_all(samples, params)[0]


def compute_all(
    samples: SampleTable,
    params: WindowParams | None = None,
    spikes: SpikeParams | None = None,
    limits: DeviceLimits | None = None,
) -> tuple[WindowRows, EventRows]:
    """As `compute_windows` and `spike_events` in one pass; both use the cleaning of `params`.

    `limits` counts devices as `samples` does.
    """
    params = params or WindowParams()
    spikes = spikes or SpikeParams(clean=params.clean)
    samples.require_sorted()
    table, devices = samples.numbered()
    carry = Carry.blank(len(devices), params.steps)
    taken = take_seconds(carry, table, always(len(devices)), params, spikes)
    rows = _with_steps(carry, taken, params.steps)
    own = None if limits is None else _Numbered(limits, devices)
    events = describe_events(taken.cleaned, taken.onsets, spikes, own)
    return replace(rows, device=devices[rows.device]), replace(events, device=devices[events.device])


@dataclass(frozen=True)
class _Numbered:
    """Limits for devices that are counted anew."""

    limits: DeviceLimits
    devices: NDArray[np.int32]

    def spike_threshold_g(self, device: NDArray[np.int32], start_us: NDArray[np.int64]) -> NDArray[np.float64]:
        return self.limits.spike_threshold_g(self.devices[device], start_us)

    def rest(
        self, device: NDArray[np.int32], start_us: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return self.limits.rest(self.devices[device], start_us)


@dataclass(frozen=True)
class Carry:
    """What D devices' next seconds need of those before; changed in place.

    Attributes
    ----------
    last : (D,) LAST_DTYPE
        The last sample that spoke, and its second's posture.
    steps : StepCarry
    """

    last: NDArray[np.void]
    steps: StepCarry

    @classmethod
    def blank(cls, devices: int, params: StepParams | None = None) -> Carry:
        """Return the carry of devices that have not sent anything."""
        return cls(nothing_before(devices), StepCarry.blank(devices, params or StepParams()))

    def __len__(self) -> int:
        """Return the number of devices."""
        return len(self.last)

    def copy(self) -> Carry:
        """Return a copy."""
        return self.take(np.arange(len(self)))

    def take(self, devices: NDArray[np.int64]) -> Carry:
        """Return a copy of some devices' carry."""
        steps = self.steps
        part = StepCarry(steps.until_us[devices], steps.grid_g[devices], steps.code[devices])
        return Carry(self.last[devices], part)


@dataclass(frozen=True)
class Taken:
    """Seconds that were taken: R rows that lack their steps, what these are found from, and onsets of events."""

    rows: WindowRows
    grid_g: NDArray[np.float32]
    fresh: NDArray[np.uint32]
    onsets: NDArray[np.void]
    cleaned: CleanSamples


def take_seconds(
    carry: Carry,
    samples: SampleTable,
    spans: tuple[NDArray[np.int64], NDArray[np.int64]],
    params: WindowParams,
    spikes: SpikeParams,
) -> Taken:
    """Make the rows of the seconds in each device's span, all but their steps.

    Parameters
    ----------
    carry : Carry
        Stands behind the seconds before; goes forward. `samples.device` counts its devices.
    samples : SampleTable
        All samples in the spans, and around them those within `clean_reach_us` and, before, `events.LEAD_US`.
    spans : ((D,) int64, (D,) int64)
        First instant, and end, per device; whole seconds. Seconds must be taken in order, none twice.
    """
    cleaned = clean(samples, params.clean)
    seconds = into_seconds(cleaned.table, spans, _not_finite(samples, cleaned, spans))
    features, gravity_g = _features(cleaned, seconds)
    posture_g = postures_before(carry.last, seconds, gravity_g)
    walked = walk(carry.last, cleaned, seconds, params.clean.stuck_s)
    features.update(_tallies(seconds, walked))
    features["flags"] = _flags(samples, cleaned, seconds, walked, features)
    features["steps"] = np.zeros(len(seconds), np.int32)
    columns = {name: features[name].astype(dtype, copy=False) for name, dtype in _DTYPES.items()}
    rows = WindowRows(seconds.device.astype(np.int32), seconds.start_us, columns)
    onsets = find_onsets(cleaned, seconds, posture_g, spikes)
    return Taken(rows, walked.grid_g, walked.fresh, onsets, cleaned)


def _with_steps(carry: Carry, taken: Taken, params: StepParams) -> WindowRows:
    """Return the rows with their steps, as if no sample came after them."""
    rows = taken.rows
    until_us = np.full(len(carry), -(2**62))
    np.maximum.at(until_us, rows.device, rows.start_us + WINDOW_US + AWAITED_US)
    keys = rows.device.astype(np.int64), rows.start_us
    steps = count_steps(carry.steps, keys, (taken.grid_g, taken.fresh), until_us, params)
    return WindowRows(rows.device, rows.start_us, rows.features | {"steps": steps})


def window_start_us(time_us: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the start of the window that holds each instant (also before 1970)."""
    return time_us // WINDOW_US * WINDOW_US


def _not_finite(
    samples: SampleTable, cleaned: CleanSamples, spans: tuple[NDArray[np.int64], NDArray[np.int64]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """Return device and window of the samples that were left out."""
    if len(cleaned.table) == len(samples):
        return None
    bad = samples.take(~finite_rows(samples))
    device, start_us = bad.device.astype(np.int64), window_start_us(bad.time_us)
    inside = (start_us >= spans[0][device]) & (start_us < spans[1][device])
    return device[inside], start_us[inside]


def _features(cleaned: CleanSamples, seconds: Seconds) -> tuple[dict[str, Column], NDArray[np.float64]]:
    """Return what the cleaned samples decide, windows of equal count together, and the (R, 3) medians of the axes."""
    features = _empty_columns(len(seconds))
    gravity_g = np.full((len(seconds), 3), np.nan)
    whole = _sample_series(cleaned)
    for rows, index in seconds.by_count():
        found = epoch_features(whole.gather(index))
        gravity_g[rows] = found.pop(GRAVITY)
        for name, values in found.items():
            features[name][rows] = values
    return features, gravity_g


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


def _tallies(seconds: Seconds, walked: Walked) -> dict[str, Column]:
    """Return counts, coverage and block peaks."""
    n_samples = seconds.counts
    coverage = np.where(n_samples > 0, np.minimum(1.0, n_samples / walked.rate_hz), 0.0)
    return {
        "n_samples": n_samples.astype(np.int32),
        "rate_hz": walked.rate_hz,
        "coverage": coverage,
        "glitches": walked.glitches.astype(np.int32),
        "clipped": walked.clipped.astype(np.int32),
        "peak_raw_g": walked.peak_raw_g,
        "peak_g": walked.peak_g,
    }


def _flags(
    samples: SampleTable, cleaned: CleanSamples, seconds: Seconds, walked: Walked, features: dict[str, Column]
) -> NDArray[np.int32]:
    flags = walked.flags | np.where(seconds.overlap, int(QualityFlag.OVERLAP), 0).astype(np.int32)
    if len(cleaned.table) < len(samples):
        _flag_not_finite(flags, samples, seconds)
    expected = features["rate_hz"]
    off = np.abs(features["n_samples"] - expected) > np.maximum(RATE_TOLERANCE * expected, 2.0)
    flags[off & ((flags & int(QualityFlag.GAP)) == 0)] |= int(QualityFlag.RATE_MISMATCH)
    return flags


def _flag_not_finite(flags: NDArray[np.int32], samples: SampleTable, seconds: Seconds) -> None:
    bad = samples.take(~finite_rows(samples))
    device, start_us = bad.device.astype(np.int64), window_start_us(bad.time_us)
    at = seconds.rows_at(device, start_us)
    there = at < len(seconds)
    there[there] = (seconds.device[at[there]] == device[there]) & (seconds.start_us[at[there]] == start_us[there])
    np.bitwise_or.at(flags, at[there], bad.flags[there] | int(QualityFlag.NON_FINITE))
