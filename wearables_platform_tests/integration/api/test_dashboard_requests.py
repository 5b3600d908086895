"""Every request a panel makes to the query API is answered, with the fields the panel makes columns of."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from wearables_platform.clients.redis import LatestWriter
from wearables_platform.dashboards.build import DASHBOARDS
from wearables_platform.dashboards.panels import Api
from wearables_platform.domain.time_policy import to_us
from wearables_platform_tests.api_world import NOW, Caller, World
from wearables_platform_tests.grafana_sql import Picture
from wearables_platform_tests.latest_updates import LatestUpdate, write_updates

pytestmark = [pytest.mark.redis, pytest.mark.sql, pytest.mark.integration]

REQUESTS = [
    pytest.param(query, set(panel.units), id=panel.title)
    for board in DASHBOARDS
    for panel in board.panels
    for query in panel.queries
    if isinstance(query, Api)
]
# How an answer's values look, by the type a column is declared as.
KINDS: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "number": (int, float),
    "boolean": bool,
    "timestamp": str,
}


@pytest.fixture
def device(world: World, live: LatestWriter) -> str:
    """A device with newest values and an event, a model, and counts."""
    world.study("sleep")
    device_id = world.person("ada", "sleep")
    time_us = to_us(NOW) - 1_000_000
    groups: dict[str, dict[str, str | int | float]] = {
        "motion": {"time_us": time_us, "append_us": time_us, "sequence": 1, "vm_g": 1.0, "rate_hz": 100.0},
        "window": {"window_start_us": time_us, "enmo_mg": 30.0, "anomaly_score": 0.1, "model_version": "2"},
        "heart_rate": {"hr_bpm": 61.5, "hr_time_us": time_us},
        "status": {"status_time_us": time_us, "battery_percent": 80, "worn": "1"},
    }
    write_updates(live, [LatestUpdate(device_id, name, time_us, 1, fields) for name, fields in groups.items()])
    event = {"device_id": device_id, "kind": "spike", "start_us": time_us, "severity": "warning"}
    live.add_anomalies({"spike": {**event, "extreme_value": 8.0, "extreme_unit": "g"}})
    world.execute(
        "INSERT INTO ml.model_versions VALUES ('motion', '1', 'in_force', repeat('a', 64), 'models/x', '1', '0.1',"
        " %s, %s, 'days', '{a}', '{}', NULL, 'sig')",
        [(NOW, NOW)],
    )
    world.execute("INSERT INTO quality.ledger VALUES ('stream', 't', 0, 'stored', %s)", [("{[0,5)}",)])
    return device_id


@pytest.mark.parametrize(("query", "units"), REQUESTS)
def test_a_request_is_answered_with_the_columns_of_the_panel(
    caller: Caller, device: str, query: Api, units: set[str]
) -> None:
    asked = urlsplit(Picture(NOW, NOW, chosen={"device": device}).path(query.path))
    answer = caller.json(asked.path, **dict(parse_qsl(asked.query)))
    rows: list[dict[str, Any]] = answer[query.root] if query.root else [answer]
    assert rows
    for field, _, kind in query.columns:
        value = rows[0][field]
        assert isinstance(value, KINDS[kind]), (field, value)
        if kind == "timestamp":
            assert datetime.fromisoformat(value).tzinfo == UTC
    assert units <= {title for _, title, _ in query.columns}


def test_the_dashboards_ask_the_api() -> None:
    assert len(REQUESTS) >= 4
