"""A bridge as a real process between real servers, and devices that talk to it: for integration and fault tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from wearables_platform.clients.kafka import Admin, PartitionReader
from wearables_platform.clients.sql import SqlClient
from wearables_platform.domain.channels import ACCELERATION, CHANNEL_BY_TOPIC, DEAD_LETTERS_TOPIC
from wearables_platform.domain.identity import MessageIdentity
from wearables_platform.edge.fleet import Fleet
from wearables_platform.local.mqtt_credentials import MqttCredentials
from wearables_platform.local.ports import free_ports
from wearables_platform.registry import Enrolment, Participant, Registry
from wearables_platform.wire.codec import decode_one

REGISTERED = datetime(2026, 3, 1, tzinfo=UTC)
START_US = 1_774_742_400_000_000  # 2026-03-29 00:00 UTC
DEADLINE_S = 60.0


def eventually(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Poll until a condition holds, or fail saying what did not."""
    deadline = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@dataclass(frozen=True)
class Stored:
    """One record of a topic, in log order."""

    partition: int
    offset: int
    key: bytes
    payload: bytes
    headers: dict[str, bytes]

    def identity(self, topic: str = ACCELERATION.topic) -> MessageIdentity:
        message = decode_one(CHANNEL_BY_TOPIC[topic], self.payload)
        return MessageIdentity(message.device_id, message.boot_id, message.sequence)


def read_topic(kafka_url: str, topic: str) -> list[Stored]:
    """Every record of a topic, read to the end of each partition."""
    records: list[Stored] = []
    for partition in range(Admin(kafka_url).partitions(topic)):
        reader = PartitionReader(kafka_url, topic, partition)
        ended = False
        while not ended:
            fetch = reader.fetch(10_000, 0.5)
            if fetch is None:
                continue
            ended = fetch.at_end
            for i in range(len(fetch)):
                key = fetch.keys[i] or b""
                records.append(
                    Stored(partition, int(fetch.offsets[i]), key, fetch.payloads[i], fetch.headers.get(i, {}))
                )
        reader.close()
    return records


@dataclass
class BridgeRig:
    """Servers' URLs, the bridge process, and devices enrolled for one test."""

    kafka_url: str
    mqtt_url: str
    sql_url: str
    credentials: MqttCredentials
    directory: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    health_port: int = field(default_factory=lambda: free_ports(1)[0])

    def start(self, *, wait: bool = True) -> subprocess.Popen[bytes]:
        """Start the bridge; returns once it is ready."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("WEARABLES_")}
        environment |= {
            "WEARABLES_RUN_DIR": str(self.directory / "run"),
            "WEARABLES_KAFKA_URL": self.kafka_url,
            "WEARABLES_MQTT_URL": self.mqtt_url,
            "WEARABLES_SQL_URL": self.sql_url,
            "WEARABLES_BRIDGE_HEALTH_PORT": str(self.health_port),
            "WEARABLES_RECEIPT_INTERVAL_S": "0.2",
            **self.environment,
        }
        with (self.directory / "bridge.log").open("ab") as log:
            argv = [sys.executable, "-m", "wearables_platform.cli", "run", "bridge"]
            self.process = subprocess.Popen(argv, env=environment, stderr=log, stdout=log)
        if wait:
            self.wait_ready()
        return self.process

    def wait_ready(self) -> None:
        eventually(self.is_ready, f"the bridge is not ready:\n{self.log()[-3000:]}")

    def is_ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the bridge ended:\n{self.log()[-3000:]}"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}/health/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except urllib.error.URLError:
            return False

    def log(self) -> str:
        return (self.directory / "bridge.log").read_text()

    def kill(self) -> None:
        """End it like a crash would."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def stop(self) -> int:
        """End it in good order; returns its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(DEADLINE_S)

    def enrol(self, *device_ids: str) -> dict[str, str]:
        """Enrol devices of one person; returns their tokens."""
        person = Participant(f"p-{uuid.uuid4().hex[:8]}", "tests", 1980, "unknown", "UTC")
        client = SqlClient(self.sql_url, "bridge rig", pool_size=1)
        try:
            registry = Registry(client, self.credentials)
            return registry.enrol([Enrolment(person, device_id, REGISTERED) for device_id in device_ids])
        finally:
            client.close()

    def fleet(self) -> Fleet:
        """Devices' side, with its spool in the test's directory."""
        return Fleet(self.mqtt_url, self.directory / "spool.sqlite")

    def stored(self, device_id: str, topic: str = ACCELERATION.topic) -> list[Stored]:
        """The records of one device."""
        return [record for record in read_topic(self.kafka_url, topic) if record.key == device_id.encode()]

    def dead_letters(self, device_id: str) -> list[Stored]:
        """The dead letters from one device's topics."""
        return [r for r in read_topic(self.kafka_url, DEAD_LETTERS_TOPIC) if f"/{device_id}/".encode() in r.key]


def new_device_id(prefix: str) -> str:
    """An id no other test uses."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"


def walking_g(seconds: float, rate_hz: float = 100.0, seed: int = 1) -> np.ndarray:
    """Some movement, (n, 3) g."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    swing = 0.3 * np.sin(2 * np.pi * 1.8 * t)
    return np.stack([swing, 0.1 * swing, 1 + swing], axis=1) + rng.normal(0, 0.01, (len(t), 3))


def bridge_rig(
    kafka_url: str, mqtt_url: str, sql_url: str, credentials: MqttCredentials, directory: Path
) -> Iterator[BridgeRig]:
    """For fixtures: a rig whose bridge is ended afterwards."""
    rig = BridgeRig(kafka_url, mqtt_url, sql_url, credentials, directory)
    yield rig
    rig.kill()
