"""Thresholds of devices from the lake: robust statistics of what each measured on its wearer, bounded by safe limits.

No label and no alarm goes in: medians and low quantiles of all windows and heart rates, so the thresholds cannot follow
what they themselves let through. Counted in histograms, so that memory does not grow with days.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from wearables_platform.clients.lake import Lake
from wearables_platform.domain.channels import VITALS
from wearables_platform.models.inputs import MIN_TRAINING_COVERAGE, UNFIT_FOR_TRAINING
from wearables_platform.models.registry import ModelRegistry, ModelVersion, span_of
from wearables_platform.models.thresholds import DEVICE_THRESHOLDS, KINDS, SAFE, check_safe, write_table
from wearables_platform.models.training_set import Wear
from wearables_platform.signals.minutes import PLAUSIBLE_BPM
from wearables_platform.signals.windows import FEATURE_VERSION
from wearables_platform.wire.feature_schema import WINDOWS_DATASET
from wearables_platform.wire.heart_rates import heart_rates
from wearables_platform.wire.raw_messages import raw_dataset

THRESHOLD_CODE_VERSION: Final = "1"

MOVES_ENMO_MG: Final = 50.0
STILL_MAD_MG: Final = 5.0
"""A second whose magnitude scatters by less is a sensor that lies still: its ENMO is noise and error of calibration."""

SPREADS: Final = 5.0
ABOVE_NOISE_MG: Final = 15.0
ABOVE_RESTING_BPM: Final = 40.0
RESTING_QUANTILE: Final = 0.10

_COLUMNS: Final = ["device_id", "window_start", "vm_max_g", "enmo_mg", "mad_mg", "coverage", "flags", "feature_version"]
DEVICES_AT_ONCE: Final = 1_000
Ints = NDArray[np.int64]
Histogram = NDArray[np.int64]


@dataclass(frozen=True)
class Minimum:
    """How much there must be of a device before it gets a threshold of its own; else the default stays."""

    moving_windows: int = 1_800
    still_windows: int = 600
    readings: int = 600


@dataclass
class _Counts:
    """One quantity of every device: (D, B) counts in equal bins from `low`."""

    low: float
    step: float
    bins: int
    devices: int
    counts: Histogram = field(init=False)

    def __post_init__(self) -> None:
        self.counts = np.zeros((self.devices, self.bins), np.int64)

    def add(self, device: NDArray[np.integer[Any]], values: NDArray[Any]) -> None:
        place = ((values - self.low) / self.step).astype(np.int64).clip(0, self.bins - 1)
        np.add.at(self.counts, (device, place), 1)

    def quantiles(self, share: float) -> NDArray[np.float64]:
        """Return each device's quantile, the middle of its bin; of nothing, NaN."""
        return np.concatenate([self._quantiles(part, share) for part in self._parts()]).astype(np.float64)

    def _quantiles(self, counts: Histogram, share: float) -> NDArray[np.float64]:
        total = counts.sum(axis=1)
        reached = np.cumsum(counts, axis=1) >= np.maximum(np.ceil(share * total), 1)[:, None]
        return np.asarray(np.where(total > 0, self.middles[reached.argmax(axis=1)], np.nan))

    def _parts(self) -> list[Histogram]:
        return np.array_split(self.counts, 1 + self.devices // DEVICES_AT_ONCE)

    @property
    def middles(self) -> NDArray[np.float64]:
        return np.asarray(self.low + self.step * (np.arange(self.bins) + 0.5), np.float64)

    def spreads(self, centre: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return each device's median distance from its centre, as a standard deviation."""
        parts = self._parts()
        centres = np.array_split(centre, len(parts))
        return np.concatenate([self._spreads(*part) for part in zip(parts, centres, strict=True)])

    def _spreads(self, counts: Histogram, centre: NDArray[np.float64]) -> NDArray[np.float64]:
        away = np.abs(self.middles[None, :] - centre[:, None])
        order = np.argsort(away, axis=1, kind="stable")
        counts = np.take_along_axis(counts, order, axis=1)
        half = np.maximum(np.ceil(counts.sum(axis=1) / 2), 1)
        at = (np.cumsum(counts, axis=1) >= half[:, None]).argmax(axis=1)
        nearest = np.take_along_axis(away, order, axis=1)
        return np.asarray(1.4826 * np.take_along_axis(nearest, at[:, None], axis=1)[:, 0])


@dataclass(frozen=True)
class Baselines:
    """What was found of each device, in the order of `KINDS`; NaN where there were too few data."""

    devices: Mapping[str, tuple[float, ...]]
    people: tuple[str, ...]
    counted: Mapping[str, int]

    @property
    def sha256(self) -> str:
        """Digest of everything the version says."""
        rows = {one: [repr(value) for value in values] for one, values in self.devices.items()}
        return hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()


def device_baselines(
    lake: Lake, days: Sequence[str], wears: Sequence[Wear], minimum: Minimum | None = None
) -> Baselines:
    """Compute the thresholds of every device from what it measured on whoever wears it last.

    A device changes hands: what it measured on somebody else before says nothing of its wearer now.
    """
    minimum = minimum or Minimum()
    last = {wear.device_id: wear for wear in sorted(wears, key=lambda wear: wear.from_us)}
    ids = sorted(last)
    number = {device_id: n for n, device_id in enumerate(ids)}
    worn_us = np.array([(last[one].from_us, last[one].to_us) for one in ids], np.int64).reshape(-1, 2)
    moving = _Counts(0.0, 0.01, 1_600, len(ids))
    still = _Counts(0.0, 0.5, 400, len(ids))
    beats = _Counts(PLAUSIBLE_BPM[0], 0.5, 380, len(ids))
    for device, rows in _windows(lake, days, number, worn_us):
        _count_windows(device, rows, moving, still)
    for device, bpm in _readings(lake, days, number, worn_us):
        beats.add(device, bpm)
    values = _thresholds(moving, still, beats, minimum)
    known = {one: tuple(values[number[one]].tolist()) for one in ids if not np.isnan(values[number[one]]).all()}
    people = tuple(sorted({last[one].participant_id for one in known}))
    counted = {kind: int((~np.isnan(values[:, n])).sum()) for n, kind in enumerate(KINDS)}
    return Baselines(known, people, counted)


def _thresholds(moving: _Counts, still: _Counts, beats: _Counts, minimum: Minimum) -> NDArray[np.float64]:
    centre_g = moving.quantiles(0.5)
    found = {
        "spike_threshold_g": (centre_g + SPREADS * moving.spreads(centre_g), moving, minimum.moving_windows),
        "rest_enmo_mg": (still.quantiles(0.5) + ABOVE_NOISE_MG, still, minimum.still_windows),
        "rest_high_bpm": (beats.quantiles(RESTING_QUANTILE) + ABOVE_RESTING_BPM, beats, minimum.readings),
    }
    columns = [
        np.where(counts.counts.sum(axis=1) >= least, np.clip(np.round(values, 2), *SAFE[kind]), np.nan)
        for kind, (values, counts, least) in found.items()
    ]
    return np.column_stack(columns)


def _count_windows(device: Ints, rows: pa.Table, moving: _Counts, still: _Counts) -> None:
    enmo_mg, mad_mg, vm_max_g = (rows.column(name).to_numpy() for name in ("enmo_mg", "mad_mg", "vm_max_g"))
    moves = np.isfinite(vm_max_g) & (enmo_mg >= MOVES_ENMO_MG)
    moving.add(device[moves], vm_max_g[moves])
    lies = np.isfinite(enmo_mg) & (mad_mg <= STILL_MAD_MG)
    still.add(device[lies], enmo_mg[lies])


def _windows(
    lake: Lake, days: Sequence[str], number: Mapping[str, int], worn_us: Ints
) -> Iterator[tuple[Ints, pa.Table]]:
    """Yield clean windows of devices while worn, with the devices' numbers, a row group at a time."""
    for part in lake.scan(WINDOWS_DATASET, sorted(days), columns=_COLUMNS):
        fit = pc.equal(pc.bit_wise_and(part.column("flags"), int(UNFIT_FOR_TRAINING)), 0)
        whole = pc.greater_equal(part.column("coverage"), MIN_TRAINING_COVERAGE)
        same = pc.equal(part.column("feature_version"), FEATURE_VERSION)
        rows = part.filter(pc.and_(pc.and_(fit, whole), same))
        device = _numbers(rows, number)
        worn = _worn(device, rows.column("window_start").cast(pa.int64()).to_numpy(), worn_us)
        yield device[worn], rows.filter(pa.array(worn))


def _readings(
    lake: Lake, days: Sequence[str], number: Mapping[str, int], worn_us: Ints
) -> Iterator[tuple[Ints, NDArray[np.float64]]]:
    """Yield plausible heart rates of devices while worn."""
    columns = ["device_id", "append_time_us", "heart_rate"]
    for part in lake.scan(raw_dataset(VITALS), sorted(days), columns=columns):
        of_message = _numbers(part, number)
        lists = part.column("heart_rate").combine_chunks()
        found = heart_rates(lists, of_message, part.column("append_time_us").to_numpy())
        bpm, device = found.bpm.astype(np.float64), found.device.astype(np.int64)
        good = np.isfinite(bpm) & (bpm >= PLAUSIBLE_BPM[0]) & (bpm <= PLAUSIBLE_BPM[1])
        good &= _worn(device, found.time_us, worn_us)
        yield device[good], bpm[good]


def _numbers(rows: pa.Table, number: Mapping[str, int]) -> Ints:
    """Return each row's device number; -1: nobody known wears it."""
    encoded = pc.dictionary_encode(rows.column("device_id").combine_chunks())
    own = np.array([number.get(name, -1) for name in encoded.dictionary.to_pylist()], np.int64)
    return np.asarray(own[encoded.indices.to_numpy(zero_copy_only=False)]) if len(own) else np.zeros(0, np.int64)


def _worn(device: Ints, time_us: Ints, worn_us: Ints) -> NDArray[np.bool_]:
    if not len(worn_us):
        return np.zeros(len(device), np.bool_)
    return np.asarray((device >= 0) & (time_us >= worn_us[device, 0]) & (time_us < worn_us[device, 1]))


def register_thresholds(
    lake: Lake, registry: ModelRegistry, found: Baselines, days: Sequence[str], trained_at: datetime
) -> tuple[ModelVersion, bool]:
    """Store a version and register it as a candidate; the same thresholds again give the version there is already.

    Thresholds that say what the newest candidate says, or else the version in force, are no new version, whatever days
    they come from.
    """
    check_safe(found.devices)
    version = f"{max(days, default='empty')}-{found.sha256[:12]}"
    known = registry.find(DEVICE_THRESHOLDS, version) or _same_already(registry, found)
    if known is not None:
        return known, False
    data = write_table(DEVICE_THRESHOLDS, version, found.devices)
    path = f"models/{DEVICE_THRESHOLDS}/{version}.json"
    lake.put(path, data)
    row = ModelVersion(
        name=DEVICE_THRESHOLDS,
        version=version,
        state="candidate",
        sha256=hashlib.sha256(data).hexdigest(),
        lake_path=path,
        feature_version=FEATURE_VERSION,
        code_version=THRESHOLD_CODE_VERSION,
        trained_at=trained_at,
        training_days=span_of(sorted(days)),
        training_people=found.people,
        metrics={"devices": len(found.devices), "with_own": dict(found.counted), "statistics": "medians and quantiles"},
    )
    return row, registry.add(row, f"computed from {span_of(sorted(days))}")


def _same_already(registry: ModelRegistry, found: Baselines) -> ModelVersion | None:
    """Return the version that would be in force anyway, where it says the same by the same code of the same people."""
    in_force, candidates = registry.in_force(DEVICE_THRESHOLDS), registry.candidates(DEVICE_THRESHOLDS)
    newest = candidates[-1] if candidates else in_force
    if newest is None or newest.version.rpartition("-")[2] != found.sha256[:12]:
        return None
    made_alike = (newest.feature_version, newest.code_version) == (FEATURE_VERSION, THRESHOLD_CODE_VERSION)
    return newest if made_alike and set(newest.training_people) == set(found.people) else None
