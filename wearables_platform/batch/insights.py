"""What the models say of a day, for people who read SQL: activity segments, and unusual periods with their reasons.

A UTC day is computed from its own windows in the lake, a few devices at a time, and its stored rows are made equal to
the result: writing it again changes nothing, a row that changes counts up its revision, one that is no more is removed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from wearables_platform.batch.said_live import said_live
from wearables_platform.batch.windows import day_bounds_us
from wearables_platform.clients.lake import Lake
from wearables_platform.clients.sql import BulkTable, SqlClient, upsert
from wearables_platform.domain.time_policy import from_us
from wearables_platform.errors import StoreRefused
from wearables_platform.models import training_files
from wearables_platform.models.class_predict import ClassTimeline
from wearables_platform.models.inputs import feature_matrix
from wearables_platform.models.predict import ModelTimeline, Scorer
from wearables_platform.models.segments import join_segments
from wearables_platform.models.training_set import TrainingSet
from wearables_platform.models.unusual import Baseline, Baselines, join_alarms, reasons
from wearables_platform.models.worn import NOBODY, WornDay, place_windows
from wearables_platform.signals.windows import FEATURE_VERSION, WINDOW_US, WindowRows
from wearables_platform.wire.feature_schema import WINDOWS_DATASET, window_rows

Row = tuple[Any, ...]

ROWS_AT_ONCE: Final = 400_000
"""About five devices' whole days: what is held at once, some 200 MB with the spans."""


def _table(name: str, values: Mapping[str, str]) -> BulkTable:
    """Return a table keyed by device and start whose rows count up their revision only where they change."""
    short = name.rpartition(".")[2]
    return BulkTable(
        name,
        {"device_id": "text", "started_at": "timestamptz", **values, "revision": "int8", "origin": "text"},
        "ON CONFLICT (device_id, started_at) DO UPDATE SET "
        + ", ".join(f"{column} = excluded.{column}" for column in values)
        + f", revision = {short}.revision + 1, origin = excluded.origin WHERE ("
        + ", ".join(f"{short}.{column}" for column in values)
        + ") IS DISTINCT FROM ("
        + ", ".join(f"excluded.{column}" for column in values)
        + ")",
    )


SEGMENTS: Final = _table(
    "telemetry.activity_segments",
    {
        "ended_at": "timestamptz",
        "participant_id": "text",
        "local_day": "date",
        "activity": "text",
        "windows": "int4",
        "confidence": "float8",
        "model_version": "text",
        "feature_version": "text",
    },
)
PERIODS: Final = _table(
    "telemetry.unusual_periods",
    {
        "ended_at": "timestamptz",
        "participant_id": "text",
        "local_day": "date",
        "windows": "int4",
        "peak_at": "timestamptz",
        "peak_score": "float8",
        "mean_score": "float8",
        "alarm_threshold": "float8",
        "confidence": "float8",
        "baseline": "text",
        "baseline_windows": "int4",
        "features": "text[]",
        "feature_values": "float8[]",
        "feature_medians": "float8[]",
        "robust_z": "float8[]",
        "model_version": "text",
        "feature_version": "text",
    },
)


@dataclass(frozen=True)
class Told:
    """What was written of a day: its rows, and how many of them are new, changed or removed."""

    rows: int
    changed: int
    seconds: Mapping[str, float]


def devices_of_day(lake: Lake, day: str) -> Iterator[tuple[WindowRows, list[str]]]:
    """Yield a day's windows, some devices at a time; a device is never cut.

    Raises `StoreRefused` where the partition is not sorted by device.
    """
    pending: list[pa.Table] = []
    done = ""
    for table in lake.scan(WINDOWS_DATASET, [day]):
        pending.append(table.filter(pc.equal(table.column("feature_version"), FEATURE_VERSION)))
        if sum(part.num_rows for part in pending) < ROWS_AT_ONCE:
            continue
        held = pa.concat_tables(pending)
        device = held.column("device_id")
        whole = pc.not_equal(device, device[-1])  # the last device may go on in the next row group
        if pc.any(whole).as_py():
            done = _in_order(held, done, day)
            yield window_rows(held.filter(whole))
            pending = [held.filter(pc.invert(whole))]
    if sum(part.num_rows for part in pending):
        held = pa.concat_tables(pending)
        _in_order(held, done, day)
        yield window_rows(held)


def _in_order(held: pa.Table, done: str, day: str) -> str:
    """Return the last device; refuse one that was dealt with before: it would be told in two halves."""
    devices = pc.unique(held.column("device_id")).to_pylist()
    if devices != sorted(devices) or devices[0] < done:
        msg = f"{WINDOWS_DATASET} {day} is not sorted by device"
        raise StoreRefused(msg)
    return str(devices[-1])


def tell_activities(sql: SqlClient, lake: Lake, day: str, timeline: ClassTimeline, worn: Sequence[WornDay]) -> Told:
    """Tell a day's activities and make its stored segments equal to them."""
    rows = [row for windows, ids in devices_of_day(lake, day) for row in segment_rows(windows, ids, timeline, worn)]
    seconds: dict[str, float] = {}
    for row in rows:
        activity = row[list(SEGMENTS.columns).index("activity")]
        seconds[activity] = seconds.get(activity, 0.0) + (row[2] - row[1]).total_seconds()
    return Told(len(rows), _replace(sql, SEGMENTS, day, rows), seconds)


def segment_rows(
    windows: WindowRows, device_ids: Sequence[str], timeline: ClassTimeline, worn: Sequence[WornDay]
) -> list[Row]:
    """Return rows of `SEGMENTS` for windows sorted by (device, start)."""
    version, told = timeline.tell(windows)
    place = place_windows(np.array(device_ids, dtype=np.str_)[windows.device], windows.start_us, worn)
    chosen = np.flatnonzero((told.number >= 0) & (place != NOBODY))
    start_us = windows.start_us[chosen]
    keys = np.column_stack([windows.device[chosen], place[chosen], version[chosen], told.number[chosen]])
    found = join_segments(keys.astype(np.int64), start_us, told.confidence[chosen])
    return [
        (
            device_ids[keys[first, 0]],
            from_us(int(start_us[first])),
            from_us(int(end_us)),
            worn[keys[first, 1]].participant_id,
            worn[keys[first, 1]].local_day,
            timeline.scorer(keys[first, 2]).classes[keys[first, 3]],
            int(count),
            float(confidence),
            timeline.scorer(keys[first, 2]).version,
            FEATURE_VERSION,
            1,
            "batch",
        )
        for first, end_us, count, confidence in zip(
            found.first, found.end_us, found.windows, found.confidence, strict=True
        )
    ]


class Usual:
    """The baselines of every version that a timeline holds."""

    def __init__(self, lake: Lake, name: str, timeline: ModelTimeline) -> None:
        self.scorers = {one.version: one for one in timeline.scorers if isinstance(one, Scorer)}
        self._lake, self._name = lake, name
        self._made: dict[str, Baselines] = {}

    def of(self, version: str) -> Baselines:
        """Return a version's baselines, from its own training set or, where that was erased, from the current one."""
        if version not in self._made:
            scorer = self.scorers[version]
            self._made[version] = Baselines(scorer, self._windows(scorer))
        return self._made[version]

    def _windows(self, scorer: Scorer) -> TrainingSet:
        path = training_files.training_set_path(self._name, scorer.description.training_sha256)
        if self._lake.holds(path):
            return training_files.load(self._lake, self._name, scorer.description.training_sha256).training_set
        return training_files.load_current(self._lake, self._name).training_set


def tell_unusual(
    sql: SqlClient, lake: Lake, day: str, timeline: ModelTimeline, usual: Usual, worn: Sequence[WornDay]
) -> Told:
    """Tell a day's unusual periods and make the stored ones equal to them."""
    rows = [
        row
        for windows, ids in devices_of_day(lake, day)
        for row in period_rows(windows, ids, timeline, usual, worn, _said(sql, timeline, windows, ids))
    ]
    seconds: dict[str, float] = {}
    features = list(PERIODS.columns).index("features")
    for row in rows:
        first = row[features][0] if row[features] else "none"
        seconds[first] = seconds.get(first, 0.0) + (row[2] - row[1]).total_seconds()
    return Told(len(rows), _replace(sql, PERIODS, day, rows), seconds)


def _said(sql: SqlClient, timeline: ModelTimeline, windows: WindowRows, ids: Sequence[str]) -> Sequence[str | None]:
    with sql.transaction() as connection:
        return said_live(connection, timeline, windows, ids)


def period_rows(
    windows: WindowRows,
    device_ids: Sequence[str],
    timeline: ModelTimeline,
    usual: Usual,
    worn: Sequence[WornDay],
    said: Sequence[str | None] = (),
) -> list[Row]:
    """Return rows of `PERIODS` for windows sorted by (device, start), scored as `ModelTimeline.parts` tells."""
    scores, named = timeline.score(windows, said)
    names = sorted(usual.scorers)
    version = np.array([-1 if one is None else names.index(one) for one in named], dtype=np.int64)
    limits = np.array([*(usual.scorers[one].alarm_threshold for one in names), np.inf])  # the last: no version
    place = place_windows(np.array(device_ids, dtype=np.str_)[windows.device], windows.start_us, worn)
    alarm = np.flatnonzero((scores >= limits[version]) & (place != NOBODY))
    keys = np.column_stack([windows.device[alarm], place[alarm], version[alarm]]).astype(np.int64)
    matrix = feature_matrix(windows.take(alarm)).astype(np.float64)
    rows = []
    for rows_of in join_alarms(keys, windows.start_us[alarm]):
        _, where, by = keys[rows_of[0]]
        whose, scorer = worn[where], usual.scorers[names[by]]
        baseline = usual.of(scorer.version).of(whose.participant_id)
        if baseline is not None:  # there is none in an empty training set: nothing is usual, so nothing is unusual
            at = windows.start_us[alarm[rows_of]]
            period = _Period(whose, at, scores[alarm[rows_of]], matrix[rows_of], scorer)
            rows.append(_period_row(period, baseline))
    return rows


@dataclass(frozen=True)
class _Period:
    """The alarms of one period: whose, when, how they score, and what the model saw."""

    whose: WornDay
    start_us: NDArray[np.int64]
    scores: NDArray[np.float64]
    matrix: NDArray[np.float64]
    scorer: Scorer


def _period_row(period: _Period, baseline: Baseline) -> Row:
    peak = int(period.scores.argmax())
    score = float(period.scores[peak])
    why = reasons(period.matrix[peak], baseline)
    return (
        period.whose.device_id,
        from_us(int(period.start_us[0])),
        from_us(int(period.start_us[-1]) + WINDOW_US),
        period.whose.participant_id,
        period.whose.local_day,
        len(period.start_us),
        from_us(int(period.start_us[peak])),
        score,
        float(period.scores.mean()),
        period.scorer.alarm_threshold,
        baseline.share_below(score),
        baseline.kind,
        len(baseline.scores),
        [one.feature for one in why],
        [one.value for one in why],
        [one.median for one in why],
        [one.robust_z for one in why],
        period.scorer.version,
        FEATURE_VERSION,
        1,
        "batch",
    )


def _replace(sql: SqlClient, table: BulkTable, day: str, rows: Sequence[Row]) -> int:
    """Make the stored rows that begin on a day equal to `rows`; returns how many are new, changed or removed."""
    first, last = map(from_us, day_bounds_us(day))
    with sql.transaction() as connection:
        changed = upsert(connection, table, rows)
        gone = (
            f"DELETE FROM {table.name} s WHERE s.started_at >= %s AND s.started_at < %s AND NOT EXISTS (SELECT FROM"
            f" {table.staging} i WHERE i.device_id = s.device_id AND i.started_at = s.started_at)"
        )
        return changed + connection.execute(gone, (first, last)).rowcount
