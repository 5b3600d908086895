"""The webhooks process: events from Kafka into the line of every receiver, and from there to the receivers.

The log's position is saved after the messages are in SQL; from there on the line in SQL is all there is to know.
"""

from __future__ import annotations

import signal
import threading
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from random import Random
from typing import Final

import prometheus_client

from wearables_platform.clients.kafka import Admin, Fetch, GroupReader, Producer
from wearables_platform.clients.sql import SqlClient
from wearables_platform.clients.topics import dead_letter, ensure_platform_topics
from wearables_platform.domain.channels import ANOMALIES_TOPIC
from wearables_platform.domain.time_policy import from_us
from wearables_platform.errors import StoreUnavailable, WireError
from wearables_platform.health import Health, HealthServer, describe_build
from wearables_platform.logs import configure_logging, get_logger
from wearables_platform.settings import Settings
from wearables_platform.webhooks.couriers import Couriers, utc_now
from wearables_platform.webhooks.deliveries import Announced, Deliveries
from wearables_platform.webhooks.messages import announcement_of
from wearables_platform.webhooks.receivers import Sender, networks_of
from wearables_platform.webhooks.signing import SecretFiles

GROUP: Final = "wearables-webhooks"
BATCH_EVENTS: Final = 1_000
BATCH_WAIT_S: Final = 0.25
FLUSH_TIMEOUT_S: Final = 30.0
# A database's restart is waited for; then the process ends and its supervisor decides.
STORE_PATIENCE_S: Final = 120.0
DROP_INTERVAL_S: Final = 3_600.0
# Couriers use a connection to take and to settle a message, never while they wait for a receiver.
SQL_CONNECTIONS: Final = 8

_log = get_logger(__name__)
_queued = prometheus_client.Counter("wearables_webhook_messages", "Messages put in line for receivers.")


@dataclass
class Webhooks:
    """Reads events, puts messages in line, saves the position, sends couriers."""

    reader: GroupReader
    producer: Producer
    deliveries: Deliveries
    couriers: Couriers
    log_id: str | None
    _unwritten: list[Fetch] = field(default_factory=list)
    _dropped_s: float = float("-inf")

    def step(self) -> None:
        """Take what arrived and send what is due; raises `StoreUnavailable` with nothing of it forgotten."""
        if not self._unwritten:
            self._unwritten = [fetch for fetch in self.reader.fetches(BATCH_EVENTS, BATCH_WAIT_S) if len(fetch)]
        if self._unwritten:
            self._put_in_line(self._unwritten)
            self._unwritten = []
        self.couriers.dispatch()
        if time.monotonic() - self._dropped_s > DROP_INTERVAL_S:
            self.deliveries.drop_old(utc_now())
            self._dropped_s = time.monotonic()

    def _put_in_line(self, fetches: list[Fetch]) -> None:
        announced = [one for fetch in fetches for one in self._announced(fetch)]
        self.producer.flush(FLUSH_TIMEOUT_S)  # without its dead letters a fetch is not done
        _queued.inc(self.deliveries.add(announced, utc_now()))
        self.reader.commit({(fetch.topic, fetch.partition): int(fetch.offsets[-1]) + 1 for fetch in fetches})

    def _announced(self, fetch: Fetch) -> list[Announced]:
        found = []
        for position, payload in enumerate(fetch.payloads):
            try:
                found.append(Announced(announcement_of(payload), from_us(int(fetch.append_us[position]))))
            except WireError as exc:
                self._give_up(fetch, position, exc)
        return found

    def _give_up(self, fetch: Fetch, position: int, error: WireError) -> None:
        dead_letter(
            self.producer,
            source_topic=fetch.topic,
            partition=fetch.partition,
            offset=int(fetch.offsets[position]),
            consumer="webhooks",
            stage="decode",
            reason=error.reason,
            detail=error.detail,
            payload=fetch.payloads[position],
            source_log=self.log_id,
        )


def run(settings: Settings) -> None:
    """Send until SIGTERM; any exception ends the process, and what was not settled is sent again."""
    configure_logging("webhooks", level=settings.log_level)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    health = Health("webhooks")
    describe_build("webhooks")
    with ExitStack() as opened:
        if settings.webhooks_health_port is not None:
            opened.enter_context(HealthServer(health, settings.bind_host, settings.webhooks_health_port))
        deliver_until(settings, stop, health)


def deliver_until(settings: Settings, stop: threading.Event, health: Health) -> None:
    """Connect, then take and send until `stop` is set."""
    with ExitStack() as opened:
        webhooks = _connect(settings, opened, stop)
        opened.callback(partial(webhooks.couriers.join, settings.webhook_timeout_s))
        failing_since_s: float | None = None
        while not stop.is_set():
            try:
                webhooks.step()
            except StoreUnavailable as exc:
                failing_since_s = failing_since_s or time.monotonic()
                if time.monotonic() - failing_since_s > STORE_PATIENCE_S:
                    raise
                health.not_ready(str(exc))
                _log.warning("store unavailable, trying again", error=str(exc))
                stop.wait(1.0)
                continue
            failing_since_s = None
            _say_how_it_is(webhooks.reader, health)


def _connect(settings: Settings, opened: ExitStack, stop: threading.Event) -> Webhooks:
    kafka_url, sql_url = settings.require("kafka_url"), settings.require("sql_url")
    sender = Sender(settings.webhook_timeout_s, networks_of(settings.webhook_private_networks))
    client = opened.enter_context(closing(SqlClient(sql_url, "wearables-webhooks", pool_size=SQL_CONNECTIONS)))
    patience = timedelta(days=settings.webhook_retry_days)
    deliveries = Deliveries(client, patience, settings.webhook_timeout_s, Random())
    admin = Admin(kafka_url, GROUP)
    ensure_platform_topics(admin, settings)
    reader = opened.enter_context(closing(GroupReader(kafka_url, [ANOMALIES_TOPIC], GROUP)))
    couriers = Couriers(deliveries, sender, SecretFiles.of(settings), stop)
    _log.info("sending events to their receivers")
    return Webhooks(reader, Producer(kafka_url, GROUP), deliveries, couriers, admin.topic_id(ANOMALIES_TOPIC))


def _say_how_it_is(reader: GroupReader, health: Health) -> None:
    if reader.trouble is None:
        health.ready()
    else:
        health.not_ready(reader.trouble)
