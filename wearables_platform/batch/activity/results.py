"""From an engine's whole numbers to the rows that people read: the same arithmetic, once, for every engine."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final

import pyarrow as pa

from wearables_platform.batch.activity.definition import (
    BINS,
    BOUT_MINUTES,
    DEFINITION_VERSION,
    INTENSITIES,
    MILLION,
)
from wearables_platform.batch.activity.plan import LocalDay, Plan
from wearables_platform.domain.time_policy import SETTLED_AFTER, US_PER_S, from_us

VALID_DAY_S: Final = 10 * 3_600
_WEAR: Final = ("worn_s", "not_worn_s", "wear_unknown_s", "unclassified_s")
_BOUTS: Final = tuple(f"mvpa_bout_{minutes}min_s" for minutes in BOUT_MINUTES)
_HOUR_S: Final = 3_600

Row = dict[str, Any]


def hour_rows(hours: pa.Table, cut_points: str) -> list[Row]:
    """Return one row per device and UTC hour, as `telemetry.hourly_activity` names them."""
    return [_hour(sums, cut_points) for sums in hours.to_pylist()]


def day_rows(days: pa.Table, plan: Plan, as_of: datetime) -> list[Row]:
    """Return one row per person and local day that has a window, as `telemetry.daily_activity` names them."""
    devices: dict[int, list[str]] = defaultdict(list)
    for span in plan.spans:
        devices[span.day].append(span.device_id)
    return [
        _day(sums, plan.days[sums["day"]], devices[sums["day"]], plan.cut_points, as_of) for sums in days.to_pylist()
    ]


def _hour(sums: Mapping[str, Any], cut_points: str) -> Row:
    return {
        "device_id": sums["device_id"],
        "hour_start": from_us(sums["hour"] * US_PER_S),
        "windows": sums["windows"],
        "coverage": sums["coverage_ppm"] / (MILLION * _HOUR_S),
        "enmo_mean_mg": _mean(sums["enmo_sum"], sums["enmo_windows"]),
        "mad_mean_mg": _mean(sums["mad_sum"], sums["mad_windows"]),
        "steps": sums["steps"],
        **{name: sums[name] for name in (*INTENSITIES, *_WEAR)},
        **_activity(sums),
        "cut_points": cut_points,
        "definition_version": DEFINITION_VERSION,
    }


def _day(sums: Mapping[str, Any], day: LocalDay, devices: list[str], cut_points: str, as_of: datetime) -> Row:
    begins, ends = from_us(day.begins_s * US_PER_S), from_us(day.ends_s * US_PER_S)
    activity = {
        "steps": sums["steps"],
        **{name: sums[name] for name in INTENSITIES},
        **_activity(sums),
        # A day without moderate activity has no bout: that is none, not unknown.
        **{name: sums[name] or 0 for name in _BOUTS},
        **_extreme("m10", sums, day),
        **_extreme("l5", sums, day),
    }
    unworn = sums["not_worn_s"] == sums["windows"]
    return {
        "participant_id": day.participant_id,
        "local_day": date.fromisoformat(day.local_day),
        "time_zone": day.time_zone,
        "begins": begins,
        "ends": ends,
        "hours_in_day": (day.ends_s - day.begins_s) / _HOUR_S,
        "device_ids": sorted(set(devices)),
        "status": "not_worn" if unworn else "valid" if sums["worn_s"] >= VALID_DAY_S else "short",
        "windows": sums["windows"],
        "coverage": sums["coverage_ppm"] / (MILLION * (day.ends_s - day.begins_s)),
        **{name: sums[name] for name in _WEAR},
        **(dict.fromkeys(activity) if unworn else activity),
        "cut_points": cut_points,
        "definition_version": DEFINITION_VERSION,
        "final": ends + SETTLED_AFTER <= as_of,
    }


def _activity(sums: Mapping[str, Any]) -> Row:
    used = sum(sums[name] for name in INTENSITIES)
    return {
        "mvpa_s": sums["moderate_s"] + sums["vigorous_s"],
        "enmo_used_mean_mg": _mean(sums["worn_enmo_sum"], used),
        "enmo_histogram_s": [sums[name] for name in BINS],
    }


def _extreme(name: str, sums: Mapping[str, Any], day: LocalDay) -> Row:
    minute = sums[f"{name}_minute"]
    if minute is None:
        return {f"{name}_mg": None, f"{name}_start": None}
    start = from_us((day.begins_s + minute * 60) * US_PER_S)
    return {f"{name}_mg": _mean(sums[f"{name}_enmo_sum"], sums[f"{name}_used_s"]), f"{name}_start": start}


def _mean(total: int, count: int) -> float | None:
    return total / count / MILLION if count else None
