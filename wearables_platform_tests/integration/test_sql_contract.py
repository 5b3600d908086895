"""Nobody who reads the released views finds them changed."""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg
import pytest

from wearables_platform.clients.sql import SqlClient
from wearables_platform.sql.reference import published_columns
from wearables_platform_tests.sql_contract import RELEASED, Views, breaks, released, views_of, write

pytestmark = [pytest.mark.sql, pytest.mark.integration]


@pytest.fixture
def now(sql_url: str) -> Iterator[Views]:
    client = SqlClient(sql_url, "contract-test", pool_size=1)
    yield views_of(published_columns(client))
    client.close()


def test_every_released_view_still_has_every_column_where_it_was_of_its_type_and_unit(now: Views) -> None:
    assert breaks(released(), now) == [], "a change that breaks readers makes a view of the next version"


def test_the_release_is_written_as_make_sql_release_writes_it() -> None:
    assert write(released()) == RELEASED.read_text()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DROP VIEW analytics.gaps_v1", "gaps_v1: is no more"),
        ("ALTER VIEW analytics.gaps_v1 RENAME COLUMN boot_id TO run_id", r"gaps_v1: column 2 was .*is \['run_id'"),
        (
            "DROP VIEW analytics.gaps_v1; CREATE VIEW analytics.gaps_v1 AS SELECT device_id FROM quality.gaps;"
            " COMMENT ON COLUMN analytics.gaps_v1.device_id IS 'Device; no unit.'",
            "gaps_v1: column 2 was .*is None",
        ),
        (
            "COMMENT ON COLUMN analytics.clock_steps_v1.step_ms IS 'By how much; seconds.'",
            "clock_steps_v1: column 5 was .*seconds",
        ),
    ],
    ids=["dropped", "renamed", "lost", "another-unit"],
)
def test_a_change_that_breaks_readers_is_found(own_sql_url: str, change: str, said: str) -> None:
    with psycopg.connect(own_sql_url) as connection:
        connection.execute(change.encode())
    client = SqlClient(own_sql_url, "contract-test", pool_size=1)
    found = breaks(released(), views_of(published_columns(client)))
    client.close()
    assert found
    assert re.search(said, found[0])


def test_a_column_at_the_end_and_a_new_view_break_nobody(now: Views) -> None:
    more = {view: [*columns, ["new", "text", "no unit"]] for view, columns in now.items()}
    assert breaks(released(), {**more, "new_v1": [["x", "text", "no unit"]]}) == []
