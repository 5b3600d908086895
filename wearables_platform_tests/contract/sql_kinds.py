"""A migrated database of each kind that serves SQL: plain PostgreSQL, and TimescaleDB where one is named."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from wearables_platform.sql.migrate import migrate
from wearables_platform_tests.servers import TestServers, fresh_database


@pytest.fixture(scope="module", params=["plain", pytest.param("timescale", marks=pytest.mark.timescale)])
def analytics_url(request: pytest.FixtureRequest, servers: TestServers) -> Iterator[str]:
    """A migrated database of the module's own, once of each kind."""
    if request.param == "plain":
        server_url = servers.url("postgres")
    elif not (server_url := os.environ.get("WEARABLES_TEST_TIMESCALE_URL", "")):
        pytest.skip("WEARABLES_TEST_TIMESCALE_URL names no TimescaleDB")
    for url in fresh_database(server_url):
        migrate(url)
        yield url
