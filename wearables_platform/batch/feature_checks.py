"""What must hold of derived rows, read back from where they were written."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wearables_platform.batch.null_bounds import is_missing, too_many
from wearables_platform.batch.rules import CROSSING_US
from wearables_platform.batch.windows import day_bounds_us
from wearables_platform.clients.lake import Lake
from wearables_platform.signals.rolling import LONG_S, SHORT_S
from wearables_platform.signals.silence import LONGEST_US
from wearables_platform.signals.wear import QUARTER_US
from wearables_platform.wire.feature_schema import EVENT_SCHEMA, SPIKES_DATASET, WINDOW_SCHEMA, WINDOWS_DATASET
from wearables_platform.wire.rule_schema import (
    ROLLING_DATASET,
    ROLLING_SCHEMA,
    RULE_SCHEMA,
    RULES_DATASET,
    WEAR_DATASET,
    WEAR_SCHEMA,
)

MAX_ROWS = 20

Ranges = Mapping[str, tuple[float, float]]

# Least and greatest value a column may hold, whoever wore the watch: by definition of the quantity.
_RANGES: Ranges = {
    "coverage": (0.0, 1.0),
    "enmo_mg": (0.0, 400_000.0),
    "mad_mg": (0.0, 400_000.0),
    "vm_mean_g": (0.0, 400.0),
    "angle_z_deg": (-90.0, 90.0),
    "pitch_deg": (-90.0, 90.0),
    "roll_deg": (-180.0, 180.0),
    "dominant_power_share": (0.0, 1.0),
    "n_samples": (0, 1_000_000),
    "steps": (0, 10),
    "peak_g": (0.0, 1_000.0),
    "duration_ms": (0.0, 2_100.0),
}
_OF_RULES: Ranges = {"duration_ms": (0.0, LONGEST_US / 1_000)}
_OF_WEAR: Ranges = {"seconds": (0, QUARTER_US // 1_000_000), "still_axes": (0, 3), "sd_mg": (0.0, 400_000.0)}
_OF_ROLLING: Ranges = {
    **_RANGES,
    "span_s": (SHORT_S, LONG_S),
    "seconds": (0, LONG_S),
    "n_samples": (0, 1_000_000 * LONG_S),
    "steps": (0, 10 * LONG_S),
    "cadence_per_min": (0.0, 600.0),
    "vm_std_g": (0.0, 400.0),
    "vm_min_g": (0.0, 400.0),
    "vm_max_g": (0.0, 400.0),
    "enmo_1s_p95_mg": (0.0, 400_000.0),
    "mad_1s_mean_mg": (0.0, 400_000.0),
}


@dataclass(frozen=True)
class Fault:
    """Something that must not be, how many rows it is true of, and the first of them."""

    day: str
    what: str
    count: int
    rows: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class _Expected:
    """What a dataset's days must be like; `early_us` is how long before its day a row may start."""

    dataset: str
    schema: pa.Schema
    keys: Sequence[str]
    ranges: Ranges
    early_us: int = 0


_EXPECTED = {
    "window_features": _Expected(WINDOWS_DATASET, WINDOW_SCHEMA, ["device_id", "window_start"], _RANGES),
    "spike_events": _Expected(SPIKES_DATASET, EVENT_SCHEMA, ["device_id", "kind", "started_at"], _RANGES),
    "rule_events": _Expected(RULES_DATASET, RULE_SCHEMA, ["device_id", "kind", "started_at"], _OF_RULES),
    "wear": _Expected(WEAR_DATASET, WEAR_SCHEMA, ["device_id", "window_start"], _OF_WEAR),
    "rolling_features": _Expected(
        ROLLING_DATASET, ROLLING_SCHEMA, ["device_id", "window_start", "span_s"], _OF_ROLLING, CROSSING_US
    ),
}


def faults_of_days(asset: str, lake: Lake, days: Sequence[str]) -> tuple[int, list[Fault]]:
    """Return how many rows the days hold and what is wrong with them, with the rows it is wrong of."""
    expected = _EXPECTED[asset]
    rows = 0
    faults: list[Fault] = []
    for day in days:
        checked = _CheckedDay(asset, day, expected)
        for table in lake.scan(expected.dataset, [day]):
            checked.add(table)
        rows += checked.rows
        faults += checked.faults()
    return rows, faults


def occurs_before(table: pa.Table, key: Sequence[str]) -> pa.Array:
    """Return which rows have a key that an earlier row has.

    >>> occurs_before(pa.table({"a": [1, 1, 2], "b": [3, 4, 5]}), ["a"]).to_pylist()
    [False, True, False]
    """
    numbered = table.select(list(key)).append_column("row", pa.array(np.arange(table.num_rows)))
    firsts = numbered.group_by(list(key)).aggregate([("row", "min")]).column("row_min").to_numpy()
    again = np.ones(table.num_rows, bool)
    again[firsts] = False
    return pa.array(again)


class _Found:
    """Rows something is wrong with: how many, and the first of them."""

    def __init__(self) -> None:
        self.count = 0
        self.rows: list[Mapping[str, Any]] = []

    def add(self, table: pa.Table, wrong: Any) -> None:
        """Take the rows of a table that are wrong."""
        found = table.filter(wrong)
        self.count += found.num_rows
        self.rows += found.slice(0, MAX_ROWS - len(self.rows)).to_pylist()


class _CheckedDay:
    """What is wrong with a day's rows, taken a row group at a time: they are sorted, so equal keys lie together."""

    def __init__(self, asset: str, day: str, expected: _Expected) -> None:
        self._asset, self._day, self._expected = asset, day, expected
        self.rows = 0
        self._wrong: defaultdict[str, _Found] = defaultdict(_Found)
        self._missing: defaultdict[str, _Found] = defaultdict(_Found)
        self._last: pa.Table | None = None

    def add(self, table: pa.Table) -> None:
        """Take the next rows."""
        self.rows += table.num_rows
        if not table.schema.equals(self._expected.schema):
            self._wrong[f"columns are {table.schema.names}, not {self._expected.schema.names}"].count += 1
            return
        for what, wrong in chain(self._of_keys(table), _of_ranges(table, self._expected)):
            self._wrong[what].add(table, wrong)
        for name in table.column_names:
            self._missing[name].add(table, is_missing(table.column(name)))

    def faults(self) -> Iterator[Fault]:
        """Yield what is wrong with all rows taken."""
        said = {name: too_many(self._asset, name, found.count, self.rows) for name, found in self._missing.items()}
        missing = ((words, self._missing[name]) for name, words in said.items() if words is not None)
        for what, found in chain(self._wrong.items(), missing):
            if found.count:
                yield Fault(self._day, what, found.count, tuple(found.rows))

    def _of_keys(self, table: pa.Table) -> Iterator[tuple[str, Any]]:
        known = self._last
        before = 0 if known is None else known.num_rows
        joined = table if known is None else pa.concat_tables([known, table])
        yield "the key occurs more than once", occurs_before(joined, self._expected.keys).slice(before)
        self._last = table.slice(max(0, table.num_rows - 1))
        starts, (first_us, end_us) = table.column("window_start").cast(pa.int64()), day_bounds_us(self._day)
        early, late = pc.less(starts, first_us - self._expected.early_us), pc.greater_equal(starts, end_us)
        yield "the row is of another day", pc.or_(early, late)


def _of_ranges(table: pa.Table, expected: _Expected) -> Iterator[tuple[str, Any]]:
    for name in sorted(expected.ranges.keys() & set(table.column_names)):
        low, high = expected.ranges[name]
        outside = pc.or_(pc.less(table.column(name), low), pc.greater(table.column(name), high))
        yield f"{name} is outside {low:g} to {high:g}", pc.fill_null(outside, False)
