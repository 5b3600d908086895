"""Participants: their hours, and what models make of their movement."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from pydantic import AwareDatetime, TypeAdapter

from wearables_platform.api import access, paging
from wearables_platform.api.answering import reply
from wearables_platform.api.parameters import (
    MAX_DAYS,
    MAX_HOURLY_DAYS,
    DayPage,
    DayRange,
    HourRange,
    Identifier,
    ParticipantPath,
)
from wearables_platform.api.participant_replies import (
    ActivitySegment,
    ActivitySegmentPage,
    HourlyActivity,
    HourlyActivityReply,
    HourlyHeartRate,
    HourlyHeartRateReply,
    HourlySteps,
    HourlyStepsReply,
    HourStatus,
    UnusualPeriod,
    UnusualPeriodPage,
)
from wearables_platform.api.participants import DEFAULT_DAYS, TAG, day_bounds
from wearables_platform.api.services import instant, services
from wearables_platform.domain.time_policy import LONGEST_READING_S, SETTLED_AFTER

Row = dict[str, Any]
_HOUR = timedelta(hours=1)
_SPAN_KEY = TypeAdapter(tuple[AwareDatetime, Identifier])


def add_routes(api: APIBlueprint) -> None:
    """Add the routes below `/participants` that are not about whole days."""
    routes: list[tuple[str, str, type, Any]] = [
        ("steps/hourly", "Steps per hour, by default of today", HourlyStepsReply, list_hourly_steps),
        ("heart-rate/hourly", "Heart rate per hour, by default of today", HourlyHeartRateReply, list_hourly_heart_rate),
        ("activity/hourly", "Activity per UTC hour, by default of today", HourlyActivityReply, list_hourly_activity),
        ("activities", "What models say was done when", ActivitySegmentPage, list_activities),
        ("unusual-periods", "What was unusual, and what made it so", UnusualPeriodPage, list_unusual_periods),
    ]
    for name, summary, answer, view in routes:
        path = f"/participants/<participant_id>/{name}"
        api.get(path, tags=[TAG], summary=summary, responses={"200": answer})(view)


def list_hourly_steps(path: ParticipantPath, query: HourRange) -> Response:
    """Return steps per hour, counted from local midnight; hours without data are missing, not zero."""
    as_of = instant(query.as_of)
    whose, rows = _hours(path.participant_id, query, as_of, "list_hourly_steps")
    items = [
        HourlySteps(**row, status=_status(row["hour_end"], as_of, measured=row["step_count"] is not None))
        for row in rows
    ]
    return reply(HourlyStepsReply(**whose, items=items))


def list_hourly_heart_rate(path: ParticipantPath, query: HourRange) -> Response:
    """Return heart rate per hour, counted from local midnight; hours without a reading are missing."""
    as_of = instant(query.as_of)
    whose, rows = _hours(path.participant_id, query, as_of, "list_hourly_heart_rates", longest_s=LONGEST_READING_S)
    items = [
        HourlyHeartRate(**row, status=_status(row["hour_end"], as_of, measured=bool(row["readings"]))) for row in rows
    ]
    return reply(HourlyHeartRateReply(**whose, items=items))


def list_hourly_activity(path: ParticipantPath, query: HourRange) -> Response:
    """Return activity per UTC hour and device; hours without data, and those a device changed hands in, have no row."""
    as_of = instant(query.as_of)
    whose, rows = _hours(path.participant_id, query, as_of, "list_hourly_activity")
    items = [HourlyActivity(**row, status=_status(row["hour_start"] + _HOUR, as_of, measured=True)) for row in rows]
    return reply(HourlyActivityReply(**whose, items=items))


def list_activities(path: ParticipantPath, query: DayPage) -> Response:
    """Return what models say was done when, oldest first, page by page."""
    rows, cursor = _spans(path.participant_id, query, "list_activities")
    return reply(ActivitySegmentPage(items=[ActivitySegment(**row) for row in rows], next_cursor=cursor))


def list_unusual_periods(path: ParticipantPath, query: DayPage) -> Response:
    """Return spans in which movement was unusual, oldest first, page by page, each with what made it so."""
    rows, cursor = _spans(path.participant_id, query, "list_unusual_periods")
    return reply(UnusualPeriodPage(items=[UnusualPeriod(**row) for row in rows], next_cursor=cursor))


def _hours(
    participant_id: str, query: HourRange, as_of: datetime, named: str, **parameters: Any
) -> tuple[Row, list[Row]]:
    zone, bounds = _asked(participant_id, query, as_of, default_days=1, most_days=MAX_HOURLY_DAYS)
    rows = _rows(named, participant_id, bounds, **parameters)
    whose = {"participant_id": participant_id, "time_zone": zone, "as_of": as_of}
    return whose, [row for row in rows if row["hour_start"] <= as_of]


def _spans(participant_id: str, query: DayPage, named: str) -> tuple[list[Row], str | None]:
    as_of = instant(query.as_of)
    _, bounds = _asked(participant_id, query, as_of, default_days=DEFAULT_DAYS, most_days=MAX_DAYS)
    scope = [named, participant_id, query.from_day, query.to_day, query.as_of]
    after = paging.read_cursor(query.cursor, scope, _SPAN_KEY) or (None, None)
    rows = _rows(named, participant_id, bounds, after_started=after[0], after_device=after[1], limit=query.limit + 1)
    return paging.cut_page(rows, query.limit, scope, ("started_at", "device_id"))


def _asked(
    participant_id: str, query: DayRange, as_of: datetime, *, default_days: int, most_days: int
) -> tuple[str, tuple[date, date]]:
    zone: str = access.visible_participant(services().reads, participant_id)["time_zone"]
    today = as_of.astimezone(ZoneInfo(zone)).date()
    return zone, day_bounds(query, today, default_days=default_days, most_days=most_days)


def _rows(named: str, participant_id: str, bounds: tuple[date, date], **parameters: Any) -> list[Row]:
    return services().reads.rows(
        named,
        studies=access.principal().study_filter,
        participant_id=participant_id,
        first_day=bounds[0],
        last_day=bounds[1],
        **parameters,
    )


def _status(hour_end: datetime, as_of: datetime, *, measured: bool) -> HourStatus:
    if not measured:
        return "missing"
    return "final" if hour_end + SETTLED_AFTER <= as_of else "provisional"
