"""What Kafka's client hands over and is told: fetches, topics, addresses, failures. No driver in here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import numpy.typing as npt

from wearables_platform.domain.channels import VERDICT_HEADER
from wearables_platform.errors import (
    AccessRefused,
    ConfigError,
    LogPositionError,
    StoreRefused,
    StoreUnavailable,
    TerminalError,
    TransientError,
)

EARLIEST: Final = -2
# Above Kafka's own default of 1 MB per record, so that a dead letter holds the largest raw record and its headers.
MAX_RECORD_BYTES: Final = 2_000_000
# Long enough for a broker's restart; what is not delivered by then fails loudly and its sender still holds it.
MESSAGE_TIMEOUT_S: Final = 60.0
# An embedded broker needs half of this to let a member join; Apache Kafka accepts nothing shorter.
SESSION_TIMEOUT_MS: Final = 6_000
REQUEST_TIMEOUT_S: Final = 15.0
# A broker answers for a topic it was just told of within a second; a topic that does not exist is said so after this.
LEADER_PATIENCE_S: Final = 5.0
# A broker that refuses an account or shows the wrong certificate does so in milliseconds; this is for a busy one.
DENIAL_PATIENCE_S: Final = 4.0

Headers = Sequence[tuple[str, bytes]]
Position = tuple[str, int]  # topic, partition


class QueueFull(TransientError):
    """The producer's bounded queue is full: stop taking work until `Producer.poll` has made room."""


class RecordTooLarge(StoreRefused):
    """One record is larger than the broker or the client accepts; no retry will change that."""


class ProducerFailed(TerminalError):
    """The producer met a fatal error and can send nothing any more; the process must end and start again."""


class LogUnavailable(StoreUnavailable):
    """The brokers did not answer, or not in time."""


class PartitionNotServed(LogUnavailable):
    """The partition has no leader yet: just created, or moving to another broker. Passes within moments."""


DeliveryReport = Callable[[Exception | None], None]


@dataclass(frozen=True)
class Fetch:
    """One fetch of one partition, as columns of equal length, in log order.

    Attributes
    ----------
    offsets, append_us
        (N,) int64: log positions, and append times in microseconds since the epoch.
    keys, payloads
        N entries each; a record without a value has an empty payload.
    verdicts
        Position in the fetch -> the gateway's verdict, for the few records that carry one.
    headers
        Position in the fetch -> all headers, for the few records that carry any.
    at_end
        The end of the partition was reached with this fetch (which may then be empty).
    """

    topic: str
    partition: int
    offsets: npt.NDArray[np.int64]
    append_us: npt.NDArray[np.int64]
    keys: list[bytes | None]
    payloads: list[bytes]
    verdicts: dict[int, str] = field(default_factory=dict)
    headers: dict[int, dict[str, bytes]] = field(default_factory=dict)
    at_end: bool = False

    def __len__(self) -> int:
        return len(self.payloads)


@dataclass(frozen=True)
class TopicSpec:
    """A topic as it must exist: name, number of partitions, configuration."""

    name: str
    partitions: int
    config: Mapping[str, str] = field(default_factory=dict)


def connection_config(url: str, client_id: str) -> dict[str, Any]:
    """Turn ``kafka://[user:password@]host:port[,host:port][?tls=1&ca_file=...&mechanism=...]`` into driver settings."""
    parts = urlsplit(url)
    if parts.scheme != "kafka" or not parts.netloc:
        msg = f"a Kafka URL looks like kafka://host:port, not {parts.scheme}://..."
        raise ConfigError(msg)
    options = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    account, _, hosts = parts.netloc.rpartition("@")
    tls = options.get("tls", "0") in ("1", "true")
    config: dict[str, Any] = {
        "bootstrap.servers": hosts,
        "client.id": client_id,
        "security.protocol": ("SASL_" if account else "") + ("SSL" if tls else "PLAINTEXT"),
        "reconnect.backoff.max.ms": 1_000,  # a restarted broker is found again within a second, not ten
    }
    if account:
        user, _, password = account.partition(":")
        config |= {"sasl.username": unquote(user), "sasl.password": unquote(password)}
        config["sasl.mechanism"] = options.get("mechanism", "SCRAM-SHA-512")
    if "ca_file" in options:
        config["ssl.ca.location"] = options["ca_file"]
    return config


def reader_config(url: str, group_id: str) -> dict[str, Any]:
    """Return the settings of a reader whose positions are explicit and which is told of a partition's end."""
    return {
        **connection_config(url, group_id),
        "group.id": group_id,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "fetch.wait.max.ms": 100,  # the default half second is what a quiet partition adds to every latency
        "fetch.queue.backoff.ms": 10,
        "queued.max.messages.kbytes": 32_768,
        "max.partition.fetch.bytes": 4_000_000,
    }


def fetches_of(messages: list[Any]) -> list[Fetch]:
    """Turn the driver's messages into one `Fetch` per partition; any error among them but the end is raised."""
    parts: dict[Position, list[Any]] = {}
    for message in messages:
        parts.setdefault((message.topic(), message.partition()), []).append(message)
    return [fetch_of(position, part) for position, part in parts.items()]


def fetch_of(position: Position, messages: list[Any]) -> Fetch:
    """Turn the driver's messages of one partition into a `Fetch`; any error among them but the end is raised.

    Each column is one `map` of the driver's own method: a loop in Python would cost more than reading from the broker.
    """
    # `filter` and not `count`: the driver's errors cannot be compared with None.
    errors = list(filter(None, map(type(messages[0]).error, messages))) if messages else []
    if errors:
        _require_only_the_end(position, errors)
        messages = [message for message in messages if message.error() is None]
    if not messages:
        nothing = np.zeros(0, np.int64)
        return Fetch(*position, nothing, nothing, [], [], at_end=bool(errors))
    kind, count = type(messages[0]), len(messages)
    headers = _headers(list(map(kind.headers, messages)))
    return Fetch(
        topic=position[0],
        partition=position[1],
        offsets=np.fromiter(map(kind.offset, messages), np.int64, count),
        append_us=np.fromiter(map(_SECOND, map(kind.timestamp, messages)), np.int64, count) * 1_000,
        keys=list(map(kind.key, messages)),
        payloads=[payload or b"" for payload in map(kind.value, messages)],
        verdicts={i: h[VERDICT_HEADER].decode() for i, h in headers.items() if VERDICT_HEADER in h},
        headers=headers,
        at_end=bool(errors),
    )


_SECOND: Final = itemgetter(1)  # of (kind of timestamp, milliseconds)


def _require_only_the_end(position: Position, errors: list[Any]) -> None:
    for error in errors:
        if error.name() != "_PARTITION_EOF":
            raise translated(error, f"read {position[0]}[{position[1]}]")


def _headers(found: list[Any]) -> dict[int, dict[str, bytes]]:
    if found.count(None) == len(found):
        return {}
    return {
        i: {name: value if isinstance(value, bytes) else b"" for name, value in headers}
        for i, headers in enumerate(found)
        if headers
    }


# The driver's names of errors, so that this file needs no driver.
NOT_OURS: Final = frozenset(("REBALANCE_IN_PROGRESS", "ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID", "_ASSIGNMENT_LOST"))
_NOT_SERVED: Final = frozenset(("NOT_LEADER_FOR_PARTITION", "LEADER_NOT_AVAILABLE", "UNKNOWN_TOPIC_OR_PART"))
_REFUSED: Final = frozenset(
    (
        "TOPIC_AUTHORIZATION_FAILED",
        "GROUP_AUTHORIZATION_FAILED",
        "CLUSTER_AUTHORIZATION_FAILED",
        "SASL_AUTHENTICATION_FAILED",
        "INVALID_MSG",
        "INVALID_RECORD",
        "POLICY_VIOLATION",
        "TOPIC_EXCEPTION",
        "FENCED_INSTANCE_ID",
        "_AUTHENTICATION",
        "_INVALID_ARG",
    )
)


def translated(error: Any, doing: str) -> TerminalError | TransientError:
    """Turn a driver's error object into the platform's exception."""
    text, name = f"{doing}: {error.str()}", error.name()
    if error.fatal() or name == "_FATAL":
        return ProducerFailed(text)
    if name == "MSG_SIZE_TOO_LARGE":
        return RecordTooLarge(text)
    if name in ("_AUTO_OFFSET_RESET", "OFFSET_OUT_OF_RANGE"):
        return LogPositionError(text)
    if name in _NOT_SERVED:
        return PartitionNotServed(text)
    return StoreRefused(text) if name in _REFUSED else LogUnavailable(text)


def denial(error: Any) -> AccessRefused | None:
    """Return what a driver's error says of account or certificate; None where it is about something else."""
    if error.name() == "_SSL":
        return AccessRefused("kafka_url", f"TLS: {error.str()}")
    if error.name() in ("_AUTHENTICATION", "SASL_AUTHENTICATION_FAILED"):
        return AccessRefused("kafka_url", f"the broker refuses the account: {error.str()}")
    return None


def check_within(found: Mapping[Position, tuple[int, int]], positions: Mapping[Position, int]) -> None:
    """Raise `LogPositionError` unless every position lies within what `bounds` found of its partition."""
    for (topic, partition), offset in positions.items():
        low, end = found[topic, partition]
        if not low <= offset <= end:
            lost = f"; {low - offset} records expired unread" if offset < low else ""
            msg = f"{topic}[{partition}]: offset {offset} is not in the log, which holds {low} to {end}{lost}"
            raise LogPositionError(msg)


def check_topic_id(topic: str, saved: str | None, found: str | None) -> None:
    """Raise `LogPositionError` if a saved position belongs to another incarnation of the topic."""
    if saved != found:
        msg = f"{topic} was re-created: positions belong to topic id {saved}, the broker has {found}"
        raise LogPositionError(msg)
