"""The newest values of the fleet, as Redis holds them, and how far they may be believed."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from wearables_platform.api.replies import Freshness, Latest, RecentAnomaly, SensorValue
from wearables_platform.clients.redis import MAX_ANOMALIES
from wearables_platform.domain.time_policy import US_PER_S, from_us, to_us

# A device sends every 100 ms; after this long without a message it is off, out of reach or broken.
SILENT_AFTER_S = 15.0
# Arrives, but was measured longer ago than buffers and networks explain: an upload of stored data, or a slow clock.
LATE_AFTER_S = 60.0
# How many intervals are waited per second that the last read of the fleet took: with one of a second a read of 10,000
# devices, which takes some tenths of a second, leaves the larger part of the time to all else.
PAUSES_PER_S = 5.0

RawLatest = Mapping[str, str]
# Per device the caller may see, since when (microseconds): what is older is of somebody else. None is everything.
Visible = Mapping[str, int] | None
# What the newest values of a group are of: the field that says when, and the others.
_GROUPS = {
    "time_us": ("append_us", "sequence", "boot_id", "x_g", "y_g", "z_g", "vm_g", "rate_hz"),
    "window_start_us": ("enmo_mg", "anomaly_score", "model_version"),
    "hr_time_us": ("hr_bpm",),
    "steps_end_us": ("steps",),
    "status_time_us": ("battery_percent", "worn"),
}
_EVENT_TIMES = ("time_us", "hr_time_us", "steps_end_us", "status_time_us")


class LatestSource(Protocol):
    """The reads of the live store (`clients.redis_reads.LatestReader`)."""

    def ping(self) -> None:
        """Raise `StoreUnavailable` unless the store answers."""

    def device_count(self) -> int:
        """Return how many devices have sent anything."""

    def newest_devices(self, limit: int) -> list[str]:
        """Return the devices with the newest event times, newest first."""

    def latest(self, device_ids: Sequence[str]) -> list[dict[str, str]]:
        """Return each device's newest values; empty where nothing is known."""

    def trace(self, device_id: str, after_us: int) -> list[tuple[int, float]]:
        """Return the device's recent (time_us, vm_g) after an instant, oldest first."""

    def recent_anomalies(self, after_id: str | None, limit: int) -> list[tuple[str, dict[str, Any]]]:
        """Return the newest events after an entry, newest first."""

    def live_models(self) -> dict[str, dict[str, Any]]:
        """Return, per model, the version the stream scores with."""

    def counters(self) -> dict[str, int]:
        """Return the stream's counters."""


def latest_values(device_id: str, raw: RawLatest, as_of: datetime) -> Latest:
    """Turn a `latest:{device_id}` hash into the reply; what the hash lacks is null."""
    event_us, append_us = newest_us(raw), _whole(raw, "append_us")
    freshness = judge_freshness(event_us, append_us, to_us(as_of))
    return Latest(
        device_id=device_id,
        event_time=_instant(event_us),
        received_time=_instant(append_us),
        freshness=freshness,
        stale=freshness != "live",
        age_s=None if event_us is None else (to_us(as_of) - event_us) / US_PER_S,
        motion_time=_instant(_whole(raw, "time_us")),
        sequence=_whole(raw, "sequence"),
        boot_id=raw.get("boot_id"),
        heart_rate_bpm=_real(raw, "hr_bpm"),
        heart_rate_time=_instant(_whole(raw, "hr_time_us")),
        step_count=_whole(raw, "steps"),
        steps_time=_instant(_whole(raw, "steps_end_us")),
        window_start=_instant(_whole(raw, "window_start_us")),
        anomaly_score=_real(raw, "anomaly_score"),
        model_version=raw.get("model_version") or None,
        battery_percent=_real(raw, "battery_percent"),
        worn=_flag(raw, "worn"),
        sensors=sensor_values(raw),
        **{name: _real(raw, name) for name in ("x_g", "y_g", "z_g", "vm_g", "rate_hz", "enmo_mg")},
    )


def newest_us(raw: RawLatest) -> int | None:
    """Return when the newest of a device's values was measured, microseconds; None where nothing is known."""
    sensors = [name for name in raw if name.endswith(":time_us")]
    times_us = [int(raw[name]) for name in (*_EVENT_TIMES, *sensors) if raw.get(name)]
    return max(times_us, default=None)


def freshness_of(raw: RawLatest, as_of: datetime) -> Freshness:
    """Judge the newest values of a device, as `latest_values` does."""
    return judge_freshness(newest_us(raw), _whole(raw, "append_us"), to_us(as_of))


def values_since(raw: RawLatest, since_us: int) -> dict[str, str]:
    """Return what is not older than an instant; groups are older or newer as a whole."""
    kept: dict[str, str] = {}
    for timed, others in _GROUPS.items():
        if raw.get(timed) and int(raw[timed]) >= since_us:
            kept |= {name: raw[name] for name in (timed, *others) if name in raw}
    for timed in (name for name in raw if name.endswith(":time_us") and int(raw[name]) >= since_us):
        group = timed.removesuffix(":time_us")
        kept |= {name: raw[name] for name in (group, timed, f"{group}:unit") if name in raw}
    return kept


def sensor_values(raw: RawLatest) -> list[SensorValue]:
    """Return the newest value per channel of each declared sensor type, in the order of their names."""
    return [
        SensorValue(
            sensor=group.split(":")[1],
            channel=group.split(":")[2],
            value=float(raw[group]),
            unit=raw[f"{group}:unit"],
            time=from_us(int(raw[f"{group}:time_us"])),
        )
        for group in sorted(name.removesuffix(":unit") for name in raw if name.endswith(":unit"))
    ]


def judge_freshness(event_us: int | None, append_us: int | None, as_of_us: int) -> Freshness:
    """Say whether values are of now, arrive late, or have stopped arriving."""
    if event_us is None:
        return "silent"
    # Only motion brings its arrival time along; a reading of now can only have arrived now.
    heard_us = max(append_us or 0, min(event_us, as_of_us))
    if as_of_us - heard_us > SILENT_AFTER_S * US_PER_S:
        return "silent"
    return "late" if as_of_us - event_us > LATE_AFTER_S * US_PER_S else "live"


def recent_anomaly(entry_id: str, event: Mapping[str, Any]) -> RecentAnomaly:
    """Turn an entry of the recent events into the reply."""
    return RecentAnomaly(
        id=entry_id,
        device_id=event["device_id"],
        kind=event["kind"],
        started_at=_instant(event.get("start_us")),
        ended_at=_instant(event.get("end_us")),
        duration_ms=_finite(event.get("duration_ms")),
        peak_g=_finite(event.get("peak_g")),
        extreme_value=_finite(event.get("extreme_value")),
        extreme_unit=event.get("extreme_unit"),
        severity=event.get("severity"),
        provisional=bool(event.get("provisional")),
    )


@dataclass
class _Snapshot:
    taken_s: float
    total: int
    raw: dict[str, dict[str, str]]


class FleetView:
    """The fleet's newest values, read at most once per interval however many people look."""

    def __init__(self, source: LatestSource, *, interval_s: float, max_devices: int) -> None:
        self.source = source
        self._interval_s = interval_s
        self._max_devices = max_devices
        self._lock = threading.Lock()
        self._pause_s = interval_s
        self._snapshot: _Snapshot | None = None

    def newest(self, limit: int, visible: Visible) -> tuple[int, dict[str, dict[str, str]]]:
        """Return how many devices there are and the hashes of those seen last, of those that are visible."""
        snapshot = self._current()
        chosen = [name for name in snapshot.raw if visible is None or name in visible][:limit]
        total = snapshot.total if visible is None else len(visible)
        if visible is None:
            return total, {name: snapshot.raw[name] for name in chosen}
        return total, {name: values_since(snapshot.raw[name], visible[name]) for name in chosen}

    def one(self, device_id: str, as_of: datetime, visible: Visible) -> Latest:
        """Return one device's newest values, read now."""
        raw = self.source.latest([device_id])[0]
        return latest_values(device_id, raw if visible is None else values_since(raw, visible[device_id]), as_of)

    def recent(self, limit: int, visible: Visible) -> list[RecentAnomaly]:
        """Return the newest events, newest first."""
        # Other people's events must not push the caller's own out of the answer.
        entries = self.source.recent_anomalies(None, limit if visible is None else MAX_ANOMALIES)
        return [recent_anomaly(name, raw) for name, raw in only_visible(entries, visible)[:limit]]

    def _current(self) -> _Snapshot:
        with self._lock:
            now_s = time.monotonic()
            if self._snapshot is None or now_s - self._snapshot.taken_s >= self._pause_s:
                self._snapshot = self._read(now_s)
                # A large fleet is read less often, so that reading leaves time for all else.
                self._pause_s = self._interval_s * max(1.0, PAUSES_PER_S * (time.monotonic() - now_s))
            return self._snapshot

    def _read(self, now_s: float) -> _Snapshot:
        names = self.source.newest_devices(self._max_devices)
        return _Snapshot(now_s, self.source.device_count(), dict(zip(names, self.source.latest(names), strict=True)))


def only_visible(entries: Iterable[tuple[str, dict[str, Any]]], visible: Visible) -> list[tuple[str, dict[str, Any]]]:
    """Keep the events of devices the caller may see, since then."""
    if visible is None:
        return list(entries)
    return [
        (name, event)
        for name, event in entries
        if event["device_id"] in visible and event.get("start_us", -1) >= visible[event["device_id"]]
    ]


def _whole(raw: RawLatest, name: str) -> int | None:
    return int(raw[name]) if raw.get(name) else None


def _real(raw: RawLatest, name: str) -> float | None:
    return _finite(float(raw[name])) if raw.get(name) else None


def _finite(value: float | None) -> float | None:
    # JSON knows neither NaN nor infinity.
    return value if value is not None and math.isfinite(value) else None


def _flag(raw: RawLatest, name: str) -> bool | None:
    return None if not raw.get(name) else raw[name] in ("1", "true")


def _instant(time_us: int | None) -> datetime | None:
    return None if time_us is None else from_us(time_us)
