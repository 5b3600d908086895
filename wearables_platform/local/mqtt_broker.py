"""The embedded MQTT broker process: amqtt with our credentials and topic rules. ``mqtt_broker.py PORT PASSWORD_FILE``.

What amqtt cannot do stands in `local.limits`. It listens on loopback only.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amqtt.broker import Broker
from amqtt.contexts import Action
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin
from amqtt.session import Session

from wearables_platform.domain.channels import CHANNELS, MQTT_ROOT, RECEIPT_LEAF
from wearables_platform.local.mqtt_credentials import BRIDGE_USER, parse_entries, password_matches
from wearables_platform.local.ports import LOOPBACK

DEVICE_WRITES = frozenset(channel.name for channel in CHANNELS)
DEVICE_READS = frozenset({RECEIPT_LEAF})

_log = logging.getLogger(__name__)


def may(user: str, action: Action, topic: str) -> bool:
    """Decide a publication, subscription or delivery; the same rules as `mqtt_credentials.ACCESS_LIST`.

    A device names its own topics in full: a filter with a wildcard is not one of them.
    """
    below_root = topic.removeprefix(f"{MQTT_ROOT}/").split("/")
    if not topic.startswith(f"{MQTT_ROOT}/") or len(below_root) != 2:
        return False
    owner, leaf = below_root
    if user == BRIDGE_USER:
        return leaf in (DEVICE_READS if action is Action.PUBLISH else DEVICE_WRITES)
    return owner == user and leaf in (DEVICE_WRITES if action is Action.PUBLISH else DEVICE_READS)


class PasswordFilePlugin(BaseAuthPlugin):  # type: ignore[misc]  # amqtt is untyped here
    """Checks user and token against mosquitto's password file, read again whenever it was replaced."""

    @dataclass
    class Config:
        """Where the password file is."""

        password_file: str

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self._path = Path(self.config.password_file)
        self._entries: dict[str, str] = {}
        self._version: tuple[int, int] | None = None

    def _current_entries(self) -> dict[str, str]:
        status = self._path.stat()
        version = (status.st_ino, status.st_mtime_ns)
        if version != self._version:
            self._entries = parse_entries(self._path.read_text())
            self._version = version
        return self._entries

    async def authenticate(self, *, session: Session) -> bool:
        """Accept a known user with its token; a device also has to be its own client id and leave no will."""
        user, password = session.username, session.password
        encoded = self._current_entries().get(user or "")
        if user is None or password is None or encoded is None or not password_matches(password, encoded):
            return False
        if user == BRIDGE_USER:
            return True
        # A client id of another device would take that device's session over.
        return session.client_id == user and not session.will_flag


class OwnTopicsPlugin(BaseTopicPlugin):  # type: ignore[misc]
    """Applies `may` to every publication, subscription and delivery."""

    @dataclass
    class Config:
        """No options."""

    async def topic_filtering(
        self, *, session: Session | None = None, topic: str | None = None, action: Action | None = None
    ) -> bool:
        """Allow what `may` allows; nobody and nothing else."""
        if session is None or session.username is None or topic is None or action is None:
            return False
        return may(session.username, action, topic)


class UnretainingBroker(Broker):  # type: ignore[misc]
    """A broker that keeps no retained messages: a retained reading would be delivered to every later subscriber."""

    async def retain_message(
        self, source_session: Session | None, topic_name: str | None, data: Any, qos: int | None = None
    ) -> None:
        """Pass the message on like any other (the caller has done so) and keep nothing."""
        source = source_session.username if source_session else None
        _log.warning("not retained: %s bytes on %s (qos %s) from %s", len(data or b""), topic_name, qos, source)


def broker_configuration(port: int, password_file: str) -> dict[str, Any]:
    """Build amqtt's configuration: loopback, our two plugins, nothing else."""
    return {
        "listeners": {"default": {"type": "tcp", "bind": f"{LOOPBACK}:{port}"}},
        "plugins": {
            f"{__name__}.{PasswordFilePlugin.__name__}": {"password_file": password_file},
            f"{__name__}.{OwnTopicsPlugin.__name__}": {},
        },
    }


async def serve(port: int, password_file: str) -> None:
    """Run the broker until SIGTERM or SIGINT."""
    broker = UnretainingBroker(broker_configuration(port, password_file))
    await broker.start()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()
    await broker.shutdown()


def main() -> None:
    """Entry point of the process."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    port, password_file = sys.argv[1:]
    asyncio.run(serve(int(port), password_file))


if __name__ == "__main__":
    # Under -m this file is __main__; amqtt imports its plugins by their dotted name, so the real module must serve.
    from wearables_platform.local import mqtt_broker

    mqtt_broker.main()
