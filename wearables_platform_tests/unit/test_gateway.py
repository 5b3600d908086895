"""The bridge's order of promises, with a broker that a test plays and a real producer."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from wearables_platform.bridge.gateway import REGISTRY_PATIENCE_S, Gateway, HandOver
from wearables_platform.bridge.judgement import Accepted, Refused, judge, parse_topic
from wearables_platform.clients.kafka import Producer
from wearables_platform.clients.mqtt_session import Delivery
from wearables_platform.domain.channels import ACCELERATION, VITALS
from wearables_platform.domain.reasons import DeadLetterReason
from wearables_platform.errors import StoreUnavailable
from wearables_platform.registry import Device
from wearables_platform.wire.v1 import telemetry_pb2 as pb

START_US = 1_774_742_400_000_000
NOWHERE = "kafka://127.0.0.1:1"


class Broker:
    """Remembers what the gateway does."""

    def __init__(self) -> None:
        self.ready = True
        self.unacknowledged = 0
        self.acknowledged: list[Delivery] = []
        self.published: list[str] = []

    def done(self, deliveries: Sequence[Delivery]) -> None:
        self.acknowledged += deliveries

    def publish(self, topic: str, payload: bytes, *, qos: int) -> None:
        assert (qos, bool(payload)) == (0, True)
        self.published.append(topic)


def vitals(device_id: str, sequence: int) -> bytes:
    return pb.VitalsBatch(device_id=device_id, boot_id=1, sequence=sequence, start_time_us=START_US).SerializeToString()


def delivery(payload: bytes, topic: str = "wearables/v1/watch/vitals", packet_id: int = 1) -> Delivery:
    return Delivery(topic, payload, 1, packet_id, 1, False)


def known(device_id: str) -> Device | None:
    return Device(device_id, START_US, enabled=device_id != "revoked", token_digests=()) if device_id != "x" else None


def gateway(broker: Broker, inbox: HandOver, find_device: object = known, timeout_s: float = 1.0) -> Gateway:
    producer = Producer(NOWHERE, "test", message_timeout_s=timeout_s)
    return Gateway(broker, producer, find_device, inbox, max_payload_bytes=10_000, receipt_interval_s=0.1)  # type: ignore[arg-type]


def test_without_kafkas_report_nothing_is_acknowledged_and_the_failure_is_loud() -> None:
    broker, inbox = Broker(), HandOver()
    inbox.put(delivery(vitals("watch", 0)))
    inbox.put(delivery(b"rubbish", packet_id=2))  # a dead letter is a record like any other
    running = gateway(broker, inbox)
    deadline = time.monotonic() + 30

    def turn() -> None:
        while time.monotonic() < deadline:
            running.step(time.monotonic())
            running.wait(0.05)

    with pytest.raises(StoreUnavailable):
        turn()
    assert broker.acknowledged == []
    assert broker.published == []


def test_a_registry_that_is_away_holds_the_message_and_ends_the_bridge_in_the_end() -> None:
    broker, inbox = Broker(), HandOver()
    inbox.put(delivery(vitals("watch", 0)))

    def away(_device_id: str) -> Device | None:
        msg = "no registry"
        raise StoreUnavailable(msg)

    running = gateway(broker, inbox, away)
    running.step(0.0)
    running.step(REGISTRY_PATIENCE_S - 1)
    assert running.trouble is not None
    assert broker.acknowledged == []
    with pytest.raises(StoreUnavailable):
        running.step(REGISTRY_PATIENCE_S + 1)


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        ("wearables/v1/watch/vitals", b"", DeadLetterReason.EMPTY),
        ("wearables/v1/watch/vitals", b"\xff\xff", DeadLetterReason.UNDECODABLE),
        ("wearables/v1/watch/vitals", b"x" * 10_001, DeadLetterReason.TOO_LARGE),
        ("wearables/v1/watch/vitals", vitals("other", 0), DeadLetterReason.FORGED_ID),
        ("wearables/v1/watch/vitals", vitals("wat#ch", 0), DeadLetterReason.BAD_DEVICE_ID),
        ("wearables/v1/watch/acceleration", vitals("watch", 0), DeadLetterReason.BAD_ENCODING),
        ("wearables/v1/x/vitals", vitals("x", 0), DeadLetterReason.UNKNOWN_DEVICE),
        ("wearables/v1/revoked/vitals", vitals("revoked", 0), DeadLetterReason.UNKNOWN_DEVICE),
        ("wearables/v1/wat ch/vitals", vitals("watch", 0), DeadLetterReason.BAD_DEVICE_ID),
        ("wearables/v1/watch/receipt", vitals("watch", 0), DeadLetterReason.BAD_DEVICE_ID),
        ("", vitals("watch", 0), DeadLetterReason.BAD_DEVICE_ID),
    ],
)
def test_what_is_refused_says_why(topic: str, payload: bytes, reason: DeadLetterReason) -> None:
    good = delivery(vitals("watch", 7))
    first, second = judge([delivery(payload, topic), good], known, 10_000)
    assert isinstance(first, Refused)
    assert first.reason == reason
    assert isinstance(second, Accepted)
    assert second.identity == ("watch", 1, 7)


def test_a_topic_says_whose_and_what() -> None:
    assert parse_topic("wearables/v1/watch-1/acceleration") == ("watch-1", ACCELERATION)
    assert parse_topic("wearables/v1/watch-1/vitals") == ("watch-1", VITALS)
    for wrong in ("wearables/v1/watch-1", "wearables/v2/w/vitals", "wearables/v1/w/vitals/x", "/wearables/v1/w/vitals"):
        assert parse_topic(wrong) is None


def test_a_batch_keeps_its_order_over_channels() -> None:
    status = pb.DeviceStatus(device_id="watch", boot_id=2, sequence=0, start_time_us=START_US).SerializeToString()
    deliveries = [
        delivery(vitals("watch", 0)),
        delivery(status, "wearables/v1/watch/status"),
        delivery(b"", "wearables/v1/watch/status"),
        delivery(vitals("watch", 1)),
    ]
    assert [each.delivery for each in judge(deliveries, known, 10_000)] == deliveries
