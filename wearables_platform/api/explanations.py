"""What a participant's daily number rests on: readings, exclusions, versions, and what was said of the day before."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from pydantic import BaseModel, Field

from wearables_platform.api import access
from wearables_platform.api.answering import reply
from wearables_platform.api.parameters import ExplainQuery, ParticipantPath
from wearables_platform.api.participants import TAG
from wearables_platform.api.services import instant, services

Number = Literal["steps", "heart_rate", "activity"]
Row = dict[str, Any]
_VALUES = {"steps": "step_count", "heart_rate": "heart_rate_mean_bpm", "activity": "mvpa_s"}
_DEFINED_BY = ("definition_version", "run_id", "cut_points")
# In the order in which they are asked: a second is excluded by the first that applies.
_RULES = ("another_device", "not_worn", "too_few_samples", "no_enmo")
_UNITS = {"steps": "{steps}", "heart_rate": "/min", "activity": "s"}


class ActivityNumbers(BaseModel):
    """All numbers of a day's activity, and by what they were computed."""

    wear: str = Field(description="valid, short or not_worn.")
    coverage: float = Field(description="Share of the day that has samples, 0 to 1.")
    windows: int = Field(description="Seconds that have data, count.")
    worn_s: int = Field(description="Worn, seconds.")
    not_worn_s: int = Field(description="Not worn, seconds.")
    wear_unknown_s: int = Field(description="Not known whether worn, seconds.")
    unclassified_s: int = Field(description="Too few samples for an intensity, seconds.")
    steps: int | None = Field(description="Steps found in acceleration, steps.")
    sedentary_s: int | None = Field(description="Sedentary, seconds.")
    light_s: int | None = Field(description="Light activity, seconds.")
    moderate_s: int | None = Field(description="Moderate activity, seconds.")
    vigorous_s: int | None = Field(description="Vigorous activity, seconds.")
    mvpa_s: int | None = Field(description="Moderate and vigorous activity, seconds.")
    enmo_used_mean_mg: float | None = Field(description="Mean ENMO of the seconds used, milli-g.")
    device_ids: list[str] = Field(description="Devices whose windows are counted.")
    cut_points: str = Field(description="Name of the cut points between intensities.")
    definition_version: str = Field(description="Version of the definition.")
    run_id: str = Field(description="Run that wrote it.")


class Revision(BaseModel):
    """What was said of a day, and from when to when."""

    revision: int = Field(description="Counts up with each correction, from 1.")
    said_from: datetime | None = Field(description="Since when; null where that is not known.")
    said_until: datetime | None = Field(description="Until when; null while it is still said.")
    superseded_because: str | None = Field(description="Why it was superseded; null while it is still said.")
    value: float | None = Field(description="The number; null where nothing was measured.")
    final: bool = Field(description="Whether it was final then.")
    origin: str = Field(description="Who computed it: stream or batch.")
    activity: ActivityNumbers | None = Field(None, description="Of activity: all its numbers.")


class ContributingWindows(BaseModel):
    """Seconds of one device that went through one version of the code."""

    device_id: str
    feature_version: str = Field(description="Version of the features.")
    origin: str = Field(description="Who wrote them: stream or batch.")
    windows: int = Field(description="Seconds with data while the device was worn by the participant, count.")
    used: int = Field(description="Of these, seconds that have an intensity, count.")
    worn: int = Field(description="Of those that count for the day, seconds judged worn, count.")
    wear_unknown: int = Field(description="Of those that count, seconds of which it is not known, count.")
    first_time: datetime = Field(description="Begin of the first.")
    last_time: datetime = Field(description="Begin of the last.")
    greatest_revision: int = Field(description="Highest revision among them.")


class Contribution(BaseModel):
    """Clean readings of one device that went through one version of the code."""

    device_id: str
    cleaned_by: str = Field(description="Version of the code that let them through.")
    origin: str = Field(description="Who wrote them: stream or batch.")
    readings: int = Field(description="Readings, or reported spans of steps, count.")
    messages: int = Field(description="Messages they came in, count.")
    first_time: datetime = Field(description="Time of the first.")
    last_time: datetime = Field(description="Time of the last.")
    greatest_revision: int = Field(description="Above 1 where a reading was corrected.")


class Exclusion(BaseModel):
    """Readings, or seconds of activity, that a rule did not let through."""

    device_id: str
    rule: str = Field(description="Name of the rule.")
    readings: int = Field(description="Readings, or seconds, count.")
    least: float | None = Field(description="Least of the values excluded.")
    greatest: float | None = Field(description="Greatest of them.")


class Definition(BaseModel):
    """By what the day was last computed."""

    definition_version: str = Field(description="Version of the definition.")
    run_id: str = Field(description="Run that last changed the row.")
    resting_method: str | None = Field(None, description="How resting heart rate was found.")
    cut_points: str | None = Field(None, description="Of activity: name of the cut points between intensities.")


class Explanation(BaseModel):
    """A daily number and its evidence."""

    participant_id: str
    local_day: date
    number: str
    unit: str = Field(description="Unit of the values, UCUM.")
    as_of: datetime = Field(description="The instant the answer is for.")
    said_then: Revision | None = Field(description="What was said at `as_of`; null where nothing was.")
    revisions: list[Revision] = Field(description="Everything said up to `as_of`, newest first.")
    coverage: float | None = Field(description="Share of the day the present readings stand for, 0 to 1.")
    contributions: list[Contribution] = Field(description="The clean readings of the day, as they are now.")
    windows: list[ContributingWindows] = Field(description="Of activity: the seconds of the day, as they are now.")
    exclusions: list[Exclusion] = Field(description="What was not let through, by rule.")
    definition: Definition | None = Field(description="Of heart rate, activity: what it was computed by.")


def add_routes(api: APIBlueprint) -> None:
    """Add the route."""
    api.get(
        "/participants/<participant_id>/explain",
        tags=[TAG],
        summary="What a daily number rests on, and what was said before",
        responses={"200": Explanation},
    )(explain_day)


def explain_day(path: ParticipantPath, query: ExplainQuery) -> Response:
    """Return the evidence of a day's number: readings or seconds, exclusions by rule, versions, earlier revisions."""
    reads, as_of = services().reads, instant(query.as_of)
    access.visible_participant(reads, path.participant_id)
    whose = {
        "studies": access.principal().study_filter,
        "participant_id": path.participant_id,
        "local_day": query.day,
    }
    told = _of_activity(whose, as_of) if query.number == "activity" else _of_readings(whose, query.number, as_of)
    shown = [(_revision(row, query.number), row["said_then"]) for row in told.revisions]
    body = Explanation(
        participant_id=path.participant_id,
        local_day=query.day,
        number=query.number,
        unit=_UNITS[query.number],
        as_of=as_of,
        said_then=next((one for one, said in shown if said), None),
        revisions=[one for one, _ in shown],
        coverage=told.coverage,
        contributions=told.contributions,
        windows=told.windows,
        exclusions=told.exclusions,
        definition=told.definition,
    )
    return reply(body)


@dataclass(frozen=True)
class _Evidence:
    """What the database says of a day."""

    revisions: list[Row]
    coverage: float | None
    exclusions: list[Exclusion]
    definition: Definition | None
    contributions: list[Contribution] = field(default_factory=list)
    windows: list[ContributingWindows] = field(default_factory=list)


def _of_readings(whose: dict[str, Any], number: Number, as_of: datetime) -> _Evidence:
    reads = services().reads
    revisions = reads.rows("list_day_revisions", **whose, as_of=as_of)
    definitions = reads.rows("find_day_definition", **whose) if number == "heart_rate" else []
    return _Evidence(
        revisions,
        _coverage(revisions, definitions, number),
        [Exclusion(**row) for row in reads.rows("list_day_exclusions", **whose, number=number)],
        Definition(**definitions[0]) if definitions else None,
        contributions=[Contribution(**row) for row in reads.rows("list_day_evidence", **whose, number=number)],
    )


def _of_activity(whose: dict[str, Any], as_of: datetime) -> _Evidence:
    reads = services().reads
    revisions = reads.rows("list_activity_revisions", **whose, as_of=as_of)
    present = next((row for row in revisions if row["superseded_at"] is None), None)
    rows = reads.rows("list_day_windows", **whose)
    return _Evidence(
        revisions,
        None if present is None else present["coverage"],
        _excluded_windows(rows),
        None if present is None else Definition(**{name: present[name] for name in _DEFINED_BY}),
        windows=[ContributingWindows(**{name: row[name] for name in ContributingWindows.model_fields}) for row in rows],
    )


def _excluded_windows(rows: list[Row]) -> list[Exclusion]:
    counts: Counter[tuple[str, str]] = Counter()
    for row in rows:
        counts.update({(row["device_id"], rule): row[rule] for rule in _RULES if row[rule]})
    return [
        Exclusion(device_id=device_id, rule=rule, readings=seconds, least=None, greatest=None)
        for (device_id, rule), seconds in sorted(counts.items())
    ]


def _revision(row: Row, number: Number) -> Revision:
    return Revision(
        revision=row["revision"],
        said_from=row["written_at"],
        said_until=row["superseded_at"],
        superseded_because=row["superseded_because"],
        value=row[_VALUES[number]],
        final=row["final"],
        origin=row["origin"],
        activity=_activity_numbers(row) if number == "activity" else None,
    )


def _activity_numbers(row: Row) -> ActivityNumbers:
    named = {name: row[name] for name in ActivityNumbers.model_fields if name != "wear"}
    return ActivityNumbers(**named, wear=row["status"])


def _coverage(revisions: list[Row], definitions: list[Row], number: Number) -> float | None:
    if number == "heart_rate":
        return definitions[0]["coverage"] if definitions else None
    present = [row["step_coverage"] for row in revisions if row["superseded_at"] is None]
    return present[0] if present else None
