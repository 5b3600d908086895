"""What clients/redis.py promises, on a real Redis: newest wins whatever the order, repeats change nothing."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wearables_platform.clients.redis import ANOMALIES_KEY, LatestUpdate, LatestWriter
from wearables_platform.clients.redis_reads import LatestReader
from wearables_platform.errors import StoreUnavailable
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


def device() -> str:
    return f"watch-{uuid.uuid4().hex[:12]}"


def update(device_id: str, guard_us: int, sequence: int = 0, **fields: float) -> LatestUpdate:
    return LatestUpdate(device_id, "motion", guard_us, sequence, {"vm_g": 1.0, **fields})


@given(order=st.permutations([(5, 0), (5, 2), (9, 1), (2**53 + 1, 0), (2**53 + 2, 0)]))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_newest_value_wins_in_any_order(
    writer: LatestWriter, reader: LatestReader, order: list[tuple[int, int]]
) -> None:
    device_id = device()
    for guard_us, sequence in order:
        writer.write([update(device_id, guard_us, sequence, marker=guard_us * 10 + sequence)], {})
    assert reader.latest([device_id])[0]["marker"] == str((2**53 + 2) * 10)


def test_groups_are_guarded_each_by_itself(writer: LatestWriter, reader: LatestReader) -> None:
    device_id = device()
    writer.write([update(device_id, 100, x_g=1.0), LatestUpdate(device_id, "heart_rate", 5, 0, {"hr_bpm": 60.0})], {})
    writer.write([update(device_id, 90, x_g=2.0), LatestUpdate(device_id, "heart_rate", 6, 0, {"hr_bpm": 61.0})], {})
    found = reader.latest([device_id])[0]
    assert (found["x_g"], found["hr_bpm"]) == ("1.0", "61.0")


def test_a_trace_grows_once_whatever_is_repeated(writer: LatestWriter, reader: LatestReader) -> None:
    device_id = device()
    first = LatestUpdate(device_id, "motion", 30, 0, {}, ["10:1.0", "20:1.1", "30:1.2"])
    second = LatestUpdate(device_id, "motion", 50, 1, {}, ["40:1.3", "50:1.4"])
    writer.write([first, second], {})
    writer.write([first, second], {})
    assert reader.trace(device_id, 0) == [(10, 1.0), (20, 1.1), (30, 1.2), (40, 1.3), (50, 1.4)]


def test_a_trace_is_bounded(writer: LatestWriter, reader: LatestReader) -> None:
    device_id = device()
    writer.write([LatestUpdate(device_id, "motion", 9, 0, {}, [f"{t}:1.0" for t in range(1, 1_000)])], {})
    assert len(reader.trace(device_id, 0)) == 250


def test_an_anomaly_is_added_once(writer: LatestWriter, redis_url: str) -> None:
    key = device()
    for _ in range(3):
        writer.add_anomalies({key: {"start_us": 7, "kind": "spike"}})
    found = redis.Redis.from_url(redis_url, decode_responses=True).xrange(ANOMALIES_KEY)
    assert [fields["key"] for _, fields in found].count(key) == 1


def test_latest_is_rebuilt_after_redis_restarts_empty(start_server: StartServer) -> None:
    server = start_server("redis")
    writer, reader = LatestWriter(server.url, "test"), LatestReader(server.url, "test")
    device_id = device()
    writer.write([update(device_id, 1)], {"a/0/read": 3})
    redis.Redis.from_url(server.url).execute_command("SCRIPT", "FLUSH")
    redis.Redis.from_url(server.url).flushall()
    writer.write([update(device_id, 2, x_g=7.0)], {"a/0/read": 4})
    assert reader.latest([device_id])[0]["x_g"] == "7.0"
    assert reader.counters() == {"a/0/read": 4}


def test_a_redis_that_is_gone_is_unavailable(start_server: StartServer) -> None:
    server = start_server("redis")
    writer = LatestWriter(server.url, "test")
    server.stop()
    with pytest.raises(StoreUnavailable):
        writer.write([update(device(), 1)], {})
