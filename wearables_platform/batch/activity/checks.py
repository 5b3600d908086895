"""What must hold of aggregates, read back from where they were written: aggregates of aggregates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from wearables_platform.batch.windows import day_bounds_us
from wearables_platform.clients.lake import Lake
from wearables_platform.clients.sql import SqlClient
from wearables_platform.domain.time_policy import US_PER_S, from_us, to_us
from wearables_platform.partitions import neighbours
from wearables_platform.wire.lake_schemas import WINDOWS_DATASET

_HOUR_US: Final = 3_600 * US_PER_S
Rows = list[dict[str, Any]]
_PARTS: Final = "sedentary_s + light_s + moderate_s + vigorous_s"
_OF_A_DAY: Final = f"""
SELECT device_id, hour_start, windows, steps, {_PARTS} + unclassified_s + not_worn_s <> windows AS impossible,
       {_PARTS} <> (SELECT sum(bin) FROM unnest(enmo_histogram_s) AS bin) AS unlike
FROM telemetry.hourly_activity WHERE hour_start >= %s AND hour_start < %s
ORDER BY hour_start, device_id
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
SELECT 'other windows or steps than its hours' AS fault, d.participant_id, d.local_day::text AS local_day, d.windows,
       d.steps, h.least_windows, h.most_windows, h.least_steps, h.most_steps, d.device_ids
FROM telemetry.daily_activity d
LEFT JOIN hours h USING (participant_id, local_day)
WHERE d.ends > %(first)s AND d.begins < %(end)s AND d.begins >= %(synced_from)s AND d.ends <= %(synced_to)s
  AND (h.participant_id IS NULL OR d.windows NOT BETWEEN h.least_windows AND h.most_windows
       OR d.steps NOT BETWEEN h.least_steps AND h.most_steps)
"""
_IMPOSSIBLE: Final = f"""
SELECT 'its parts are not the whole' AS fault, participant_id, local_day::text AS local_day, windows, steps,
       NULL AS least_windows, NULL AS most_windows, NULL AS least_steps, NULL AS most_steps, device_ids
FROM telemetry.daily_activity
WHERE ends > %(first)s AND begins < %(end)s
  AND (worn_s + not_worn_s + wear_unknown_s <> windows OR windows > extract(epoch FROM ends - begins)
       OR {_PARTS} + unclassified_s + not_worn_s <> windows OR mvpa_s <> moderate_s + vigorous_s
       OR {_PARTS} <> (SELECT sum(bin) FROM unnest(enmo_histogram_s) AS bin)
       OR mvpa_bout_1min_s > mvpa_s OR (status = 'not_worn') <> (steps IS NULL))
"""


def hours_that_do_not_add_up(sql: SqlClient, lake: Lake, days: Sequence[str]) -> Rows:
    """Return the hours of devices that are wrong: what is the matter, and both sides of it.

    They hold the lake's windows and steps; of each hour, intensities, unclassified and unworn time are its windows,
    and the histogram is the time that has an intensity.
    """
    return [row for day in days for row in _wrong_hours(sql, lake, day)]


def _wrong_hours(sql: SqlClient, lake: Lake, day: str) -> Iterator[dict[str, Any]]:
    held = _held(lake, day)
    for row in sql.rows(_OF_A_DAY, tuple(map(from_us, day_bounds_us(day)))):
        windows, steps = held.pop((row["device_id"], to_us(row["hour_start"])), (0, 0))
        faults = {
            "other windows or steps than the lake's": (row["windows"], row["steps"]) != (windows, steps),
            "its parts are not the whole": row.pop("impossible"),
            "its histogram is not the time that has an intensity": row.pop("unlike"),
        }
        both = row | {"windows_in_lake": windows, "steps_in_lake": steps}
        yield from ({"fault": fault, **both} for fault, holds in faults.items() if holds)
    for (device_id, hour_us), (windows, steps) in sorted(held.items()):
        who = {"device_id": device_id, "hour_start": from_us(hour_us), "windows": None, "steps": None}
        yield {"fault": "no such hour", **who, "windows_in_lake": windows, "steps_in_lake": steps}


def _held(lake: Lake, day: str) -> dict[tuple[str, int], tuple[int, int]]:
    """Return windows and steps the lake has, by device and begin of the hour."""
    held: dict[tuple[str, int], tuple[int, int]] = {}
    for group in lake.scan(WINDOWS_DATASET, [day], columns=["device_id", "window_start", "steps"]):
        starts = group.column("window_start").cast(pa.int64())
        hours = pc.multiply(pc.divide(starts, _HOUR_US), _HOUR_US)
        columns = {
            "device_id": group.column("device_id"),
            "hour": hours,
            "steps": pc.fill_null(group.column("steps"), 0),
        }
        counted = pa.table(columns).group_by(["device_id", "hour"]).aggregate([("steps", "count"), ("steps", "sum")])
        for row in counted.to_pylist():
            key = (row["device_id"], row["hour"])
            windows, taken = held.get(key, (0, 0))
            held[key] = (windows + row["steps_count"], taken + row["steps_sum"])
    return held


def days_that_do_not_add_up(sql: SqlClient, lake: Lake, utc_days: Sequence[str]) -> Rows:
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
    return sql.rows(_IMPOSSIBLE, span) + sql.rows(_OF_PEOPLE, span)


def _built(sql: SqlClient, lake: Lake, utc_days: Sequence[str]) -> list[str]:
    """Return the days, and those of the two beside them whose hours are what the lake holds."""
    ordered = sorted(utc_days)
    before, *_, after = neighbours(ordered)
    beside = [day for day in (before, after) if not hours_that_do_not_add_up(sql, lake, [day])]
    return sorted([*ordered, *beside])
