"""Bulk export: every row once, in three formats that say the same, in memory that does not grow."""

from __future__ import annotations

import csv
import io
import json
import threading
import tracemalloc
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest

from wearables_platform.api import row_formats
from wearables_platform.api.reads import RowStream
from wearables_platform.api.row_formats import FORMATS
from wearables_platform.api.services import EXTENSION
from wearables_platform.clients.sql import SqlClient
from wearables_platform_tests.api_world import LONDON_TOKEN, Caller, World

pytestmark = [pytest.mark.sql, pytest.mark.redis, pytest.mark.integration]

START = datetime(2026, 3, 30, 10, tzinfo=UTC)
SPAN = {"from": START.isoformat(), "to": (START + timedelta(hours=1)).isoformat()}
DAYS = {"from": "2026-03-29", "to": "2026-03-30"}


@pytest.fixture
def filled(world: World) -> World:
    for study in ("london", "paris"):
        world.study(study)
        device_id = world.person(study, study)
        world.windows(device_id, START - timedelta(seconds=5), 2_500)
        world.anomaly(device_id, "spike", START, START)
        world.day(study, date(2026, 3, 30), None, zone="UTC")
        world.activity(study, date(2026, 3, 30), mvpa_s=60, steps=100)
    return world


def exported(caller: Caller, kind: str, **asked: str) -> list[dict[str, Any]]:
    response = caller.get(f"/v1/export/{kind}", query_string=asked)
    assert response.status_code == 200, response.text
    if asked.get("format") == "parquet":
        return pq.read_table(io.BytesIO(response.data)).to_pylist()
    if asked.get("format") == "csv":
        return list(csv.DictReader(io.StringIO(response.text)))
    return [json.loads(line) for line in response.text.splitlines()]


def test_an_export_holds_every_row_of_the_span_once_with_who_wore_the_device(caller: Caller, filled: World) -> None:
    rows = exported(caller, "features", **SPAN)
    assert len({(row["device_id"], row["window_start"]) for row in rows}) == len(rows) == 2 * 2_495
    assert rows == sorted(rows, key=lambda row: (row["device_id"], row["window_start"]))
    assert {(row["device_id"], row["participant_id"]) for row in rows} == {
        ("london-watch", "london"),
        ("paris-watch", "paris"),
    }
    assert rows[0]["window_start"] == "2026-03-30T10:00:00Z"
    assert {row["device_id"] for row in exported(caller, "features", device="paris-watch", **SPAN)} == {"paris-watch"}


@pytest.mark.parametrize("kind", ["features", "anomalies", "daily-summaries", "daily-activity"])
def test_the_formats_say_the_same(caller: Caller, filled: World, kind: str) -> None:
    asked = DAYS if kind.startswith("daily") else SPAN
    plain, table = exported(caller, kind, **asked), exported(caller, kind, format="parquet", **asked)
    lines = exported(caller, kind, format="csv", **asked)
    assert len(plain) == len(table) == len(lines) > 0
    for said, stored, line in zip(plain, table, lines, strict=True):
        assert said.keys() == stored.keys() == line.keys()
        for name, value in said.items():
            if isinstance(stored[name], date):  # also a datetime
                assert stored[name].isoformat().replace("+00:00", "Z") == value == line[name]
            elif isinstance(value, list | dict):
                assert json.loads(stored[name]) == json.loads(line[name]) == value
            else:
                assert stored[name] == value
                assert line[name] == ("" if value is None else value if isinstance(value, str) else json.dumps(value))


def test_whoever_may_see_one_study_exports_that_study(caller: Caller, filled: World) -> None:
    londoner = Caller(caller.client, LONDON_TOKEN)
    for kind, asked in (("features", SPAN), ("anomalies", SPAN), ("daily-summaries", DAYS), ("daily-activity", DAYS)):
        assert {row["study_id"] for row in exported(londoner, kind, **asked)} == {"london"}
    londoner.problem("/v1/export/features", 404, device="paris-watch", **SPAN)
    londoner.problem("/v1/export/daily-activity", 404, participant="paris", **DAYS)


def test_an_export_without_rows_is_an_empty_table(caller: Caller, world: World) -> None:
    assert exported(caller, "features", **SPAN) == []
    assert exported(caller, "features", format="parquet", **SPAN) == []
    assert exported(caller, "features", format="csv", **SPAN) == []


def test_too_many_exports_are_refused_and_a_slot_comes_back(caller: Caller, filled: World) -> None:
    slots: threading.BoundedSemaphore = caller.client.application.extensions[EXTENSION].export_slots
    while slots.acquire(blocking=False):
        pass
    assert caller.problem("/v1/export/features", 503, **SPAN)["type"].endswith("too-many-exports")
    slots.release()
    for _ in range(3):
        exported(caller, "anomalies", **SPAN)
    for _ in range(3):  # a reader who goes away
        caller.get("/v1/export/features", query_string=SPAN, buffered=False).close()
    exported(caller, "anomalies", **SPAN)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_memory_does_not_grow_with_the_rows(sql_url: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_formats, "_ROWS_PER_GROUP", 5_000)
    client = SqlClient(sql_url, "export test")

    def peak_bytes(count: int) -> int:
        query = "SELECT n, repeat('x', 200) AS text, now() AS at FROM generate_series(1, %(count)s) AS n"
        tracemalloc.start()
        with client.stream(query, {"count": count}) as (columns, batches):
            sent = sum(len(part) for part in FORMATS[name][1](RowStream(columns, batches)))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert sent > 0
        return peak

    once, more = peak_bytes(10_000), peak_bytes(40_000)
    client.close()
    assert more < 1.3 * once
