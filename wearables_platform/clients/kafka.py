"""Kafka: a producer that never loses silently, readers that hand over whole fetches, and the topics.

A fetch is columnar: one object per fetch, not per message. Positions are explicit everywhere: nothing is committed
automatically, and a position the log does not hold raises `LogPositionError` instead of jumping elsewhere.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import confluent_kafka as ck
import tenacity
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from wearables_platform.clients.log import (
    DENIAL_PATIENCE_S,
    EARLIEST,
    LEADER_PATIENCE_S,
    MAX_RECORD_BYTES,
    MESSAGE_TIMEOUT_S,
    NOT_OURS,
    REQUEST_TIMEOUT_S,
    SESSION_TIMEOUT_MS,
    DeliveryReport,
    Fetch,
    Headers,
    LogUnavailable,
    PartitionNotServed,
    Position,
    ProducerFailed,
    QueueFull,
    RecordTooLarge,
    TopicSpec,
    check_topic_id,
    check_within,
    connection_config,
    denial,
    fetch_of,
    fetches_of,
    reader_config,
    translated,
)
from wearables_platform.errors import AccessRefused, ConfigError, LogPositionError, StoreUnavailable

__all__ = [
    "EARLIEST",
    "Admin",
    "DeliveryReport",
    "Fetch",
    "GroupReader",
    "LogUnavailable",
    "PartitionReader",
    "Position",
    "Producer",
    "ProducerFailed",
    "QueueFull",
    "RecordTooLarge",
    "TopicSpec",
    "bounds",
    "check_positions",
    "check_topic_id",
    "check_within",
    "committed_positions",
]

_log = logging.getLogger(__name__)


class Producer:
    """An idempotent producer: acks=all, lz4, bounded queue, every outcome reported.

    Delivery: `send` only queues. The record is in Kafka when `on_delivery(None)` is called, from inside `poll` or
    `flush`; on failure it is called with the exception. Without a callback a failure is raised by the next `flush`.
    Records of one key keep their order. Threads may share one producer.
    """

    def __init__(
        self,
        url: str,
        client_id: str,
        *,
        max_queued: int = 100_000,
        max_queued_kb: int = 65_536,
        message_timeout_s: float = MESSAGE_TIMEOUT_S,
    ) -> None:
        self._failures: list[Exception] = []
        self._fatal: str | None = None
        config = {
            **connection_config(url, client_id),
            "enable.idempotence": True,
            "acks": "all",
            "compression.type": "lz4",
            "linger.ms": 5,
            "partitioner": "murmur2_random",  # what Java clients use: one key, one partition, whoever writes
            "message.max.bytes": MAX_RECORD_BYTES,
            "queue.buffering.max.messages": max_queued,
            "queue.buffering.max.kbytes": max_queued_kb,
            "message.timeout.ms": int(message_timeout_s * 1000),
            "error_cb": self._on_error,
        }
        self._producer = ck.Producer(config, logger=_log)

    def send(
        self,
        topic: str,
        key: bytes,
        value: bytes,
        *,
        on_delivery: DeliveryReport | None = None,
        headers: Headers | None = None,
        timestamp_ms: int | None = None,
    ) -> None:
        """Queue one record; raises `QueueFull` as back-pressure and `RecordTooLarge` at once."""
        self._raise_if_failed()
        report = self._reporter(topic, on_delivery)
        try:
            self._producer.produce(
                topic, value, key, on_delivery=report, headers=list(headers or ()), timestamp=timestamp_ms or 0
            )
        except BufferError as exc:
            msg = f"producer queue full at {len(self._producer)} records"
            raise QueueFull(msg) from exc
        except ck.KafkaException as exc:
            raise translated(exc.args[0], f"send to {topic}") from exc

    def poll(self, timeout_s: float) -> int:
        """Serve delivery reports; returns how many there were."""
        served: int = self._producer.poll(timeout_s)
        self._raise_if_failed()
        return served

    def flush(self, timeout_s: float) -> None:
        """Wait until everything queued is delivered.

        Raises
        ------
        StoreUnavailable
            Something is still undelivered after `timeout_s`, or failed without having a callback of its own.
        """
        remaining = self._producer.flush(timeout_s)
        self._raise_if_failed()
        if self._failures:
            failures, self._failures = self._failures, []
            raise failures[0]
        if remaining:
            msg = f"{remaining} records not delivered within {timeout_s:g} s"
            raise LogUnavailable(msg)

    def queued(self) -> int:
        """Return how many records wait for their delivery report."""
        return len(self._producer)

    def _reporter(self, topic: str, on_delivery: DeliveryReport | None) -> Callable[[Any, Any], None]:
        report = on_delivery or self._keep_failure

        def delivered(error: ck.KafkaError | None, _message: object) -> None:
            report(None if error is None else translated(error, f"delivery to {topic}"))

        return delivered

    def _keep_failure(self, error: Exception | None) -> None:
        if error is not None:
            self._failures.append(error)

    def _on_error(self, error: ck.KafkaError) -> None:
        if error.fatal():
            self._fatal = str(error)

    def _raise_if_failed(self) -> None:
        if self._fatal:
            raise ProducerFailed(self._fatal)


class PartitionReader:
    """Reads one partition from an explicit offset; commits nothing.

    Parameters
    ----------
    checked
        The caller has asked `check_positions` of `start_offset` itself, for all its partitions at once.

    Raises
    ------
    LogPositionError
        The log does not hold `start_offset` (expired, or beyond the end): at construction, or when it expires later.
    """

    def __init__(
        self,
        url: str,
        topic: str,
        partition: int,
        start_offset: int = EARLIEST,
        *,
        group_id: str | None = None,
        checked: bool = False,
    ) -> None:
        self.topic, self.partition = topic, partition
        if start_offset != EARLIEST and not checked:
            check_positions(url, {(topic, partition): start_offset})
        self._consumer = ck.Consumer(reader_config(url, group_id or "partition-reader"), logger=_log)
        self._consumer.assign([ck.TopicPartition(topic, partition, start_offset)])

    def fetch(self, max_messages: int, timeout_s: float) -> Fetch | None:
        """Return what arrived within `timeout_s`, up to `max_messages`; None if nothing did."""
        messages = _consume(self._consumer, max_messages, timeout_s)
        return fetch_of((self.topic, self.partition), messages) if messages else None

    def known_end(self) -> int | None:
        """Return the next offset of the log as the broker said it last, without asking; None before it has.

        For an indicator only: it may be late, and on some brokers it is short of the end by a batch.
        """
        end = self._consumer.get_watermark_offsets(ck.TopicPartition(self.topic, self.partition), cached=True)[1]
        return end if end >= 0 else None

    def close(self) -> None:
        """Leave the brokers."""
        self._consumer.close()


class GroupReader:
    """Reads the partitions of some topics that a consumer group gives this member.

    Delivery: at least once. `commit` after the sink has everything of a fetch; what was read and not committed is
    read again after a crash or a rebalance. A group without a committed position starts at the earliest record; a
    committed position the log does not hold any more raises `LogPositionError`.
    """

    def __init__(self, url: str, topics: Sequence[str], group_id: str, *, instance_id: str | None = None) -> None:
        self._url = url
        config = {**reader_config(url, group_id), "error_cb": self._on_error}
        config |= {"session.timeout.ms": SESSION_TIMEOUT_MS, "heartbeat.interval.ms": SESSION_TIMEOUT_MS // 3}
        if instance_id:
            config["group.instance.id"] = instance_id
        self._broken: str | None = None
        self._assignment_error: Exception | None = None
        self._consumer = ck.Consumer(config, logger=_log)
        self._consumer.subscribe(list(topics), on_assign=self._on_assign)

    def fetches(self, max_messages: int, timeout_s: float) -> list[Fetch]:
        """Return what arrived within `timeout_s`, one `Fetch` per partition."""
        messages = _consume(self._consumer, max_messages, timeout_s)
        if self._assignment_error is not None:
            raise self._assignment_error
        if messages:
            self._broken = None
        return fetches_of(messages)

    def commit(self, positions: Mapping[Position, int]) -> bool:
        """Save the next offset to read per partition, synchronously.

        Returns False where a rebalance took a partition away meanwhile: its new owner reads those records again.
        """
        offsets = [ck.TopicPartition(topic, partition, offset) for (topic, partition), offset in positions.items()]
        try:
            committed = self._consumer.commit(offsets=offsets, asynchronous=False)
        except ck.KafkaException as exc:
            if exc.args[0].name() in NOT_OURS:
                return False
            raise translated(exc.args[0], "commit") from exc
        errors = [entry.error for entry in committed or () if entry.error is not None]
        for error in errors:
            if error.name() not in NOT_OURS:
                raise translated(error, "commit")
        return not errors

    def assigned(self) -> list[Position]:
        """Return the partitions this member reads now."""
        return [(entry.topic, entry.partition) for entry in self._consumer.assignment()]

    @property
    def trouble(self) -> str | None:
        """What is wrong with the connection to the brokers, None while nothing is known to be."""
        return self._broken

    def close(self) -> None:
        """Leave the group, so that others take over without waiting for a time-out."""
        self._consumer.close()

    def _on_assign(self, consumer: ck.Consumer, assigned: list[ck.TopicPartition]) -> None:
        # An exception here would vanish inside the driver's callback: keep it for the next `fetches`.
        try:
            committed = consumer.committed(assigned, timeout=REQUEST_TIMEOUT_S) if assigned else []
            check_positions(
                self._url, {(entry.topic, entry.partition): entry.offset for entry in committed if entry.offset >= 0}
            )
            for entry in committed:
                entry.offset = entry.offset if entry.offset >= 0 else EARLIEST
            consumer.assign(committed)
        except ck.KafkaException as exc:
            self._assignment_error = translated(exc.args[0], "read committed offsets")
        except (LogPositionError, StoreUnavailable) as exc:
            self._assignment_error = exc

    def _on_error(self, error: ck.KafkaError) -> None:
        if error.code() == ck.KafkaError._ALL_BROKERS_DOWN:
            self._broken = error.str()


class Admin:
    """Creates and describes topics."""

    def __init__(self, url: str, client_id: str = "admin") -> None:
        self._url = url
        self._denied: AccessRefused | None = None
        config = connection_config(url, client_id) | {"error_cb": self._on_error}
        self._admin = AdminClient(config, logger=_log)

    def ensure_topics(self, specs: Iterable[TopicSpec]) -> None:
        """Create the topics that are missing.

        Raises
        ------
        ConfigError
            One exists with another number of partitions: it is fixed for a topic's life, for it decides which
            partition holds a device.
        """
        specs = list(specs)
        missing = [spec for spec in specs if self._differs(spec)]
        new = [NewTopic(spec.name, spec.partitions, config=dict(spec.config)) for spec in missing]
        for name, created in self._admin.create_topics(new).items() if new else ():
            self._created(name, created)
        deadline = time.monotonic() + REQUEST_TIMEOUT_S
        while any(self._differs(spec) for spec in missing):
            # Metadata follows creation after a moment; `list_topics` itself waits for the broker's answer.
            if time.monotonic() > deadline:
                msg = f"topics {[spec.name for spec in missing]} did not appear"
                raise LogUnavailable(msg)

    def topic_id(self, topic: str) -> str | None:
        """Return the id that tells a topic from a re-created one of the same name; None where there is none."""
        with _translating(f"describe {topic}"):
            described = self._admin.describe_topics(ck.TopicCollection([topic]))[topic].result(REQUEST_TIMEOUT_S)
        topic_id = str(described.topic_id) if described.topic_id is not None else ""
        return topic_id if topic_id.strip("A=") else None  # all zero bits (base64 "AAAA...") means "no id"

    def partitions(self, topic: str) -> int:
        """Return the number of partitions, 0 for a topic that does not exist."""
        entry = self._topics().get(topic)
        return len(entry.partitions) if entry is not None else 0

    def ping(self, timeout_s: float) -> None:
        """Raise `StoreUnavailable` unless a broker answers within `timeout_s`."""
        self._list_topics("ping", timeout_s)

    def list_topics(self) -> list[str]:
        """Return the names of all topics."""
        return sorted(self._topics())

    def delete_topics(self, topics: Sequence[str]) -> None:
        """Delete topics and all their records."""
        for name, deleted in self._admin.delete_topics(list(topics)).items():
            with _translating(f"delete {name}"):
                deleted.result(REQUEST_TIMEOUT_S)

    def end_offset(self, topic: str, partition: int) -> int:
        """Return the offset the next record will get, found by reading to the end (watermarks can be wrong)."""
        return bounds(self._url, [(topic, partition)])[topic, partition][1]

    def _topics(self) -> dict[str, Any]:
        found = self._list_topics("list topics", REQUEST_TIMEOUT_S)
        return {name: entry for name, entry in found.items() if entry.error is None}

    def _list_topics(self, doing: str, timeout_s: float) -> dict[str, Any]:
        """Ask for the topics; whoever may not is told so soon, and not only that no answer came in time.

        The driver goes on trying an account or a certificate that was refused, and tells of it only when polled.
        """
        first_s = min(timeout_s, DENIAL_PATIENCE_S)
        try:
            return dict(self._admin.list_topics(timeout=first_s).topics)
        except ck.KafkaException as exc:
            self._admin.poll(0)
            if self._denied is not None:
                raise self._denied from exc
            if timeout_s <= first_s:
                raise translated(exc.args[0], doing) from exc
        with _translating(doing):
            return dict(self._admin.list_topics(timeout=timeout_s - first_s).topics)

    def _on_error(self, error: ck.KafkaError) -> None:
        self._denied = denial(error) or self._denied

    def _differs(self, spec: TopicSpec) -> bool:
        found = self.partitions(spec.name)
        if found not in (0, spec.partitions):
            msg = f"topic {spec.name} has {found} partitions, not {spec.partitions}; the number is fixed for its life"
            raise ConfigError(msg)
        return found == 0

    def _created(self, name: str, created: Any) -> None:
        try:
            created.result(REQUEST_TIMEOUT_S)
        except ck.KafkaException as exc:
            if exc.args[0].code() != ck.KafkaError.TOPIC_ALREADY_EXISTS:
                raise translated(exc.args[0], f"create {name}") from exc


def check_positions(url: str, positions: Mapping[Position, int]) -> None:
    """Raise `LogPositionError` unless the log holds every position: low <= position <= end, found by reading."""
    check_within(bounds(url, list(positions)), positions)


def committed_positions(url: str, group_id: str, positions: Sequence[Position]) -> dict[Position, int]:
    """Return the next offset each partition's group member will read; without joining the group.

    Partitions the group has never committed are left out.
    """
    if not positions:
        return {}
    consumer = ck.Consumer(reader_config(url, group_id), logger=_log)
    try:
        found = consumer.committed([ck.TopicPartition(*position) for position in positions], timeout=REQUEST_TIMEOUT_S)
    except ck.KafkaException as exc:
        raise translated(exc.args[0], f"read committed offsets of {group_id}") from exc
    finally:
        consumer.close()
    return {(entry.topic, entry.partition): entry.offset for entry in found if entry.offset >= 0}


def bounds(url: str, positions: Sequence[Position]) -> dict[Position, tuple[int, int]]:
    """Return (oldest offset, next offset) per partition; the end is where reading meets it."""
    if not positions:
        return {}
    with _reading(url) as consumer:
        low = {position: _low_offset(consumer, *position) for position in positions}
        starts = {position: max(low[position], _watermark(consumer, *position) - 1) for position in positions}
        consumer.assign([ck.TopicPartition(topic, number, start) for (topic, number), start in starts.items()])
        return {position: (low[position], end) for position, end in _read_to_end(consumer, set(positions)).items()}


def _read_to_end(consumer: ck.Consumer, waiting: set[Position]) -> dict[Position, int]:
    ends: dict[Position, int] = {}
    deadline = time.monotonic() + REQUEST_TIMEOUT_S
    while waiting - ends.keys():
        for message in consumer.consume(10_000, 0.05):
            error = message.error()
            if error is not None and error.code() == ck.KafkaError._PARTITION_EOF:
                ends[message.topic(), message.partition()] = message.offset()  # type: ignore[index,assignment]
            elif error is not None:
                raise translated(error, f"read {message.topic()}")
        if time.monotonic() > deadline:
            msg = f"the end of {sorted(waiting - ends.keys())} was not reached in {REQUEST_TIMEOUT_S:g} s"
            raise LogUnavailable(msg)
    return ends


@contextmanager
def _reading(url: str) -> Iterator[ck.Consumer]:
    consumer = ck.Consumer(reader_config(url, "bounds"), logger=_log)
    try:
        yield consumer
    finally:
        consumer.close()


def _low_offset(consumer: ck.Consumer, topic: str, partition: int) -> int:
    return _watermarks(consumer, topic, partition)[0]


def _watermark(consumer: ck.Consumer, topic: str, partition: int) -> int:
    # Never beyond the end, and on some brokers short of it by up to a batch: a place to start reading, no more.
    return _watermarks(consumer, topic, partition)[1]


@tenacity.retry(
    retry=tenacity.retry_if_exception_type(PartitionNotServed),
    wait=tenacity.wait_exponential(multiplier=0.02, max=0.5),
    stop=tenacity.stop_after_delay(LEADER_PATIENCE_S),
    reraise=True,
)
def _watermarks(consumer: ck.Consumer, topic: str, partition: int) -> tuple[int, int]:
    with _translating(f"find {topic}[{partition}]"):
        found = consumer.get_watermark_offsets(ck.TopicPartition(topic, partition), timeout=REQUEST_TIMEOUT_S)
    if found is None:
        msg = f"no offsets of {topic}[{partition}] within {REQUEST_TIMEOUT_S:g} s"
        raise LogUnavailable(msg)
    return found


def _consume(consumer: ck.Consumer, max_messages: int, timeout_s: float) -> list[ck.Message]:
    with _translating("read"):
        return consumer.consume(max_messages, timeout_s)


@contextmanager
def _translating(doing: str) -> Iterator[None]:
    try:
        yield
    except ck.KafkaException as exc:
        raise translated(exc.args[0], doing) from exc
