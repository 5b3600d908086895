"""What clients/redis.py promises, on a real Redis: newest wins whatever the order, repeats change nothing (F29)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import numpy as np
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wearables_platform.clients.latest import TRACE_POINTS, LatestBatch, sensor_group
from wearables_platform.clients.redis import (
    ANOMALIES_ENTRIES_KEY,
    ANOMALIES_KEY,
    TRACED_DEVICES,
    LatestWriter,
    value_key,
)
from wearables_platform.clients.redis_reads import LatestReader
from wearables_platform.domain.sensor_types import SensorType
from wearables_platform.errors import StoreUnavailable
from wearables_platform_tests.latest_updates import LatestUpdate, write_updates
from wearables_platform_tests.servers import StartServer

pytestmark = [pytest.mark.contract, pytest.mark.redis]


@pytest.fixture
def writer(redis_url: str) -> Iterator[LatestWriter]:
    made = LatestWriter(redis_url, "test")
    yield made
    made.close()


@pytest.fixture
def reader(redis_url: str) -> Iterator[LatestReader]:
    made = LatestReader(redis_url, "test")
    yield made
    made.close()


@pytest.fixture
def own(start_server: StartServer) -> Iterator[redis.Redis]:
    """A Redis of the test's own, to empty and to count on."""
    client = redis.Redis.from_url(start_server("redis").url)
    yield client
    client.close()


def url_of(client: redis.Redis) -> str:
    known = client.connection_pool.connection_kwargs
    return f"redis://:{known['password']}@{known['host']}:{known['port']}/0"


def device() -> str:
    return f"watch-{uuid.uuid4().hex[:12]}"


def update(device_id: str, guard_us: int, sequence: int = 0, **fields: float) -> LatestUpdate:
    return LatestUpdate(device_id, "motion", guard_us, sequence, {"vm_g": 1.0, **fields})


def fleet(n: int, guard_us: int) -> LatestBatch:
    ids = [f"many-{i}" for i in range(n)]
    return LatestBatch("motion", ids, np.full(n, guard_us), np.zeros(n, np.int64), {"x_g": np.arange(n)})


@given(order=st.permutations([(5, 0), (5, 2), (9, 1), (2**53 + 1, 0), (2**53 + 2, 0)]), cut=st.integers(0, 5))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_newest_value_wins_in_any_order(
    writer: LatestWriter, reader: LatestReader, order: list[tuple[int, int]], cut: int
) -> None:
    device_id = device()
    updates = [update(device_id, guard_us, sequence, marker=guard_us * 10 + sequence) for guard_us, sequence in order]
    write_updates(writer, updates[:cut])
    write_updates(writer, updates[cut:])
    assert reader.latest([device_id])[0]["marker"] == str((2**53 + 2) * 10)


def test_groups_are_guarded_each_by_itself(writer: LatestWriter, reader: LatestReader) -> None:
    device_id = device()
    for guard_us, hr_guard_us, x_g, hr_bpm in ((100, 5, 1.0, 60.0), (90, 6, 2.0, 61.0)):
        heart = LatestUpdate(device_id, "heart_rate", hr_guard_us, 0, {"hr_bpm": hr_bpm})
        write_updates(writer, [update(device_id, guard_us, x_g=x_g), heart])
    found = reader.latest([device_id])[0]
    assert (found["x_g"], found["hr_bpm"]) == ("1.0", "61.0")


def test_values_come_back_as_they_were(writer: LatestWriter, reader: LatestReader) -> None:
    ids = [device(), device()]
    texts = ['a "quoted"\\ text\n', None]
    fields = {
        "text": texts, "x_g": np.array([np.float32(0.1), np.nan]), "worn": np.array([True, False]),
        "n": np.array([2**53 + 1, -1]), "whole": np.array([60.0, 1e-300]),
    }  # fmt: skip
    writer.write([LatestBatch("status", ids, np.array([1, 1]), np.array([0, 0]), fields)], {})
    first, second = reader.latest(ids)
    assert first == {"text": texts[0], "x_g": first["x_g"], "worn": "1", "n": str(2**53 + 1), "whole": first["whole"]}
    assert (np.float32(first["x_g"]), float(first["whole"]), float(second["whole"])) == (np.float32(0.1), 60.0, 1e-300)
    assert (second["text"], second["x_g"], second["worn"], second["n"]) == ("", "nan", "0", "-1")


def test_a_channel_of_a_declared_sensor_type_is_a_group_of_its_own(writer: LatestWriter, redis_url: str) -> None:
    sensor = SensorType(name="skin", title="Skin", unit="Cel", low=15, high=45, rate_per_hour=60, owner="team:a")
    group, name = sensor_group("skin", "value"), device()
    newer, older = (
        LatestBatch(group, [name], np.array([at]), np.array([0]), {group: np.array([at / 2])}) for at in (9, 5)
    )
    writer.write([newer], {})
    writer.write([older], {})
    reader = LatestReader(redis_url, "test", sensor_types=[sensor])
    assert reader.latest([name]) == [{group: "4.5"}]
    assert LatestReader(redis_url, "test").latest([name]) == [{}], "not declared, not read"
    reader.close()


def test_a_group_nobody_reads_is_refused() -> None:
    with pytest.raises(ValueError, match="mood"):
        LatestBatch("mood", ["d"], np.array([1]), np.array([0]), {})


def test_a_trace_grows_once_whatever_is_repeated(writer: LatestWriter, reader: LatestReader) -> None:
    device_id = device()
    first = LatestUpdate(device_id, "motion", 30, 0, {}, [(10, 1.0), (20, 1.1), (30, 1.2)])
    second = LatestUpdate(device_id, "motion", 50, 1, {}, [(30, 1.2), (40, 1.3), (50, 1.4)])
    for _ in range(2):
        write_updates(writer, [first, second])
    assert reader.trace(device_id, 0) == [(10, 1.0), (20, 1.1), (30, 1.2), (40, 1.3), (50, 1.4)]
    assert reader.trace(device_id, 40) == [(50, 1.4)]


def test_a_trace_is_bounded_in_points_and_time(writer: LatestWriter, reader: LatestReader, redis_url: str) -> None:
    device_id = device()
    write_updates(writer, [LatestUpdate(device_id, "motion", 999, 0, {}, [(t, 1.0) for t in range(1, 1_000)])])
    assert [t for t, _ in reader.trace(device_id, 0)] == list(range(1_000 - TRACE_POINTS, 1_000))
    for second in range(1, 40):
        at_us = second * 1_000_000
        write_updates(writer, [LatestUpdate(device_id, "motion", at_us, second, {}, [(at_us, 1.0)])])
    assert redis.Redis.from_url(redis_url).llen(f"trace:{device_id}:chunks") == 11


def test_a_trace_begins_anew_where_a_clock_was_set_back(writer: LatestWriter, reader: LatestReader) -> None:
    device_id = device()
    ahead = LatestUpdate(device_id, "motion", 100, 0, {}, [(3_600_000_000, 1.0)])
    right = LatestUpdate(device_id, "motion", 200, 1, {}, [(200, 1.5)])
    write_updates(writer, [ahead])
    write_updates(writer, [right])
    assert reader.trace(device_id, 0) == [(200, 1.5)]


def test_of_a_large_fleet_the_traces_somebody_looks_at_are_kept(own: redis.Redis) -> None:
    writer, reader = LatestWriter(url_of(own), "test"), LatestReader(url_of(own), "test")
    writer.write([fleet(TRACED_DEVICES, 1)], {})
    assert writer.traced is None
    writer.write([fleet(TRACED_DEVICES + 1, 2)], {})
    assert writer.traced == frozenset()
    assert reader.trace("many-7", 0) == []
    writer.write([], {"a/0/read": 1})
    assert writer.traced == {"many-7"}
    write_updates(writer, [LatestUpdate(f"many-{i}", "motion", 9, 0, {}, [(9, 1.0)]) for i in (6, 7)])
    assert own.keys("trace:*:chunks") == [b"trace:many-7:chunks"]
    assert reader.trace("many-7", 0) == [(9, 1.0)]


def test_a_flush_is_one_round_trip_with_one_call_per_thousand_devices(own: redis.Redis) -> None:
    writer = LatestWriter(url_of(own), "test")
    writer.write([fleet(1, 1)], {})  # teaches the server the scripts
    before = own.info("commandstats")
    writer.write([fleet(2_500, guard_us) for guard_us in (5, 9, 7)], {"a/0/read": 3}, {"k": {"start_us": 1}})
    after = own.info("commandstats")
    calls = {name: entry["calls"] - before.get(name, {"calls": 0})["calls"] for name, entry in after.items()}
    assert calls["cmdstat_evalsha"] == 5  # values, an event, what is watched
    assert calls["cmdstat_hset"] == 2  # counters, and what is known of the event
    assert (calls["cmdstat_mget"], calls["cmdstat_mset"], calls.get("cmdstat_script|load", 0)) == (3, 3, 0)
    assert own.zcard("devices") == 2_500


def test_an_anomaly_is_added_once(writer: LatestWriter, redis_url: str) -> None:
    key = device()
    for _ in range(3):
        writer.add_anomalies({key: {"start_us": 7, "kind": "spike"}})
    found = redis.Redis.from_url(redis_url, decode_responses=True).xrange(ANOMALIES_KEY)
    assert [fields["key"] for _, fields in found].count(key) == 1


def recent(client: redis.Redis) -> list[tuple[int, float]]:
    found = [json.loads(fields[b"event"]) for _, fields in client.xrange(ANOMALIES_KEY)]
    return [(event["start_us"], event["peak_g"]) for event in found]


def spike(start_us: int, peak_g: float, revision: int) -> dict[str, dict]:
    return {f"w:spike:{start_us}": {"device_id": "w", "start_us": start_us, "peak_g": peak_g, "revision": revision}}


def test_a_later_revision_of_an_event_takes_its_place_and_an_earlier_one_never(own: redis.Redis) -> None:
    writer = LatestWriter(url_of(own), "test")
    for peak_g, revision in ((3.0, 1), (4.0, 1), (9.0, 2), (3.0, 1), (9.0, 2)):
        writer.add_anomalies(spike(5, peak_g, revision))
    assert recent(own) == [(5, 9.0)]
    assert own.hlen(ANOMALIES_ENTRIES_KEY) == own.zcard("anomalies:seen") == 1


def test_a_provisional_spike_that_is_not_found_again_is_withdrawn(own: redis.Redis) -> None:
    writer = LatestWriter(url_of(own), "test")
    for start_us in (5, 6, 7, 20):
        writer.add_anomalies(spike(start_us, 3.0, 1))
    writer.add_anomalies(spike(8, 3.0, 2) | {"w:stuck:6": {"start_us": 6, "peak_g": 0, "revision": 1}})
    writer.write([], {}, spike(6, 8.0, 2) | spike(7, 3.0, 1), [("w", -(2**52), 10), ("other", 0, 99)])
    assert sorted(recent(own)) == [(6, 0), (6, 8.0), (7, 3.0), (8, 3.0), (20, 3.0)]
    assert own.hlen(ANOMALIES_ENTRIES_KEY) == own.zcard("anomalies:seen") == 5


def test_what_is_known_of_recent_events_is_bounded(own: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wearables_platform.clients.redis.MAX_ANOMALIES", 10)
    writer = LatestWriter(url_of(own), "test")
    for start_us in range(100):
        writer.add_anomalies(spike(start_us, 3.0, 2))
    assert [own.xlen(ANOMALIES_KEY), own.hlen(ANOMALIES_ENTRIES_KEY), own.zcard("anomalies:seen")] == [10, 40, 40]
    assert own.hexists(ANOMALIES_ENTRIES_KEY, "w:spike:99")


def test_latest_is_rebuilt_after_redis_restarts_empty_or_evicts_and_never_goes_back(own: redis.Redis) -> None:
    writer, reader = LatestWriter(url_of(own), "test"), LatestReader(url_of(own), "test")
    device_id = device()
    write_updates(writer, [update(device_id, 5, x_g=5.0)], {"a/0/read": 3})
    own.execute_command("SCRIPT", "FLUSH")
    own.flushall()
    write_updates(writer, [update(device_id, 6, x_g=6.0)], {"a/0/read": 4})
    assert (reader.latest([device_id])[0]["x_g"], reader.newest_devices(9)) == ("6.0", [device_id])
    assert reader.counters() == {"a/0/read": 4}
    own.delete(value_key(device_id, "motion"))  # what eviction does
    for guard_us in (7, 4, 6):
        write_updates(writer, [update(device_id, guard_us, x_g=float(guard_us))])
    assert reader.latest([device_id])[0]["x_g"] == "7.0"


def test_a_redis_that_is_gone_is_unavailable_and_one_that_is_back_is_used_again(start_server: StartServer) -> None:
    server = start_server("redis")
    writer = LatestWriter(server.url, "test")
    write_updates(writer, [update("d", 1)])
    server.stop()
    with pytest.raises(StoreUnavailable):
        write_updates(writer, [update("d", 2)])
