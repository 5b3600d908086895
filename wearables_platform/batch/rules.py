"""What the rules say of a day, computed from its window rows, its heart rates and when its messages were logged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from wearables_platform.batch.windows import DeviceEnd, day_bounds_us, device_ends, features_of
from wearables_platform.clients.lake import Edition, Lake, Manifest
from wearables_platform.domain.channels import ACCELERATION, VITALS
from wearables_platform.partitions import neighbours
from wearables_platform.signals.device_rules import REACH_BEFORE_US, Findings, final_findings
from wearables_platform.signals.minutes import Readings
from wearables_platform.signals.rolling import LONG_S, SHORT_S
from wearables_platform.signals.runs import Events
from wearables_platform.signals.silence import Silence
from wearables_platform.signals.wear import QUARTER_US
from wearables_platform.signals.windows import FEATURE_VERSION, WindowRows
from wearables_platform.wire.feature_schema import WINDOW_SCHEMA, WINDOWS_DATASET, window_rows
from wearables_platform.wire.heart_rates import heart_rates
from wearables_platform.wire.raw_messages import raw_dataset
from wearables_platform.wire.rule_schema import (
    ROLLING_DATASET,
    RULES_DATASET,
    WEAR_DATASET,
    rolling_table,
    rule_table,
    wear_table,
)

RULE_DATASETS = (RULES_DATASET, WEAR_DATASET, ROLLING_DATASET)

CROSSING_US = (LONG_S - SHORT_S) * 1_000_000
"""A 60 s row belongs to the day in which its last 10 s begin: so a day's rows never look into the next one."""

_MESSAGE_COLUMNS = ["device_id", "end_time_us", "append_time_us", "partition", "offset"]


@dataclass(frozen=True)
class DayRules:
    """What was found in one day, and how far each topic's messages of each device reach."""

    tables: Mapping[str, pa.Table]
    motion_ends: Mapping[str, DeviceEnd]
    heart_ends: Mapping[str, DeviceEnd]


def day_rules(lake: Lake, day: str) -> DayRules:
    """Judge a day by what the lake holds of it and of the hour before it."""
    first_us, end_us = day_bounds_us(day)
    rows = _rows(lake, day, first_us)
    vitals = _read(lake, raw_dataset(VITALS), day, [*_MESSAGE_COLUMNS, "heart_rate"])
    messages = _read(lake, raw_dataset(ACCELERATION), day, _MESSAGE_COLUMNS)
    names = sorted({*_names(rows), *_names(vitals), *_names(messages)})
    number = {name: i for i, name in enumerate(names)}
    readings = _within(_readings(vitals, number), first_us, end_us)
    found = final_findings(_window_rows(rows, number), readings, len(names))
    silences = _silences(messages, number)
    return DayRules(_tables(found, silences, names, (first_us, end_us)), device_ends(messages), device_ends(vitals))


def publish_rules(lake: Lake, editions: Mapping[str, Edition], found: DayRules) -> dict[str, Manifest]:
    """Write a day's findings to the lake; `editions` were taken before reading."""
    span = {RULES_DATASET: ("started_at", "started_at")}
    return {
        dataset: lake.publish(
            editions[dataset],
            [table],
            time_columns=span.get(dataset, ("window_start", "window_start")),
            versions={"features": FEATURE_VERSION},
        )
        for dataset, table in found.tables.items()
    }


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


def _rows(lake: Lake, day: str, first_us: int) -> pa.Table:
    """Return the window rows of a day and of the hour before it, sorted by (device_id, window_start)."""
    before = neighbours([day])[0]
    parts = [_previous(lake, before), lake.read_table(WINDOWS_DATASET, [day])]
    table = pa.concat_tables([part for part in parts if part is not None] or [WINDOW_SCHEMA.empty_table()])
    started = pc.greater_equal(table.column("window_start").cast(pa.int64()), first_us - REACH_BEFORE_US)
    return table.filter(started).sort_by([("device_id", "ascending"), ("window_start", "ascending")])


def _previous(lake: Lake, day: str) -> pa.Table | None:
    table = lake.read_table(WINDOWS_DATASET, [day])
    if table is not None or lake.manifest(raw_dataset(ACCELERATION), day) is None:
        return table
    messages = lake.read_table(raw_dataset(ACCELERATION), neighbours([day]))  # raw, but never computed
    return None if messages is None else features_of(messages, day).windows


def _read(lake: Lake, dataset: str, day: str, columns: list[str]) -> pa.Table:
    table = lake.read_table(dataset, neighbours([day]), columns=columns)
    return pa.table({name: [] for name in columns}) if table is None else table


def _names(table: pa.Table) -> list[str]:
    names: list[str] = pc.unique(table.column("device_id")).to_pylist() if table.num_rows else []
    return names


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


def _silences(messages: pa.Table, number: Mapping[str, int]) -> Events:
    """Return the silences of all devices: their messages in the order of the log, by when the log took them."""
    silence = Silence()
    silence.grow(len(number))
    if not messages.num_rows:
        return silence.finish(0)
    messages = messages.sort_by([("partition", "ascending"), ("offset", "ascending")])
    append_us = messages.column("append_time_us").to_numpy()
    ended = silence.step(_numbers(messages, number), messages.column("end_time_us").to_numpy(), append_us)
    return np.concatenate((ended, silence.finish(int(append_us.max()))))
