"""The platform's topics and the one way a record becomes a dead letter."""

from __future__ import annotations

import hashlib
from typing import Final

import prometheus_client

from wearables_platform.clients.kafka import Admin, DeliveryReport, Producer, TopicSpec
from wearables_platform.domain.channels import ANOMALIES_TOPIC, CHANNELS, DEAD_LETTERS_TOPIC, MODELS_TOPIC
from wearables_platform.domain.reasons import DeadLetterReason
from wearables_platform.settings import Settings

_DAY_MS: Final = 86_400_000
# 28 days is the longest the platform may keep what it cannot erase; append time, because wearables upload old data and
# retention by record time would delete it on arrival.
RAW_TOPIC_CONFIG: Final = {
    "message.timestamp.type": "LogAppendTime",
    "retention.ms": str(28 * _DAY_MS),
    "max.message.bytes": "1048588",
}
DEAD_LETTERS_TOPIC_CONFIG: Final = {**RAW_TOPIC_CONFIG, "max.message.bytes": "2000000"}
MODELS_TOPIC_CONFIG: Final = {"cleanup.policy": "compact"}
# A dead letter keeps the bytes up to here; beyond, its head and the true size in `detail`.
MAX_DEAD_LETTER_BYTES: Final = 1_500_000
MAX_DETAIL_CHARS: Final = 1_000

_dead_letters = prometheus_client.Counter(
    "wearables_dead_letters",
    "Dead letters sent, by the topic they were read from (`device`: refused before Kafka), stage and reason.",
    ["topic", "stage", "reason"],
)
_REASONS: Final = frozenset(map(str, DeadLetterReason))


def platform_topics(partitions: int) -> list[TopicSpec]:
    """Return every topic of the platform; the telemetry topics share one number of partitions."""
    raw = [TopicSpec(channel.topic, partitions, RAW_TOPIC_CONFIG) for channel in CHANNELS]
    return [
        *raw,
        TopicSpec(ANOMALIES_TOPIC, partitions, RAW_TOPIC_CONFIG),
        TopicSpec(DEAD_LETTERS_TOPIC, 1, DEAD_LETTERS_TOPIC_CONFIG),
        TopicSpec(MODELS_TOPIC, 1, MODELS_TOPIC_CONFIG),
    ]


def ensure_platform_topics(admin: Admin, settings: Settings) -> None:
    """Create what is missing of the platform's topics; every process may call it at start."""
    admin.ensure_topics(platform_topics(settings.topic_partitions))


def dead_letter_key(source_topic: str, partition: int, offset: int, consumer: str, payload: bytes) -> str:
    """Return a dead letter's key: where it came from and who gave it up.

    What never had a log position (a gateway refused it before Kafka; `offset` < 0) is named by its payload instead, so
    that a client's resends are one dead letter.
    """
    if offset >= 0:
        return f"{source_topic}:{partition}:{offset}:{consumer}"
    return f"{source_topic}:{hashlib.sha256(payload).hexdigest()[:32]}:{consumer}"


def dead_letter(
    producer: Producer,
    *,
    source_topic: str,
    partition: int = -1,
    offset: int = -1,
    consumer: str,
    stage: str,
    reason: str,
    detail: str,
    payload: bytes,
    source_log: str | None = None,
    on_delivery: DeliveryReport | None = None,
) -> str:
    """Queue one dead letter and return its key.

    Delivery: as `Producer.send`. Without `on_delivery` a failure is raised by the next `flush`, which a consumer must
    pass before it commits: if dead letters cannot be written, the job stops.

    Parameters
    ----------
    source_topic
        Kafka topic, or for a gateway the MQTT topic or HTTP path the bytes came in on.
    source_log
        Topic id of the Kafka topic, so that positions of a re-created topic are told apart.
    """
    key = dead_letter_key(source_topic, partition, offset, consumer, payload)
    if len(payload) > MAX_DEAD_LETTER_BYTES:
        detail = f"first {MAX_DEAD_LETTER_BYTES} of {len(payload)} bytes kept; {detail}"
    fields = {
        "source": f"{source_topic}:{partition}:{offset}",
        "source_topic": source_topic,
        "partition": str(partition),
        "offset": str(offset),
        "log_id": source_log or "",
        "consumer": consumer,
        "stage": stage,
        "reason": str(reason),
        "detail": detail[:MAX_DETAIL_CHARS],
    }
    headers = [(name, value.encode()) for name, value in fields.items()]
    producer.send(
        DEAD_LETTERS_TOPIC,
        key.encode(),
        payload[:MAX_DEAD_LETTER_BYTES],
        on_delivery=on_delivery,
        headers=headers,
    )
    # A gateway's source is a path with the device in it: no label. Nor is a reason of nobody's list.
    topic = source_topic if offset >= 0 else "device"
    _dead_letters.labels(topic, stage, str(reason) if str(reason) in _REASONS else "other").inc()
    return key
