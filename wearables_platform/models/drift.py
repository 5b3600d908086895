"""By how much a version of a device's software shifted what it measures, within the same people where there are any.

A person's hour of the day after the change is compared with the same hour before it, so that neither who wears the
device nor when decides; the medians over hours and people are robust against odd ones, the interval is a seeded
bootstrap over people.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from wearables_platform.clients.lake import Lake
from wearables_platform.clients.sql import Json, SqlClient, load_queries
from wearables_platform.models.training_set import Wear
from wearables_platform.signals.windows import FEATURE_VERSION
from wearables_platform.wire.feature_schema import WINDOWS_DATASET
from wearables_platform.wire.lake_schemas import STATUS_DATASET

DRIFT_CODE_VERSION: Final = "2"
FEATURES: Final = ("enmo_mg", "mad_mg", "vm_mean_g", "jerk_rms_g_s")
HOUR_US: Final = 3_600_000_000
MIN_WINDOWS: Final = 600
"""An hour with fewer windows does not count."""
MIN_HOURS: Final = 3
"""Hours of the day a person must have on both sides."""
MIN_PEOPLE: Final = 6
"""Of fewer, no interval of a median reaches 95 %: that all of five lie on one side of it has a chance of 6 % (two-sided
sign test), of six 3 %. A bootstrap of fewer would claim a confidence it has not."""
CONFIDENCE: Final = 0.95
RESAMPLES: Final = 2_000
SEED: Final = 20_250_101
MIN_SHIFT_PERCENT: Final = 5.0

_queries: Final[Any] = load_queries(Path(__file__).parents[1] / "sql" / "models" / "models.sql")
Hours = Mapping[int, list[float]]  # hour of the day to the feature's hourly means


@dataclass(frozen=True)
class Hour:
    """The means of one hour of one device on one person under one version of its software."""

    device_model: str
    person: str
    version: str
    hour: int
    means: Mapping[str, float]


@dataclass(frozen=True)
class Shift:
    """A feature's change from one version to the next on a device model, percent of what it was before."""

    device_model: str
    feature: str
    version_before: str
    version_after: str
    people: int
    paired: bool
    shift_percent: float
    low_percent: float
    high_percent: float

    @property
    def significant(self) -> bool:
        """Whether the interval leaves out 0 and the change is large enough to matter."""
        beyond = self.low_percent > 0 or self.high_percent < 0
        return beyond and abs(self.shift_percent) >= MIN_SHIFT_PERCENT


def gather_hours(
    lake: Lake, days: Sequence[str], wears: Sequence[Wear], device_models: Mapping[str, str]
) -> list[Hour]:
    """Return the hours of some days with enough windows, under one known version from begin to end."""
    versions = _versions(lake, days)
    worn = defaultdict(list)
    for wear in wears:
        worn[wear.device_id].append(wear)
    return [
        Hour(device_models.get(device_id, "unknown"), person, version, hour, means)
        for device_id, hour, means in _hourly_means(lake, days)
        for person in _wearer(worn[device_id], hour)
        for version in _version_of(versions.get(device_id, []), hour)
    ]


def _hourly_means(lake: Lake, days: Sequence[str]) -> Iterator[tuple[str, int, dict[str, float]]]:
    columns = ["device_id", "window_start", *FEATURES, "feature_version"]
    for part in lake.scan(WINDOWS_DATASET, sorted(days), columns=columns):
        rows = part.filter(pc.equal(part.column("feature_version"), FEATURE_VERSION))
        hour = pc.divide(rows.column("window_start").cast(pa.int64()), HOUR_US)
        grouped = rows.append_column("hour", hour).group_by(["device_id", "hour"])
        sums = grouped.aggregate([("enmo_mg", "count"), *((name, "mean") for name in FEATURES)])
        for row in sums.to_pylist():
            means = {name: row[f"{name}_mean"] for name in FEATURES}
            if row["enmo_mg_count"] >= MIN_WINDOWS and None not in means.values():
                yield row["device_id"], row["hour"], means


def _versions(lake: Lake, days: Sequence[str]) -> dict[str, list[tuple[int, str]]]:
    """Return per device when it said which software it runs, ascending."""
    found: dict[str, list[tuple[int, str]]] = defaultdict(list)
    columns = ["device_id", "start_time_us", "client_version", "firmware"]
    for part in lake.scan(STATUS_DATASET, sorted(days), columns=columns):
        for row in part.to_pylist():
            label = " ".join(filter(None, (row["client_version"], row["firmware"])))
            if label:
                found[row["device_id"]].append((row["start_time_us"], label))
    return {device_id: sorted(said) for device_id, said in found.items()}


def _version_of(said: Sequence[tuple[int, str]], hour: int) -> Iterator[str]:
    """Yield the version of an hour in which it does not change; nothing where it is not known."""
    begin_us, end_us = hour * HOUR_US, (hour + 1) * HOUR_US
    before = [label for at_us, label in said if at_us < begin_us][-1:]
    labels = {*before, *(label for at_us, label in said if begin_us <= at_us < end_us)}
    if len(labels) == 1:
        yield from labels


def _wearer(wears: Sequence[Wear], hour: int) -> Iterator[str]:
    """Yield who wore the device the whole hour."""
    for wear in wears:
        if wear.from_us <= hour * HOUR_US and (hour + 1) * HOUR_US <= wear.to_us:
            yield wear.participant_id


def shifts(hours: Sequence[Hour]) -> list[Shift]:
    """Compare each version of each device model with the one that was there before it."""
    found = []
    for model in sorted({hour.device_model for hour in hours}):
        mine = [hour for hour in hours if hour.device_model == model]
        first: dict[str, int] = {}
        for hour in mine:
            first[hour.version] = min(first.get(hour.version, hour.hour), hour.hour)
        for before, after in pairwise(sorted(first, key=lambda version: (first[version], version))):
            found += [one for name in FEATURES for one in _shift(mine, model, name, (before, after))]
    return found


def _shift(hours: Sequence[Hour], model: str, feature: str, versions: tuple[str, str]) -> Iterator[Shift]:
    before, after = (_by_person(hours, feature, version) for version in versions)
    both = [_log_ratio(before[person], after[person]) for person in sorted(set(before) & set(after))]
    paired = np.array([value for value in both if value is not None])
    if len(paired) >= MIN_PEOPLE:
        yield Shift(model, feature, *versions, len(paired), True, *_interval(paired, None))  # noqa: FBT003
        return
    old, new = (np.array([_level(of_day) for of_day in side.values()]) for side in (before, after))
    if min(len(old), len(new)) >= MIN_PEOPLE:
        yield Shift(model, feature, *versions, min(len(old), len(new)), False, *_interval(new, old))  # noqa: FBT003


def _by_person(hours: Sequence[Hour], feature: str, version: str) -> dict[str, Hours]:
    found: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for hour in hours:
        if hour.version == version and hour.means[feature] > 0:
            found[hour.person][hour.hour % 24].append(hour.means[feature])
    return {person: of_day for person, of_day in found.items() if len(of_day) >= MIN_HOURS}


def _log_ratio(before: Hours, after: Hours) -> float | None:
    same = sorted(set(before) & set(after))
    if len(same) < MIN_HOURS:
        return None
    return float(np.median([np.log(np.median(after[hour]) / np.median(before[hour])) for hour in same]))


def _level(of_day: Hours) -> float:
    return float(np.median([np.log(np.median(means)) for means in of_day.values()]))


def _interval(values: NDArray[np.float64], against: NDArray[np.float64] | None) -> tuple[float, float, float]:
    """Return the change and its interval, percent; `values` are logarithms, of ratios where `against` is None."""
    random = np.random.default_rng(SEED)
    drawn = _resampled(values, random)
    middle = float(np.median(values))
    if against is not None:
        drawn, middle = drawn - _resampled(against, random), middle - float(np.median(against))
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    shift, low, high = (float(100.0 * np.expm1(value)) for value in (middle, low, high))
    return shift, low, high


def _resampled(values: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    return np.asarray(np.median(random.choice(values, (RESAMPLES, len(values))), axis=1))


def write(sql: SqlClient, found: Sequence[Shift], days: str) -> None:
    """Write shifts to `ml.drift`; what was found again alike keeps the instant it was first found."""
    with sql.transaction() as connection:
        _queries.write_drift(connection, rows=Json(_rows(found, days)))


def new_since_training(sql: SqlClient, name: str) -> list[str]:
    """Return the significant shifts found since the newest version of a model was trained, in words."""
    with sql.transaction() as connection:
        rows = list(_queries.list_new_drift(connection, name=name))
    return [f"{after} on {model} shifted {feature} by {shift:+.1f} %" for model, _, after, feature, shift in rows]


def _rows(found: Sequence[Shift], days: str) -> list[dict[str, Any]]:
    return [
        {
            **{name: getattr(one, name) for name in one.__dataclass_fields__},
            "significant": one.significant,
            "confidence": CONFIDENCE,
            "days": days,
            "feature_version": FEATURE_VERSION,
            "code_version": DRIFT_CODE_VERSION,
        }
        for one in found
    ]
