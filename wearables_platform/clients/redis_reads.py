"""Redis, read: what `clients.redis.LatestWriter` keeps there, for whoever shows it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from wearables_platform.clients.latest import GROUPS, joined_trace, sensor_group, unpacked
from wearables_platform.clients.redis import (
    ANOMALIES_KEY,
    AS_BYTES,
    COUNTERS_KEY,
    DEVICES_KEY,
    MODEL_KEY,
    WATCH,
    WATCHED_KEY,
    WATCHED_S,
    _translating,
    connect,
    trace_key,
    value_key,
)
from wearables_platform.domain.sensor_types import SensorType


class LatestReader:
    """Reads the newest values of the fleet; driver errors leave as `StoreUnavailable` or `StoreRefused`.

    Of readings of declared sensor types only those of `sensor_types` are read.
    """

    def __init__(self, url: str, client_name: str, *, sensor_types: Iterable[SensorType] = ()) -> None:
        self._redis: Any = connect(url, client_name)
        sensors = (sensor_group(each.name, channel) for each in sensor_types for channel in each.channels)
        self._groups = (*GROUPS, *sensors)

    def ping(self) -> None:
        """Raise `StoreUnavailable` unless Redis answers."""
        with _translating():
            self._redis.ping()

    def device_count(self) -> int:
        """Return how many devices have sent anything."""
        with _translating():
            return int(self._redis.zcard(DEVICES_KEY))

    def newest_devices(self, limit: int) -> list[str]:
        """Return the devices with the newest values, newest first to within 17 s."""
        with _translating():
            return list(self._redis.zrange(DEVICES_KEY, 0, limit - 1, desc=True))

    def latest(self, device_ids: Sequence[str]) -> list[dict[str, str]]:
        """Return each device's newest values, in one round trip; empty where nothing is known."""
        keys = [value_key(device_id, group) for device_id in device_ids for group in self._groups]
        with _translating():
            packed = self._redis.execute_command("MGET", *keys, **AS_BYTES) if keys else []
        size = len(self._groups)
        return [
            {name: text for value in packed[begin : begin + size] for name, text in unpacked(value).items()}
            for begin in range(0, len(keys), size)
        ]

    def trace(self, device_id: str, after_us: int) -> list[tuple[int, float]]:
        """Return the device's recent (time_us, vm_g) after an instant, oldest first.

        Asking is what keeps the trace of a device of a large fleet going; its first points follow within a flush.
        """
        with _translating(), self._redis.pipeline(transaction=False) as pipe:
            pipe.eval(WATCH, 1, WATCHED_KEY, device_id, WATCHED_S)
            pipe.execute_command("LRANGE", trace_key(device_id), 0, -1, **AS_BYTES)
            chunks = pipe.execute()[1]
        return joined_trace(chunks, after_us)

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
