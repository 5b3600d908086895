"""The thread behind the MQTT connections ends cleanly, however busy it is."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import pytest

from wearables_platform.clients.mqtt import MqttLoop

DEADLINE_S = 10.0


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Let threads change places as often as the interpreter can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty_threads")
def test_a_busy_loop_stops_every_time() -> None:
    for _ in range(300):
        loop = MqttLoop("busy").start()
        for _ in range(20):
            loop.call(lambda: None)
        loop.stop()
        loop.raise_if_failed()


def test_calls_to_a_loop_that_has_ended_wake_nobody() -> None:
    heard: list[int] = []
    loop = MqttLoop("ended").start()
    loop.stop()
    loop.call(lambda: heard.append(1))
    loop.stop()
    assert heard == []


def test_what_ended_the_thread_is_told() -> None:
    loop = MqttLoop("failing").start()
    loop.call(lambda: 1 // 0)
    deadline = time.monotonic() + DEADLINE_S
    while loop.running and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(ZeroDivisionError):
        loop.raise_if_failed()
    loop.stop()
