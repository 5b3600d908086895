"""Redis: the newest values per device, recent anomalies, live counters.

Whatever arrives twice or out of order leaves the same values: each group of fields of a device is one value that begins
with its guard, and a write with an older guard changes nothing. One round trip per flush, of one call per thousand
devices.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from wearables_platform.clients.latest import TRACE_SPAN_US, LatestBatch, TraceChunk, newest_values
from wearables_platform.errors import AccessRefused, StoreRefused, StoreUnavailable

DEVICES_KEY: Final = "devices"  # sorted set: device id by the guard time of a recent value, microseconds
ANOMALIES_KEY: Final = "anomalies:recent"  # stream, one JSON field "event"
ANOMALIES_SEEN_KEY: Final = "anomalies:seen"  # sorted set of the events' keys by time, which says which go first
ANOMALIES_ENTRIES_KEY: Final = "anomalies:entries"  # hash: an event's key -> its revision, and its entry in the stream
MODEL_KEY: Final = "stream:model"  # hash: model name -> JSON of the version in force
COUNTERS_KEY: Final = "stream:counters"  # hash: topic/partition/name -> count since the log's beginning
WATCHED_KEY: Final = "traces:watched"  # sorted set: device id by when nobody looks at its trace any more, seconds
WATCHED_S: Final = 30
_SETTING: Final = "redis_url"  # where its address or account is wrong
AS_BYTES: Final[Mapping[str, Any]] = {redis.client.NEVER_DECODE: []}  # packed values are no text as a whole
MAX_ANOMALIES: Final = 1_000
# Up to so many devices all have their traces kept; of a larger fleet those somebody looks at.
TRACED_DEVICES: Final = 256
_DEVICES_PER_CALL: Final = 1_000

# KEYS: devices, then values. ARGV: length of what follows the device in a key, then the values. `latest:` is 7 long.
# Ten hexadecimal digits of the guard are 17 s: so often a device's place among the newest is moved.
_WRITE_LATEST: Final = """
local sub, known = string.sub, redis.call('MGET', unpack(KEYS, 2))
local write, seen, n, m = {}, {}, 0, 0
for i = 1, #known do
    local old, new = known[i], ARGV[i + 1]
    if not old or sub(new, 1, 32) > sub(old, 1, 32) then
        write[n + 1], write[n + 2], n = KEYS[i + 1], new, n + 2
        if not old or sub(new, 1, 10) ~= sub(old, 1, 10) then
            seen[m + 1], seen[m + 2], m = tonumber(sub(new, 1, 16), 16), sub(KEYS[i + 1], 8, -1 - ARGV[1]), m + 2
        end
    end
end
if n > 0 then redis.call('MSET', unpack(write)) end
if m > 0 then redis.call('ZADD', KEYS[1], 'GT', unpack(seen)) end
return n / 2
"""
# KEYS: traces. ARGV: per trace, the guard before which chunks are forgotten, and the chunk.
_WRITE_TRACES: Final = """
local sub = string.sub
for i = 1, #KEYS do
    local forget, chunk = ARGV[2 * i - 1], ARGV[2 * i]
    local last = redis.call('LINDEX', KEYS[i], -1)
    if not last or sub(chunk, 1, 16) > sub(last, 1, 16) then
        redis.call('RPUSH', KEYS[i], chunk)
        while sub(redis.call('LINDEX', KEYS[i], 0), 1, 16) < forget do redis.call('LPOP', KEYS[i]) end
    end
end
"""
# KEYS: stream, seen, entries. ARGV: key of the event, its time, the event, how many to keep, its revision.
# A later revision takes the place of the one that is there, so does another word of the same; a repeat changes nothing.
_ADD_ANOMALY: Final = """
local known = redis.call('HGET', KEYS[3], ARGV[1])
if known then
    local revision, id = string.match(known, '^(%d+) (.*)$')
    if tonumber(revision) > tonumber(ARGV[5]) then return 0 end
    if revision == ARGV[5] then
        local there = redis.call('XRANGE', KEYS[1], id, id)
        if #there == 0 or there[1][2][4] == ARGV[3] then return 0 end
    end
    redis.call('XDEL', KEYS[1], id)
end
local id = redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[4], '*', 'key', ARGV[1], 'event', ARGV[3])
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
redis.call('HSET', KEYS[3], ARGV[1], ARGV[5] .. ' ' .. id)
local extra = redis.call('ZCARD', KEYS[2]) - 4 * tonumber(ARGV[4])
if extra > 0 then
    for _, gone in ipairs(redis.call('ZRANGE', KEYS[2], 0, extra - 1)) do redis.call('HDEL', KEYS[3], gone) end
    redis.call('ZREMRANGEBYRANK', KEYS[2], 0, extra - 1)
end
return 1
"""
# KEYS: stream, seen, entries. ARGV: how many keys stay, these; then device, from, to of each span.
_WITHDRAW: Final = """
local stays, open = {}, {}
for i = 2, ARGV[1] + 1 do stays[ARGV[i]] = true end
local all = redis.call('HGETALL', KEYS[3])
for i = 1, #all, 2 do
    local device, start = string.match(all[i], '^(.*):spike:(%d+)$')
    if device and string.sub(all[i + 1], 1, 2) == '1 ' and not stays[all[i]] then
        open[device] = open[device] or {}
        table.insert(open[device], {all[i], tonumber(start), string.sub(all[i + 1], 3)})
    end
end
for i = ARGV[1] + 2, #ARGV, 3 do
    for _, one in ipairs(open[ARGV[i]] or {}) do
        if one[2] >= tonumber(ARGV[i + 1]) and one[2] < tonumber(ARGV[i + 2]) then
            redis.call('XDEL', KEYS[1], one[3])
            redis.call('ZREM', KEYS[2], one[1])
            redis.call('HDEL', KEYS[3], one[1])
        end
    end
end
"""
# KEYS: watched, devices. Says how many devices there are, and which are looked at.
_WATCHED: Final = """
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', redis.call('TIME')[1])
return {redis.call('ZCARD', KEYS[2]), redis.call('ZRANGE', KEYS[1], 0, -1)}
"""
# KEYS: watched. ARGV: device, seconds.
WATCH: Final = "return redis.call('ZADD', KEYS[1], redis.call('TIME')[1] + ARGV[2], ARGV[1])"
_SCRIPTS: Final = (_WRITE_LATEST, _WRITE_TRACES, _ADD_ANOMALY, _WITHDRAW, _WATCHED)
_ANOMALIES: Final = (ANOMALIES_KEY, ANOMALIES_SEEN_KEY, ANOMALIES_ENTRIES_KEY)


class LatestWriter:
    """Writes newest values; safe to repeat, and never backwards."""

    def __init__(self, url: str, client_name: str) -> None:
        self._redis = connect(url, client_name)
        self._traced: frozenset[str] | None = None

    @property
    def traced(self) -> frozenset[str] | None:
        """The devices whose traces are wanted, as of the last write; None for all."""
        return self._traced

    def write(
        self,
        batches: Sequence[LatestBatch],
        counters: Mapping[str, int],
        events: Mapping[str, Mapping[str, Any]] | None = None,
        superseded: Sequence[tuple[str, int, int]] = (),
    ) -> None:
        """Write what is newer than what is there, the counters as they are, and events by key.

        An event takes the place of one of the same key and no later `revision`. Spikes of revision 1 that began in the
        `superseded` spans (device, from_us, to_us) and are not among `events` are withdrawn.
        """
        calls: list[tuple[Any, ...]] = []
        for group, values in newest_values(batches).items():
            calls += _value_calls(group, values)
        chunks = [chunk for batch in batches if batch.traces is not None for chunk in batch.traces(self._traced)]
        calls += _trace_calls(chunks)
        if counters:
            calls.append(("HSET", COUNTERS_KEY, *(part for item in counters.items() for part in item)))
        calls += _event_calls(events or {}, superseded)
        calls.append(_call(_WATCHED, [WATCHED_KEY, DEVICES_KEY], []))
        devices, watched = self._call_all(calls)[-1]
        self._traced = None if devices <= TRACED_DEVICES else frozenset(watched)

    def add_anomalies(self, events: Mapping[str, Mapping[str, Any]]) -> None:
        """Add events (key -> event with `start_us`) to the recent ones, each key once, in its latest revision."""
        self.write((), {}, events)

    def set_model(self, name: str, version: Mapping[str, Any]) -> None:
        """Say which version of a model is in force."""
        with _translating():
            self._redis.hset(MODEL_KEY, name, json.dumps(dict(version), sort_keys=True))

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _call_all(self, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Make all calls in one round trip; a server that does not know the scripts yet is taught them first."""
        with _translating():
            try:
                return self._sent(calls)
            except redis.exceptions.NoScriptError:
                for script in _SCRIPTS:
                    self._redis.script_load(script)
                return self._sent(calls)

    def _sent(self, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        with self._redis.pipeline(transaction=False) as pipe:
            for call in calls:
                pipe.execute_command(*call)  # type: ignore[no-untyped-call]
            return list(pipe.execute())


def _call(script: str, keys: Sequence[str], arguments: Sequence[Any]) -> tuple[Any, ...]:
    return ("EVALSHA", _SHA1[script], len(keys), *keys, *arguments)


_SHA1: Final = {script: hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest() for script in _SCRIPTS}


def _value_calls(group: str, values: Mapping[str, bytes]) -> Iterator[tuple[Any, ...]]:
    keys, packed = [value_key(device_id, group) for device_id in values], list(values.values())
    for begin in range(0, len(keys), _DEVICES_PER_CALL):
        part = slice(begin, begin + _DEVICES_PER_CALL)
        yield _call(_WRITE_LATEST, [DEVICES_KEY, *keys[part]], [len(group) + 1, *packed[part]])


def _event_calls(
    events: Mapping[str, Mapping[str, Any]], superseded: Sequence[tuple[str, int, int]]
) -> Iterator[tuple[Any, ...]]:
    if superseded:
        yield _call(_WITHDRAW, _ANOMALIES, [len(events), *events, *(part for span in superseded for part in span)])
    for key, event in events.items():
        text = json.dumps(dict(event), sort_keys=True)
        arguments = [key, event["start_us"], text, MAX_ANOMALIES, event.get("revision", 0)]
        yield _call(_ADD_ANOMALY, _ANOMALIES, arguments)


def _trace_calls(chunks: Sequence[TraceChunk]) -> Iterator[tuple[Any, ...]]:
    for begin in range(0, len(chunks), _DEVICES_PER_CALL):
        some = chunks[begin : begin + _DEVICES_PER_CALL]
        packed = [(f"{max(0, chunk.guard_us - TRACE_SPAN_US):016x}", chunk.packed()) for chunk in some]
        yield _call(
            _WRITE_TRACES, [trace_key(chunk.device_id) for chunk in some], [part for pair in packed for part in pair]
        )


def value_key(device_id: str, group: str) -> str:
    """Return the key of a device's newest values of one group."""
    return f"latest:{device_id}:{group}"


def trace_key(device_id: str) -> str:
    """Return the key of a device's trace: a list of packed chunks."""
    return f"trace:{device_id}:chunks"


def connect(url: str, client_name: str) -> redis.Redis:
    """Open a connection pool; a broken connection is tried again three times within a second."""
    retry = Retry(ExponentialBackoff(cap=0.5, base=0.05), retries=3)
    return redis.Redis.from_url(
        url, client_name=client_name, retry=retry, socket_timeout=10, socket_connect_timeout=5, decode_responses=True
    )


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except (redis.exceptions.AuthenticationError, redis.exceptions.NoPermissionError) as exc:
        raise AccessRefused(_SETTING, f"Redis refuses the account: {_first_line(exc)}") from exc
    except redis.exceptions.ConnectionError as exc:
        if "CERTIFICATE_VERIFY_FAILED" in str(exc):
            raise AccessRefused(_SETTING, f"TLS: {_first_line(exc)}") from exc
        msg = f"Redis: {_first_line(exc)}"
        raise StoreUnavailable(msg) from exc
    except redis.exceptions.TimeoutError as exc:
        msg = f"Redis: {_first_line(exc)}"
        raise StoreUnavailable(msg) from exc
    except redis.exceptions.RedisError as exc:
        transient = _first_line(exc).startswith(("LOADING", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "READONLY", "OOM"))
        kind = StoreUnavailable if transient else StoreRefused
        msg = f"Redis: {_first_line(exc)}"
        raise kind(msg) from exc


def _first_line(exc: Exception) -> str:
    return (str(exc).strip() or type(exc).__name__).splitlines()[0]
