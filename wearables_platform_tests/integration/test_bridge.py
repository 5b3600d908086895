"""From a thin client through the broker and the bridge into Kafka, and the receipt back; on real servers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from wearables_platform.domain.channels import ACCELERATION, STATUS, VERDICT_HEADER, VITALS
from wearables_platform.domain.identity import MessageIdentity
from wearables_platform.domain.reasons import DeadLetterReason, QuarantineReason
from wearables_platform.edge.client import ClientConfig, ThinClient
from wearables_platform.edge.fleet import Fleet
from wearables_platform.edge.messages import EncodedMessage, HeartRateReading, StepReading, Vitals
from wearables_platform.edge.outbox import OutboxTiming
from wearables_platform.wire.codec import decode_one
from wearables_platform.wire.v1 import telemetry_pb2 as pb
from wearables_platform_tests.bridge_rig import (
    START_US,
    BridgeRig,
    bridge_rig,
    new_device_id,
    walking_g,
)
from wearables_platform_tests.servers import MqttDevices

pytestmark = [pytest.mark.integration, pytest.mark.kafka, pytest.mark.mqtt, pytest.mark.sql]
TIMING = OutboxTiming(receipt_timeout_s=3.0)


@pytest.fixture
def rig(kafka_url: str, mqtt_url: str, sql_url: str, mqtt_devices: MqttDevices, tmp_path: Path) -> Iterator[BridgeRig]:
    yield from bridge_rig(kafka_url, mqtt_url, sql_url, mqtt_devices.credentials, tmp_path)


def add(fleet: Fleet, device_id: str, token: str) -> ThinClient:
    return fleet.add(ClientConfig(device_id, timing=TIMING), token)


def record(client: ThinClient, seconds: float, start_us: int = START_US) -> None:
    client.record(walking_g(seconds), source_rate_hz=100.0, start_us=start_us, monotonic_us=0)
    client.interrupt()


def test_what_a_device_says_is_in_kafka_byte_for_byte_and_receipted(rig: BridgeRig) -> None:
    device_id = new_device_id("watch")
    token = rig.enrol(device_id)[device_id]
    rig.start()
    with rig.fleet() as fleet:
        client = add(fleet, device_id, token)
        record(client, 3.0)
        client.record_vitals(Vitals((HeartRateReading(START_US, 61.0),), (StepReading(START_US, START_US + 9, 4),)), 0)
        client.report_status(START_US, 0, battery_percent=80.0)
        assert client.pending == 32
        assert fleet.drain(30), client.counts()
        counts = client.counts()
    assert counts["accepted"] == counts["produced"] == 32
    stored = rig.stored(device_id)
    assert [decode_one(ACCELERATION, record.payload).sequence for record in stored] == list(range(30))
    assert len({record.partition for record in stored}) == 1
    assert not any(record.headers for record in stored)
    vitals = decode_one(VITALS, rig.stored(device_id, VITALS.topic)[0].payload)
    status = decode_one(STATUS, rig.stored(device_id, STATUS.topic)[0].payload)
    assert isinstance(vitals, pb.VitalsBatch)
    assert isinstance(status, pb.DeviceStatus)
    assert vitals.heart_rate[0].bpm == 61.0
    assert (status.messages_produced, status.acceleration_boot_id) == (30, stored[0].identity().boot_id)
    assert rig.stop() == 0


def test_what_is_no_message_is_refused_with_its_reason_and_kept_as_a_dead_letter(rig: BridgeRig) -> None:
    device_id, other = new_device_id("watch"), new_device_id("watch")
    token = rig.enrol(device_id, other)[device_id]
    rig.start()
    with rig.fleet() as fleet:
        client = add(fleet, device_id, token)
        record(client, 0.2)
        forged = pb.VitalsBatch(device_id=other, boot_id=5, sequence=0, start_time_us=START_US).SerializeToString()
        broken = {
            DeadLetterReason.FORGED_ID: forged,
            DeadLetterReason.UNDECODABLE: b"\xff\xff not protobuf",
            DeadLetterReason.TOO_LARGE: b"x" * 300_000,
        }
        for i, payload in enumerate(broken.values()):
            client.enqueue([EncodedMessage(VITALS, MessageIdentity(device_id, 9, i), payload, START_US)])
        assert fleet.drain(30), client.counts()
        counts = client.counts()
    assert counts["accepted"] == 2
    assert counts["refused_by_reason"] == {str(reason): 1 for reason in broken}
    letters = {letter.headers["reason"].decode(): letter.payload for letter in rig.dead_letters(device_id)}
    assert letters == {str(reason): payload for reason, payload in broken.items()}
    assert rig.stored(other, VITALS.topic) == []


def test_a_device_that_is_not_enrolled_is_refused_until_it_is(rig: BridgeRig) -> None:
    device_id = new_device_id("watch")
    token = "the broker knows it, the registry does not"
    rig.credentials.add_device(device_id, token)
    rig.start()
    with rig.fleet() as fleet:
        client = add(fleet, device_id, token)
        record(client, 0.1)
        assert fleet.drain(30)
        assert client.counts()["refused_by_reason"] == {str(DeadLetterReason.UNKNOWN_DEVICE): 1}
    assert rig.stored(device_id) == []


def test_times_before_the_registration_carry_a_verdict(rig: BridgeRig) -> None:
    device_id = new_device_id("watch")
    token = rig.enrol(device_id)[device_id]
    rig.start()
    with rig.fleet() as fleet:
        client = add(fleet, device_id, token)
        record(client, 0.1, start_us=START_US - 90 * 86_400_000_000)
        record(client, 0.1)
        assert fleet.drain(30)
    # On a busy machine the client may have sent one again before its receipt came: each carries its verdict every time.
    verdicts = dict.fromkeys(record.headers.get(VERDICT_HEADER) for record in rig.stored(device_id))
    assert list(verdicts) == [QuarantineReason.BEFORE_REGISTRATION.encode(), None]


def test_the_same_message_twice_is_two_records_and_confirmed_both_times(rig: BridgeRig) -> None:
    device_id = new_device_id("watch")
    token = rig.enrol(device_id)[device_id]
    rig.start()
    with rig.fleet() as fleet:
        client = add(fleet, device_id, token)
        record(client, 0.1)
        assert fleet.drain(30)
        payload = rig.stored(device_id)[0].payload
        identity = rig.stored(device_id)[0].identity()
        client.enqueue([EncodedMessage(ACCELERATION, identity, payload, START_US)], repeat=True)
        assert fleet.drain(30)
        counts = client.counts()
        assert (counts["accepted"], counts["repeated"]) == (1, 1)
    assert [record.payload for record in rig.stored(device_id)] == [payload, payload]


def test_a_hundred_devices_share_one_network_thread(rig: BridgeRig) -> None:
    device_ids = [new_device_id("fleet") for _ in range(100)]
    tokens = rig.enrol(*device_ids)
    rig.start()
    with rig.fleet() as fleet:
        for device_id in device_ids:
            config = replace(ClientConfig(device_id, timing=TIMING), blocks_per_message=5)
            record(fleet.add(config, tokens[device_id]), 2.0)
        assert fleet.drain(60)
        assert all(client.counts()["accepted"] == 4 for client in fleet.clients.values())
