"""Receivers of webhooks that behave as told, and the events that are announced to them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from wearables_platform.clients.kafka import Admin, Producer
from wearables_platform.clients.sql import SqlClient
from wearables_platform.clients.topics import ensure_platform_topics
from wearables_platform.domain.channels import ANOMALIES_TOPIC
from wearables_platform.domain.time_policy import to_us
from wearables_platform.health import Health
from wearables_platform.settings import Settings
from wearables_platform.webhooks.process import deliver_until
from wearables_platform.webhooks.signing import SecretFiles, key_of
from wearables_platform.webhooks.subscriptions import Subscription, Subscriptions
from wearables_platform_tests.api_world import NOW, World
from wearables_platform_tests.archive_rig import await_true

LOOPBACK = "127.0.0.0/8"


@dataclass
class Received:
    """One request as it came in."""

    headers: dict[str, str]
    body: bytes

    @property
    def message_id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def message(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    def signed_by(self, secret: str) -> bool:
        """Check as the specification tells receivers to."""
        signed = f"{self.message_id}.{self.headers['webhook-timestamp']}.".encode() + self.body
        expected = base64.b64encode(hmac.digest(key_of(secret), signed, hashlib.sha256)).decode()
        return f"v1,{expected}" in self.headers["webhook-signature"].split(" ")


@dataclass
class Receiver:
    """A real HTTP server. It answers with `answers` in turn, then 204; while `held` is not set it does not answer."""

    url: str = ""
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    held: threading.Event = field(default_factory=threading.Event)
    received: list[Received] = field(default_factory=list)
    arrived: threading.Condition = field(default_factory=threading.Condition)

    def await_messages(self, count: int) -> list[Received]:
        with self.arrived:
            assert self.arrived.wait_for(lambda: len(self.received) >= count, 60), "the messages did not come"
            return list(self.received)

    def take(self, request: Received) -> tuple[int, dict[str, str]]:
        with self.arrived:
            self.received.append(request)
            self.arrived.notify_all()
        self.held.wait()
        return self.answers.pop(0) if self.answers else (204, {})


@contextmanager
def receiving(*, held: bool = False) -> Iterator[Receiver]:
    receiver = Receiver()
    if not held:
        receiver.held.set()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, more = receiver.take(Received(headers, body))
            try:
                self.send_response(status)
                for name, value in more.items():
                    self.send_header(name, value)
                self.end_headers()
            except OSError:
                self.close_connection = True  # whoever asked has gone: what some tests are about

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            del format, args

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.held.set()
        server.shutdown()
        server.server_close()
        thread.join()


def event(device_id: str, *, start_s: int = 0, **said: Any) -> dict[str, Any]:
    """An event of a rule, as the stream announces it."""
    start_us = to_us(NOW) + start_s * 1_000_000
    return {
        "device_id": device_id,
        "kind": "high_heart_rate_at_rest",
        "start_us": start_us,
        "end_us": start_us + 60_000_000,
        "duration_ms": 60_000.0,
        "extreme_value": 155.0,
        "extreme_unit": "/min",
        "severity": "critical",
        "feature_version": "1",
        "model_version": None,
        "provisional": False,
        "revision": 2,
        **said,
    }


@dataclass
class WebhookRig:
    """A Kafka, a database with three people of two studies, and the process in a thread."""

    settings: Settings
    client: SqlClient
    producer: Producer
    subscriptions: Subscriptions
    secrets: SecretFiles

    def subscribe(self, name: str, receiver: Receiver, studies: tuple[str, ...] | None, **more: Any) -> str:
        """Add a receiver, and return its secret."""
        with self.secrets.drawn_unless_there(name) as secret:
            self.subscriptions.add(Subscription(name, receiver.url, name, studies, **more), datetime.now(UTC))
        assert secret is not None
        return secret

    def announce(self, *events: dict[str, Any]) -> None:
        """Write events to the log as the stream does."""
        for each in events:
            self.producer.send(ANOMALIES_TOPIC, each["device_id"].encode(), json.dumps(each).encode())
        self.producer.flush(30)

    def states(self) -> dict[tuple[str, str], int]:
        """How many messages of which receiver are in which state."""
        query = "SELECT webhook, state, count(*) AS n FROM registry.webhook_deliveries GROUP BY 1, 2"
        return {(row["webhook"], row["state"]): row["n"] for row in self.client.rows(query)}

    def await_states(self, expected: dict[tuple[str, str], int]) -> None:
        await_true(lambda: self.states() == expected)

    @contextmanager
    def delivering(self) -> Iterator[None]:
        """Run the process in a thread; its failure fails the test."""
        stop, failures = threading.Event(), list[BaseException]()

        def work() -> None:
            try:
                deliver_until(self.settings, stop, Health("webhooks"))
            except Exception as exc:  # noqa: BLE001 - handed to the test below
                failures.append(exc)

        thread = threading.Thread(target=work, name="webhooks")
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(60)
            assert not thread.is_alive()
            if failures:
                raise failures[0]


@contextmanager
def webhook_rig(kafka_url: str, sql_url: str, directory: Path, **settings: Any) -> Iterator[WebhookRig]:
    world = World(sql_url)
    for study, people in (("london", ("ada", "alan")), ("paris", ("marie",))):
        world.study(study)
        for person in people:
            world.person(person, study)
    made = Settings(
        **{
            "kafka_url": kafka_url,
            "sql_url": sql_url,
            "topic_partitions": 2,
            "webhook_private_networks": LOOPBACK,
            "webhook_secrets_dir": directory / "secrets",
            **settings,
        }
    )
    ensure_platform_topics(Admin(kafka_url), made)
    with closing(SqlClient(sql_url, "webhook tests")) as client:
        producer = Producer(kafka_url, "webhook tests")
        yield WebhookRig(made, client, producer, Subscriptions(client), SecretFiles.of(made))
