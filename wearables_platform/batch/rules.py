"""What the rules say of a day, computed from its window rows, its heart rates and when its messages were logged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from wearables_platform.batch.day_messages import DayMessages
from wearables_platform.batch.device_groups import DayRows, device_groups
from wearables_platform.batch.sorted_partitions import sorted_partitions
from wearables_platform.batch.windows import features_of
from wearables_platform.clients.lake import Lake, Manifest
from wearables_platform.domain.channels import ACCELERATION, VITALS
from wearables_platform.models.thresholds import NO_THRESHOLDS, ThresholdTimeline
from wearables_platform.partitions import day_bounds_us, neighbours
from wearables_platform.signals.device_rules import REACH_BEFORE_US, Findings, final_findings
from wearables_platform.signals.minutes import Readings
from wearables_platform.signals.rolling import LONG_S, SHORT_S
from wearables_platform.signals.runs import Events
from wearables_platform.signals.silence import Silence
from wearables_platform.signals.wear import QUARTER_US
from wearables_platform.signals.windows import FEATURE_VERSION, WindowRows
from wearables_platform.wire.feature_schema import WINDOW_SCHEMA, WINDOWS_DATASET, window_rows
from wearables_platform.wire.heart_rates import heart_rates
from wearables_platform.wire.rule_schema import (
    ROLLING_DATASET,
    RULES_DATASET,
    WEAR_DATASET,
    rolling_table,
    rule_table,
    wear_table,
)

# Sorting is stable and a device's events come in one table: kinds of one instant stay in the order of their numbers.
RULE_ORDER: Final = {
    RULES_DATASET: ("device_id", "started_at"),
    WEAR_DATASET: ("device_id", "window_start"),
    ROLLING_DATASET: ("device_id", "window_start", "span_s"),
}
RULE_DATASETS: Final = tuple(RULE_ORDER)

CROSSING_US = (LONG_S - SHORT_S) * 1_000_000
"""A 60 s row belongs to the day in which its last 10 s begin: so a day's rows never look into the next one."""

# Window rows and messages of the devices that are judged together; each weighs less than 1 kB in memory.
ROWS_JUDGED_AT_ONCE: Final = 200_000
_HOURS_PER_DAY: Final = 24
_MESSAGE_COLUMNS = ["device_id", "end_time_us", "append_time_us", "partition", "offset"]


@dataclass(frozen=True)
class BuiltRules:
    """What was written of a day, by dataset, and the messages of both topics it was found in."""

    manifests: Mapping[str, Manifest]
    motion: DayMessages
    heart: DayMessages


def build_rules(
    lake: Lake, day: str, thresholds: ThresholdTimeline = NO_THRESHOLDS, *, rows_at_once: int | None = None
) -> BuiltRules:
    """Judge a day by what the lake holds of it and of the hour before it, and write the findings to the lake.

    Safe to run twice and at once, as `build_features`: devices are judged some at a time, each by its own rows alone.

    Raises
    ------
    LakeConflict
        Somebody else wrote the day since this began.
    """
    with sorted_partitions(lake, day, RULE_ORDER, {"features": FEATURE_VERSION}) as made:
        sources = _Sources(lake, day)
        for device_ids in device_groups(sources.weights, rows_at_once or ROWS_JUDGED_AT_ONCE):
            for dataset, table in _judged(sources, device_ids, thresholds).items():
                made.add(dataset, table)
        return BuiltRules(made.publish(), sources.motion, sources.heart)


class _Sources:
    """What a day is judged by, as the lake held it when this was made."""

    def __init__(self, lake: Lake, day: str) -> None:
        self.day_us = day_bounds_us(day)
        self.motion, self.heart = DayMessages(lake, ACCELERATION, day), DayMessages(lake, VITALS, day)
        self._rows = DayRows(lake, lake.manifest(WINDOWS_DATASET, day), WINDOW_SCHEMA)
        before = neighbours([day])[0]
        self._before = DayRows(lake, lake.manifest(WINDOWS_DATASET, before), WINDOW_SCHEMA)
        unbuilt = DayMessages(lake, ACCELERATION, before) if self._before.manifest is None else None
        self._unbuilt = unbuilt if unbuilt is not None and unbuilt.manifest is not None else None

    @cached_property
    def weights(self) -> dict[str, int]:
        """Return about how much each device has to be judged by, in rows."""
        weights = dict.fromkeys(sorted(self._before.counts), 0)
        for counts in (self._rows.counts, self.motion.messages, self.heart.messages):
            for device_id, count in counts.items():
                weights[device_id] = weights.get(device_id, 0) + count
        for device_id, samples in self._unbuilt.samples_sent.items() if self._unbuilt is not None else ():
            weights[device_id] = weights.get(device_id, 0) + samples // _HOURS_PER_DAY
        return weights

    def rows(self, device_ids: Sequence[str]) -> pa.Table:
        """Return the window rows of the day and of the hour before it, sorted by (device_id, window_start)."""
        since_us = self.day_us[0] - REACH_BEFORE_US
        table = pa.concat_tables([self._rows_before(device_ids, since_us), self._rows.of(device_ids)])
        started = pc.greater_equal(table.column("window_start").cast(pa.int64()), since_us)
        return table.filter(started).sort_by([("device_id", "ascending"), ("window_start", "ascending")])

    def _rows_before(self, device_ids: Sequence[str], since_us: int) -> pa.Table:
        span_us = (since_us, self.day_us[0])
        if self._unbuilt is None:
            return self._before.of(device_ids, span_us)
        return features_of(self._unbuilt, device_ids, self._unbuilt.clocks(device_ids), span_us)[0]


def _judged(sources: _Sources, device_ids: Sequence[str], thresholds: ThresholdTimeline) -> dict[str, pa.Table]:
    number = {name: i for i, name in enumerate(device_ids)}
    vitals = _joined(sources.heart, [*_MESSAGE_COLUMNS, "heart_rate"], device_ids)
    messages = _joined(sources.motion, _MESSAGE_COLUMNS, device_ids)
    readings = _within(_readings(vitals, number), *sources.day_us)
    rows, limits = _window_rows(sources.rows(device_ids), number), thresholds.limits(device_ids)
    found = final_findings(rows, readings, len(device_ids), limits)
    silences = _silences(messages, number, sources.motion.last_append_us)
    return _tables(found, silences, list(device_ids), sources.day_us)


def _joined(messages: DayMessages, columns: Sequence[str], device_ids: Sequence[str]) -> pa.Table:
    tables = list(messages.read(columns, device_ids))
    return pa.concat_tables(tables) if tables else pa.table({name: [] for name in columns})


def _tables(found: Findings, silences: Events, names: list[str], day_us: tuple[int, int]) -> dict[str, pa.Table]:
    events = np.concatenate((found.events, silences))
    events = events[_inside(events["start_us"], *day_us)]
    wear = found.wear[_inside(found.wear["span"].astype(np.int64) * QUARTER_US, *day_us)]
    rolling = found.rolling
    shift_us = np.where(rolling["span_s"] == LONG_S, CROSSING_US, 0)
    rolling = rolling[_inside(rolling["start_us"] + shift_us, *day_us)]
    return {
        RULES_DATASET: rule_table(events, names),
        WEAR_DATASET: wear_table(wear, names),
        ROLLING_DATASET: rolling_table(rolling, names),
    }


def _inside(start_us: npt.NDArray[np.int64], first_us: int, end_us: int) -> npt.NDArray[np.bool_]:
    return (start_us >= first_us) & (start_us < end_us)


def _window_rows(table: pa.Table, number: Mapping[str, int]) -> WindowRows:
    rows, device_ids = window_rows(table)
    device = np.array([number[name] for name in device_ids], np.int32)
    return WindowRows(device[rows.device] if len(device) else rows.device, rows.start_us, rows.features)


def _numbers(table: pa.Table, number: Mapping[str, int]) -> npt.NDArray[np.int32]:
    encoded = pc.dictionary_encode(table.column("device_id").combine_chunks())
    numbers = np.array([number[name] for name in encoded.dictionary.to_pylist()], np.int32)
    return np.asarray(numbers[encoded.indices.to_numpy(zero_copy_only=False)])


def _readings(vitals: pa.Table, number: Mapping[str, int]) -> Readings:
    """Return every heart rate whose time is possible."""
    if not vitals.num_rows:
        return Readings.none()
    append_us = vitals.column("append_time_us").to_numpy()
    return heart_rates(vitals.column("heart_rate").combine_chunks(), _numbers(vitals, number), append_us)


def _within(readings: Readings, first_us: int, end_us: int) -> Readings:
    return readings.take(_inside(readings.time_us, first_us, end_us))


def _silences(messages: pa.Table, number: Mapping[str, int], last_append_us: int) -> Events:
    """Return the silences of some devices: their messages in the order of the log, by when the log took them."""
    silence = Silence()
    silence.grow(len(number))
    if not messages.num_rows:
        return silence.finish(0)
    messages = messages.sort_by([("partition", "ascending"), ("offset", "ascending")])
    append_us = messages.column("append_time_us").to_numpy()
    ended = silence.step(_numbers(messages, number), messages.column("end_time_us").to_numpy(), append_us)
    return np.concatenate((ended, silence.finish(last_append_us)))
