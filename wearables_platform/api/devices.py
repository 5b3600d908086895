"""Devices: who they are, what they said last, their features and events."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag
from pydantic import AwareDatetime, TypeAdapter

from wearables_platform.api import access, paging
from wearables_platform.api.answering import reply
from wearables_platform.api.parameters import AnomalyRange, DevicePath, Identifier, LatestQuery, Page, SignalRange
from wearables_platform.api.replies import (
    Anomaly,
    AnomalyPage,
    Device,
    DevicePage,
    FeaturePage,
    Latest,
    WindowFeatures,
)
from wearables_platform.api.services import instant, services

TAG = Tag(name="devices", description="Devices, their newest values, features and events.")
_DEVICE_KEY = TypeAdapter(tuple[Identifier])
_WINDOW_KEY = TypeAdapter(tuple[AwareDatetime])
_ANOMALY_KEY = TypeAdapter(tuple[AwareDatetime, Identifier, AwareDatetime])


def add_routes(api: APIBlueprint) -> None:
    """Add the routes below `/devices`."""
    api.get("/devices", tags=[TAG], summary="List devices", responses={"200": DevicePage})(list_devices)
    api.get(
        "/devices/<device_id>/latest", tags=[TAG], summary="Newest values by event time", responses={"200": Latest}
    )(read_latest)
    api.get("/devices/<device_id>/features", tags=[TAG], summary="Features per second", responses={"200": FeaturePage})(
        list_features
    )
    api.get("/devices/<device_id>/anomalies", tags=[TAG], summary="Events", responses={"200": AnomalyPage})(
        list_anomalies
    )


def list_devices(query: Page) -> Response:
    """Return devices in the order of their id, page by page."""
    after = paging.read_cursor(query.cursor, ["devices"], _DEVICE_KEY)
    rows = services().reads.rows(
        "list_devices",
        studies=access.principal().study_filter,
        after=after[0] if after else None,
        limit=query.limit + 1,
    )
    items, cursor = paging.cut_page(rows, query.limit, ["devices"], ("device_id",))
    return reply(DevicePage(items=[Device(**row) for row in items], next_cursor=cursor))


def read_latest(path: DevicePath, query: LatestQuery) -> Response:
    """Return the newest values of a device by event time, and whether they may be read as of now."""
    access.visible_device(services().reads, path.device_id)
    visible = access.visible_since(path.device_id)
    return reply(services().fleet.one(path.device_id, instant(query.as_of), visible))


def list_features(path: DevicePath, query: SignalRange) -> Response:
    """Return features of acceleration, one row per second that has samples, oldest first."""
    access.visible_device(services().reads, path.device_id)
    scope = ["features", path.device_id, query.from_time, query.to_time, query.as_of]
    after = paging.read_cursor(query.cursor, scope, _WINDOW_KEY)
    rows = _said_then(
        "list_features",
        query.as_of,
        studies=access.principal().study_filter,
        device_id=path.device_id,
        from_time=query.from_time,
        to_time=query.to_time,
        after=after[0] if after else None,
        limit=query.limit + 1,
    )
    items, cursor = paging.cut_page(rows, query.limit, scope, ("window_start",))
    page = FeaturePage(items=[WindowFeatures(**row) for row in items], next_cursor=cursor, as_of=query.as_of)
    return reply(page)


def list_anomalies(path: DevicePath, query: AnomalyRange) -> Response:
    """Return events of a device whose window starts in the range, oldest first."""
    access.visible_device(services().reads, path.device_id)
    scope = ["anomalies", path.device_id, query.from_time, query.to_time, query.kind, query.as_of]
    after: tuple[datetime | None, str | None, datetime | None] = paging.read_cursor(
        query.cursor, scope, _ANOMALY_KEY
    ) or (None, None, None)
    rows = _said_then(
        "list_anomalies",
        query.as_of,
        studies=access.principal().study_filter,
        device_id=path.device_id,
        from_time=query.from_time,
        to_time=query.to_time,
        kind=query.kind,
        after_window=after[0],
        after_kind=after[1],
        after_started=after[2],
        limit=query.limit + 1,
    )
    items, cursor = paging.cut_page(rows, query.limit, scope, ("window_start", "kind", "started_at"))
    return reply(AnomalyPage(items=[Anomaly(**row) for row in items], next_cursor=cursor, as_of=query.as_of))


def _said_then(query: str, as_of: datetime | None, **parameters: Any) -> list[dict[str, Any]]:
    """Run a query over what is said now, or its other over what was said then."""
    if as_of is None:
        return services().reads.rows(query, **parameters)
    return services().reads.rows(f"{query}_said_then", **parameters, as_of=as_of)
