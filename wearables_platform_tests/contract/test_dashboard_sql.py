"""Every query of every dashboard and alert, asked by an analyst on both kinds of database, has an answer."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from wearables_platform.clients.sql import SqlClient
from wearables_platform.dashboards.alerts import ALERTS, Alert
from wearables_platform.dashboards.build import DASHBOARDS
from wearables_platform.dashboards.panels import Dashboard, Panel, Sql
from wearables_platform_tests.contract.sql_kinds import analytics_url  # noqa: F401 - fixture
from wearables_platform_tests.dashboard_world import DEVICE, PERSON, fill
from wearables_platform_tests.grafana_sql import Picture

pytestmark = [pytest.mark.sql, pytest.mark.contract]

CHOSEN = {"device": DEVICE, "participant": PERSON, "study": ["cookbook", "nobody"]}
PANELS = [
    pytest.param(panel, query, id=f"{board.uid}: {panel.title}")
    for board in DASHBOARDS
    for panel in board.panels
    for query in panel.queries
    if isinstance(query, Sql)
]
# What is wrong in the seeded world: a ledger with two positions missing, a watch that fell silent, and so on.
FIRING = {
    "conservation-broken": 2,
    "corrections-overdue": 1,
    "dead-letters": 2 / 98,
    "devices-silent": 1,
    "model-drift": 1,
    "model-late": 1,
    "parity-not-checked": 0,
    "software-drift": 1,
}


@pytest.fixture(scope="module")
def analyst(analytics_url: str) -> Iterator[psycopg.Connection[Any]]:  # noqa: F811 - the fixture
    client = SqlClient(analytics_url, "dashboards", pool_size=1)
    fill(client, client.rows("SELECT (now() AT TIME ZONE 'UTC')::date AS today")[0]["today"])
    client.close()
    with psycopg.connect(analytics_url, options="-c timezone=UTC", autocommit=True) as connection:
        connection.execute("SET ROLE analyst")
        connection.execute("SET default_transaction_read_only = on")
        yield connection


@pytest.fixture
def picture() -> Picture:
    """Return the past month, with something chosen."""
    now = datetime.now(UTC)
    return Picture(now - timedelta(days=30), now + timedelta(seconds=1), "1h", CHOSEN)


@pytest.mark.parametrize(("panel", "query"), PANELS)
def test_a_panel_has_rows_and_the_columns_it_gives_units_to(
    analyst: psycopg.Connection[Any], picture: Picture, panel: Panel, query: Sql
) -> None:
    cursor = analyst.execute(picture.sql(query.target("A")["rawSql"]).encode())
    rows = cursor.fetchall()
    columns = [column.name for column in cursor.description or ()]
    assert rows
    assert set(panel.units) | set(panel.links) <= set(columns)
    assert [column for place, column in enumerate(columns) if all(row[place] is None for row in rows)] == [
        column for column in columns if column in EMPTY.get(panel.title, ())
    ]
    if query.time_series:
        assert columns[0] == "time"
        times = [row[0] for row in rows]
        assert times == sorted(times)


# Columns of which the seeded world knows nothing: a device still worn, a day without the figure.
EMPTY = {
    "Devices worn": ("until",),
    "Who wore it": ("until",),
    "Activity per local day": ("light", "moderate", "vigorous", "sedentary"),
    "Days": ("mvpa",),
    "Trends": ("missing_because",),
    "Changes of models": ("was",),
}


@pytest.mark.parametrize("board", DASHBOARDS, ids=lambda board: board.uid)
def test_variables_and_marks_have_values(analyst: psycopg.Connection[Any], picture: Picture, board: Dashboard) -> None:
    for variable in board.variables:
        values = {row[0] for row in analyst.execute(variable.json()["query"].encode()).fetchall()}
        chosen = CHOSEN[variable.name]
        assert chosen in values if isinstance(chosen, str) else values & set(chosen)
    if board.marks is not None:
        cursor = analyst.execute(picture.sql(board.marks.target("Anno")["rawSql"]).encode())
        assert cursor.fetchall()
        assert [column.name for column in cursor.description or ()] == ["time", "timeend", "text", "tags"]


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_counts_what_is_wrong_in_one_row(analyst: psycopg.Connection[Any], alert: Alert) -> None:
    ((found,),) = analyst.execute(alert.query.encode()).fetchall()
    assert float(found) == pytest.approx(FIRING.get(alert.name, float(found)))
    assert (alert.name in FIRING and FIRING[alert.name] > 0) <= (float(found) > alert.above)


def test_an_account_without_holes_is_whole(analytics_url: str) -> None:  # noqa: F811 - the fixture
    with psycopg.connect(analytics_url) as connection:
        connection.execute("DELETE FROM quality.ledger")
        connection.cursor().executemany(
            "INSERT INTO quality.ledger VALUES ('stream', %s, 0, %s, %s)",
            [
                ("whole", "stored", "{[5,90),[93,95)}"),
                ("whole", "duplicate", "{[90,93)}"),
                ("twice", "stored", "{[0,10)}"),
                ("twice", "duplicate", "{[8,12)}"),
            ],
        )
        rows = connection.execute(
            "SELECT topic, first_position, next_position, positions, missing, counted_twice"
            " FROM analytics.stage_positions_v1 ORDER BY topic"
        ).fetchall()
        connection.rollback()
    assert rows == [("twice", 0, 12, 12, 0, 2), ("whole", 5, 95, 90, 0, 0)]
