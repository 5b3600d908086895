"""Fixtures every test may use: the real servers, databases, and settings that see no running instance."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from wearables_platform_tests.not_proven import pytest_sessionfinish, pytest_terminal_summary  # noqa: F401
from wearables_platform_tests.servers import MqttDevices, StartServer, TestServers, fresh_database, open_directory

hypothesis.settings.register_profile("dev", deadline=None)
# CI must answer the same twice: the examples are derived from the test, not drawn.
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev"))


@pytest.fixture(autouse=True)
def _no_running_instance(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the developer's own instance and settings: only what a test sets is there."""
    for name in [name for name in os.environ if name.startswith("WEARABLES_")]:
        if not name.startswith(("WEARABLES_TEST_", "WEARABLES_PREFER_EMBEDDED")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("WEARABLES_RUN_DIR", str(tmp_path_factory.getbasetemp() / "no-instance"))


@pytest.fixture(scope="session")
def servers() -> Iterator[TestServers]:
    """The session's servers, each started when first asked for."""
    with open_directory() as directory:
        started = TestServers(directory)
        yield started
        started.stop_all()


@pytest.fixture
def open_tmp_path() -> Iterator[Path]:
    """Like ``tmp_path``, and an unprivileged server may enter it."""
    with open_directory() as directory:
        yield directory


@pytest.fixture
def start_server(servers: TestServers, open_tmp_path: Path) -> Iterator[StartServer]:
    """Start a server of the test's own (to kill it, say): ``start_server("kafka")``."""
    yield lambda name: servers.start_own(name, open_tmp_path)
    servers.stop_own()


@pytest.fixture(scope="session")
def kafka_url(servers: TestServers) -> str:
    return servers.url("kafka")


@pytest.fixture(scope="session")
def mqtt_url(servers: TestServers) -> str:
    """The broker as the bridge connects to it."""
    return servers.url("mqtt")


@pytest.fixture
def mqtt_devices(servers: TestServers, mqtt_url: str) -> MqttDevices:
    """Lets devices connect: ``mqtt_devices.url("watch-1")`` is the URL that device connects with."""
    given = os.environ.get("WEARABLES_TEST_MQTT_CREDENTIALS")
    if "WEARABLES_TEST_MQTT_URL" in os.environ and not given:
        pytest.skip("WEARABLES_TEST_MQTT_CREDENTIALS does not say where the given broker's password file is")
    from wearables_platform.local.mqtt_credentials import MqttCredentials

    return MqttDevices(mqtt_url, MqttCredentials(Path(given) if given else servers.directory / "mqtt"))


@pytest.fixture(scope="session")
def postgres_url(servers: TestServers) -> Iterator[str]:
    """An empty database, not migrated."""
    yield from fresh_database(servers.url("postgres"))


@pytest.fixture(scope="session")
def sql_url(servers: TestServers) -> Iterator[str]:
    """A migrated database, shared by the session: use names of your own in it."""
    from wearables_platform.sql.migrate import migrate

    for url in fresh_database(servers.url("postgres")):
        migrate(url)
        yield url


@pytest.fixture
def own_sql_url(servers: TestServers) -> Iterator[str]:
    """A migrated database of the test's own."""
    from wearables_platform.sql.migrate import migrate

    for url in fresh_database(servers.url("postgres")):
        migrate(url)
        yield url


@pytest.fixture(scope="session")
def mongo_url(servers: TestServers) -> str:
    return servers.url("mongo")


@pytest.fixture(scope="session")
def redis_url(servers: TestServers) -> str:
    return servers.url("redis")


@pytest.fixture(scope="session")
def lake_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    given = os.environ.get("WEARABLES_TEST_LAKE_URL")
    return given or tmp_path_factory.mktemp("lake").as_uri()
