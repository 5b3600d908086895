"""Participants: their days."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from wearables_platform.api import access
from wearables_platform.api.answering import reply
from wearables_platform.api.parameters import MAX_DAYS, DayRange, ParticipantPath
from wearables_platform.api.participant_replies import (
    DailyActivity,
    DailyActivityReply,
    DailyHeartRate,
    DailyHeartRateReply,
    DailySteps,
    DailyStepsReply,
)
from wearables_platform.api.services import instant, services
from wearables_platform.web.problems import refuse_parameter

TAG = Tag(name="participants", description="A participant's days, in their own time zone.")
DEFAULT_DAYS = 30
_OF_A_DAY = {"local_day", "day_start", "day_end", "hours_in_day", "status", "coverage", "said_from"}

Row = dict[str, Any]
Status = Literal["final", "provisional", "missing"]


def add_routes(api: APIBlueprint) -> None:
    """Add the routes below `/participants`."""
    api.get(
        "/participants/<participant_id>/steps/daily",
        tags=[TAG],
        summary="Steps per local day, by default of the past month",
        responses={"200": DailyStepsReply},
    )(list_daily_steps)
    api.get(
        "/participants/<participant_id>/heart-rate/daily",
        tags=[TAG],
        summary="Heart rate per local day, by default of the past month",
        responses={"200": DailyHeartRateReply},
    )(list_daily_heart_rate)
    api.get(
        "/participants/<participant_id>/activity/daily",
        tags=[TAG],
        summary="Activity per local day, by default of the past month",
        responses={"200": DailyActivityReply},
    )(list_daily_activity)


def list_daily_steps(path: ParticipantPath, query: DayRange) -> Response:
    """Return steps per local day. Days without data are listed as missing; days after `as_of` are not listed."""
    as_of = instant(query.as_of)
    zone, rows = _days(path.participant_id, query, as_of)
    items = [
        DailySteps(
            **_span(row, as_of, measured=row["step_count"] is not None),
            step_count=row["step_count"],
            coverage=row["step_coverage"] or 0.0,
        )
        for row in rows
    ]
    return reply(DailyStepsReply(participant_id=path.participant_id, time_zone=zone, as_of=as_of, items=items))


def list_daily_heart_rate(path: ParticipantPath, query: DayRange) -> Response:
    """Return heart rate per local day. Days without data are listed as missing; days after `as_of` are not listed."""
    as_of = instant(query.as_of)
    zone, rows = _days(path.participant_id, query, as_of)
    items = [
        DailyHeartRate(
            **_span(row, as_of, measured=bool(row["heart_rate_readings"])),
            mean_bpm=row["heart_rate_mean_bpm"],
            min_bpm=row["heart_rate_min_bpm"],
            max_bpm=row["heart_rate_max_bpm"],
            resting_bpm=row["resting_heart_rate_bpm"],
            readings=row["heart_rate_readings"] or 0,
        )
        for row in rows
    ]
    return reply(DailyHeartRateReply(participant_id=path.participant_id, time_zone=zone, as_of=as_of, items=items))


def list_daily_activity(path: ParticipantPath, query: DayRange) -> Response:
    """Return activity per local day. Days without data are listed as missing; days after `as_of` are not listed."""
    as_of = instant(query.as_of)
    zone, rows = _days(path.participant_id, query, as_of, "list_daily_activity")
    items = [
        DailyActivity(
            **_span(row, as_of, measured=row["wear"] is not None),
            coverage=row["coverage"] or 0.0,
            **{name: row[name] for name in DailyActivity.model_fields if name not in _OF_A_DAY},
        )
        for row in rows
    ]
    return reply(DailyActivityReply(participant_id=path.participant_id, time_zone=zone, as_of=as_of, items=items))


def day_bounds(query: DayRange, today: date, *, default_days: int, most_days: int) -> tuple[date, date]:
    """Return the first and last local day asked for; nothing after `today` can have been measured."""
    last_day = min(query.to_day or today, today)
    first_day = query.from_day or (query.to_day or today) - timedelta(days=default_days - 1)
    if (last_day - first_day).days >= most_days:
        refuse_parameter("from", f"at most {most_days} days can be asked for at once")
    return first_day, last_day


def _days(
    participant_id: str, query: DayRange, as_of: datetime, named: str = "list_daily_summaries"
) -> tuple[str, list[Row]]:
    participant = access.visible_participant(services().reads, participant_id)
    zone: str = participant["time_zone"]
    today = as_of.astimezone(ZoneInfo(zone)).date()
    first_day, last_day = day_bounds(query, today, default_days=DEFAULT_DAYS, most_days=MAX_DAYS)
    rows = services().reads.rows(
        named,
        studies=access.principal().study_filter,
        participant_id=participant_id,
        first_day=first_day,
        last_day=last_day,
        as_of=query.as_of,
    )
    return zone, rows


def _span(row: Row, as_of: datetime, *, measured: bool) -> dict[str, Any]:
    return {
        **{name: row[name] for name in ("local_day", "day_start", "day_end", "hours_in_day", "said_from")},
        "status": _status(row, as_of, measured=measured),
    }


def _status(row: Row, as_of: datetime, *, measured: bool) -> Status:
    if not measured:
        return "missing"
    return "final" if row["final"] and row["day_end"] <= as_of else "provisional"
