"""What every Kafka must do for the platform, and what the client promises on top."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from typing import TypeVar

import confluent_kafka as ck
import numpy as np
import pytest

from wearables_platform.clients.kafka import (
    Admin,
    Fetch,
    GroupReader,
    LogUnavailable,
    PartitionReader,
    Producer,
    QueueFull,
    RecordTooLarge,
    TopicSpec,
    check_topic_id,
    committed_positions,
)
from wearables_platform.clients.log import connection_config, fetch_of
from wearables_platform.clients.topics import dead_letter, platform_topics
from wearables_platform.domain.channels import DEAD_LETTERS_TOPIC
from wearables_platform.errors import ConfigError, LogPositionError
from wearables_platform_tests.servers import StartServer

pytestmark = [pytest.mark.contract, pytest.mark.kafka]
DEADLINE_S = 60.0
T = TypeVar("T")


@pytest.fixture
def admin(kafka_url: str) -> Admin:
    return Admin(kafka_url)


@pytest.fixture
def topic(admin: Admin) -> Iterator[str]:
    name = f"contract.{uuid.uuid4().hex[:12]}"
    admin.ensure_topics([TopicSpec(name, 2, {"message.timestamp.type": "LogAppendTime"})])
    yield name
    admin.delete_topics([name])


@pytest.fixture
def producer(kafka_url: str) -> Producer:
    return Producer(kafka_url, "contract")


def until(found: Callable[[], T | None]) -> T:
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if (value := found()) is not None:
            return value
    pytest.fail(f"nothing within {DEADLINE_S} s")


def read_to_end(reader: PartitionReader) -> list[Fetch]:
    fetches: list[Fetch] = []

    def ended() -> bool | None:
        fetch = reader.fetch(1_000, 0.1)
        if fetch is not None:
            fetches.append(fetch)
        return True if fetch is not None and fetch.at_end else None

    until(ended)
    return fetches


def payloads_of(fetches: list[Fetch]) -> list[bytes]:
    return [payload for fetch in fetches for payload in fetch.payloads]


def send_all(producer: Producer, topic: str, key: bytes, count: int) -> list[bytes]:
    values = [b"%s-%d" % (key, i) for i in range(count)]
    for value in values:
        producer.send(topic, key, value)
    producer.flush(30)
    return values


def partition_of(kafka_url: str, admin: Admin, topic: str) -> int:
    """The partition that holds records; the tests below write one key only."""
    return next(p for p in range(2) if admin.end_offset(topic, p) > 0)


def test_every_record_is_read_back_once_and_in_order(
    kafka_url: str, admin: Admin, producer: Producer, topic: str
) -> None:
    before_us = time.time_ns() // 1_000
    values = send_all(producer, topic, b"watch-1", 5_000)
    partition = partition_of(kafka_url, admin, topic)
    reader = PartitionReader(kafka_url, topic, partition)
    fetches = read_to_end(reader)
    reader.close()

    assert payloads_of(fetches) == values
    offsets = np.concatenate([fetch.offsets for fetch in fetches])
    np.testing.assert_array_equal(offsets, np.arange(5_000))
    assert {key for fetch in fetches for key in fetch.keys} == {b"watch-1"}
    append_us = np.concatenate([fetch.append_us for fetch in fetches])
    assert (append_us >= before_us - 1_000).all()
    assert (append_us <= time.time_ns() // 1_000).all()


def test_the_end_is_found_by_reading_whatever_the_watermark_says(
    admin: Admin, producer: Producer, topic: str, kafka_url: str
) -> None:
    assert [admin.end_offset(topic, p) for p in range(2)] == [0, 0]
    for _ in range(3):
        send_all(producer, topic, b"watch-1", 777)
    assert admin.end_offset(topic, partition_of(kafka_url, admin, topic)) == 3 * 777


def test_headers_travel_only_where_they_were_set(kafka_url: str, admin: Admin, producer: Producer, topic: str) -> None:
    producer.send(topic, b"watch-1", b"plain")
    producer.send(topic, b"watch-1", b"judged", headers=[("verdict", b"time_in_future")])
    producer.flush(30)
    reader = PartitionReader(kafka_url, topic, partition_of(kafka_url, admin, topic))
    (fetch,) = [fetch for fetch in read_to_end(reader) if len(fetch)]
    reader.close()
    assert fetch.verdicts == {1: "time_in_future"}
    assert fetch.headers == {1: {"verdict": b"time_in_future"}}


def test_a_reader_resumes_exactly_where_it_is_told(
    kafka_url: str, admin: Admin, producer: Producer, topic: str
) -> None:
    values = send_all(producer, topic, b"watch-1", 100)
    partition = partition_of(kafka_url, admin, topic)
    for start in (37, 100):
        reader = PartitionReader(kafka_url, topic, partition, start)
        assert payloads_of(read_to_end(reader)) == values[start:]
        reader.close()


def test_a_position_beyond_the_end_is_refused_with_what_the_log_holds(
    kafka_url: str, admin: Admin, producer: Producer, topic: str
) -> None:
    send_all(producer, topic, b"watch-1", 10)
    partition = partition_of(kafka_url, admin, topic)
    with pytest.raises(LogPositionError, match=rf"{topic}.*offset 11 .*0 to 10"):
        PartitionReader(kafka_url, topic, partition, 11)


def test_a_record_without_key_or_value_is_a_record(
    kafka_url: str, admin: Admin, producer: Producer, topic: str
) -> None:
    producer.send(topic, b"watch-1", b"")
    producer.flush(30)
    partition = partition_of(kafka_url, admin, topic)
    raw = ck.Producer(connection_config(kafka_url, "contract"))
    raw.produce(topic, partition=partition)
    assert raw.flush(30) == 0
    reader = PartitionReader(kafka_url, topic, partition)
    fetches = read_to_end(reader)
    reader.close()
    assert payloads_of(fetches) == [b"", b""]
    assert [key for fetch in fetches for key in fetch.keys] == [b"watch-1", None]


def test_an_error_among_messages_is_raised_and_the_end_is_not_one(
    kafka_url: str, admin: Admin, producer: Producer, topic: str
) -> None:
    send_all(producer, topic, b"watch-1", 3)
    position = topic, partition_of(kafka_url, admin, topic)
    consumer = ck.Consumer(
        connection_config(kafka_url, "contract") | {"group.id": "contract", "enable.partition.eof": True}
    )
    consumer.assign([ck.TopicPartition(*position, 0)])
    messages: list[ck.Message] = []
    until(lambda: messages.extend(consumer.consume(10, 0.2)) or (len(messages) == 4 or None))
    consumer.close()
    assert (len(fetch_of(position, messages)), fetch_of(position, messages).at_end) == (3, True)
    assert (len(fetch_of(position, messages[:3])), fetch_of(position, messages[:3]).at_end) == (3, False)
    assert (len(fetch_of(position, messages[3:])), fetch_of(position, messages[3:]).at_end) == (0, True)
    messages[1].set_error(ck.KafkaError(ck.KafkaError._ALL_BROKERS_DOWN, "gone"))
    with pytest.raises(LogUnavailable, match="gone"):
        fetch_of(position, messages)


def test_a_recreated_topic_has_another_id(admin: Admin) -> None:
    name = f"contract.{uuid.uuid4().hex[:12]}"
    ids = []
    for _ in range(2):
        admin.ensure_topics([TopicSpec(name, 1)])
        ids.append(admin.topic_id(name))
        admin.delete_topics([name])
        until(lambda: admin.partitions(name) == 0 or None)
    assert None not in ids
    with pytest.raises(LogPositionError, match="re-created"):
        check_topic_id(name, ids[0], ids[1])


def test_a_topic_with_another_partition_count_is_refused(admin: Admin, topic: str) -> None:
    admin.ensure_topics([TopicSpec(topic, 2)])
    with pytest.raises(ConfigError, match="2 partitions, not 4"):
        admin.ensure_topics([TopicSpec(topic, 4)])


def test_a_group_reads_on_from_what_it_committed(kafka_url: str, producer: Producer, topic: str) -> None:
    values = send_all(producer, topic, b"watch-1", 50)
    group = f"contract-{uuid.uuid4().hex}"
    first, committed = read_group(kafka_url, topic, group, 50, commit_through=20)
    assert first == values
    assert 0 < committed <= 20
    assert read_group(kafka_url, topic, group, 50 - committed)[0] == values[committed:]


def test_what_a_group_committed_is_known_without_joining_it(kafka_url: str, producer: Producer, topic: str) -> None:
    group = f"contract-{uuid.uuid4().hex}"
    positions = [(topic, 0), (topic, 1)]
    assert committed_positions(kafka_url, group, positions) == {}
    send_all(producer, topic, b"watch-1", 10)
    reader = GroupReader(kafka_url, [topic], group)
    until(lambda: reader.fetches(100, 0.2) or None)
    assert reader.commit({(topic, 0): 7})
    assert committed_positions(kafka_url, group, positions) == {(topic, 0): 7}
    reader.close()


def read_group(
    kafka_url: str, topic: str, group: str, expected: int, commit_through: int = 0
) -> tuple[list[bytes], int]:
    """Read as a group's only member; fetches may be cut anywhere, so say how far it committed."""
    reader = GroupReader(kafka_url, [topic], group)
    payloads: list[bytes] = []
    committed = 0

    def enough() -> bool | None:
        nonlocal committed
        for fetch in reader.fetches(10, 0.1):
            payloads.extend(fetch.payloads)
            if len(fetch) and fetch.offsets[-1] < commit_through:
                committed = int(fetch.offsets[-1]) + 1
                assert reader.commit({(fetch.topic, fetch.partition): committed})
        return True if len(payloads) >= expected else None

    until(enough)
    reader.close()
    return payloads, committed


def test_a_committed_position_the_log_does_not_hold_stops_the_group(
    kafka_url: str, admin: Admin, producer: Producer, topic: str
) -> None:
    send_all(producer, topic, b"watch-1", 5)
    partition = partition_of(kafka_url, admin, topic)
    group = f"contract-{uuid.uuid4().hex}"
    reader = GroupReader(kafka_url, [topic], group)
    until(lambda: reader.fetches(10, 0.1) or None)
    assert reader.commit({(topic, partition): 900})
    reader.close()

    resumed = GroupReader(kafka_url, [topic], group)
    with pytest.raises(LogPositionError, match="offset 900 is not in the log"):
        until(lambda: resumed.fetches(10, 0.1) or None)
    resumed.close()


def test_delivery_is_reported_per_record(producer: Producer, topic: str) -> None:
    outcomes: list[Exception | None] = []
    for _ in range(100):
        producer.send(topic, b"watch-1", b"x", on_delivery=outcomes.append)
    producer.flush(30)
    assert outcomes == [None] * 100
    assert producer.queued() == 0


def test_a_record_beyond_the_limit_is_refused_at_once(producer: Producer, topic: str) -> None:
    with pytest.raises(RecordTooLarge):
        producer.send(topic, b"watch-1", bytes(3_000_000))


def test_a_producer_without_a_broker_fails_loudly_and_pushes_back() -> None:
    producer = Producer("kafka://127.0.0.1:9", "contract", max_queued=10, message_timeout_s=1.5)
    outcomes: list[Exception | None] = []
    for _ in range(9):
        producer.send("t", b"k", b"v", on_delivery=outcomes.append)
    producer.send("t", b"k", b"v")
    with pytest.raises(QueueFull):
        producer.send("t", b"k", b"v")
    with pytest.raises(LogUnavailable):
        producer.flush(30)
    assert len(outcomes) == 9
    assert all(isinstance(outcome, LogUnavailable) for outcome in outcomes)


@pytest.mark.integration
def test_nothing_counts_as_delivered_once_the_broker_is_dead(start_server: StartServer) -> None:
    server = start_server("kafka")
    Admin(server.url).ensure_topics([TopicSpec("t", 1)])
    producer = Producer(server.url, "contract", message_timeout_s=2)
    producer.send("t", b"k", b"before")
    producer.flush(30)
    server.stop()
    outcomes: list[Exception | None] = []
    producer.send("t", b"k", b"after", on_delivery=outcomes.append)
    producer.flush(30)
    assert isinstance(outcomes[0], LogUnavailable)


def test_a_dead_letter_keeps_bytes_reason_and_position(kafka_url: str, admin: Admin, producer: Producer) -> None:
    admin.ensure_topics([spec for spec in platform_topics(1) if spec.name == DEAD_LETTERS_TOPIC])
    source, garbage = f"topic-{uuid.uuid4().hex[:8]}", b"\x00garbage"
    letter = {"source_topic": source, "consumer": "archive", "stage": "decode", "detail": "why", "payload": garbage}
    keys = [
        dead_letter(producer, **letter, partition=1, offset=7, reason="undecodable"),  # type: ignore[arg-type]
        dead_letter(producer, **letter, reason="undecodable"),  # type: ignore[arg-type]
    ]
    producer.flush(30)
    assert keys[0] == f"{source}:1:7:archive"
    assert keys[1].startswith(f"{source}:")
    reader = PartitionReader(kafka_url, DEAD_LETTERS_TOPIC, 0)
    found = {
        key.decode(): (fetch.payloads[i], fetch.headers[i])
        for fetch in read_to_end(reader)
        for i, key in enumerate(fetch.keys)
        if key is not None
    }
    reader.close()
    payload, headers = found[keys[0]]
    assert payload == garbage
    assert headers["reason"] == b"undecodable"
    assert (headers["source_topic"], headers["partition"], headers["offset"]) == (source.encode(), b"1", b"7")
    assert found[keys[1]][0] == garbage


def test_a_url_says_how_to_connect() -> None:
    plain = connection_config("kafka://a:1,b:2", "me")
    assert (plain["bootstrap.servers"], plain["security.protocol"]) == ("a:1,b:2", "PLAINTEXT")
    secured = connection_config("kafka://me:p%40ss@a:1?tls=1&ca_file=/ca.pem", "me")
    assert secured["security.protocol"] == "SASL_SSL"
    assert (secured["sasl.username"], secured["sasl.password"]) == ("me", "p@ss")
    assert secured["ssl.ca.location"] == "/ca.pem"


def test_a_wrong_url_is_named_without_its_password() -> None:
    with pytest.raises(ConfigError) as caught:
        connection_config("http://me:secret@host:1", "me")
    assert "secret" not in str(caught.value)
