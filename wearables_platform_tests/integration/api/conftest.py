"""The API over a migrated database and a Redis database of its own."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
import redis

from wearables_platform.api.access import Principal, Tokens
from wearables_platform.api.app import create_app
from wearables_platform.clients.redis import LatestWriter
from wearables_platform.clients.redis_reads import LatestReader
from wearables_platform.settings import Settings
from wearables_platform_tests.api_world import LONDON_TOKEN, NOW, TOKEN, Caller, World
from wearables_platform_tests.servers import TestServers, fresh_database

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
