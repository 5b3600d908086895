"""The messages a day's rows are computed from, read by device and span, so that memory does not grow with the day.

What a day looks at is fixed when reading begins: the files of the day and of both days around it. Of these days only
what is near the day is read, but for the clocks: a jump shows against the message before, however far.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from wearables_platform.batch.device_groups import device_groups, rows_of
from wearables_platform.clients.lake import Lake
from wearables_platform.clients.manifest import DataFile, bucket_of
from wearables_platform.domain.channels import ACCELERATION, Channel
from wearables_platform.domain.time_policy import US_PER_DAY
from wearables_platform.partitions import day_bounds_us, neighbours
from wearables_platform.signals.samples import SampleTable
from wearables_platform.wire.raw_messages import raw_dataset, sorted_messages
from wearables_platform.wire.raw_rates import PLATFORM_RATE_HZ, at_platform_rate
from wearables_platform.wire.samples import (
    REACH_AFTER_US,
    REACH_BEFORE_US,
    ClockSteps,
    MessageSamples,
    build_samples,
    clock_steps,
)

# A sample weighs about 300 bytes while its window is computed.
SAMPLES_AT_ONCE: Final = 500_000
# A device's message, counted in samples: its clocks, of three days.
MESSAGE_WEIGHT: Final = 2
SECOND_US: Final = 1_000_000

_WEIGHED = ("device_id", "start_time_us", "end_time_us", "rate_hz", "append_time_us", "partition", "offset")
_CLOCKS = ("device_id", "boot_id", "sequence", "start_time_us", "end_time_us", "start_monotonic_us")
_BLOCKS = ("peak_raw_g", "peak_g", "glitches", "clipped")
_SAMPLES = (
    *_CLOCKS, "rate_hz", "range_g", "encoding", "scale_g", "downsampling", "block_count", *_BLOCKS, "samples",
)  # fmt: skip


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
class Portion:
    """Devices of one bucket, and the spans of the day that are computed one after the other."""

    device_ids: tuple[str, ...]
    spans_us: tuple[tuple[int, int], ...]


class DayMessages:
    """A channel's messages around a day, as the lake held them when this was made."""

    def __init__(self, lake: Lake, channel: Channel, day: str) -> None:
        self._lake, self._channel, self.day = lake, channel, day
        manifests = {each: lake.manifest(raw_dataset(channel), each) for each in neighbours([day])}
        self.manifest = manifests[day]
        self._files = [file for found in manifests.values() if found is not None for file in found.files]
        self._of_day = {file.path for file in (self.manifest.files if self.manifest is not None else ())}

    @property
    def bounds_us(self) -> tuple[int, int]:
        """Return the first instant of the day and of the next one."""
        return day_bounds_us(self.day)

    @property
    def committed(self) -> dict[int, int]:
        """Return per log partition the position the archive had committed before the lake read the day."""
        return {} if self.manifest is None else {int(p): at for p, at in self.manifest.cut["committed"].items()}

    @property
    def ends(self) -> Mapping[str, DeviceEnd]:
        """Return how far the messages of each device reach."""
        return self._measured.ends

    @property
    def messages(self) -> Mapping[str, int]:
        """Return how many messages each device has, of three days."""
        return self._measured.messages

    @property
    def samples_sent(self) -> Mapping[str, int]:
        """Return about how many samples each device has on the day, at the platform's rate."""
        return self._measured.samples

    @property
    def last_append_us(self) -> int:
        """Return when the log took the last of them; 0 where there is none."""
        return self._measured.last_append_us

    def portions(self, samples_at_once: int | None = None) -> Iterator[Portion]:
        """Yield every device once: all together while they fit, else bucket by bucket, a large device by spans."""
        limit = samples_at_once or SAMPLES_AT_ONCE
        weights = {
            device_id: self.samples_sent[device_id] + MESSAGE_WEIGHT * count
            for device_id, count in self.messages.items()
        }
        buckets = max((file.buckets for file in self._files), default=1)
        if sum(weights.values()) <= limit:
            buckets = 1
        by_bucket: dict[int, dict[str, int]] = defaultdict(dict)
        for device_id, weight in weights.items():
            by_bucket[bucket_of(device_id, buckets)][device_id] = weight
        for _, members in sorted(by_bucket.items()):
            for group in device_groups(members, limit):
                samples = sum(self.samples_sent[device_id] for device_id in group)
                yield Portion(tuple(group), spans_of(self.bounds_us, -(-samples // limit)))

    def read(
        self, columns: Sequence[str], device_ids: Sequence[str] | None = None, span_us: tuple[int, int] | None = None
    ) -> Iterator[pa.Table]:
        """Yield messages of these devices whose files and row groups may touch the span, a row group at a time."""
        for file in self._files:
            if not file.touches(span_us) or not _may_hold_any(file, device_ids):
                continue
            for table in self._lake.scan_file(file, columns=columns, device_ids=device_ids, time_range_us=span_us):
                yield table if device_ids is None else rows_of(table, device_ids)

    def holding(self, message_ids: Collection[str]) -> list[str]:
        """Return those of these identities that are among the messages, ascending."""
        if not message_ids:
            return []
        wanted = pa.array(sorted(message_ids), pa.string())
        columns = (table.column("message_id") for table in self.read(["message_id"]))
        return sorted({each for ids in columns for each in ids.filter(pc.is_in(ids, wanted)).to_pylist()})

    def clocks(self, device_ids: Sequence[str]) -> Clocks:
        """Follow the clocks of these devices through all their messages."""
        tables = list(self.read(_CLOCKS, device_ids))
        rows = sorted_messages(tables).to_batches() if tables else []
        return Clocks(rows[0], clock_steps(rows[0])) if rows else Clocks(None, None)

    def samples(self, device_ids: Sequence[str], clocks: Clocks, span_us: tuple[int, int]) -> MessageSamples:
        """Return all samples that rows starting in the span are a function of, at the platform's rate."""
        reach_us = (span_us[0] - REACH_BEFORE_US, span_us[1] + REACH_AFTER_US)
        tables = [_reduced(table, reach_us) for table in self.read(_SAMPLES, device_ids, reach_us)]
        if clocks.rows is None or clocks.steps is None or not sum(table.num_rows for table in tables):
            return MessageSamples(SampleTable.empty(), [])
        (batch,) = sorted_messages([table for table in tables if table.num_rows]).to_batches()
        chosen = _near(clocks.rows, reach_us).to_numpy(zero_copy_only=False)  # the same messages, in the same order
        return build_samples(batch, clocks.steps.stepped[chosen], clocks.steps.segment[chosen])

    @cached_property
    def _measured(self) -> _Measured:
        columns = _WEIGHED if self._channel is ACCELERATION else [name for name in _WEIGHED if name != "rate_hz"]
        measured = _Measured()
        for file in self._files:
            for table in self._lake.scan_file(file, columns=columns):
                measured.add(table, of_day=file.path in self._of_day)
        return measured


@dataclass(frozen=True)
class Clocks:
    """Messages sorted by (device_id, boot_id, sequence), and where their clocks jumped; None where there is none."""

    rows: pa.RecordBatch | None
    steps: ClockSteps | None


def spans_of(day_us: tuple[int, int], count: int) -> tuple[tuple[int, int], ...]:
    """Cut a day into spans of equal whole minutes, about so many.

    >>> spans_of((0, 86_400_000_000), 2)
    ((0, 43200000000), (43200000000, 86400000000))
    """
    minute_us = 60 * SECOND_US
    step_us = -(-US_PER_DAY // (max(1, count) * minute_us)) * minute_us
    begins = range(day_us[0], day_us[1], step_us)
    return tuple((first, min(first + step_us, day_us[1])) for first in begins)


class _Measured:
    """What is known of every device's messages without their samples: a few numbers per device."""

    def __init__(self) -> None:
        self.ends: dict[str, DeviceEnd] = {}
        self.messages: Counter[str] = Counter()
        self.samples: Counter[str] = Counter()
        self.last_append_us = 0

    def add(self, table: pa.Table, *, of_day: bool) -> None:
        """Take messages of the day or of a day beside it."""
        if not table.num_rows:
            return
        counted = of_day and "rate_hz" in table.column_names
        samples = _samples_sent(table) if counted else pa.nulls(table.num_rows, pa.float64())
        table = table.append_column("samples", samples)
        largest = ("end_time_us", "partition", "offset", "append_time_us")
        found = table.group_by("device_id").aggregate(
            [*((name, "max") for name in largest), ("samples", "sum"), ([], "count_all")]
        )
        for row in found.to_pylist():
            self._note(row)

    def _note(self, row: Mapping[str, Any]) -> None:
        device_id = row["device_id"]
        end = DeviceEnd(row["end_time_us_max"], row["partition_max"], row["offset_max"])
        before = self.ends.get(device_id, end)
        self.ends[device_id] = DeviceEnd(
            max(before.last_us, end.last_us),
            max(before.partition, end.partition),
            max(before.last_offset, end.last_offset),
        )
        self.messages[device_id] += row["count_all"]
        self.samples[device_id] += int(row["samples_sum"] or 0)
        self.last_append_us = max(self.last_append_us, row["append_time_us_max"])


def _samples_sent(table: pa.Table) -> pa.ChunkedArray:
    """Return about how many samples each message has once it is at the platform's rate."""
    rate_hz = pc.min_element_wise(table.column("rate_hz"), 2 * PLATFORM_RATE_HZ)
    return pc.multiply(pc.divide(pc.subtract(table.column("end_time_us"), table.column("start_time_us")), 1e6), rate_hz)


def _may_hold_any(file: DataFile, device_ids: Sequence[str] | None) -> bool:
    return device_ids is None or file.buckets == 1 or any(map(file.may_hold, device_ids))


def _near(rows: Any, span_us: tuple[int, int]) -> Any:
    return pc.and_(
        pc.less(rows.column("start_time_us"), span_us[1]), pc.greater(rows.column("end_time_us"), span_us[0])
    )


def _reduced(table: pa.Table, span_us: tuple[int, int]) -> pa.Table:
    """Return the messages near the span at the platform's rate: of 16 kHz, a hundredth and a half remains."""
    (batch,) = table.filter(_near(table, span_us)).combine_chunks().to_batches() or [None]
    return table.schema.empty_table() if batch is None else pa.Table.from_batches([at_platform_rate(batch)])
