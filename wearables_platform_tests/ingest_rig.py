"""An ingest on a real Kafka and a real registry, in this process or as the process it is in production."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import requests
from flask import Flask
from flask.testing import FlaskClient

from wearables_platform.clients.kafka import Admin, PartitionReader, Producer
from wearables_platform.clients.sql import SqlClient
from wearables_platform.clients.topics import ensure_platform_topics
from wearables_platform.domain.channels import DEAD_LETTERS_TOPIC, Channel
from wearables_platform.ingest.app import PROTOBUF, Ingest, create_app
from wearables_platform.ingest.gate import DeliveryPoller, Gate
from wearables_platform.local.ports import free_ports
from wearables_platform.registry import Enrolment, Participant, Registry
from wearables_platform.settings import Settings

REGISTERED_AT = datetime(2026, 3, 1, tzinfo=UTC)
START_TIMEOUT_S = 60.0
POLL_S = 0.1
MAX_PAYLOAD_BYTES = 65_536


@dataclass(frozen=True)
class Record:
    """What Kafka holds of one message."""

    key: bytes | None
    payload: bytes
    verdict: str | None
    headers: dict[str, bytes]


@dataclass
class Enrolled:
    """A device and its token."""

    device_id: str
    token: str

    @property
    def authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def path(self, channel: Channel, *, batch: bool = False) -> str:
        return f"/v1/devices/{self.device_id}/{channel.name}" + ("/batch" if batch else "")


@dataclass
class IngestRig:
    kafka_url: str
    sql_url: str
    partitions: int
    registry: Registry

    def enrol(self) -> Enrolled:
        device_id = f"watch-{uuid.uuid4().hex[:10]}"
        person = Participant(f"p-{device_id}", "ingest-tests", 1980, "female", "Europe/Berlin")
        return Enrolled(device_id, self.registry.enrol([Enrolment(person, device_id, REGISTERED_AT)])[device_id])

    def records(self, topic: str) -> list[Record]:
        """Every record of a topic, read to its end."""
        return [record for p in range(Admin(self.kafka_url).partitions(topic)) for record in self._read(topic, p)]

    def records_of(self, device: Enrolled, channel: Channel) -> list[Record]:
        return [record for record in self.records(channel.topic) if record.key == device.device_id.encode()]

    def dead_letters_of(self, device: Enrolled) -> list[Record]:
        source = f"/v1/devices/{device.device_id}/".encode()
        return [r for r in self.records(DEAD_LETTERS_TOPIC) if r.headers["source_topic"].startswith(source)]

    def _read(self, topic: str, partition: int) -> Iterator[Record]:
        reader = PartitionReader(self.kafka_url, topic, partition)
        deadline = time.monotonic() + START_TIMEOUT_S
        at_end = False
        while not at_end:
            assert time.monotonic() < deadline
            fetch = reader.fetch(10_000, POLL_S)
            if fetch is not None:
                at_end = fetch.at_end
                for i in range(len(fetch)):
                    yield Record(fetch.keys[i], fetch.payloads[i], fetch.verdicts.get(i), fetch.headers.get(i, {}))
        reader.close()


@contextmanager
def rig(kafka_url: str, sql_url: str) -> Iterator[IngestRig]:
    settings = Settings(kafka_url=kafka_url)
    admin = Admin(kafka_url)
    partitions = admin.partitions("wearables.vitals.v1") or settings.topic_partitions
    ensure_platform_topics(admin, Settings(kafka_url=kafka_url, topic_partitions=partitions))
    client = SqlClient(sql_url, "ingest tests")
    yield IngestRig(kafka_url, sql_url, partitions, Registry(client))
    client.close()


@contextmanager
def application(
    built: IngestRig, kafka_url: str | None = None, *, max_in_flight: int = 4, wait_s: float = 20
) -> Iterator[Flask]:
    """The Flask application, with a producer of its own."""
    producer = Producer(kafka_url or built.kafka_url, "ingest tests", message_timeout_s=wait_s)
    failures: list[Exception] = []
    poller = DeliveryPoller(producer, failures.append).start()
    gate = Gate(producer, max_payload_bytes=MAX_PAYLOAD_BYTES, wait_s=wait_s)
    admin = Admin(kafka_url or built.kafka_url)
    yield create_app(Ingest(gate, built.registry.find_device, max_in_flight, lambda: admin.ping(1.0)))
    poller.stop()
    assert failures == []


def post(client: FlaskClient, device: Enrolled, channel: Channel, body: bytes, **options: object) -> object:
    batch = bool(options.pop("batch", False))
    headers = {**device.authorization, "Content-Type": str(options.pop("content_type", PROTOBUF))}
    length = {"CONTENT_LENGTH": str(len(body))}  # the test client leaves it out where the body is empty
    return client.post(device.path(channel, batch=batch), data=body, headers=headers, environ_overrides=length)


@dataclass
class IngestProcess:
    url: str
    process: subprocess.Popen[bytes]

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.url.removeprefix("http://").partition(":")
        return host, int(port)


@contextmanager
def process(built: IngestRig, log_file: Path, **environment: str) -> Iterator[IngestProcess]:
    """The ingest as `wearables run ingest`, ready."""
    (port,) = free_ports(1)
    child = start(built, log_file, port, **environment)
    try:
        await_ready(f"http://127.0.0.1:{port}", child, log_file)
        yield IngestProcess(f"http://127.0.0.1:{port}", child)
    finally:
        child.terminate()
        child.wait(START_TIMEOUT_S)


def start(built: IngestRig, log_file: Path, port: int, **environment: str) -> subprocess.Popen[bytes]:
    """Start `wearables run ingest` on a port, and do not wait."""
    settings = {
        "WEARABLES_KAFKA_URL": built.kafka_url,
        "WEARABLES_SQL_URL": built.sql_url,
        "WEARABLES_INGEST_PORT": str(port),
        "WEARABLES_TOPIC_PARTITIONS": str(built.partitions),
        "WEARABLES_MAX_PAYLOAD_BYTES": str(MAX_PAYLOAD_BYTES),
        **environment,
    }
    with log_file.open("ab") as log:
        argv = [sys.executable, "-m", "wearables_platform.cli", "run", "ingest"]
        return subprocess.Popen(argv, env={**os.environ, **settings}, stdout=log, stderr=log)


def await_ready(url: str, child: subprocess.Popen[bytes], log_file: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while not is_ready(url):
        assert child.poll() is None, log_file.read_text()[-2_000:]
        assert time.monotonic() < deadline, log_file.read_text()[-2_000:]
        time.sleep(POLL_S)


def is_ready(url: str) -> bool:
    try:
        return requests.get(f"{url}/health/ready", timeout=5).status_code == 200
    except requests.ConnectionError:
        return False
