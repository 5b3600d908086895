"""The broker's password file: mosquitto's format, safe to change while others change and read it."""

from __future__ import annotations

import base64
import threading
from pathlib import Path

import pytest
from amqtt.contexts import Action

from wearables_platform.errors import ConfigError
from wearables_platform.local.mqtt_broker import may
from wearables_platform.local.mqtt_credentials import (
    BRIDGE_USER,
    MqttCredentials,
    encode_password,
    password_matches,
)


@pytest.fixture
def credentials(tmp_path: Path) -> MqttCredentials:
    made = MqttCredentials(tmp_path / "mqtt")
    made.create("bridge-secret")
    return made


def test_an_entry_is_what_mosquitto_itself_writes() -> None:
    # The line mosquitto_passwd 2.0.11 wrote for user "watch-1", password "token".
    written = (
        "$7$101$nA0eHpju2iATc+vr$"
        "iRT+YqOuTsoMkncnuPCqNNushIsnqa9pFGzWggr0gCPqdZwZqamS7RW3ApHnzVJXxSJMboCnhFRWnf0xZ84dAA=="
    )
    assert encode_password("token", base64.b64decode("nA0eHpju2iATc+vr")) == written


def test_a_password_matches_its_own_entry_only() -> None:
    encoded = encode_password("token")
    assert password_matches("token", encoded)
    assert not password_matches("Token", encoded)
    assert not password_matches("token", "plain")
    assert not password_matches("token", "$6$salt$hash")


def test_two_entries_of_one_password_differ() -> None:
    assert encode_password("token") != encode_password("token")


def test_devices_stay_when_the_bridge_gets_a_new_password(credentials: MqttCredentials) -> None:
    credentials.add_device("watch-1", "t1")
    credentials.create("another")
    entries = credentials.entries()
    assert password_matches("t1", entries["watch-1"])
    assert password_matches("another", entries[BRIDGE_USER])


def test_the_bridge_cannot_be_enrolled_over_or_removed(credentials: MqttCredentials) -> None:
    with pytest.raises(ConfigError, match="wearables.bridge"):
        credentials.add_device(BRIDGE_USER, "mine")
    credentials.remove_devices([BRIDGE_USER])
    assert password_matches("bridge-secret", credentials.entries()[BRIDGE_USER])


@pytest.mark.parametrize("device_id", ["", "a:b", "a/b", "#", "+", "a b", "é", "x" * 65, "a\nroot:x"])
def test_a_device_id_outside_the_grammar_is_refused(credentials: MqttCredentials, device_id: str) -> None:
    with pytest.raises(ConfigError, match="device id"):
        credentials.add_device(device_id, "t")
    assert set(credentials.entries()) == {BRIDGE_USER}


def test_no_enrolment_is_lost_when_several_write_at_once(credentials: MqttCredentials) -> None:
    def enrol(worker: int) -> None:
        for number in range(10):
            credentials.add_device(f"watch-{worker}-{number}", "t")

    workers = [threading.Thread(target=enrol, args=(worker,)) for worker in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(credentials.entries()) == 41


def test_only_the_owner_can_read_the_files(credentials: MqttCredentials) -> None:
    for path in (credentials.password_file, credentials.access_file):
        assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("user", "action", "topic", "allowed"),
    [
        ("w", Action.PUBLISH, "wearables/v1/w/acceleration", True),
        ("w", Action.PUBLISH, "wearables/v1/w/receipt", False),
        ("w", Action.PUBLISH, "wearables/v1/v/acceleration", False),
        ("w", Action.SUBSCRIBE, "wearables/v1/w/receipt", True),
        ("w", Action.SUBSCRIBE, "wearables/v1/+/receipt", False),
        ("w", Action.SUBSCRIBE, "wearables/v1/w/acceleration", False),
        ("w", Action.RECEIVE, "wearables/v1/v/receipt", False),
        ("w", Action.SUBSCRIBE, "$SYS/broker/uptime", False),
        ("+", Action.SUBSCRIBE, "wearables/v1/w/receipt", False),
        (BRIDGE_USER, Action.SUBSCRIBE, "wearables/v1/+/vitals", True),
        (BRIDGE_USER, Action.PUBLISH, "wearables/v1/w/receipt", True),
        (BRIDGE_USER, Action.PUBLISH, "wearables/v1/w/vitals", False),
        (BRIDGE_USER, Action.SUBSCRIBE, "#", False),
    ],
)
def test_the_topic_rules(user: str, action: Action, topic: str, allowed: bool) -> None:
    assert may(user, action, topic) is allowed
