"""What a participant's daily number rests on: readings, exclusions, versions, and what was said of the day before."""

from __future__ import annotations

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

_VALUES = {"steps": "step_count", "heart_rate": "heart_rate_mean_bpm"}


class Revision(BaseModel):
    """What was said of a day, and from when to when."""

    revision: int = Field(description="Counts up with each correction, from 1.")
    said_from: datetime | None = Field(description="Since when; null where that is not known.")
    said_until: datetime | None = Field(description="Until when; null while it is still said.")
    superseded_because: str | None = Field(description="Why it was superseded; null while it is still said.")
    value: float | None = Field(description="The number; null where nothing was measured.")
    final: bool = Field(description="Whether it was final then.")
    origin: str = Field(description="Who computed it: stream or batch.")


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
    """Readings a rule did not let through."""

    device_id: str
    rule: str = Field(description="Name of the rule.")
    readings: int = Field(description="Readings, count.")
    least: float | None = Field(description="Least of the values excluded.")
    greatest: float | None = Field(description="Greatest of them.")


class Definition(BaseModel):
    """By what the day was last computed."""

    definition_version: str = Field(description="Version of the definition.")
    run_id: str = Field(description="Run that last changed the row.")
    resting_method: str | None = Field(description="How resting heart rate was found.")


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
    exclusions: list[Exclusion] = Field(description="What was not let through, by rule.")
    definition: Definition | None = Field(description="Of heart rate: the definition it was computed by.")


def add_routes(api: APIBlueprint) -> None:
    """Add the route."""
    api.get(
        "/participants/<participant_id>/explain",
        tags=[TAG],
        summary="What a daily number rests on, and what was said before",
        responses={"200": Explanation},
    )(explain_day)


def explain_day(path: ParticipantPath, query: ExplainQuery) -> Response:
    """Return the evidence of a day's steps or heart rate: readings, exclusions by rule, versions, earlier revisions."""
    reads, as_of = services().reads, instant(query.as_of)
    access.visible_participant(reads, path.participant_id)
    whose = {
        "studies": access.principal().study_filter,
        "participant_id": path.participant_id,
        "local_day": query.day,
    }
    revisions = reads.rows("list_day_revisions", **whose, as_of=as_of)
    definitions = reads.rows("find_day_definition", **whose) if query.number == "heart_rate" else []
    shown = [(_revision(row, query.number), row["said_then"]) for row in revisions]
    body = Explanation(
        participant_id=path.participant_id,
        local_day=query.day,
        number=query.number,
        unit="/min" if query.number == "heart_rate" else "{steps}",
        as_of=as_of,
        said_then=next((one for one, said in shown if said), None),
        revisions=[one for one, _ in shown],
        coverage=_coverage(revisions, definitions, query.number),
        contributions=[Contribution(**row) for row in reads.rows("list_day_evidence", **whose, number=query.number)],
        exclusions=[Exclusion(**row) for row in reads.rows("list_day_exclusions", **whose, number=query.number)],
        definition=Definition(**definitions[0]) if definitions else None,
    )
    return reply(body)


def _revision(row: dict[str, Any], number: Literal["steps", "heart_rate"]) -> Revision:
    return Revision(
        revision=row["revision"],
        said_from=row["written_at"],
        said_until=row["superseded_at"],
        superseded_because=row["superseded_because"],
        value=row[_VALUES[number]],
        final=row["final"],
        origin=row["origin"],
    )


def _coverage(revisions: list[dict[str, Any]], definitions: list[dict[str, Any]], number: str) -> float | None:
    if number == "heart_rate":
        return definitions[0]["coverage"] if definitions else None
    present = [row["step_coverage"] for row in revisions if row["superseded_at"] is None]
    return present[0] if present else None
