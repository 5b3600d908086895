"""Thresholds of single devices: a table as a versioned artefact, loaded behind checks, in force by event time.

Stream and batch ask the same `ThresholdTimeline`: what holds for a window is what the version in force at the window's
start says of its device, and the defaults where that says nothing.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from wearables_platform.models.refusal import Refusal, refused
from wearables_platform.signals.events import SpikeParams
from wearables_platform.signals.limits import DeviceLimits, Floats, Ints
from wearables_platform.signals.rules import RuleParams
from wearables_platform.signals.windows import FEATURE_VERSION, WINDOW_US
from wearables_platform.wire.v1.telemetry_pb2 import ModelRelease

DEVICE_THRESHOLDS: Final = "device_thresholds"
FORMAT: Final = 1
MAX_BYTES: Final = 32 * 1024 * 1024

KINDS: Final = ("spike_threshold_g", "rest_enmo_mg", "rest_high_bpm")
DEFAULTS: Final = (SpikeParams.spike_threshold_g, RuleParams.rest_enmo_mg, RuleParams.rest_high_bpm)
SAFE: Final[Mapping[str, tuple[float, float]]] = {
    "spike_threshold_g": (DEFAULTS[0], 3.3),
    "rest_enmo_mg": (15.0, 40.0),
    "rest_high_bpm": (90.0, 120.0),
}
"""No threshold ever leaves these. Spikes: never more sensitive than the default, and a half sine of 4 g and 30 ms,
which reaches 3.3 to 3.8 g, is still found; rest: between a sensor's own noise and a hand that writes."""

Values = NDArray[np.float64]


@dataclass(frozen=True)
class ThresholdTable:
    """One version: (device) to thresholds in the order of `KINDS`, NaN where there were too few data of one."""

    release: ModelRelease
    devices: Mapping[str, tuple[float, ...]]

    @property
    def version(self) -> str | None:
        """The version rows judged by it must name; None where a rollback left the defaults."""
        return self.release.version or None

    def values(self, device_ids: Sequence[str]) -> Values:
        """Return (D, 3) thresholds, the defaults where there is none."""
        found = np.array([self.devices.get(one, DEFAULTS) for one in device_ids]).reshape(-1, len(KINDS))
        return np.where(np.isnan(found), DEFAULTS, found)


def write_table(name: str, version: str, devices: Mapping[str, Sequence[float]]) -> bytes:
    """Return a version's file; equal tables give equal bytes."""
    rows = {one: [None if math.isnan(value) else value for value in values] for one, values in devices.items()}
    described = {"format": FORMAT, "name": name, "version": version, "feature_version": FEATURE_VERSION}
    return json.dumps({**described, "kinds": KINDS, "devices": rows}, sort_keys=True, allow_nan=False).encode()


def load_thresholds(release: ModelRelease, read_bytes: Callable[[str], bytes]) -> ThresholdTable:
    """Load the table a release names, or raise `ModelRefused` with the reason; without a version, the defaults."""
    if not release.version:
        return ThresholdTable(release, {})
    if release.feature_version != FEATURE_VERSION:
        raise refused(Refusal.FOREIGN_FEATURES, f"made for version {release.feature_version}, here {FEATURE_VERSION}")
    data = read_bytes(release.lake_path)
    found = hashlib.sha256(data).hexdigest()
    if found != release.sha256:
        raise refused(Refusal.WRONG_SHA256, f"expected {release.sha256}, the file has {found}")
    if len(data) > MAX_BYTES:
        raise refused(Refusal.TOO_LARGE, f"{len(data)} bytes, {MAX_BYTES} allowed")
    return ThresholdTable(release, _devices(_described(data, release)))


def _described(data: bytes, release: ModelRelease) -> Mapping[str, Any]:
    try:
        table = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise refused(Refusal.CORRUPT, f"not a table of thresholds ({exc})") from exc
    expected = {
        "format": FORMAT, "name": release.name, "version": release.version, "feature_version": FEATURE_VERSION,
        "kinds": list(KINDS),
    }  # fmt: skip
    wrong = [key for key, value in expected.items() if not isinstance(table, dict) or table.get(key) != value]
    if wrong or not isinstance(table.get("devices"), dict):
        raise refused(Refusal.FOREIGN_SCHEMA, f"another {', '.join(wrong or ['devices'])} than the release's")
    return dict(table)


def _devices(table: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    try:
        devices = {
            str(one): tuple(math.nan if value is None else float(value) for value in values)
            for one, values in table["devices"].items()
        }
    except (TypeError, ValueError, OverflowError) as exc:
        raise refused(Refusal.FOREIGN_SCHEMA, str(exc)) from exc
    check_safe(devices)
    return devices


def check_safe(devices: Mapping[str, Sequence[float]]) -> None:
    """Raise `ModelRefused` where a threshold lies outside `SAFE`, or there are not as many as kinds."""
    for device_id, values in devices.items():
        if len(values) != len(KINDS):
            raise refused(Refusal.FOREIGN_SCHEMA, f"{device_id} has {len(values)} thresholds, {len(KINDS)} expected")
        for kind, value in zip(KINDS, values, strict=True):
            low, high = SAFE[kind]
            if not (math.isnan(value) or low <= value <= high):
                raise refused(Refusal.UNSAFE_THRESHOLDS, f"{kind} of {device_id} is {value:g}, allowed {low} to {high}")


@dataclass(frozen=True)
class ThresholdTimeline:
    """Versions by event time, as `predict.ModelTimeline`; immutable, so threads may share it."""

    tables: tuple[ThresholdTable, ...] = ()
    _starts_us: Ints = field(default_factory=lambda: np.zeros(0, np.int64), compare=False)

    @property
    def last(self) -> ModelRelease | None:
        """The release in force from the latest instant, None where there is none."""
        return self.tables[-1].release if self.tables else None

    def with_release(self, table: ThresholdTable) -> ThresholdTimeline:
        """Return the timeline with one more version; one already there changes nothing."""
        if any(known.release == table.release for known in self.tables):
            return self
        tables = sorted([*self.tables, table], key=lambda one: one.release.effective_from_us)
        return ThresholdTimeline(tuple(tables), np.array([one.release.effective_from_us for one in tables], np.int64))

    def versions(self, start_us: Ints) -> list[str | None]:
        """Return the version in force at the window that holds each of (N,) instants; None: the defaults."""
        return [None if n < 0 else self.tables[n].version for n in self._in_force(start_us // WINDOW_US * WINDOW_US)]

    def limits(self, device_ids: Sequence[str]) -> DeviceLimits | None:
        """Return what signals ask for devices that count as `device_ids` does; None: the defaults for all, ever."""
        return _Limits(self, device_ids) if self.tables else None

    def values(self, device_ids: Sequence[str], device: NDArray[np.int32], start_us: Ints) -> Values:
        """Return (N, 3) thresholds of devices by number at the starts of windows."""
        found = np.tile(np.array(DEFAULTS), (len(device), 1))
        in_force = self._in_force(start_us)
        for number in np.unique(in_force[in_force >= 0]).tolist():
            table, chosen = self.tables[number], np.flatnonzero(in_force == number)
            own, place = np.unique(device[chosen], return_inverse=True)
            found[chosen] = table.values([device_ids[n] for n in own.tolist()])[place]
        return found

    def _in_force(self, start_us: Ints) -> Ints:
        return np.searchsorted(self._starts_us, start_us, side="right") - 1


NO_THRESHOLDS: Final = ThresholdTimeline()


@dataclass(frozen=True)
class _Limits:
    timeline: ThresholdTimeline
    device_ids: Sequence[str]

    def spike_threshold_g(self, device: NDArray[np.int32], start_us: Ints) -> Floats:
        return self.timeline.values(self.device_ids, device, start_us)[:, 0]

    def rest(self, device: NDArray[np.int32], start_us: Ints) -> tuple[Floats, Floats]:
        values = self.timeline.values(self.device_ids, device, start_us)
        return values[:, 1], values[:, 2]
