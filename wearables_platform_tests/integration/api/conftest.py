"""The API over a migrated database and a Redis database of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import psycopg
import pytest
import redis

from wearables_platform.api.access import Principal, Tokens
from wearables_platform.api.app import create_app
from wearables_platform.clients.redis import LatestWriter
from wearables_platform.clients.redis_reads import LatestReader
from wearables_platform.local.ports import free_ports
from wearables_platform.settings import Settings
from wearables_platform_tests.api_process import ApiProcess, Fleet
from wearables_platform_tests.api_world import LONDON_TOKEN, NOW, TOKEN, Caller, World
from wearables_platform_tests.latest_updates import LatestUpdate, write_updates
from wearables_platform_tests.live_page_stage import CHROMIUM, open_browser
from wearables_platform_tests.servers import TestServers, fresh_database

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WAIT_MS = 20_000

# Redis databases are numbered; the other tests use 0.
REDIS_DATABASE = 7


@pytest.fixture(scope="session")
def api_sql_url(servers: TestServers) -> Iterator[str]:
    from wearables_platform.sql.migrate import migrate

    for url in fresh_database(servers.url("postgres")):
        migrate(url)
        yield url


@pytest.fixture(scope="session")
def live_address(redis_url: str) -> str:
    return redis_url.rsplit("/", 1)[0] + f"/{REDIS_DATABASE}"


@pytest.fixture
def live_url(live_address: str) -> str:
    """An empty Redis database."""
    with redis.Redis.from_url(live_address) as connection:
        connection.flushdb()
    return live_address


@pytest.fixture
def live(live_url: str) -> Iterator[LatestWriter]:
    """Writes newest values as the stream does."""
    writer = LatestWriter(live_url, "api-tests")
    yield writer
    writer.close()


@pytest.fixture
def world(api_sql_url: str) -> World:
    """An empty world."""
    with psycopg.connect(api_sql_url) as connection:
        tables = connection.execute(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname IN ('registry', 'telemetry', 'quality', 'ml')"
        ).fetchall()
        connection.execute(f"TRUNCATE {', '.join(name for (name,) in tables)} CASCADE")  # type: ignore[arg-type]
    return World(api_sql_url)


@pytest.fixture
def settings(api_sql_url: str, live_url: str) -> Settings:
    return Settings(sql_url=api_sql_url, redis_url=live_url, api_token=TOKEN, min_group_size=5)


@pytest.fixture
def caller(world: World, settings: Settings, live_url: str) -> Caller:
    """The operator, at `NOW`."""
    reader = LatestReader(live_url, "api-tests")
    tokens = Tokens(
        {TOKEN: Principal("operator", None, "operator"), LONDON_TOKEN: Principal("london", frozenset({"london"}))}
    )
    app = create_app(settings, reader, clock=lambda: NOW, tokens=tokens)
    return Caller(app.test_client())


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    with open_browser() as opened:
        yield opened


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page of a reader; whatever its scripts complain of fails the test, a lost connection excepted."""
    complaints: list[str] = []
    context = browser.new_context()
    opened = context.new_page()
    opened.set_default_timeout(WAIT_MS)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    yield opened
    context.close()
    assert [text for text in complaints if "Failed to load resource" not in text and "net::ERR" not in text] == []


@pytest.fixture(scope="module")
def api(api_sql_url: str, live_address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    """One process for all pages of a module; its stores are emptied under it between tests."""
    process = ApiProcess(api_sql_url, live_address, free_ports(1)[0], tmp_path_factory.mktemp("api"))
    process.start()
    yield process
    process.close()


@pytest.fixture
def fleet(world: World, live: LatestWriter) -> Iterator[Fleet]:
    """Three devices that send and one that stopped an hour ago."""
    world.study("sleep")
    names = [world.person(name, "sleep") for name in ("ada", "ben", "cleo")]
    gone_us = int(time.time() * 1e6) - 3_600_000_000
    fields = {"time_us": gone_us, "append_us": gone_us, "sequence": 1, "vm_g": 1.25}
    write_updates(live, [LatestUpdate(world.person("gone", "sleep"), "motion", gone_us, 1, fields)])
    sending = Fleet(live, names)
    thread = threading.Thread(target=sending.run)
    thread.start()
    yield sending
    sending.stopping.set()
    thread.join()
