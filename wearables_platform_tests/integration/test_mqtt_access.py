"""What a device may do at the broker: publish its own three topics, read its own receipt, and nothing else.

The same claims hold on amqtt and on mosquitto, from the same two files.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from wearables_platform_tests.servers import MqttDevices

pytestmark = [pytest.mark.mqtt, pytest.mark.integration]

DEADLINE_S = 15.0
REFUSED = {0x80, 0x87}


class Client:
    """A paho client that remembers what happened."""

    def __init__(self, url: str, client_id: str | None = None, will: tuple[str, bytes] | None = None) -> None:
        parts = urlsplit(url)
        self.inner = paho.Client(CallbackAPIVersion.VERSION2, client_id or parts.username or "stranger")
        if parts.username:
            self.inner.username_pw_set(parts.username, parts.password)
        if will:
            self.inner.will_set(*will, qos=1)
        self.received: list[tuple[str, bytes, bool]] = []
        self.connect_code: int | None = None
        self.granted: list[int] | None = None
        self.disconnected = threading.Event()
        self.inner.on_connect = self._connected
        self.inner.on_subscribe = self._subscribed
        self.inner.on_message = lambda _c, _u, m: self.received.append((m.topic, m.payload, m.retain))
        self.inner.on_disconnect = lambda *_: self.disconnected.set()
        assert parts.hostname
        self.inner.connect(parts.hostname, parts.port or 1883)
        self.inner.loop_start()
        eventually(lambda: self.connect_code is not None, "no CONNACK")

    def _connected(self, _c: Any, _u: Any, _f: Any, reason: Any, _p: Any) -> None:
        self.connect_code = reason.value

    def _subscribed(self, _c: Any, _u: Any, _m: Any, reasons: Any, _p: Any) -> None:
        self.granted = [reason.value for reason in reasons]

    def subscribe(self, topic: str) -> int:
        self.granted = None
        self.inner.subscribe(topic, qos=1)
        eventually(lambda: self.granted is not None, f"no SUBACK for {topic}")
        assert self.granted is not None
        return self.granted[0]

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        self.inner.publish(topic, payload, qos=1, retain=retain)

    def vanish(self) -> None:
        """End the connection without saying goodbye, which is when a will is sent."""
        connection = self.inner.socket()
        assert isinstance(connection, socket.socket)
        self.inner.loop_stop()
        connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.inner.disconnect()
        self.inner.loop_stop()


def eventually(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.fixture
def connect() -> Any:
    clients: list[Client] = []

    def _connect(url: str, **options: Any) -> Client:
        clients.append(Client(url, **options))
        return clients[-1]

    yield _connect
    for client in clients:
        client.close()


def test_the_bridge_hears_a_devices_three_topics_and_the_device_its_receipt(
    connect: Any, mqtt_url: str, mqtt_devices: MqttDevices
) -> None:
    bridge, device = connect(mqtt_url), connect(mqtt_devices.url("watch-1"))
    for leaf in ("acceleration", "vitals", "status"):
        assert bridge.subscribe(f"wearables/v1/+/{leaf}") == 1
        device.publish(f"wearables/v1/watch-1/{leaf}", leaf.encode())
    eventually(lambda: len(bridge.received) == 3, f"the bridge heard {bridge.received}")
    assert {payload for _, payload, _ in bridge.received} == {b"acceleration", b"vitals", b"status"}

    assert device.subscribe("wearables/v1/watch-1/receipt") == 1
    bridge.publish("wearables/v1/watch-1/receipt", b"got it")
    eventually(lambda: bool(device.received), "no receipt")


@pytest.mark.parametrize(
    "topic",
    [
        "wearables/v1/watch-b/acceleration",
        "wearables/v1/watch-a/receipt",
        "wearables/v1/watch-b/receipt",
        "wearables/v1/watch-a/acceleration/more",
        "wearables/v1/watch-a/secret",
        "elsewhere",
    ],
)
def test_a_device_cannot_publish_elsewhere(connect: Any, mqtt_url: str, mqtt_devices: MqttDevices, topic: str) -> None:
    bridge, forger = connect(mqtt_url), connect(mqtt_devices.url("watch-a"))
    victim = connect(mqtt_devices.url("watch-b"))
    victim.subscribe("wearables/v1/watch-b/receipt")
    for leaf in ("acceleration", "vitals", "status"):
        bridge.subscribe(f"wearables/v1/+/{leaf}")
    forger.publish(topic, b"forged")
    forger.publish("wearables/v1/watch-a/status", b"true")  # the broker is in order: once this is here, so were all
    eventually(lambda: bool(bridge.received), "nothing arrived")
    assert [payload for _, payload, _ in bridge.received] == [b"true"]
    assert victim.received == []


@pytest.mark.parametrize(
    "topic",
    [
        "#",
        "+/#",
        "wearables/#",
        "wearables/v1/+/receipt",
        "wearables/v1/+/acceleration",
        "wearables/v1/watch-d/receipt",
        "$SYS/#",
        "$share/group/wearables/v1/+/acceleration",
    ],
)
def test_a_device_hears_nothing_of_others(connect: Any, mqtt_url: str, mqtt_devices: MqttDevices, topic: str) -> None:
    bridge, curious, other = (
        connect(mqtt_url),
        connect(mqtt_devices.url("watch-c")),
        connect(mqtt_devices.url("watch-d")),
    )
    curious.subscribe(topic)  # mosquitto grants a filter and then delivers nothing; amqtt refuses it
    curious.subscribe("wearables/v1/watch-c/receipt")
    other.publish("wearables/v1/watch-d/acceleration", b"private")
    bridge.publish("wearables/v1/watch-d/receipt", b"private")
    bridge.publish("wearables/v1/watch-c/receipt", b"own")
    eventually(lambda: bool(curious.received), "not even its own receipt")
    assert {payload for _, payload, _ in curious.received} == {b"own"}


def test_strangers_and_wrong_tokens_are_refused(connect: Any, mqtt_url: str, mqtt_devices: MqttDevices) -> None:
    address = mqtt_url.rpartition("@")[2]
    mqtt_devices.add("watch-e")
    for url in (f"mqtt://{address}", f"mqtt://watch-e:wrong@{address}", f"mqtt://unknown:x@{address}"):
        assert connect(url, client_id="x").connect_code not in (0, None), url


def test_a_device_removed_is_refused_from_its_next_connection(connect: Any, mqtt_devices: MqttDevices) -> None:
    url = mqtt_devices.url("watch-f")
    eventually(lambda: _accepted(connect, url), "the device never got in")
    mqtt_devices.credentials.remove_devices(["watch-f"])
    eventually(lambda: not _accepted(connect, url), "the device still gets in")


def _accepted(connect: Any, url: str) -> bool:
    client = connect(url)
    code = client.connect_code
    client.close()
    return bool(code == 0)


def test_nothing_a_device_publishes_is_retained(connect: Any, mqtt_url: str, mqtt_devices: MqttDevices) -> None:
    connect(mqtt_devices.url("watch-g")).publish("wearables/v1/watch-g/status", b"forever", retain=True)
    later = connect(mqtt_devices.url("watch-h"))
    bridge = connect(mqtt_url)
    bridge.subscribe("wearables/v1/+/status")
    later.publish("wearables/v1/watch-h/status", b"now")  # what is retained would have come with the subscription
    eventually(lambda: any(payload == b"now" for _, payload, _ in bridge.received), "nothing arrived")
    assert not any(retained for _, _, retained in bridge.received)


def test_a_will_on_anothers_topic_never_reaches_the_bridge(
    connect: Any, mqtt_url: str, mqtt_devices: MqttDevices
) -> None:
    bridge, url = connect(mqtt_url), mqtt_devices.url("watch-i")
    bridge.subscribe("wearables/v1/+/status")
    forger = connect(url, will=("wearables/v1/watch-j/status", b"from the grave"))
    if forger.connect_code == 0:  # amqtt refuses the connection, mosquitto the will itself when its time comes
        forger.vanish()
    again = connect(url)  # the broker has finished with the old connection before it answers this one
    again.publish("wearables/v1/watch-i/status", b"alive")
    eventually(lambda: bool(bridge.received), "nothing arrived")
    assert [payload for _, payload, _ in bridge.received] == [b"alive"]
