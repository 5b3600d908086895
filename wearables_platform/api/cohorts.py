"""Means over groups of people, published so that nobody can be read out of them."""

from __future__ import annotations

import calendar
from datetime import date

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from wearables_platform.api import access
from wearables_platform.api.answering import reply
from wearables_platform.api.parameters import CohortQuery
from wearables_platform.api.replies import HeartRateGroup, HeartRateGroups
from wearables_platform.api.services import services
from wearables_platform.domain.groups import AGE_BANDS, age_band

_TAG = Tag(name="cohorts", description="Means over groups of people; small groups are hidden.")
AGE_GROUPS = [age_band(low) for low, _ in AGE_BANDS]


def add_routes(api: APIBlueprint) -> None:
    """Add the routes below `/cohorts`."""
    api.get(
        "/cohorts/heart-rate",
        tags=[_TAG],
        summary="Mean heart rate by age group",
        responses={"200": HeartRateGroups},
    )(list_heart_rates)


def list_heart_rates(query: CohortQuery) -> Response:
    """Return the mean of per-person mean heart rates by age group.

    Every group is listed. One with fewer people than the minimum, or none, is hidden: neither its mean nor its size is
    in the answer, and there is no total to subtract from.
    """
    first_day, last_day = _month(query.month)
    rows = services().reads.rows(
        "list_cohort_heart_rates",
        studies=access.principal().study_filter,
        first_day=first_day,
        last_day=last_day,
        age_groups=AGE_GROUPS,
        min_group_size=services().min_group_size,
    )
    groups = [HeartRateGroup(**row) for row in rows]
    body = HeartRateGroups(by=query.by, month=query.month, min_group_size=services().min_group_size, groups=groups)
    return reply(body)


def _month(text: str | None) -> tuple[date, date] | tuple[None, None]:
    if text is None:
        return None, None
    year, month = map(int, text.split("-"))
    return date(year, month, 1), date(year, month, calendar.monthrange(year, month)[1])
