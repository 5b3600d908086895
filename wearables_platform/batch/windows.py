"""From raw messages to window rows and events: the same functions the stream calls, over a day and its halo."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from wearables_platform.clients.lake import Edition, Lake, Manifest
from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.domain.time_policy import US_PER_DAY
from wearables_platform.partitions import neighbours
from wearables_platform.signals.samples import SampleTable
from wearables_platform.signals.windows import FEATURE_VERSION, compute_all
from wearables_platform.wire.feature_schema import SPIKES_DATASET, WINDOWS_DATASET, event_table, window_table
from wearables_platform.wire.raw_messages import raw_dataset, sorted_messages
from wearables_platform.wire.raw_rates import at_platform_rate
from wearables_platform.wire.samples import REACH_AFTER_US, REACH_BEFORE_US, MessageSamples, build_samples, clock_steps

_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()


@dataclass(frozen=True)
class DeviceEnd:
    """How far the lake's messages of a device reach.

    Attributes
    ----------
    last_us
        The instant after its last sample.
    partition
        The log partition that carries it.
    last_offset
        Position of its last message in that partition.
    """

    last_us: int
    partition: int
    last_offset: int


@dataclass(frozen=True)
class DayFeatures:
    """Everything computed from one day's messages."""

    windows: pa.Table
    spikes: pa.Table
    ends: Mapping[str, DeviceEnd]
    message_ids: frozenset[str]


def day_bounds_us(day: str) -> tuple[int, int]:
    """Return the first instant of a UTC day and of the next one.

    >>> day_bounds_us("1970-01-02")
    (86400000000, 172800000000)
    """
    first = (date.fromisoformat(day).toordinal() - _EPOCH_ORDINAL) * US_PER_DAY
    return first, first + US_PER_DAY


def day_features(lake: Lake, day: str) -> DayFeatures:
    """Compute the rows and events whose window starts in the day, from its raw messages and those around it."""
    messages = lake.read_table(raw_dataset(ACCELERATION), neighbours([day]))
    if messages is None:
        messages = pa.table({})
    return features_of(messages, day)


def features_of(messages: pa.Table, day: str) -> DayFeatures:
    """Compute a day's rows and events from raw messages in any order; messages far from the day change nothing."""
    first_us, end_us = day_bounds_us(day)
    sampled = _samples(messages, first_us - REACH_BEFORE_US, end_us + REACH_AFTER_US)
    rows, events = compute_all(sampled.samples)
    rows = rows.take(_inside(rows.start_us, first_us, end_us))
    events = events.take(_inside(events.start_us, first_us, end_us))
    return DayFeatures(
        window_table(rows, sampled.device_ids),
        event_table(events, sampled.device_ids),
        device_ends(messages),
        frozenset(messages.column("message_id").to_pylist()) if messages.num_rows else frozenset(),
    )


def publish_features(lake: Lake, editions: Mapping[str, Edition], features: DayFeatures) -> dict[str, Manifest]:
    """Write a day's windows and events to the lake; `editions` are those of both datasets, taken before reading."""
    versions = {"features": FEATURE_VERSION}
    span = {WINDOWS_DATASET: ("window_start", "window_start"), SPIKES_DATASET: ("started_at", "started_at")}
    tables = {WINDOWS_DATASET: features.windows, SPIKES_DATASET: features.spikes}
    return {
        dataset: lake.publish(editions[dataset], [table], time_columns=span[dataset], versions=versions)
        for dataset, table in tables.items()
    }


def _samples(messages: pa.Table, first_us: int, end_us: int) -> MessageSamples:
    if not messages.num_rows:
        return MessageSamples(SampleTable.empty(), [])
    ordered = sorted_messages([messages])
    batch = at_platform_rate(ordered.to_batches()[0])
    steps = clock_steps(batch)  # over all messages: a clock's jump shows against the message before, however far
    near = pc.and_(pc.less(batch.column("start_time_us"), end_us), pc.greater(batch.column("end_time_us"), first_us))
    chosen = near.to_numpy(zero_copy_only=False)
    return build_samples(batch.filter(near), steps.stepped[chosen], steps.segment[chosen])


def _inside(start_us: npt.NDArray[np.int64], first_us: int, end_us: int) -> npt.NDArray[np.bool_]:
    return (start_us >= first_us) & (start_us < end_us)


def device_ends(messages: pa.Table) -> dict[str, DeviceEnd]:
    """Return how far the messages of each device reach."""
    if not messages.num_rows:
        return {}
    last = messages.group_by("device_id").aggregate([("end_time_us", "max"), ("partition", "max"), ("offset", "max")])
    columns = (last.column(name).to_pylist() for name in ("end_time_us_max", "partition_max", "offset_max"))
    ends = (DeviceEnd(*values) for values in zip(*columns, strict=True))
    return dict(zip(last.column("device_id").to_pylist(), ends, strict=True))
