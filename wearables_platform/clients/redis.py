"""Redis: the newest values per device, recent anomalies, live counters.

Whatever arrives twice or out of order leaves the same values: each group of fields of a device carries a guard, and a
write with an older guard changes nothing. One call per device and flush, all in one round trip.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from wearables_platform.errors import StoreRefused, StoreUnavailable

DEVICES_KEY: Final = "devices"  # sorted set: device id by the guard time of its newest value, microseconds
ANOMALIES_KEY: Final = "anomalies:recent"  # stream, one JSON field "event"
ANOMALIES_SEEN_KEY: Final = "anomalies:seen"  # sorted set of keys already in the stream
MODEL_KEY: Final = "stream:model"  # hash: model name -> JSON of the version in force
COUNTERS_KEY: Final = "stream:counters"  # hash: topic/partition/name -> count since the log's beginning
TRACE_POINTS: Final = 250  # 10 s at 25 Hz
MAX_ANOMALIES: Final = 1_000
_CALLS_PER_ROUND_TRIP: Final = 1_000

# KEYS: latest hash, trace list, devices. ARGV: device, group, guard text, guard us, number of fields and values, those,
# then trace points. Guards are fixed-width text: numbers above 2^53 lose digits in Lua, text compares exactly.
_WRITE_LATEST: Final = """
local known = redis.call('HGET', KEYS[1], ARGV[2] .. '_guard')
local newer = not known or ARGV[3] > known
local last = 5 + tonumber(ARGV[5])
if newer then
    local fields = {ARGV[2] .. '_guard', ARGV[3]}
    for i = 6, last do fields[#fields + 1] = ARGV[i] end
    redis.call('HSET', KEYS[1], unpack(fields))
    redis.call('ZADD', KEYS[3], 'GT', ARGV[4], ARGV[1])
end
if #ARGV > last then
    local until_us = tonumber(redis.call('HGET', KEYS[1], 'trace_until_us') or '0')
    local newest = tonumber(string.match(ARGV[#ARGV], '^%d+'))
    if newer and newest < until_us - 60000000 then
        redis.call('DEL', KEYS[2])
        until_us = 0
    end
    local points = {}
    for i = last + 1, #ARGV do
        if tonumber(string.match(ARGV[i], '^%d+')) > until_us then points[#points + 1] = ARGV[i] end
    end
    if #points > 0 then
        redis.call('RPUSH', KEYS[2], unpack(points))
        redis.call('LTRIM', KEYS[2], -tonumber('%TRACE%'), -1)
        redis.call('HSET', KEYS[1], 'trace_until_us', string.match(points[#points], '^%d+'))
    end
end
return newer and 1 or 0
""".replace("%TRACE%", str(TRACE_POINTS))

# KEYS: stream, seen. ARGV: key of the event, its time, the event, how many to keep.
_ADD_ANOMALY: Final = """
if redis.call('ZADD', KEYS[2], 'NX', ARGV[2], ARGV[1]) == 0 then return 0 end
redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[4], '*', 'key', ARGV[1], 'event', ARGV[3])
local extra = redis.call('ZCARD', KEYS[2]) - 4 * tonumber(ARGV[4])
if extra > 0 then redis.call('ZREMRANGEBYRANK', KEYS[2], 0, extra - 1) end
return 1
"""


@dataclass(frozen=True)
class LatestUpdate:
    """New values of one group of one device's fields, and what decides whether they are newer.

    `trace` holds points ``time_us:vm_g`` in time order; points not newer than the trace's end are left out.
    """

    device_id: str
    group: str
    guard_us: int
    sequence: int
    fields: Mapping[str, str | int | float]
    trace: Sequence[str] = field(default=())

    @property
    def guard(self) -> str:
        """The guard as text that sorts like (guard_us, sequence)."""
        return f"{max(self.guard_us, 0):020d}:{self.sequence:020d}"


class LatestWriter:
    """Writes newest values; safe to repeat, and never backwards."""

    def __init__(self, url: str, client_name: str) -> None:
        self._redis = connect(url, client_name)
        self._write = self._redis.register_script(_WRITE_LATEST)
        self._announce = self._redis.register_script(_ADD_ANOMALY)

    def write(self, updates: Sequence[LatestUpdate], counters: Mapping[str, int]) -> None:
        """Write what is newer than what is there, and the counters as they are."""
        for begin in range(0, len(updates), _CALLS_PER_ROUND_TRIP):
            with _translating(), self._redis.pipeline(transaction=False) as pipe:
                for update in updates[begin : begin + _CALLS_PER_ROUND_TRIP]:
                    self._write(keys=_keys(update.device_id), args=_arguments(update), client=pipe)
                pipe.execute()
        if counters:
            with _translating():
                self._redis.hset(COUNTERS_KEY, mapping={name: str(count) for name, count in counters.items()})

    def add_anomalies(self, events: Mapping[str, Mapping[str, Any]]) -> None:
        """Add events (key -> event with `start_us`) to the recent ones, each key once."""
        with _translating(), self._redis.pipeline(transaction=False) as pipe:
            for key, event in events.items():
                arguments = [key, event["start_us"], json.dumps(dict(event), sort_keys=True), MAX_ANOMALIES]
                self._announce(keys=[ANOMALIES_KEY, ANOMALIES_SEEN_KEY], args=arguments, client=pipe)
            pipe.execute()

    def set_model(self, name: str, version: Mapping[str, Any]) -> None:
        """Say which version of a model is in force."""
        with _translating():
            self._redis.hset(MODEL_KEY, name, json.dumps(dict(version), sort_keys=True))

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()


def connect(url: str, client_name: str) -> redis.Redis:
    """Open a connection pool; a broken connection is tried again three times within a second."""
    retry = Retry(ExponentialBackoff(cap=0.5, base=0.05), retries=3)
    return redis.Redis.from_url(
        url, client_name=client_name, retry=retry, socket_timeout=10, socket_connect_timeout=5, decode_responses=True
    )


def _keys(device_id: str) -> list[str]:
    return [f"latest:{device_id}", f"trace:{device_id}", DEVICES_KEY]


def _arguments(update: LatestUpdate) -> list[str | int | float]:
    pairs: list[str | int | float] = [part for pair in update.fields.items() for part in pair]
    return [update.device_id, update.group, update.guard, update.guard_us, len(pairs), *pairs, *update.trace]


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError) as exc:
        msg = f"Redis: {_first_line(exc)}"
        raise StoreUnavailable(msg) from exc
    except redis.exceptions.RedisError as exc:
        transient = _first_line(exc).startswith(("LOADING", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "READONLY", "OOM"))
        kind = StoreUnavailable if transient else StoreRefused
        msg = f"Redis: {_first_line(exc)}"
        raise kind(msg) from exc


def _first_line(exc: Exception) -> str:
    return (str(exc).strip() or type(exc).__name__).splitlines()[0]
