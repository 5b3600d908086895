"""The platform itself: models in force, counts per stage, recent events, the live stream."""

from __future__ import annotations

import re
from typing import Any

from flask import Response, request
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from wearables_platform.api import access
from wearables_platform.api.answering import cut_off_slow_readers, reply
from wearables_platform.api.live import LiveStream
from wearables_platform.api.parameters import MAX_FULL_ROWS, ModelQuery, RecentQuery, StreamQuery
from wearables_platform.api.replies import Models, ModelVersion, RecentAnomalies, StageCount, Stages
from wearables_platform.api.services import instant, services
from wearables_platform.web.problems import refuse_parameter

_TAG = Tag(name="platform", description="Models, counts per stage, live values.")
_EVENT_ID = re.compile(r"\d{1,19}-\d{1,19}")


def add_routes(api: APIBlueprint) -> None:
    """Add the remaining routes."""
    api.get("/models", tags=[_TAG], summary="Model versions, and which is in force", responses={"200": Models})(
        list_models
    )
    api.get("/stages", tags=[_TAG], summary="Counts per stage", responses={"200": Stages})(list_stages)
    api.get("/anomalies/recent", tags=[_TAG], summary="Newest events", responses={"200": RecentAnomalies})(
        list_recent_anomalies
    )
    api.get("/live/stream", tags=[_TAG], summary="Live values as server-sent events", responses=_STREAM_RESPONSES)(
        stream_live
    )


_STREAM_RESPONSES: dict[str | int, Any] = {
    "200": {
        "description": "Events `hello`, `fleet`, `device`, `trace`, `anomalies`, `platform`, `unavailable`, of JSON.",
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
    }
}


def list_models(query: ModelQuery) -> Response:
    """Return every model version, newest first, and what the stream has loaded."""
    as_of = instant(query.as_of)
    rows = services().reads.rows("list_models", as_of=as_of)
    live = services().fleet.source.live_models()
    return reply(Models(as_of=as_of, live=live, items=[ModelVersion(**row) for row in rows]))


def list_stages() -> Response:
    """Return how many log positions each consumer has read, by what became of them."""
    access.require_operator()
    rows = services().reads.rows("list_stage_counts")
    return reply(Stages(items=[StageCount(**row) for row in rows]))


def list_recent_anomalies(query: RecentQuery) -> Response:
    """Return the newest events of all devices, newest first."""
    return reply(RecentAnomalies(items=services().fleet.recent(query.limit, access.visible_since())))


def stream_live(query: StreamQuery) -> Response:
    """Send live values as server-sent events; reconnect with `Last-Event-ID` to miss no event."""
    if query.rows == "full" and query.limit > MAX_FULL_ROWS:
        refuse_parameter("limit", f"more than {MAX_FULL_ROWS} devices need rows=compact")
    if query.device is not None:
        access.visible_device(services().reads, query.device)
    visible = access.visible_since()
    stream = LiveStream(
        services().fleet,
        services().clock,
        query.device,
        query.limit,
        visible,
        _platform_state(everything=access.principal().role == "operator"),
        last_anomaly_id=_last_event_id(),
        compact=query.rows == "compact",
    )
    body = services().streams.open(stream)
    cut_off_slow_readers()
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Response(body, mimetype="text/event-stream", headers=headers)


def _last_event_id() -> str | None:
    given = request.headers.get("Last-Event-ID")
    if given is not None and not _EVENT_ID.fullmatch(given):
        refuse_parameter("Last-Event-ID", "is not the id of an event of this stream")
    return given


def _platform_state(*, everything: bool) -> Any:
    """Return what tells the page of models and stages; built here because a stream outlives its request."""
    reads, source = services().reads, services().fleet.source

    def state() -> dict[str, Any]:
        if not everything:
            return {"models": source.live_models(), "counters": {}, "stages": []}
        stages = reads.rows("list_stage_counts")
        return {"models": source.live_models(), "counters": source.counters(), "stages": stages}

    return state
