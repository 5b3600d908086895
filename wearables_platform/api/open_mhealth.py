"""Export as data points of Open mHealth and IEEE 1752.1, a JSON object per line, streamed while it is read."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Response
from flask_openapi3.blueprint import APIBlueprint

from wearables_platform.api import access
from wearables_platform.api.exports import TAG, check_span, streamed
from wearables_platform.api.parameters import PeopleDays, PeopleSpan
from wearables_platform.api.row_formats import FORMATS, json_lines
from wearables_platform.api.services import services
from wearables_platform.domain import open_mhealth as points

_NDJSON = FORMATS["ndjson"][0]
_RESPONSES: dict[str | int, Any] = {
    "200": {
        "description": "A data point per line: `header` (IEEE 1752.1) and `body`.",
        "content": {_NDJSON: {"schema": {"type": "string"}}},
    }
}


def add_routes(api: APIBlueprint) -> None:
    """Add the routes below `/export/open-mhealth`."""
    routes: list[tuple[str, str, Callable[..., Response]]] = [
        ("heart-rate", "Heart-rate readings as omh:heart-rate:2.0", export_heart_rate),
        ("step-count", "Spans of steps as omh:step-count:3.0", export_step_count),
        ("physical-activity", "Activity of worn days as ieee:physical-activity:1.0", export_physical_activity),
        ("activity-episodes", "What models say was done as ieee:physical-activity:1.0", export_activity_episodes),
    ]
    for name, summary, view in routes:
        api.get(f"/export/open-mhealth/{name}", tags=[TAG], summary=summary, responses=_RESPONSES)(view)


def export_heart_rate(query: PeopleSpan) -> Response:
    """Stream clean heart-rate readings of who wore the devices, in the order of device and time."""
    return _spans("export_heart_rate_readings", "heart-rate", points.heart_rate_point, query)


def export_step_count(query: PeopleSpan) -> Response:
    """Stream reported spans of steps that begin in the span asked for, in the order of device and time."""
    return _spans("export_step_spans", "step-count", points.step_count_point, query)


def export_physical_activity(query: PeopleDays) -> Response:
    """Stream a sum per person and local day; a day on which no device was worn has none, which is not zero."""
    return _days("export_worn_days", "physical-activity", points.daily_activity_point, query)


def export_activity_episodes(query: PeopleDays) -> Response:
    """Stream consecutive seconds of one activity, in the order of person and time."""
    return _days("export_activity_segments", "activity-episodes", points.activity_episode_point, query)


def _spans(named: str, file_name: str, point_of: points.PointOf, query: PeopleSpan) -> Response:
    check_span(query)
    return _streamed(named, file_name, point_of, query.participant, from_time=query.from_time, to_time=query.to_time)


def _days(named: str, file_name: str, point_of: points.PointOf, query: PeopleDays) -> Response:
    return _streamed(named, file_name, point_of, query.participant, first_day=query.from_day, last_day=query.to_day)


def _streamed(
    named: str, file_name: str, point_of: points.PointOf, participant_id: str | None, **span: Any
) -> Response:
    if participant_id is not None:
        access.visible_participant(services().reads, participant_id)
    written_as = (_NDJSON, partial(json_lines, as_json=point_of))
    return streamed(named, f"{file_name}.ndjson", written_as, participant_id=participant_id, **span)
