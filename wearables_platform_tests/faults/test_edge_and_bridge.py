"""Kills, cuts and stalls between device and Kafka: what is accepted is never lost, what is lost is never accepted.

One claim in each test: at the end the device's spool is empty, and Kafka holds every message it made, byte for byte.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from wearables_platform.domain.identity import MessageIdentity
from wearables_platform.domain.time_policy import to_us
from wearables_platform.edge.client import ClientConfig, ThinClient
from wearables_platform.edge.fleet import Fleet
from wearables_platform.edge.outbox import OutboxTiming
from wearables_platform.edge.simulation.fleet import MIN_DEVICES, Fate, simulated_fleet
from wearables_platform.edge.spool import counts_in
from wearables_platform_tests.bridge_rig import (
    REGISTERED,
    START_US,
    BridgeRig,
    bridge_rig,
    eventually,
    new_device_id,
    walking_g,
)
from wearables_platform_tests.servers import MqttDevices, StartServer
from wearables_platform_tests.tcp_proxy import TcpProxy

pytestmark = [pytest.mark.integration, pytest.mark.kafka, pytest.mark.mqtt, pytest.mark.sql]
TIMING = OutboxTiming(receipt_timeout_s=1.0)


@pytest.fixture
def rig(kafka_url: str, mqtt_url: str, sql_url: str, mqtt_devices: MqttDevices, tmp_path: Path) -> Iterator[BridgeRig]:
    yield from bridge_rig(kafka_url, mqtt_url, sql_url, mqtt_devices.credentials, tmp_path)


def drip(client: ThinClient, fleet: Fleet, seconds: int, each_s: float, disturb: list[float], act: object) -> None:
    """Record second after second, and do something at the given moments of the way (0 to 1)."""
    moments = sorted(disturb)
    for second in range(seconds):
        while moments and second / seconds >= moments[0]:
            moments.pop(0)
            act()  # type: ignore[operator]
        chunk = walking_g(1.0, seed=second)
        client.record(chunk, source_rate_hz=100.0, start_us=START_US + second * 1_000_000, monotonic_us=second * 10**6)
        until = time.monotonic() + each_s
        while time.monotonic() < until:
            fleet.pump()
            fleet.wait()
    client.interrupt()


def assert_complete(rig: BridgeRig, device_id: str, messages: int) -> None:
    """Kafka holds sequence 0 .. messages - 1 of one boot; what is there twice is there with equal bytes."""
    payloads: dict[MessageIdentity, set[bytes]] = {}
    for record in rig.stored(device_id):
        payloads.setdefault(record.identity(), set()).add(record.payload)
    assert sorted(identity.sequence for identity in payloads) == list(range(messages))
    assert all(len(same) == 1 for same in payloads.values())


def test_a_bridge_killed_at_random_packets_loses_nothing(rig: BridgeRig) -> None:
    rng = random.Random(7)
    device_id = new_device_id("f1")
    token = rig.enrol(device_id)[device_id]
    rig.start()

    def kill_and_start() -> None:
        rig.kill()
        rig.start(wait=False)

    with rig.fleet() as fleet:
        client = fleet.add(ClientConfig(device_id, timing=TIMING), token)
        drip(client, fleet, 30, 0.5, [rng.uniform(0.05, 0.95) for _ in range(3)], kill_and_start)
        rig.wait_ready()
        assert fleet.drain(90), client.counts()
        assert client.counts()["accepted"] == 300
    assert_complete(rig, device_id, 300)


def test_connections_that_flap_and_stall_lose_nothing_and_keep_order(rig: BridgeRig) -> None:
    device_id = new_device_id("f14")
    token = rig.enrol(device_id)[device_id]
    broker = urlsplit(rig.mqtt_url)
    assert broker.hostname
    assert broker.port
    with TcpProxy(broker.hostname, broker.port) as to_bridge, TcpProxy(broker.hostname, broker.port) as to_device:
        account = f"{broker.username}:{broker.password}"
        rig.mqtt_url = f"mqtt://{account}@127.0.0.1:{to_bridge.port}"
        rig.start()

        def flap() -> None:
            to_bridge.cut()
            to_device.cut()

        with Fleet(f"mqtt://127.0.0.1:{to_device.port}", rig.directory / "spool.sqlite") as fleet:
            client = fleet.add(ClientConfig(device_id, timing=TIMING), token)
            drip(client, fleet, 20, 0.5, [i / 10 for i in range(1, 10)], flap)
            to_device.hold()
            client.record(walking_g(1.0), source_rate_hz=100.0, start_us=START_US + 20_000_000, monotonic_us=20_000_000)
            client.interrupt()
            fleet.pump()
            to_device.release()
            assert fleet.drain(90), client.counts()
        assert to_device.accepted > 3
        assert to_bridge.accepted > 3
    assert_complete(rig, device_id, 210)


def test_a_kafka_that_stands_still_is_not_answered_for(rig: BridgeRig, start_server: StartServer) -> None:
    kafka = start_server("kafka")
    rig.kafka_url = kafka.url
    device_id = new_device_id("f5")
    token = rig.enrol(device_id)[device_id]
    rig.start()
    with rig.fleet() as fleet:
        client = fleet.add(ClientConfig(device_id, timing=TIMING), token)
        drip(client, fleet, 2, 0.2, [], None)
        assert fleet.drain(30)
        os.killpg(kafka.process.pid, signal.SIGSTOP)
        try:
            client.record(walking_g(2.0), source_rate_hz=100.0, start_us=START_US + 9_000_000, monotonic_us=9_000_000)
            client.interrupt()
            until = time.monotonic() + 5
            while time.monotonic() < until:
                fleet.pump()
                fleet.wait()
            assert client.counts()["accepted"] == 20
            assert client.pending == 20
        finally:
            os.killpg(kafka.process.pid, signal.SIGCONT)
        assert fleet.drain(60), client.counts()
    assert_complete(rig, device_id, 40)


def test_a_kafka_that_never_answers_ends_the_bridge_loudly(rig: BridgeRig) -> None:
    rig.kafka_url = "kafka://127.0.0.1:1"
    process = rig.start(wait=False)
    assert process.wait(60) not in (0, None)
    assert "wearables:" in rig.log()


def test_a_wrong_password_ends_the_bridge_with_one_line(rig: BridgeRig) -> None:
    broker = urlsplit(rig.mqtt_url)
    rig.mqtt_url = f"mqtt://{broker.username}:wrong@{broker.hostname}:{broker.port}"
    process = rig.start(wait=False)
    assert process.wait(60) not in (0, None)
    assert "may not connect" in rig.log()


def test_a_fleet_process_killed_again_and_again_ends_with_all_it_planted(rig: BridgeRig) -> None:
    rng = random.Random(3)
    device_ids = [new_device_id("fleet") for _ in range(MIN_DEVICES)]
    tokens = rig.directory / "tokens.json"
    tokens.write_text(json.dumps(rig.enrol(*device_ids)))
    rig.start()
    for _ in range(3):
        process = start_fleet(rig, device_ids, tokens)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(rng.uniform(3, 6))
        process.kill()
        process.wait()
    assert start_fleet(rig, device_ids, tokens).wait(200) == 0, (rig.directory / "fleet.log").read_text()[-3000:]

    start_us, registered_us = to_us(datetime(2026, 3, 29, 10, tzinfo=UTC)), to_us(REGISTERED)
    fleet = simulated_fleet(5, device_ids, start_us=start_us, registered_us=registered_us, seconds=50)
    counts = counts_in(rig.directory / "fleet.sqlite", device_ids)
    for device in fleet:
        planned = list(device.messages())
        sent = [each.message for each in planned if each.fate is Fate.SENT]
        late = [each.message for each in planned if each.fate is Fate.LATE]
        expected = {(m.identity, m.payload) for m in (*sent, *late, *device.extras())}
        mismatched = device.mismatched(sent)
        expected |= {(mismatched.identity, mismatched.payload)} if mismatched else set()
        stored = rig.stored(device.device_id)
        assert {(record.identity(), record.payload) for record in stored} == expected
        identities = [record.identity() for record in stored]
        assert all(identities.count(twice.identity) >= 2 for twice in device.duplicated(sent))
        for message in late:
            assert identities.index(message.identity) > identities.index(sent[-1].identity)
        hostile = device.hostile()
        letters = {(letter.payload, letter.headers["reason"].decode()) for letter in rig.dead_letters(device.device_id)}
        assert letters == {(each.payload, str(reason)) for each, reason in hostile}
        found = counts[device.device_id]
        assert found["pending"] == found["dropped"] == 0
        assert found["accepted"] == len(sent) + len(late) + len(device.extras())
        assert found["refused"] == len(hostile)


def start_fleet(rig: BridgeRig, device_ids: list[str], tokens: Path) -> subprocess.Popen[bytes]:
    broker = urlsplit(rig.mqtt_url)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WEARABLES_")}
    environment |= {
        "WEARABLES_RUN_DIR": str(rig.directory / "run"),
        "WEARABLES_MQTT_HOST": str(broker.hostname),
        "WEARABLES_MQTT_PORT": str(broker.port),
    }
    options = [part for device_id in device_ids for part in ("--device", device_id)]
    options += ["--tokens", str(tokens), "--spool", str(rig.directory / "fleet.sqlite"), "--seed", "5"]
    options += [
        "--seconds",
        "50",
        "--speed",
        "10",
        "--start",
        "2026-03-29T10:00:00Z",
        "--registered",
        "2026-03-01T00:00:00Z",
    ]
    argv = [sys.executable, "-m", "wearables_platform.edge.run_fleet", *options]
    with (rig.directory / "fleet.log").open("ab") as log:
        return subprocess.Popen(argv, env=environment, stdout=log, stderr=log)


def test_acknowledgements_follow_the_order_of_receipt(rig: BridgeRig) -> None:
    """Read off the wire: the broker sees PUBACKs of the bridge in the order it sent the messages."""
    device_id = new_device_id("order")
    token = rig.enrol(device_id)[device_id]
    broker = urlsplit(rig.mqtt_url)
    assert broker.hostname
    assert broker.port
    with TcpProxy(broker.hostname, broker.port) as proxy, rig.fleet() as fleet:
        rig.mqtt_url = f"mqtt://{broker.username}:{broker.password}@127.0.0.1:{proxy.port}"
        rig.start()
        client = fleet.add(ClientConfig(device_id, timing=TIMING), token)
        drip(client, fleet, 10, 0.05, [], None)
        assert fleet.drain(30)
        eventually(lambda: len(packet_ids_acknowledged(bytes(proxy.upstream))) >= 100, "100 acknowledgements")
        acknowledged = packet_ids_acknowledged(bytes(proxy.upstream))
    steps = [after - before for before, after in zip(acknowledged[:-1], acknowledged[1:], strict=True)]
    assert all(step > 0 or step < -30_000 for step in steps)  # packet ids go up, and start again after 65,535


def packet_ids_acknowledged(stream: bytes) -> list[int]:
    """Read the packet ids of all PUBACKs out of what a client sent on one connection."""
    found, at = [], 0
    while at < len(stream):
        kind, length, shift = stream[at] >> 4, 0, 0
        at += 1
        while at < len(stream):
            length |= (stream[at] & 127) << shift
            shift += 7
            at += 1
            if not stream[at - 1] & 128:
                break
        if kind == 4:
            found.append(int.from_bytes(stream[at : at + 2], "big"))
        at += length
    return found
