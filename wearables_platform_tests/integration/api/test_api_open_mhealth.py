"""Export as data points: the words of Open mHealth and IEEE 1752.1, and none lost on the way.

The published schemas are not shipped here. What they demand of these four kinds of data point is written out below,
field by field, from openmhealth/schemas (heart-rate 2.0, step-count 3.0) and IEEE 1752.1 (header, physical-activity,
time-frame).
"""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from wearables_platform_tests.api_world import LONDON_TOKEN, Caller, World

pytestmark = [pytest.mark.sql, pytest.mark.redis, pytest.mark.integration]

AT = datetime(2026, 3, 30, 10, tzinfo=UTC)
SPAN = {"from": AT.isoformat(), "to": (AT + timedelta(hours=1)).isoformat()}
DAY = date(2026, 3, 30)
DAYS = {"from": "2026-03-29", "to": "2026-03-30"}
ASKED = {"heart-rate": SPAN, "step-count": SPAN, "physical-activity": DAYS, "activity-episodes": DAYS}
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
DURATIONS = {"ps", "ns", "us", "ms", "sec", "min", "h", "d", "wk", "Mo", "yr"}
STATISTICS = {"average", "count", "maximum", "median", "minimum", "standard deviation", "sum", "variance"}


@pytest.fixture
def filled(world: World) -> World:
    for study, zone in (("london", "Europe/London"), ("paris", "Europe/Paris")):
        world.study(study)
        device_id = world.person(study, study, zone=zone)
        world.heart_rates(device_id, [(AT + timedelta(minutes=n), 61.5 + n) for n in range(3)])
        world.steps(device_id, [(AT, timedelta(minutes=10), 321)])
        world.activity(study, DAY, mvpa_s=1_800, steps=4_000, final=False)
        world.segment(study, AT, "walking_upstairs")
    return world


def points_of(caller: Caller, kind: str, **asked: str) -> list[dict[str, Any]]:
    response = caller.get(f"/v1/export/open-mhealth/{kind}", query_string={**ASKED[kind], **asked})
    assert response.status_code == 200, response.text
    assert response.mimetype == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


def check_header(header: dict[str, Any], schema: str) -> None:
    assert str(UUID(header["uuid"])) == header["uuid"]
    assert ":".join(header["schema_id"][part] for part in ("namespace", "name", "version")) == schema
    assert RFC_3339.fullmatch(header["source_creation_date_time"])
    assert header["modality"] == "sensed"
    if "acquisition_rate" in header:
        check_value(header["acquisition_rate"], {"Hz"})
    for sheet in header["external_datasheets"]:
        assert sheet["datasheet_type"] == "software"
        assert re.fullmatch(r"urn:[a-z0-9-]+:\S+", sheet["datasheet_reference"])


def check_value(found: dict[str, Any], units: set[str]) -> None:
    assert isinstance(found["value"], int | float)
    assert found["unit"] in units


def check_interval(frame: dict[str, Any]) -> None:
    interval = frame["time_interval"]
    assert "date_time" not in frame
    assert set(interval) == {"start_date_time", "end_date_time"}
    assert all(RFC_3339.fullmatch(at) for at in interval.values())
    start, end = (datetime.fromisoformat(interval[name]) for name in ("start_date_time", "end_date_time"))
    assert start < end


def check_heart_rate(body: dict[str, Any]) -> None:
    check_value(body["heart_rate"], {"beats/min"})
    assert set(body["effective_time_frame"]) == {"date_time"}
    assert RFC_3339.fullmatch(body["effective_time_frame"]["date_time"])


def check_step_count(body: dict[str, Any]) -> None:
    check_value(body["step_count"], {"steps"})
    check_interval(body["effective_time_frame"])


def check_physical_activity(body: dict[str, Any]) -> None:
    assert isinstance(body["activity_name"], str)
    check_interval(body["effective_time_frame"])
    for name in ("duration", "duration_light_activity", "duration_moderate_activity", "duration_vigorous_activity"):
        if name in body:
            check_value(body[name], DURATIONS)
    if "base_movement_quantity" in body:
        check_value(body["base_movement_quantity"], {"steps"})
    assert body.get("descriptive_statistic", "sum") in STATISTICS


CHECKED = {
    "heart-rate": ("omh:heart-rate:2.0", check_heart_rate),
    "step-count": ("omh:step-count:3.0", check_step_count),
    "physical-activity": ("ieee:physical-activity:1.0", check_physical_activity),
    "activity-episodes": ("ieee:physical-activity:1.0", check_physical_activity),
}


@pytest.mark.parametrize("kind", sorted(CHECKED))
def test_every_data_point_is_what_its_schema_demands(caller: Caller, filled: World, kind: str) -> None:
    schema, check_body = CHECKED[kind]
    found = points_of(caller, kind)
    assert len(found) == (6 if kind == "heart-rate" else 2)
    for point in found:
        assert set(point) == {"header", "body"}
        check_header(point["header"], schema)
        check_body(point["body"])


def test_a_data_point_says_what_the_row_says_at_the_persons_own_offset(caller: Caller, filled: World) -> None:
    point = points_of(caller, "heart-rate", participant="paris")[1]
    assert point["body"] == {
        "heart_rate": {"value": 62.5, "unit": "beats/min"},
        "effective_time_frame": {"date_time": "2026-03-30T12:01:00+02:00"},
    }
    assert point["header"]["user_id"] == "paris"
    assert point["header"]["wearables_platform"] == {
        "study_id": "paris", "revision": 1, "origin": "batch", "device_id": "paris-watch",
    }  # fmt: skip
    assert "acquisition_rate" not in point["header"]  # nobody knows it, so nobody says it


def test_a_day_keeps_its_minutes_its_coverage_and_that_it_may_still_change(caller: Caller, filled: World) -> None:
    point = points_of(caller, "physical-activity", participant="london")[0]
    assert point["body"]["duration_moderate_activity"] == {"value": 1_800, "unit": "sec"}
    assert point["body"]["duration"] == {"value": 6_800, "unit": "sec"}
    assert point["body"]["base_movement_quantity"] == {"value": 4_000, "unit": "steps"}
    assert point["body"]["effective_time_frame"]["time_interval"] == {
        "start_date_time": "2026-03-30T00:00:00+01:00",
        "end_date_time": "2026-03-31T00:00:00+01:00",
    }
    own = point["header"]["wearables_platform"]
    assert (own["status"], own["wear"], own["coverage"]) == ("provisional", "valid", 0.5)


def test_a_day_on_which_nothing_was_worn_has_no_data_point(caller: Caller, filled: World) -> None:
    world = filled
    world.execute("UPDATE telemetry.daily_activity SET status = 'not_worn' WHERE participant_id = %s", [("paris",)])
    assert {point["header"]["user_id"] for point in points_of(caller, "physical-activity")} == {"london"}


def test_the_same_row_has_the_same_id_and_a_corrected_one_another(caller: Caller, filled: World) -> None:
    def ids() -> list[str]:
        return [point["header"]["uuid"] for kind in sorted(CHECKED) for point in points_of(caller, kind)]

    before = ids()
    assert len(set(before)) == len(before)
    assert ids() == before
    filled.execute("UPDATE telemetry.steps SET revision = 2 WHERE device_id = %s", [("paris-watch",)])
    assert len(set(ids()) - set(before)) == 1


@pytest.mark.parametrize("kind", sorted(CHECKED))
def test_whoever_may_see_one_study_exports_that_study(caller: Caller, filled: World, kind: str) -> None:
    londoner = Caller(caller.client, LONDON_TOKEN)
    assert {point["header"]["user_id"] for point in points_of(londoner, kind)} == {"london"}
    londoner.problem(f"/v1/export/open-mhealth/{kind}", 404, participant="paris", **ASKED[kind])
