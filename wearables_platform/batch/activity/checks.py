"""What must hold of aggregates, read back from where they were written: aggregates of aggregates."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import pyarrow.compute as pc

from wearables_platform.batch.windows import day_bounds_us
from wearables_platform.clients.lake import Lake
from wearables_platform.clients.sql import SqlClient
from wearables_platform.domain.time_policy import from_us
from wearables_platform.partitions import neighbours
from wearables_platform.wire.lake_schemas import WINDOWS_DATASET

_PARTS: Final = "sedentary_s + light_s + moderate_s + vigorous_s"
_OF_A_DAY: Final = f"""
SELECT coalesce(sum(windows), 0) AS windows, coalesce(sum(steps), 0) AS steps,
       count(*) FILTER (WHERE {_PARTS} + unclassified_s + not_worn_s <> windows) AS impossible,
       count(*) FILTER (WHERE {_PARTS} <> (SELECT sum(bin) FROM unnest(enmo_histogram_s) AS bin)) AS unlike
FROM telemetry.hourly_activity WHERE hour_start >= %s AND hour_start < %s
"""
# Hours that lie in what counts for the day, and those it also touches, hold at least and at most what the day holds; in
# a zone of whole hours the two are the same.
_OF_PEOPLE: Final = """
WITH counted AS (SELECT * FROM platform.counted_days(%(first_day)s, %(last_day)s, 'activity')),
hours AS (
    SELECT a.participant_id, a.local_day,
           coalesce(sum(h.windows) FILTER (WHERE whole), 0) AS least_windows, sum(h.windows) AS most_windows,
           coalesce(sum(h.steps) FILTER (WHERE whole), 0) AS least_steps, sum(h.steps) AS most_steps
    FROM counted a
    JOIN telemetry.hourly_activity h
      ON h.device_id = a.device_id AND h.hour_start > a.from_time - interval '1 hour' AND h.hour_start < a.to_time
    CROSS JOIN LATERAL (
        SELECT h.hour_start >= a.from_time AND h.hour_start + interval '1 hour' <= a.to_time AS whole) w
    GROUP BY 1, 2
)
SELECT d.participant_id, d.local_day::text AS local_day, d.windows, d.steps, h.least_windows, h.most_windows,
       h.least_steps, h.most_steps
FROM telemetry.daily_activity d
LEFT JOIN hours h USING (participant_id, local_day)
WHERE d.ends > %(first)s AND d.begins < %(end)s AND d.begins >= %(synced_from)s AND d.ends <= %(synced_to)s
  AND (h.participant_id IS NULL OR d.windows NOT BETWEEN h.least_windows AND h.most_windows
       OR d.steps NOT BETWEEN h.least_steps AND h.most_steps)
"""
_IMPOSSIBLE: Final = f"""
SELECT participant_id, local_day::text AS local_day FROM telemetry.daily_activity
WHERE ends > %(first)s AND begins < %(end)s
  AND (worn_s + not_worn_s + wear_unknown_s <> windows OR windows > extract(epoch FROM ends - begins)
       OR {_PARTS} + unclassified_s + not_worn_s <> windows OR mvpa_s <> moderate_s + vigorous_s
       OR {_PARTS} <> (SELECT sum(bin) FROM unnest(enmo_histogram_s) AS bin)
       OR mvpa_bout_1min_s > mvpa_s OR (status = 'not_worn') <> (steps IS NULL))
"""


def hours_that_do_not_add_up(sql: SqlClient, lake: Lake, days: Sequence[str]) -> list[str]:
    """Return what is wrong with the hours of each day.

    They hold the lake's windows and steps; of each hour, intensities, unclassified and unworn time are its windows,
    and the histogram is the time that has an intensity.
    """
    wrong = []
    for day in days:
        (found,) = sql.rows(_OF_A_DAY, tuple(map(from_us, day_bounds_us(day))))
        held = _held(lake, day)
        if (found["windows"], found["steps"]) != held or found["impossible"] or found["unlike"]:
            wrong.append(
                f"{day}: {found['windows']} windows and {found['steps']} steps by hour, {held[0]} and {held[1]} in the "
                f"lake; {found['impossible']} hours whose parts, {found['unlike']} whose histogram is not the whole"
            )
    return wrong


def _held(lake: Lake, day: str) -> tuple[int, int]:
    windows = steps = 0
    for group in lake.scan(WINDOWS_DATASET, [day], columns=["steps"]):
        windows += group.num_rows
        steps += pc.sum(group.column("steps")).as_py() or 0
    return windows, steps


def days_that_do_not_add_up(sql: SqlClient, lake: Lake, utc_days: Sequence[str]) -> list[str]:
    """Return the person-days that are impossible in themselves, or do not hold what their hours hold.

    The second is asked of days all of whose hours are built: those beside the given ones may be yet to come.
    """
    first, end = from_us(day_bounds_us(min(utc_days))[0]), from_us(day_bounds_us(max(utc_days))[1])
    built = _built(sql, lake, utc_days)
    span = {
        "first": first,
        "end": end,
        "synced_from": from_us(day_bounds_us(built[0])[0]),
        "synced_to": from_us(day_bounds_us(built[-1])[1]),
        "first_day": (first - timedelta(days=1)).date(),
        "last_day": end.date(),
    }
    wrong = [f"{_who(row)}: its parts are not the whole" for row in sql.rows(_IMPOSSIBLE, span)]
    return wrong + [
        f"{_who(row)}: {row['windows']} windows and {row['steps']} steps, by its hours {row['least_windows']} to "
        f"{row['most_windows']} and {row['least_steps']} to {row['most_steps']}"
        for row in sql.rows(_OF_PEOPLE, span)
    ]


def _built(sql: SqlClient, lake: Lake, utc_days: Sequence[str]) -> list[str]:
    """Return the days, and those of the two beside them whose hours are what the lake holds."""
    ordered = sorted(utc_days)
    before, *_, after = neighbours(ordered)
    beside = [day for day in (before, after) if not hours_that_do_not_add_up(sql, lake, [day])]
    return sorted([*ordered, *beside])


def _who(row: dict[str, Any]) -> str:
    return f"{row['participant_id']} on {row['local_day']}"
