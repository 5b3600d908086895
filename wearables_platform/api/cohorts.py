"""Means over groups of people, published so that nobody can be read out of them."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from datetime import date
from typing import Any

import numpy as np
from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from wearables_platform.api import access
from wearables_platform.api.answering import reply
from wearables_platform.api.parameters import ActivityCohortQuery, CohortQuery, GroupedBy
from wearables_platform.api.replies import ActivityGroup, ActivityGroups, HeartRateGroup, HeartRateGroups
from wearables_platform.api.services import services
from wearables_platform.domain.groups import AGE_BANDS, age_band
from wearables_platform.signals.bootstrap import bootstrap_interval

_TAG = Tag(name="cohorts", description="Means over groups of people; small groups are hidden.")
AGE_GROUPS = [age_band(low) for low, _ in AGE_BANDS]
SEXES = ["female", "male", "other", "unknown"]
_UNITS = {"mvpa": "min/d", "steps": "{steps}/d", "enmo": "mg"}


def add_routes(api: APIBlueprint) -> None:
    """Add the routes below `/cohorts`."""
    api.get(
        "/cohorts/heart-rate",
        tags=[_TAG],
        summary="Mean heart rate by age group, sex or device model",
        responses={"200": HeartRateGroups},
    )(list_heart_rates)
    api.get(
        "/cohorts/activity",
        tags=[_TAG],
        summary="Mean activity by age group, sex or device model",
        responses={"200": ActivityGroups},
    )(list_activity)


def list_heart_rates(query: CohortQuery) -> Response:
    """Return the mean of per-person mean heart rates by group, with its 95 % bootstrap interval over people.

    Every group is listed. One with fewer people than the minimum, or none, is hidden: neither its mean nor its size is
    in the answer. So is the smallest of the others where the people left over would be too few.
    """
    groups = [
        HeartRateGroup(
            group=row["group"],
            age_group=row["group"] if query.by == "age_group" else None,
            hidden=row["hidden"],
            n_people=row["n_people"],
            heart_rate_mean_bpm=row["mean"],
            heart_rate_mean_low_bpm=row["low"],
            heart_rate_mean_high_bpm=row["high"],
        )
        for row in _groups("heart_rate", query)
    ]
    body = HeartRateGroups(by=query.by, month=query.month, min_group_size=services().min_group_size, groups=groups)
    return reply(body)


def list_activity(query: ActivityCohortQuery) -> Response:
    """Return the mean of per-person means over final days worn for ten hours, by group, as for heart rate."""
    body = ActivityGroups(
        by=query.by,
        month=query.month,
        measure=query.measure,
        unit=_UNITS[query.measure],
        min_group_size=services().min_group_size,
        groups=[ActivityGroup(**row) for row in _groups(query.measure, query)],
    )
    return reply(body)


def _groups(measure: str, query: CohortQuery) -> Iterator[dict[str, Any]]:
    first_day, last_day = _month(query.month)
    rows = services().reads.rows(
        "list_cohort_means",
        studies=access.principal().study_filter,
        measure=measure,
        by=query.by,
        first_day=first_day,
        last_day=last_day,
        members=_members(query.by),
        min_group_size=services().min_group_size,
    )
    for row in rows:
        low, high = None, None
        if row["person_means"]:
            key = (measure, query.by, row["member"], query.month)
            low, high = bootstrap_interval(np.array(row["person_means"], np.float64), key)
        shown = {name: row[name] for name in ("hidden", "n_people", "mean")}
        yield {"group": row["member"], **shown, "low": low, "high": high}


def _members(by: GroupedBy) -> list[Any]:
    if by == "age_group":
        return list(AGE_GROUPS)
    if by == "sex":
        return SEXES
    rows = services().reads.rows("list_device_models", studies=access.principal().study_filter)
    return [row["device_model"] for row in rows]


def _month(text: str | None) -> tuple[date, date] | tuple[None, None]:
    if text is None:
        return None, None
    year, month = map(int, text.split("-"))
    return date(year, month, 1), date(year, month, calendar.monthrange(year, month)[1])
