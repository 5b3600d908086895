"""Devices: their signal at any zoom, and how complete it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
from flask import Response
from flask_openapi3.blueprint import APIBlueprint

from wearables_platform.api import access
from wearables_platform.api.answering import reply
from wearables_platform.api.devices import TAG
from wearables_platform.api.parameters import (
    MAX_DAYS,
    MAX_GAPS,
    MAX_HOURLY_DAYS,
    CompletenessQuery,
    DevicePath,
    WaveformQuery,
)
from wearables_platform.api.participants import DEFAULT_DAYS, day_bounds
from wearables_platform.api.replies import CompleteDay, Completeness, Gap, WaveformPart, WaveformReply
from wearables_platform.api.services import instant, services
from wearables_platform.batch.waveform import Waveform, lake_reach_us, waveform
from wearables_platform.clients.lake import Lake
from wearables_platform.domain.time_policy import US_PER_DAY, US_PER_S, from_us, to_us
from wearables_platform.signals.zoom import point_width_us
from wearables_platform.web.problems import refuse_parameter

_AXES = "xyz"
_COLUMNS = [f"{what}_{end}_g" for what in ("x", "y", "z", "vm") for end in ("min", "mean", "max")]
_DAY_S = 86_400.0


def add_routes(api: APIBlueprint) -> None:
    """Add the routes below `/devices` that are about the signal."""
    api.get(
        "/devices/<device_id>/waveform",
        tags=[TAG],
        summary="Acceleration over any span in at most so many points",
        responses={"200": WaveformReply},
    )(read_waveform)
    api.get(
        "/devices/<device_id>/completeness",
        tags=[TAG],
        summary="How much of each UTC day was measured, and what did not come",
        responses={"200": Completeness},
    )(list_completeness)


def read_waveform(path: DevicePath, query: WaveformQuery) -> Response:
    """Return acceleration as least, mean and greatest per point.

    Points are read from the lake as far as it reaches, from the coarsest level that is fine enough or from the samples;
    after that from the features per second in SQL.
    """
    access.visible_device(services().reads, path.device_id)
    first_us, end_us = to_us(query.from_time), to_us(query.to_time)
    if end_us - first_us > MAX_HOURLY_DAYS * US_PER_DAY:
        refuse_parameter("to", f"at most {MAX_HOURLY_DAYS} days can be drawn at once")
    spans = _visible_spans(path.device_id, first_us, end_us)
    lake = services().lake
    reach_us = None if lake is None else lake_reach_us(lake, path.device_id, spans)
    parts = [
        part
        for span, points in zip(spans, _shares(query.points, spans), strict=True)
        for part in _parts(lake, path.device_id, span, reach_us, points)
        if part.time_us
    ]
    body = WaveformReply(
        device_id=path.device_id,
        points=sum(len(part.time_us) for part in parts),
        lake_until=None if reach_us is None else from_us(reach_us),
        parts=parts,
    )
    return reply(body)


def list_completeness(path: DevicePath, query: CompletenessQuery) -> Response:
    """Return the share of each UTC day that has samples, and the gaps: messages that did not come."""
    access.visible_device(services().reads, path.device_id)
    as_of = instant(query.as_of)
    first_day, last_day = day_bounds(query, as_of.date(), default_days=DEFAULT_DAYS, most_days=MAX_DAYS)
    whose = {"studies": access.principal().study_filter, "device_id": path.device_id}
    rows = services().reads.rows("list_completeness", **whose, first_day=first_day, last_day=last_day)
    gaps = services().reads.rows(
        "list_gaps", **whose, from_time=_begin(first_day), to_time=_end(last_day), limit=MAX_GAPS + 1
    )
    body = Completeness(
        device_id=path.device_id,
        as_of=as_of,
        items=[CompleteDay(**row, share=_share_of_day(row, as_of)) for row in rows],
        gaps=[Gap(**gap) for gap in gaps[:MAX_GAPS]],
        gaps_truncated=len(gaps) > MAX_GAPS,
    )
    return reply(body)


def _visible_spans(device_id: str, first_us: int, end_us: int) -> list[tuple[int, int]]:
    """Return the parts of [first, end) in which somebody the caller may see wore the device, in the order of time.

    Nothing beyond them is read: how a span is drawn must not tell what was measured on others.
    """
    studies = access.principal().study_filter
    if studies is None:
        return [(first_us, end_us)]
    spans = []
    for row in services().reads.rows("list_visible_spans", studies=studies, device_id=device_id):
        begin_us = max(first_us, to_us(row["valid_from"]))
        stop_us = end_us if row["valid_to"] is None else min(end_us, to_us(row["valid_to"]))
        if begin_us < stop_us:
            spans.append((begin_us, stop_us))
    return spans


def _shares(points: int, spans: Sequence[tuple[int, int]]) -> list[int]:
    """Return how many of the points are each span's: in proportion, all of them together."""
    ends = np.cumsum([0, *(stop - begin for begin, stop in spans)])
    shares: list[int] = np.diff(ends * points // max(1, int(ends[-1]))).tolist()
    return shares


def _parts(
    lake: Lake | None, device_id: str, span: tuple[int, int], reach_us: int | None, points: int
) -> Iterator[WaveformPart]:
    first_us, end_us = span
    border_us = first_us if reach_us is None else max(first_us, min(end_us, reach_us))
    of_lake = _share(points, border_us - first_us, end_us - border_us)
    if lake is not None and of_lake:
        found = waveform(lake, device_id, first_us, border_us, of_lake)
        yield _lake_part(found, _within(found, span))
    if of_lake < points:
        yield _sql_part(device_id, border_us, end_us, points - of_lake)


def _share(points: int, of_lake_us: int, of_sql_us: int) -> int:
    """Return how many of the points are the lake's: in proportion, but one for whoever has a part, if there are two."""
    if not of_lake_us or not of_sql_us or points < 2:
        return points if of_lake_us else 0
    return min(points - 1, max(1, points * of_lake_us // (of_lake_us + of_sql_us)))


def _within(found: Waveform, span: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return which points lie wholly in a span, where somebody else may have worn the device beyond it."""
    if access.principal().study_filter is None:
        return np.ones(len(found), bool)
    return (found.start_us >= span[0]) & (found.start_us + max(1, found.width_us) <= span[1])


def _lake_part(found: Waveform, visible: npt.NDArray[np.bool_]) -> WaveformPart:
    columns: dict[str, Any] = dict.fromkeys(_COLUMNS)
    for axis, name in enumerate(_AXES):
        for end, values in (("min", found.low_g), ("mean", found.mean_g), ("max", found.high_g)):
            columns[f"{name}_{end}_g"] = _plain(values[visible, axis])
    return WaveformPart(
        source="lake",
        level=_level(found.level_us),
        width_us=found.width_us,
        time_us=found.start_us[visible].tolist(),
        n=found.n[visible].tolist(),
        **columns,
    )


def _sql_part(device_id: str, first_us: int, end_us: int, points: int) -> WaveformPart:
    # A second the lake holds a part of is the lake's.
    first_us = -(-first_us // US_PER_S) * US_PER_S
    width_us = point_width_us(first_us, end_us, points, US_PER_S) if end_us > first_us else US_PER_S
    rows = services().reads.rows(
        "list_waveform_windows",
        studies=access.principal().study_filter,
        device_id=device_id,
        from_time=from_us(first_us),
        to_time=from_us(end_us),
        width_us=width_us,
    )
    told = ("vm_min_g", "vm_mean_g", "vm_max_g", "x_mean_g", "y_mean_g", "z_mean_g")
    columns: dict[str, Any] = dict.fromkeys(_COLUMNS) | {name: [row[name] for row in rows] for name in told}
    return WaveformPart(
        source="sql",
        level=_level(US_PER_S),
        width_us=width_us,
        time_us=[row["start_us"] for row in rows],
        n=[row["n"] for row in rows],
        **columns,
    )


def _level(level_us: int) -> str:
    if not level_us:
        return "samples"
    return f"{level_us // US_PER_S} s" if level_us >= US_PER_S else f"{level_us // 1_000} ms"


def _plain(values: npt.NDArray[np.floating[Any]]) -> Sequence[float]:
    # Seven digits are what a 32-bit float holds; more would be noise of the conversion.
    plain: list[float] = np.round(values.astype(np.float64), 7).tolist()
    return plain


def _share_of_day(row: dict[str, Any], as_of: datetime) -> float:
    passed_s = min(_DAY_S, (as_of - _begin(row["day"])).total_seconds())
    return min(1.0, row["measured_s"] / passed_s) if passed_s > 0 else 0.0


def _begin(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _end(day: date) -> datetime:
    return _begin(day) + timedelta(days=1)
