"""Redis, read: what `clients.redis.LatestWriter` keeps there, for whoever shows it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from wearables_platform.clients.redis import (
    ANOMALIES_KEY,
    COUNTERS_KEY,
    DEVICES_KEY,
    MODEL_KEY,
    _translating,
    connect,
)


class LatestReader:
    """Reads the newest values of the fleet; driver errors leave as `StoreUnavailable` or `StoreRefused`."""

    def __init__(self, url: str, client_name: str) -> None:
        self._redis: Any = connect(url, client_name)

    def ping(self) -> None:
        """Raise `StoreUnavailable` unless Redis answers."""
        with _translating():
            self._redis.ping()

    def device_count(self) -> int:
        """Return how many devices have sent anything."""
        with _translating():
            return int(self._redis.zcard(DEVICES_KEY))

    def newest_devices(self, limit: int) -> list[str]:
        """Return the devices with the newest values, newest first."""
        with _translating():
            return list(self._redis.zrange(DEVICES_KEY, 0, limit - 1, desc=True))

    def latest(self, device_ids: Sequence[str]) -> list[dict[str, str]]:
        """Return each device's newest values, in one round trip; empty where nothing is known."""
        with _translating(), self._redis.pipeline(transaction=False) as pipe:
            for device_id in device_ids:
                pipe.hgetall(f"latest:{device_id}")
            return list(pipe.execute())

    def trace(self, device_id: str, after_us: int) -> list[tuple[int, float]]:
        """Return the device's recent (time_us, vm_g) after an instant, oldest first."""
        with _translating():
            entries = self._redis.lrange(f"trace:{device_id}", 0, -1)
        points = [(int(time_us), float(vm_g)) for time_us, _, vm_g in (entry.partition(":") for entry in entries)]
        return [point for point in points if point[0] > after_us]

    def recent_anomalies(self, after_id: str | None, limit: int) -> list[tuple[str, dict[str, Any]]]:
        """Return (entry id, event) of the newest events after an entry, newest first."""
        with _translating():
            entries = self._redis.xrevrange(ANOMALIES_KEY, "+", f"({after_id}" if after_id else "-", limit)
        return [(entry_id, json.loads(fields["event"])) for entry_id, fields in entries]

    def live_models(self) -> dict[str, dict[str, Any]]:
        """Return, per model, the version the stream scores with."""
        with _translating():
            versions = self._redis.hgetall(MODEL_KEY)
        return {name: json.loads(text) for name, text in versions.items()}

    def counters(self) -> dict[str, int]:
        """Return the stream's counters: ``topic/partition/name`` to count."""
        with _translating():
            return {name: int(count) for name, count in self._redis.hgetall(COUNTERS_KEY).items()}

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()
