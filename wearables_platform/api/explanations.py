"""What a participant's daily number rests on: readings, exclusions, versions, and what was said of the day before."""

from __future__ import annotations

from typing import Any, Literal

from flask import Response
from flask_openapi3.blueprint import APIBlueprint

from wearables_platform.api import access
from wearables_platform.api.answering import reply
from wearables_platform.api.explanation_replies import Contribution, Definition, Exclusion, Explanation, Revision
from wearables_platform.api.parameters import ExplainQuery, ParticipantPath
from wearables_platform.api.participants import TAG
from wearables_platform.api.services import instant, services

_VALUES = {"steps": "step_count", "heart_rate": "heart_rate_mean_bpm"}


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
