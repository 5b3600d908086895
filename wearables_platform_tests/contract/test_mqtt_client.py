"""`clients.mqtt` on a real broker: the embedded one, or the one WEARABLES_TEST_MQTT_URL names."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from urllib.parse import urlsplit

import pytest

from wearables_platform.clients.mqtt import (
    Delivery,
    MqttConnection,
    MqttListener,
    MqttLoop,
    MqttNotConnected,
    MqttQueueFull,
    parse_mqtt_url,
)
from wearables_platform_tests.bridge_rig import eventually, new_device_id
from wearables_platform_tests.servers import MqttDevices, TestServers
from wearables_platform_tests.tcp_proxy import TcpProxy

pytestmark = [pytest.mark.contract, pytest.mark.mqtt]

Connect = Callable[..., tuple[MqttConnection, list[Delivery]]]


@pytest.fixture
def loop() -> Iterator[MqttLoop]:
    started = MqttLoop("contract").start()
    yield started
    started.raise_if_failed()
    started.stop()


@pytest.fixture
def connect(loop: MqttLoop) -> Connect:
    def opened(url: str, *subscriptions: str, **changes: object) -> tuple[MqttConnection, list[Delivery]]:
        heard: list[Delivery] = []
        options = replace(parse_mqtt_url(url), **changes)  # type: ignore[arg-type]
        connection = MqttConnection(loop, options, MqttListener(heard.append), subscriptions)
        connection.open()
        eventually(lambda: connection.ready, "no session")
        return connection, heard

    return opened


def more_than(heard: list[Delivery], count: int) -> bool:
    return len(heard) > count


@pytest.fixture
def device_id() -> str:
    return new_device_id("contract")


def test_messages_arrive_in_order_and_their_acknowledgements_come_back(
    connect: Connect, mqtt_url: str, mqtt_devices: MqttDevices, device_id: str
) -> None:
    bridge, heard = connect(mqtt_url, f"wearables/v1/{device_id}/status")
    device, _ = connect(mqtt_devices.url(device_id))
    for i in range(200):
        device.publish(f"wearables/v1/{device_id}/status", str(i).encode())
    eventually(lambda: len(heard) == 200, f"{len(heard)} of 200 heard")
    assert [int(delivery.payload) for delivery in heard] == list(range(200))
    assert {delivery.qos for delivery in heard} == {1}
    assert bridge.unacknowledged == 200
    bridge.done(heard[100:])
    assert bridge.unacknowledged == 200
    bridge.done(heard[:100])
    eventually(lambda: bridge.unacknowledged == 0, "acknowledged in order")
    eventually(lambda: device.outstanding == 0, "the broker's acknowledgements")


def test_publishing_is_bounded_and_says_so(
    connect: Connect, mqtt_url: str, mqtt_devices: MqttDevices, device_id: str
) -> None:
    address = urlsplit(mqtt_url)
    assert address.hostname
    assert address.port
    token = mqtt_devices.add(device_id)
    with TcpProxy(address.hostname, address.port) as proxy:
        url = f"mqtt://{device_id}:{token}@127.0.0.1:{proxy.port}"
        device, _ = connect(url, max_outstanding=10)
        proxy.hold()
        for _ in range(10):
            device.publish(f"wearables/v1/{device_id}/status", b"x")
        with pytest.raises(MqttQueueFull, match="10 messages"):
            device.publish(f"wearables/v1/{device_id}/status", b"x")
        proxy.release()
        eventually(lambda: device.outstanding == 0, "the queue empties")


def test_reading_stops_at_the_bound_and_goes_on_below_half_of_it(
    connect: Connect, mqtt_url: str, mqtt_devices: MqttDevices, device_id: str
) -> None:
    bridge, heard = connect(mqtt_url, f"wearables/v1/{device_id}/status", max_unacknowledged=20)
    device, _ = connect(mqtt_devices.url(device_id))
    for i in range(100):
        device.publish(f"wearables/v1/{device_id}/status", str(i).encode())
    done = 0
    while done < 100:
        eventually(partial(more_than, heard, done), f"reading goes on after {done}")
        assert bridge.unacknowledged <= 20
        taken = heard[done:]
        bridge.done(taken)
        done += len(taken)
    assert [int(delivery.payload) for delivery in heard] == list(range(100))


def test_a_cut_connection_is_made_again_and_takes_nothing_over_from_the_session_before(
    connect: Connect, mqtt_url: str, mqtt_devices: MqttDevices, device_id: str
) -> None:
    address = urlsplit(mqtt_url)
    assert address.hostname
    assert address.port
    token = mqtt_devices.add(device_id)
    _, heard = connect(mqtt_url, f"wearables/v1/{device_id}/status")
    with TcpProxy(address.hostname, address.port) as proxy:
        device, _ = connect(f"mqtt://{device_id}:{token}@127.0.0.1:{proxy.port}")
        proxy.hold()
        device.publish(f"wearables/v1/{device_id}/status", b"of the first session")
        proxy.cut()
        eventually(lambda: not device.ready, "the session is noticed to be over")
        assert device.outstanding == 0
        proxy.release()
        eventually(lambda: device.ready, "a new session")
        assert device.connections == 2
        device.publish(f"wearables/v1/{device_id}/status", b"of the second")
        eventually(lambda: bool(heard), "what the second session took")
        assert [delivery.payload for delivery in heard] == [b"of the second"]


def test_without_a_session_nothing_is_taken(loop: MqttLoop) -> None:
    lonely = MqttConnection(loop, parse_mqtt_url("mqtt://u:p@127.0.0.1:1"), MqttListener(lambda _: None))
    lonely.open()
    with pytest.raises(MqttNotConnected):
        lonely.publish("wearables/v1/u/status", b"x")
    assert lonely.outstanding == 0


def test_a_wrong_password_is_told(loop: MqttLoop, mqtt_url: str) -> None:
    address = urlsplit(mqtt_url)
    url = f"mqtt://{address.username}:wrong@{address.hostname}:{address.port}"
    refused = MqttConnection(loop, parse_mqtt_url(url), MqttListener(lambda _: None), ["wearables/v1/+/status"])
    refused.open()
    eventually(lambda: refused.refusal is not None, "a refusal")
    assert not refused.ready


def test_an_unacknowledged_message_comes_again_where_the_broker_keeps_sessions(
    connect: Connect, servers: TestServers, mqtt_url: str, mqtt_devices: MqttDevices, device_id: str
) -> None:
    if servers.cannot("mqtt", "keep-sessions"):
        pytest.skip("the embedded broker keeps no sessions")
    topic = f"wearables/v1/{device_id}/status"
    address = urlsplit(mqtt_url)
    assert address.hostname
    assert address.port
    with TcpProxy(address.hostname, address.port) as proxy:
        url = f"mqtt://{address.username}:{address.password}@127.0.0.1:{proxy.port}"
        bridge, heard = connect(url, topic, client_id=f"b-{device_id}", clean=False)
        device, _ = connect(mqtt_devices.url(device_id))
        device.publish(topic, b"again")
        eventually(lambda: len(heard) == 1, "heard once")
        proxy.cut()
        eventually(lambda: len(heard) == 2, "heard again")
        assert heard[1].dup
        bridge.done(heard)  # the first delivery's packet id belongs to a session that is over: it must not count
        eventually(lambda: bridge.unacknowledged == 0, "acknowledged")


def test_many_connections_share_one_thread(connect: Connect, mqtt_url: str, mqtt_devices: MqttDevices) -> None:
    before = threading.active_count()
    _, heard = connect(mqtt_url, "wearables/v1/+/vitals")
    ids = [new_device_id("many") for _ in range(30)]
    devices = {device_id: connect(mqtt_devices.url(device_id))[0] for device_id in ids}
    for device_id, device in devices.items():
        device.publish(f"wearables/v1/{device_id}/vitals", device_id.encode())
    eventually(lambda: {delivery.payload.decode() for delivery in heard} >= set(ids), "all heard")
    assert threading.active_count() == before
