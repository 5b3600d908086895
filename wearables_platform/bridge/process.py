"""The bridge as a process: connects both sides, turns the gateway until asked to stop, fails loudly otherwise."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from wearables_platform.bridge.gateway import Gateway, HandOver
from wearables_platform.clients.kafka import Admin, Producer
from wearables_platform.clients.mqtt import (
    MqttConnection,
    MqttListener,
    MqttLoop,
    MqttOptions,
    parse_mqtt_url,
)
from wearables_platform.clients.sql import SqlClient
from wearables_platform.clients.topics import ensure_platform_topics
from wearables_platform.domain.channels import CHANNELS
from wearables_platform.errors import AccessRefused, ConfigError
from wearables_platform.health import Health, HealthServer, describe_build
from wearables_platform.logs import configure_logging, get_logger
from wearables_platform.registry import DeviceDirectory, Registry
from wearables_platform.settings import Settings
from wearables_platform.wire.codec import require_fast_protobuf

NAME: Final = "bridge"
CLIENT_ID: Final = "wearables-bridge"
# A record that Kafka has not taken by then ends the process: well before the broker's keepalive would run out while
# reading is stopped.
DELIVERY_TIMEOUT_S: Final = 60.0
KEEPALIVE_S: Final = 120
_MQTT_SETTING: Final = "mqtt_url"
_IDLE_S: Final = 0.1
_FINISH_S: Final = 10.0

_log = get_logger(__name__)


def run(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT; any failure is raised, so that the process ends non-zero and is started again."""
    configure_logging(NAME, level=settings.log_level)
    require_fast_protobuf()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    health = Health(NAME)
    describe_build(NAME)
    with ExitStack() as stack:
        if settings.bridge_health_port is not None:
            stack.enter_context(HealthServer(health, settings.bind_host, settings.bridge_health_port))
        _turn(settings, health, stopping)


def mqtt_options(settings: Settings) -> MqttOptions:
    """Return how the bridge connects; the URL's query may say otherwise, per bridge (`client_id`, `share`, ...).

    A bridge reads one broker: so what a device says on a session is written by one producer, in order, and its receipt
    goes back to the broker it came from.
    """
    url = settings.require(_MQTT_SETTING)
    if "," in url:
        msg = "WEARABLES_MQTT_URL names several brokers: a bridge reads one; run a bridge for each, as `up` does"
        raise ConfigError(msg)
    return parse_mqtt_url(url, client_id=CLIENT_ID, clean=False, keepalive_s=KEEPALIVE_S)


def _turn(settings: Settings, health: Health, stopping: threading.Event) -> None:
    ensure_platform_topics(Admin(settings.require("kafka_url"), NAME), settings)
    producer = Producer(settings.require("kafka_url"), NAME, message_timeout_s=DELIVERY_TIMEOUT_S)
    with _directory(settings) as directory, _connected(settings) as (loop, connection, inbox):
        gateway = Gateway(
            connection,
            producer,
            directory.find,
            inbox,
            max_payload_bytes=settings.max_payload_bytes,
            receipt_interval_s=settings.receipt_interval_s,
        )
        while not stopping.is_set():
            loop.raise_if_failed()
            if connection.refusal and not connection.connections:
                raise AccessRefused(_MQTT_SETTING, connection.refusal)
            gateway.step(time.monotonic())
            _report(health, connection, gateway)
            gateway.wait(_IDLE_S)
        gateway.finish(_FINISH_S)
    _log.info("stopped")


def _report(health: Health, connection: MqttConnection, gateway: Gateway) -> None:
    reason = gateway.trouble or connection.refusal
    if reason is None and connection.ready:
        health.ready()
    else:
        health.not_ready(reason or "not connected to the broker")


@contextmanager
def _directory(settings: Settings) -> Iterator[DeviceDirectory]:
    client = SqlClient(settings.require("sql_url"), NAME, pool_size=1)
    try:
        yield DeviceDirectory(Registry(client).find_device, time.monotonic)
    finally:
        client.close()


@contextmanager
def _connected(settings: Settings) -> Iterator[tuple[MqttLoop, MqttConnection, HandOver]]:
    inbox = HandOver()
    loop = MqttLoop(NAME).start()
    topics = [channel.mqtt_topic("+") for channel in CHANNELS]
    connection = MqttConnection(loop, mqtt_options(settings), MqttListener(inbox.put), topics)
    connection.open()
    try:
        yield loop, connection, inbox
    finally:
        loop.stop()
