"""Bulk export: everything of a span, streamed as CSV, NDJSON or Parquet while it is read."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from wearables_platform.api import access
from wearables_platform.api.answering import cut_off_slow_readers
from wearables_platform.api.parameters import MAX_DAYS, DayExport, PeopleSpan, SignalExport
from wearables_platform.api.row_formats import FORMATS, PartsOf
from wearables_platform.api.services import Services, services
from wearables_platform.web.problems import RETRY_AFTER_S, RequestRefused, refuse_parameter

TAG = Tag(name="export", description="Everything of a span, in one answer that is streamed.")
# Each holds a connection and a thread for as long as its reader takes.
MAX_EXPORTS = 2
_RESPONSES: dict[str | int, Any] = {
    "200": {
        "description": "The rows, in the order of device or person and time.",
        "content": {kind: {"schema": {"type": "string"}} for kind, _ in FORMATS.values()},
    }
}


def add_routes(api: APIBlueprint) -> None:
    """Add the routes below `/export`."""
    routes: list[tuple[str, str, Callable[..., Response]]] = [
        ("features", "Features per second of every device, or of one", export_features),
        ("anomalies", "Events of every device, or of one", export_anomalies),
        ("daily-summaries", "Steps and heart rate per local day of everybody, or of one", export_daily_summaries),
        ("daily-activity", "Activity per local day of everybody, or of one", export_daily_activity),
    ]
    for name, summary, view in routes:
        api.get(f"/export/{name}", tags=[TAG], summary=summary, responses=_RESPONSES)(view)


def export_features(query: SignalExport) -> Response:
    """Stream features per second, each with who wore the device then."""
    return _signals("export_features", "features", query)


def export_anomalies(query: SignalExport) -> Response:
    """Stream events, each with who wore the device when it began."""
    return _signals("export_anomalies", "anomalies", query)


def export_daily_summaries(query: DayExport) -> Response:
    """Stream steps and heart rate per person and local day; a day without data has no row."""
    return _days("export_daily_summaries", "daily-summaries", query)


def export_daily_activity(query: DayExport) -> Response:
    """Stream activity per person and local day; a day without data has no row."""
    return _days("export_daily_activity", "daily-activity", query)


def check_span(query: SignalExport | PeopleSpan) -> None:
    """Refuse a span of more days than one export may have."""
    if (query.to_time - query.from_time).days >= MAX_DAYS:
        refuse_parameter("to", f"at most {MAX_DAYS} days can be exported at once")


def _signals(named: str, file_name: str, query: SignalExport) -> Response:
    check_span(query)
    if query.device is not None:
        access.visible_device(services().reads, query.device)
    return streamed(
        named,
        f"{file_name}.{query.format}",
        FORMATS[query.format],
        device_id=query.device,
        from_time=query.from_time,
        to_time=query.to_time,
    )


def _days(named: str, file_name: str, query: DayExport) -> Response:
    if query.participant is not None:
        access.visible_participant(services().reads, query.participant)
    return streamed(
        named,
        f"{file_name}.{query.format}",
        FORMATS[query.format],
        participant_id=query.participant,
        first_day=query.from_day,
        last_day=query.to_day,
    )


def streamed(named: str, file_name: str, written_as: tuple[str, PartsOf], **parameters: Any) -> Response:
    """Answer with the rows of a named query that the caller may see, written as the media type and writer given."""
    mimetype, parts_of = written_as
    parameters["studies"] = access.principal().study_filter
    body = _parts(services(), named, parameters, parts_of)
    next(body)  # what is refused, and a store that is away, must be said before the answer begins
    cut_off_slow_readers()
    headers = {
        "Cache-Control": "no-store",
        "X-Accel-Buffering": "no",
        "Content-Disposition": f'attachment; filename="{file_name}"',
    }
    return Response(body, mimetype=mimetype, headers=headers)


def _parts(served: Services, named: str, parameters: dict[str, Any], parts_of: PartsOf) -> Generator[bytes]:
    """Yield nothing once the query runs, then the rows; the connection is given back however it ends."""
    with _slot(served), served.reads.streamed(named, **parameters) as rows:
        yield b""
        yield from parts_of(rows)


@contextmanager
def _slot(served: Services) -> Iterator[None]:
    if not served.export_slots.acquire(blocking=False):
        headers = {"Retry-After": str(RETRY_AFTER_S)}
        raise RequestRefused(503, "too-many-exports", "too many exports are running", headers=headers)
    try:
        yield
    finally:
        served.export_slots.release()
