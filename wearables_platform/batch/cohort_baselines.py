"""What is usual among people like somebody: per-person means of a calendar month, by what people have in common."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import groupby
from typing import Any, Final

import numpy as np

from wearables_platform.batch.heart_rate_days import Written
from wearables_platform.batch.measures import (
    MEASURES,
    DerivedRows,
    PersonDay,
    queries,
    status,
    valid_days,
)
from wearables_platform.clients.sql import Connection, SqlClient
from wearables_platform.domain.groups import age_band
from wearables_platform.domain.time_policy import SETTLED_AFTER
from wearables_platform.partitions import local_days
from wearables_platform.signals.bootstrap import bootstrap_interval
from wearables_platform.signals.trend import Floats

DEFINITION_VERSION: Final = "cohort-baselines/1"
# A person with fewer valid days in the month is not counted (the field's custom for a week).
MIN_PERSON_DAYS: Final = 4
# The last zone on Earth ends a day 12 hours after UTC.
_LAST_ZONE: Final = timedelta(hours=12)
_PERCENTILES: Final = (5, 25, 50, 75, 95)

TABLE: Final = DerivedRows(
    "telemetry.cohort_baselines",
    {"month_start": "date", "study_id": "text", "dimension": "text", "member": "text", "measure": "text"},
    {
        "unit": "text",
        "n_people": "int4",
        "person_days": "int4",
        **dict.fromkeys(("mean", "mean_low", "mean_high", "p05", "p25", "median", "p75", "p95"), "float8"),
        "min_group_size": "int4",
        "hidden": "bool",
        "status": "text",
        "definition_version": "text",
    },
)


@dataclass(frozen=True)
class Person:
    """A member of a cohort in a month: what the cohorts are cut by, None where unknown, and the days that count."""

    participant_id: str
    study_id: str
    members: Mapping[str, str | None]
    days: int
    mean: float


def write_cohort_baselines(
    sql: SqlClient, utc_days: Sequence[str], as_of: datetime, run_id: str, min_group_size: int
) -> Written:
    """Compute every month these UTC days touch, and those a smaller minimum size was in force for.

    Again, and no row changes.
    """
    first, last = local_days(utc_days)
    with sql.transaction() as connection:
        query = "SELECT DISTINCT month_start FROM telemetry.cohort_baselines WHERE min_group_size <> %s"
        outdated = {month for (month,) in connection.execute(query, (min_group_size,))}
        months = sorted({*months_touched(first, last), *outdated})
        changed = sum(_write_month(connection, month, as_of, run_id, min_group_size) for month in months)
    query = "SELECT * FROM telemetry.cohort_baselines WHERE month_start = ANY(%s) ORDER BY 1, 2, 3, 4, 5"
    return Written(months[0], months[-1], sql.rows(query, (months,)), changed)


def months_touched(first: date, last: date) -> list[date]:
    """Return the first days of the months of [first, last].

    >>> [str(month) for month in months_touched(date(2026, 1, 31), date(2026, 2, 1))]
    ['2026-01-01', '2026-02-01']
    """
    months = [first.replace(day=1)]
    while (following := _next_month(months[-1])) <= last:
        months.append(following)
    return months


def baselines(measure: str, month: date, people: Sequence[Person], min_group_size: int) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a measure and month, keys then values up to `hidden`."""
    for study_id, group in groupby(sorted(people, key=_by_study), key=lambda person: person.study_id):
        of_study = list(group)
        for dimension in ("study", *of_study[0].members):
            cohorts = _cohorts(of_study, dimension)
            shown = published(
                {member: len(cohort) for member, cohort in cohorts.items()}, len(of_study), min_group_size
            )
            for member, cohort in sorted(cohorts.items()):
                key = (month, study_id, dimension, member, measure)
                values = np.array([person.mean for person in cohort])
                days = sum(person.days for person in cohort)
                yield (
                    *key,
                    MEASURES[measure],
                    len(cohort),
                    days,
                    *_summary(values, key),
                    min_group_size,
                    member not in shown,
                )


def published(sizes: Mapping[str, int], people: int, min_group_size: int) -> set[str]:
    """Return the members whose group may be shown: large enough, and nobody can be found by taking them from the whole.

    If all but one or a few people of a study are in groups that are shown, the study's own figures tell about those
    few; the smallest groups shown are then hidden too.

    >>> sorted(published({"female": 8, "male": 6}, 14, 5)), sorted(published({"female": 8, "male": 6}, 15, 5))
    (['female', 'male'], ['female'])
    """
    shown = {member for member, size in sizes.items() if size >= min_group_size}
    while shown and 0 < people - sum(sizes[member] for member in shown) < min_group_size:
        shown.remove(min(shown, key=lambda member: (sizes[member], member)))
    return shown


def _write_month(connection: Connection, month: date, as_of: datetime, run_id: str, min_group_size: int) -> int:
    last = _next_month(month) - timedelta(days=1)
    ends_at = datetime.combine(last + timedelta(days=1), time(), UTC) + _LAST_ZONE
    settled = status(ends_at + SETTLED_AFTER, as_of)
    registered = {row[0]: row for row in queries.list_people(connection, first_day=month, last_day=last)}
    rows = [
        (*row, settled, DEFINITION_VERSION, run_id)
        for measure in MEASURES
        for row in baselines(
            measure, month, _people(valid_days(connection, measure, month, last), registered, month), min_group_size
        )
    ]
    return TABLE.replace(connection, "month_start", (month, month), rows)


def _people(days: Iterable[PersonDay], registered: Mapping[str, Sequence[Any]], month: date) -> list[Person]:
    found = []
    for participant_id, own in groupby(days, key=lambda day: day.participant_id):
        values = np.array([day.value for day in own])
        if len(values) >= MIN_PERSON_DAYS:
            _, study_id, birth_year, sex, _, device_model = registered[participant_id]
            members = {"age_band": age_band(month.year - birth_year), "sex": sex, "device_model": device_model}
            found.append(Person(participant_id, study_id, members, len(values), float(values.mean())))
    return found


def _cohorts(people: Sequence[Person], dimension: str) -> dict[str, list[Person]]:
    cohorts: dict[str, list[Person]] = {}
    for person in people:
        member = person.study_id if dimension == "study" else person.members[dimension]
        if member is not None:
            cohorts.setdefault(member, []).append(person)
    return cohorts


def _summary(values: Floats, key: Iterable[object]) -> tuple[float, ...]:
    """Return mean, its interval, and the percentiles."""
    return float(values.mean()), *bootstrap_interval(values, key), *np.percentile(values, _PERCENTILES).tolist()


def _by_study(person: Person) -> tuple[str, str]:
    return person.study_id, person.participant_id


def _next_month(month: date) -> date:
    return (month.replace(day=1) + timedelta(days=32)).replace(day=1)
