"""What a participant's daily number rests on: readings, exclusions, versions, and what was said of the day before."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from flask import Response
from flask_openapi3.blueprint import APIBlueprint

from wearables_platform.api import access
from wearables_platform.api.answering import reply
from wearables_platform.api.explanation_replies import (
    ActivityNumbers,
    ContributingWindows,
    Contribution,
    Definition,
    Exclusion,
    Explanation,
    Revision,
)
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
