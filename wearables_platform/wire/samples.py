"""From decoded acceleration messages to the flat sample table that every window row is computed from.

The stream holds messages as `AccelerationMessages`, the batch side makes them of the messages the archive holds: one
code decides sample times, clock steps and the order of samples, so that a window row is the same function of the same
messages on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wearables_platform.domain.time_policy import CLOCK_STEP_TOLERANCE_US
from wearables_platform.signals.compiled import compiled, plain
from wearables_platform.signals.flags import QualityFlag
from wearables_platform.signals.samples import SampleTable
from wearables_platform.signals.windows import HALO_AFTER_US, HALO_BEFORE_US, WINDOW_US
from wearables_platform.wire.codec import accel_values_g, dictionary_of
from wearables_platform.wire.raw_rates import at_platform_rate

# Which boot speaks for a window is decided from the whole window, so the halo grows to whole windows.
REACH_BEFORE_US = -(-HALO_BEFORE_US // WINDOW_US) * WINDOW_US
REACH_AFTER_US = -(-HALO_AFTER_US // WINDOW_US) * WINDOW_US

# Messages of one device may overlap a little, because stamps jitter: this much disorder is not lateness.
SETTLE_US = 250_000
_MONOTONIC_LIMIT_US = 2**61
_CLOCK_STEP = int(QualityFlag.CLOCK_STEP)

BLOCK_DTYPE = np.dtype(
    [("peak_raw_g", np.float32), ("peak_g", np.float32), ("glitches", np.int32), ("clipped", np.int32)]
)
_NO_BLOCK = np.array((np.nan, np.nan, 0, 0), BLOCK_DTYPE)

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class MessageSamples:
    """Samples of many messages, and whose they are.

    Attributes
    ----------
    samples
        Sorted by (device, boot, segment, time); ``samples.device`` indexes `device_ids`.
    device_ids
        Ascending.
    """

    samples: SampleTable
    device_ids: list[str]


@dataclass(frozen=True)
class AccelerationMessages:
    """What windows need of R acceleration messages, without a Python object per message.

    Attributes
    ----------
    device : (R,) int32
    boot, start_us : (R,) int64
    segment, count, blocks : (R,) int32
        Jumps of the boot's clock so far, samples, and blocks that values are given for (0: none are).
    rate_hz : (R,) float64
    stepped : (R,) bool
    accel_g : (S, 3) float32
        Samples, message after message.
    block : (B,) BLOCK_DTYPE
        Values given per block, message after message.
    """

    device: npt.NDArray[np.int32]
    boot: Ints
    start_us: Ints
    segment: npt.NDArray[np.int32]
    count: npt.NDArray[np.int32]
    blocks: npt.NDArray[np.int32]
    rate_hz: npt.NDArray[np.float64]
    stepped: Mask
    accel_g: npt.NDArray[np.float32]
    block: npt.NDArray[np.void]

    def __len__(self) -> int:
        """Return the number of messages."""
        return len(self.device)

    @property
    def nbytes(self) -> int:
        """Return the bytes held."""
        return sum(getattr(self, f.name).nbytes for f in fields(self))

    @property
    def end_us(self) -> Ints:
        """Return the instant after what each message covers."""
        return self.start_us + np.rint(self.count * 1e6 / self.rate_hz).astype(np.int64)

    @classmethod
    def concat(cls, parts: Sequence[AccelerationMessages]) -> AccelerationMessages:
        """Join messages end to end."""
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(cls)))

    def take(self, index: Ints | Mask) -> AccelerationMessages:
        """Return a copy of the messages that `index` selects."""
        chosen = {f.name: getattr(self, f.name)[index] for f in fields(self) if f.name not in ("accel_g", "block")}
        place = np.arange(len(self))[index]
        accel_g = _runs(self.accel_g.view(np.int32), self.count, place).view(np.float32)
        block = _runs(self.block.view(np.int32).reshape(-1, 4), self.blocks, place).reshape(-1).view(BLOCK_DTYPE)
        return AccelerationMessages(**chosen, accel_g=accel_g, block=block)

    def slice(self, begin: int, end: int) -> AccelerationMessages:
        """Return the messages [begin, end) without copying them."""
        chosen = {f.name: getattr(self, f.name)[begin:end] for f in fields(self) if f.name not in ("accel_g", "block")}
        sample, block = int(self.count[:begin].sum()), int(self.blocks[:begin].sum())
        samples, blocks = sample + int(chosen["count"].sum()), block + int(chosen["blocks"].sum())
        return AccelerationMessages(**chosen, accel_g=self.accel_g[sample:samples], block=self.block[block:blocks])

    def sorted(self) -> AccelerationMessages:
        """Return the messages in (device, boot, segment) order; messages of one series keep theirs."""
        keys = (self.segment, self.boot, self.device)
        if _in_order(*keys[::-1]):
            return self
        return self.take(np.lexsort(keys))

    def samples(self) -> SampleTable:
        """Return the samples, sorted; messages of a series must stand in their sequence."""
        table = self.sorted()._expanded()
        return table if table.is_sorted() else table.sorted()

    def _expanded(self) -> SampleTable:
        """Give every sample its message's columns; values of a block go to its first sample."""
        size = len(self.accel_g)
        made = SampleTable(
            device=np.empty(size, np.int32),
            boot=np.empty(size, np.int64),
            segment=np.empty(size, np.int32),
            time_us=np.empty(size, np.int64),
            rate_hz=np.empty(size, np.float64),
            accel_g=self.accel_g,
            peak_raw_g=np.full(size, np.nan, np.float32),
            peak_g=np.full(size, np.nan, np.float32),
            glitches=np.zeros(size, np.int32),
            clipped=np.zeros(size, np.int32),
            flags=np.zeros(size, np.int32),
        )
        names = BLOCK_DTYPE.names or ()
        _expand(
            plain(self.device, self.boot, self.segment, self.start_us, self.rate_hz, self.stepped),
            plain(self.count, self.blocks, *(self.block[name] for name in names)),
            (made.device, made.boot, made.segment, made.time_us, made.rate_hz, made.flags),
            (made.peak_raw_g, made.peak_g, made.glitches, made.clipped),
        )
        return made


@compiled
def _expand(messages: Any, counts: Any, samples: Any, on_blocks: Any) -> None:
    device, boot, segment, start_us, rate_hz, stepped = messages
    count, blocks, peak_raw_g, peak_g, glitches, clipped = counts
    device_out, boot_out, segment_out, time_out, rate_out, flags_out = samples
    peak_raw_out, peak_out, glitches_out, clipped_out = on_blocks
    first, block = 0, 0
    for message in range(len(device)):
        if count[message] and stepped[message]:
            flags_out[first] = _CLOCK_STEP
        for within in range(count[message]):
            at = first + within
            device_out[at], boot_out[at], segment_out[at] = device[message], boot[message], segment[message]
            time_out[at] = start_us[message] + np.int64(within * 1e6 / rate_hz[message] + 0.5)
            rate_out[at] = rate_hz[message]
        for number in range(blocks[message]):
            opens = first + np.int64(np.rint(number * count[message] / blocks[message]))
            peak_raw_out[opens], peak_out[opens] = peak_raw_g[block], peak_g[block]
            glitches_out[opens], clipped_out[opens] = glitches[block], clipped[block]
            block += 1
        first += count[message]


@dataclass(frozen=True)
class ClockSteps:
    """Where a device's wall clock jumped against its monotonic clock, for R messages in (device, boot, sequence) order.

    Attributes
    ----------
    stepped
        (R,) bool, the message's clock jumped since the message before it.
    segment
        (R,) int64, counts the jumps of the boot so far: two messages of one boot share a clock where it is equal.
    step_us
        (R,) int64, by how much it jumped, 0 where it did not.
    """

    stepped: Mask
    segment: Ints
    step_us: Ints


def samples_from_messages(rows: pa.RecordBatch) -> MessageSamples:
    """Turn messages into samples, with clock steps found.

    Parameters
    ----------
    rows
        Decoded acceleration messages with the columns of the schema file (more are ignored), each identity once,
        sorted by (device_id, boot_id, sequence). Those sent at the sensor's rate are reduced (`at_platform_rate`).

    Returns
    -------
    MessageSamples

    Raises
    ------
    ValueError
        `rows` are not sorted.

    Notes
    -----
    For a window's row to be final, `rows` must hold every message with a sample in
    ``[start - REACH_BEFORE_US, start + 1 s + REACH_AFTER_US)``.
    """
    _require_sorted(rows)
    rows = at_platform_rate(rows)
    steps = clock_steps(rows)
    return build_samples(rows, steps.stepped, steps.segment)


def build_samples(rows: pa.RecordBatch, stepped: Mask, segment: Ints) -> MessageSamples:
    """As `samples_from_messages`, where the caller followed the clocks itself (it saw messages it no longer holds)."""
    device, device_ids = dictionary_of(rows.column("device_id"))
    order = np.argsort(np.argsort(np.array(device_ids, dtype=object)))
    messages = acceleration_messages(rows, order[device].astype(np.int32), stepped, segment)
    return MessageSamples(messages.samples(), sorted(device_ids))


def acceleration_messages(
    rows: pa.RecordBatch, device: npt.NDArray[np.int32], stepped: Mask, segment: Ints
) -> AccelerationMessages:
    """Take from decoded rows what windows need; `device`, `stepped` and `segment` are (R,)."""
    accel_g, count = accel_values_g(rows)
    blocks, block = _block_values(rows)
    return AccelerationMessages(
        device=device.astype(np.int32, copy=False),
        boot=_int64(rows, "boot_id"),
        start_us=_int64(rows, "start_time_us"),
        segment=segment.astype(np.int32),
        count=count.astype(np.int32),
        blocks=blocks,
        rate_hz=rows.column("rate_hz").to_numpy(),
        stepped=stepped,
        accel_g=accel_g,
        block=block,
    )


def _block_values(rows: pa.RecordBatch) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.void]]:
    """Return how many blocks of each message have values, and these, message after message."""
    names = BLOCK_DTYPE.names or ()
    lengths = {name: np.diff(rows.column(name).offsets.to_numpy()).astype(np.int32) for name in names}
    blocks: npt.NDArray[np.int32] = np.maximum.reduce(list(lengths.values()))
    values = np.full(int(blocks.sum()), _NO_BLOCK, BLOCK_DTYPE)
    for name, given in lengths.items():
        flat = rows.column(name).flatten().to_numpy()
        values[name][np.repeat(given > 0, blocks)] = flat  # a list has a value for every block, or none
    return blocks, values


def clock_steps(rows: pa.RecordBatch) -> ClockSteps:
    """Compare each message's clocks with those of the message before it in the same boot."""
    device, _ = dictionary_of(rows.column("device_id"))
    boot = _int64(rows, "boot_id")
    offset_us = clock_offsets_us(_int64(rows, "start_time_us"), _int64(rows, "start_monotonic_us"))
    step_us = np.diff(offset_us, prepend=offset_us[:1])
    opens = np.ones(rows.num_rows, bool)
    opens[1:] = (np.diff(device) != 0) | (np.diff(boot) != 0)
    stepped = ~opens & (np.abs(step_us) > CLOCK_STEP_TOLERANCE_US)
    count = np.cumsum(stepped)
    first = np.flatnonzero(opens)
    lengths = np.diff(first, append=rows.num_rows)
    return ClockSteps(stepped, count - np.repeat(count[first], lengths), np.where(stepped, step_us, 0))


def clock_offsets_us(start_us: npt.ArrayLike, start_monotonic_us: npt.ArrayLike) -> Ints:
    """Return wall minus monotonic clock; a monotonic clock no device can show is clipped, so that nothing overflows.

    >>> clock_offsets_us([1_000], [400]).tolist()
    [600]
    """
    monotonic_us = np.clip(np.asarray(start_monotonic_us, np.int64), -_MONOTONIC_LIMIT_US, _MONOTONIC_LIMIT_US)
    return np.asarray(np.asarray(start_us, np.int64) - monotonic_us)


def message_spans_us(rows: pa.RecordBatch, counts: Ints) -> tuple[Ints, Ints]:
    """Return (R,) first instants and (R,) ends (exclusive) of what the messages cover."""
    start_us = _int64(rows, "start_time_us")
    return start_us, start_us + np.rint(counts * 1e6 / rows.column("rate_hz").to_numpy()).astype(np.int64)


def touched_windows(start_us: int, end_us: int) -> range:
    """Return the starts of all windows whose row may change with a message that covers [start_us, end_us).

    >>> [start // WINDOW_US for start in touched_windows(100 * WINDOW_US, 100 * WINDOW_US + 1)]
    [97, 98, 99, 100, 101, 102, 103, 104, 105]
    """
    first = start_us // WINDOW_US * WINDOW_US - REACH_AFTER_US
    last = (end_us - 1) // WINDOW_US * WINDOW_US + REACH_BEFORE_US
    return range(first, last + 1, WINDOW_US)


def _require_sorted(rows: pa.RecordBatch) -> None:
    ids = rows.column("device_id")
    _, distinct = dictionary_of(ids)
    codes, _ = dictionary_of(ids)
    keys = np.lexsort((_int64(rows, "sequence"), _int64(rows, "boot_id"), codes))
    if distinct != sorted(distinct) or not np.array_equal(keys, np.arange(rows.num_rows)):
        msg = "messages must be sorted by (device_id, boot_id, sequence)"
        raise ValueError(msg)


def _int64(rows: pa.RecordBatch, name: str) -> Ints:
    values: Ints = rows.column(name).to_numpy(zero_copy_only=False).astype(np.int64, copy=False)
    return values


def _runs(items: npt.NDArray[np.int32], counts: npt.NDArray[np.int32], rows: Ints) -> npt.NDArray[np.int32]:
    """Return the chosen rows' items, where row r has `counts[r]` items one after another."""
    ends = np.cumsum(counts, dtype=np.int64)
    out = np.empty((int(counts[rows].sum(dtype=np.int64)), items.shape[1]), np.int32)
    _copy_runs(plain(items, ends, counts, rows), out)
    return out


@compiled
def _copy_runs(runs: Any, out: Any) -> None:
    items, ends, counts, rows = runs
    at, width = 0, items.shape[1]
    for row in rows:
        for item in range(ends[row] - counts[row], ends[row]):
            for column in range(width):
                out[at, column] = items[item, column]
            at += 1


def _in_order(*columns: npt.NDArray[Any]) -> bool:
    """Tell whether rows are in the order of their columns, the first counting most."""
    tied = np.ones(max(len(columns[0]) - 1, 0), bool)
    for column in columns:
        if np.any(tied & (column[1:] < column[:-1])):
            return False
        tied &= column[1:] == column[:-1]
    return True
