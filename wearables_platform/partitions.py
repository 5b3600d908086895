"""Days: the one way the batch side is cut. A partition is a UTC day; a person's local days are computed from them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import date, timedelta

import dagster as dg

from wearables_platform.domain.time_policy import EARLIEST_EVENT_US, US_PER_DAY, event_day

# Single-run backfills and partitioned checks are marked beta and preview; the lock file holds the version they are
# tested with, and a warning per asset would hide the warnings that matter.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)

# The first day the time policy accepts: every message that is archived as data has a partition to land in, also
# recordings of long ago that are replayed today.
FIRST_DAY = event_day(EARLIEST_EVENT_US)

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()

# The day in progress is a partition too: it is written again each hour and final when it is over.
DAYS = dg.DailyPartitionsDefinition(start_date=FIRST_DAY, end_offset=1)

# A month is one run: the engines read ranges, and thirty runs would spend their time starting.
ONE_RUN = dg.BackfillPolicy.single_run()


def day_bounds_us(day: str) -> tuple[int, int]:
    """Return the first instant of a UTC day and of the next one.

    >>> day_bounds_us("1970-01-02")
    (86400000000, 172800000000)
    """
    first = (date.fromisoformat(day).toordinal() - _EPOCH_ORDINAL) * US_PER_DAY
    return first, first + US_PER_DAY


def local_days(utc_days: Sequence[str]) -> tuple[date, date]:
    """Return the first and last local day that some zone begins or ends within these UTC days.

    >>> local_days(["2026-03-29", "2026-03-28"])
    (datetime.date(2026, 3, 27), datetime.date(2026, 3, 30))
    """
    first, last = date.fromisoformat(min(utc_days)), date.fromisoformat(max(utc_days))
    return first - timedelta(days=1), last + timedelta(days=1)


def neighbours(days: Sequence[str]) -> list[str]:
    """Return the days, and the day before and after each, ascending.

    >>> neighbours(["2026-03-01"])
    ['2026-02-28', '2026-03-01', '2026-03-02']
    """
    wanted = {date.fromisoformat(day) + timedelta(days=step) for day in days for step in (-1, 0, 1)}
    return [day.isoformat() for day in sorted(wanted)]


def contiguous(days: Sequence[str]) -> list[tuple[str, str]]:
    """Group days into ranges of consecutive days: each becomes one run.

    >>> contiguous(["2026-03-03", "2026-03-01", "2026-03-02", "2026-03-09"])
    [('2026-03-01', '2026-03-03'), ('2026-03-09', '2026-03-09')]
    """
    ranges: list[tuple[str, str]] = []
    for day in sorted(set(days)):
        before = (date.fromisoformat(day) - timedelta(days=1)).isoformat()
        if ranges and ranges[-1][1] == before:
            ranges[-1] = (ranges[-1][0], day)
        else:
            ranges.append((day, day))
    return ranges


def contiguous_keys(days: Sequence[str]) -> list[list[str]]:
    """Group days into lists of consecutive days.

    >>> contiguous_keys(["2026-03-03", "2026-03-01", "2026-03-02", "2026-03-09"])
    [['2026-03-01', '2026-03-02', '2026-03-03'], ['2026-03-09']]
    """
    ordered = sorted(set(days))
    return [[day for day in ordered if first <= day <= last] for first, last in contiguous(ordered)]
