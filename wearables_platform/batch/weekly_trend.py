"""The trend of a person's measures, week by week, over the 28 local days that end with the week."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from itertools import groupby
from typing import Any, Final
from zoneinfo import ZoneInfo

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
from wearables_platform.clients.sql import SqlClient
from wearables_platform.domain.time_policy import SETTLED_AFTER
from wearables_platform.partitions import local_days
from wearables_platform.signals.trend import Floats, mann_kendall, robust_z, theil_sen

DEFINITION_VERSION: Final = "weekly-trend/1"
WEEK_DAYS: Final = 7
TREND_DAYS: Final = 28
# Half the days: below it the normal approximation of the test and the interval of the slope say little.
MIN_VALID_DAYS: Final = 14
# Of the 21 days before a week, as many as a week has.
MIN_USUAL_DAYS: Final = 7
TOO_FEW_DAYS: Final = "too_few_valid_days"

TABLE: Final = DerivedRows(
    "telemetry.weekly_trend",
    {"participant_id": "text", "week_start": "date", "measure": "text"},
    {
        "unit": "text",
        "valid_days": "int4",
        "week_valid_days": "int4",
        "min_valid_days": "int4",
        "missing_because": "text",
        "slope_per_week": "float8",
        "slope_low_per_week": "float8",
        "slope_high_per_week": "float8",
        "kendall_tau": "float8",
        "p_value": "float8",
        "week_median": "float8",
        "week_robust_z": "float8",
        "status": "text",
        "definition_version": "text",
    },
)


def write_weekly_trend(sql: SqlClient, utc_days: Sequence[str], as_of: datetime, run_id: str) -> Written:
    """Compute every week whose 28 days these UTC days touch; again, and no row changes."""
    first, last = local_days(utc_days)
    weeks = weeks_touched(first, last)
    span = (weeks[0], weeks[-1])
    days = (span[0] - timedelta(days=TREND_DAYS - WEEK_DAYS), span[1] + timedelta(days=WEEK_DAYS - 1))
    with sql.transaction() as connection:
        people = queries.list_people(connection, first_day=days[0], last_day=days[1])
        zones = {participant_id: ZoneInfo(zone) for participant_id, _, _, _, zone, _ in people}
        rows = [
            (*row, run_id)
            for measure in MEASURES
            for row in trends(measure, valid_days(connection, measure, *days), weeks, zones, as_of)
        ]
        changed = TABLE.replace(connection, "week_start", span, rows)
    query = "SELECT * FROM telemetry.weekly_trend WHERE week_start BETWEEN %s AND %s ORDER BY 1, 2, 3"
    return Written(*span, sql.rows(query, span), changed)


def weeks_touched(first: date, last: date) -> list[date]:
    """Return the Mondays of the weeks whose 28 days hold a day of [first, last].

    >>> [str(week) for week in weeks_touched(date(2026, 3, 29), date(2026, 3, 29))]
    ['2026-03-23', '2026-03-30', '2026-04-06', '2026-04-13']
    """
    begin = _monday(first)
    end = _monday(last + timedelta(days=TREND_DAYS - WEEK_DAYS))
    return [begin + timedelta(days=at) for at in range(0, (end - begin).days + 1, WEEK_DAYS)]


def trends(
    measure: str, days: Iterable[PersonDay], weeks: Sequence[date], zones: Mapping[str, ZoneInfo], as_of: datetime
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a measure, keys then values; a week without a valid day of its own has none.

    `days` come by person, each person's by day.
    """
    for participant_id, own in groupby(days, key=lambda day: day.participant_id):
        dated = [(day.local_day.toordinal(), day.value) for day in own]
        at = np.array([ordinal for ordinal, _ in dated], np.float64)
        values = np.array([value for _, value in dated], np.float64)
        for week in weeks:
            of_week = _between(at, week, WEEK_DAYS)
            if of_week.stop > of_week.start:
                ends_at = datetime.combine(week + timedelta(days=WEEK_DAYS), time(), zones[participant_id])
                settled = status(ends_at + SETTLED_AFTER, as_of)
                yield (participant_id, week, measure, *_week(measure, at, values, week), settled, DEFINITION_VERSION)


def _week(measure: str, at: Floats, values: Floats, week: date) -> tuple[Any, ...]:
    begin = week - timedelta(days=TREND_DAYS - WEEK_DAYS)
    of_trend, of_week = _between(at, begin, TREND_DAYS), _between(at, week, WEEK_DAYS)
    median = float(np.median(values[of_week]))
    usual = values[of_trend.start : of_week.start]
    z = robust_z(median, usual) if len(usual) >= MIN_USUAL_DAYS else float("nan")
    n = of_trend.stop - of_trend.start
    return (
        MEASURES[measure],
        n,
        of_week.stop - of_week.start,
        MIN_VALID_DAYS,
        *_trend(at[of_trend], values[of_trend]),
        median,
        None if np.isnan(z) else z,
    )


def _trend(at: Floats, values: Floats) -> tuple[Any, ...]:
    """Return why there is no trend, then slope, its interval, tau and p."""
    if len(at) < MIN_VALID_DAYS:
        return TOO_FEW_DAYS, None, None, None, None, None
    slope, test = theil_sen(at / WEEK_DAYS, values), mann_kendall(values)
    return None, *slope, test.tau, test.p


def _between(at: Floats, begin: date, days: int) -> slice:
    low, high = np.searchsorted(at, [begin.toordinal(), begin.toordinal() + days])
    return slice(int(low), int(high))


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())
