"""A lake with windows and wear of several devices, and local days as the database would cut them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from wearables_platform.batch.activity.plan import Plan, plan_hours, planned_spans
from wearables_platform.clients.lake import Lake
from wearables_platform.clients.lake_files import FileObjects
from wearables_platform.domain.groups import DEFAULT_CUT_POINTS, CutPoints
from wearables_platform.wire.lake_schemas import WEAR_DATASET, WINDOWS_DATASET

INSTANT = pa.timestamp("us", tz="UTC")


@dataclass(frozen=True)
class Worn:
    """A device worn by a person: part of an assignment."""

    participant_id: str
    time_zone: str
    device_id: str
    valid_from: datetime = datetime(2020, 1, 1, tzinfo=UTC)
    valid_to: datetime = datetime(2040, 1, 1, tzinfo=UTC)


def local_days(worn: Sequence[Worn], first: date, last: date) -> Iterator[dict[str, Any]]:
    """Yield rows as ``platform.worn_days`` does."""
    for one in worn:
        for step in range((last - first).days + 1):
            day = first + timedelta(days=step)
            midnights = (datetime.combine(day + timedelta(days=n), datetime.min.time()) for n in (0, 1))
            begins, ends = (each.replace(tzinfo=ZoneInfo(one.time_zone)).astimezone(UTC) for each in midnights)
            if one.valid_from < ends and one.valid_to > begins:
                yield {
                    "participant_id": one.participant_id,
                    "time_zone": one.time_zone,
                    "local_day": day,
                    "begins": begins,
                    "ends": ends,
                    "device_id": one.device_id,
                    "from_time": max(begins, one.valid_from),
                    "to_time": min(ends, one.valid_to),
                }


def walking_and_resting(rng: np.random.Generator, seconds: NDArray[np.int64]) -> NDArray[np.float64]:
    """ENMO with a rhythm of rest and brisk spells, so that bouts of every length occur and nearly occur."""
    brisk = np.sin(seconds / 1_500.0) + 0.4 * np.sin(seconds / 97.0) > 0.4
    enmo = np.where(brisk, rng.gamma(6.0, 40.0, len(seconds)), rng.gamma(1.0, 25.0, len(seconds)))
    enmo[rng.random(len(seconds)) < 0.01] = np.nan
    return enmo


def window_rows(rng: np.random.Generator, device_id: str, seconds: NDArray[np.int64]) -> list[dict[str, Any]]:
    """Windows of a device, one per given second."""
    enmo = walking_and_resting(rng, seconds)
    coverage = rng.choice([1.0, 0.97, 0.5, 0.2], len(seconds), p=[0.9, 0.05, 0.03, 0.02])
    steps = rng.integers(0, 3, len(seconds))
    columns = zip(seconds.tolist(), enmo.tolist(), coverage.tolist(), steps.tolist(), strict=True)
    return [
        {
            "device_id": device_id,
            "second": second,
            "coverage": share,
            "enmo_mg": None if value != value else value,  # noqa: PLR0124 - NaN is null at rest
            "mad_mg": None if value != value else value / 3,  # noqa: PLR0124
            "steps": None if value != value else count,  # noqa: PLR0124
        }
        for second, value, share, count in columns
    ]


def wear_rows(rng: np.random.Generator, windows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Quarters of an hour in which a device has windows: most worn, some not, some unknown, some without a row."""
    quarters = sorted({(row["device_id"], row["second"] // 900 * 900) for row in windows})
    kinds = rng.choice(4, len(quarters), p=[0.8, 0.1, 0.05, 0.05])
    states = {0: (1, 20.0), 1: (2, 1.0), 2: (0, None)}
    return [
        {"device_id": device, "second": second, "still_axes": states[kind][0], "sd_mg": states[kind][1]}
        for (device, second), kind in zip(quarters, kinds.tolist(), strict=True)
        if kind in states
    ]


def publish(lake: Lake, dataset: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Write rows to the days they belong to, sorted; returns the days."""
    by_day: dict[str, list[Mapping[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: (row["device_id"], row["second"])):
        by_day.setdefault(datetime.fromtimestamp(row["second"], UTC).date().isoformat(), []).append(row)
    for day, found in by_day.items():
        lake.publish(lake.edition(dataset, day), [_table(found)], time_columns=("window_start", "window_start"))
    return sorted(by_day)


def _table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    whole = {"steps": pa.int32(), "still_axes": pa.int32()}
    columns = {
        name: pa.array([row[name] for row in rows], whole.get(name, pa.float64()))
        for name in rows[0]
        if name not in ("device_id", "second")
    }
    instants = pa.array([row["second"] * 1_000_000 for row in rows], pa.int64()).cast(INSTANT)
    return pa.table({"device_id": [row["device_id"] for row in rows], "window_start": instants, **columns})


@dataclass(frozen=True)
class Rig:
    """A lake, what is in it as plain rows, and the plan over it."""

    lake: Lake
    windows: list[dict[str, Any]]
    wear: list[dict[str, Any]]
    plan: Plan


def rig(
    directory: Path,
    worn: Sequence[Worn],
    windows: list[dict[str, Any]],
    wear: list[dict[str, Any]],
    *,
    cut_points: CutPoints = DEFAULT_CUT_POINTS,
) -> Rig:
    """Publish windows and wear, and plan every local day they touch."""
    from dataclasses import replace

    lake = Lake(FileObjects(directory))
    utc_days = publish(lake, WINDOWS_DATASET, windows)
    publish(lake, WEAR_DATASET, wear)
    first, last = date.fromisoformat(utc_days[0]), date.fromisoformat(utc_days[-1])
    plan = plan_hours(lake, utc_days, cut_points)
    assigned = local_days(worn, first - timedelta(days=1), last + timedelta(days=1))
    days, spans = planned_spans(assigned)
    return Rig(lake, windows, wear, replace(plan, days=days, spans=spans))


def several_people(midnight: datetime) -> tuple[list[Worn], list[dict[str, Any]], list[dict[str, Any]]]:
    """A person in Berlin who changes devices, one in New York, one in Kathmandu, nobody's watch; windows and wear."""
    rng = np.random.default_rng(11)
    base = int(midnight.timestamp())
    change = midnight + timedelta(hours=9, seconds=1_234, microseconds=250_000)
    worn = [
        Worn("berliner", "Europe/Berlin", "watch-a", valid_to=change),
        Worn("berliner", "Europe/Berlin", "watch-b", valid_from=change),
        Worn("new-yorker", "America/New_York", "watch-c"),
        Worn("kathmandu", "Asia/Kathmandu", "watch-d"),
        Worn("without-data", "UTC", "watch-z"),
    ]
    hours = {"watch-a": (-1, 10), "watch-b": (9, 13), "watch-c": (2, 6), "watch-d": (17, 20), "watch-e": (0, 1)}
    windows = []
    for device, (first, end) in hours.items():
        seconds = np.arange(base + first * 3_600, base + end * 3_600)
        kept = seconds[(rng.random(len(seconds)) > 0.02) & (seconds // 1_000 % 17 != 3)]
        windows += window_rows(rng, device, kept)
    return worn, windows, wear_rows(rng, windows)
