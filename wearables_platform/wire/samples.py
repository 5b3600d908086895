"""From decoded acceleration messages to the flat sample table that every window row is computed from.

The stream calls `build_samples` on the messages it holds, the batch side calls `samples_from_messages` on the messages
the archive holds: one code decides sample times, clock steps and which of two boots speaks for an instant, so that a
window row is the same function of the same messages on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wearables_platform.domain.time_policy import CLOCK_STEP_TOLERANCE_US
from wearables_platform.signals.flags import QualityFlag
from wearables_platform.signals.samples import SampleTable
from wearables_platform.signals.windows import HALO_AFTER_US, HALO_BEFORE_US, WINDOW_US
from wearables_platform.wire.codec import accel_values_g, dictionary_of
from wearables_platform.wire.raw_rates import at_platform_rate

# Which boot speaks for a window is decided from the whole window, so the halo grows to whole windows.
REACH_BEFORE_US = -(-HALO_BEFORE_US // WINDOW_US) * WINDOW_US
REACH_AFTER_US = -(-HALO_AFTER_US // WINDOW_US) * WINDOW_US

# Messages of one device may overlap a little, because stamps jitter: this much disorder is not lateness. The stream
# closes a window when the device's data reach its end + REACH_AFTER_US + SETTLE_US.
SETTLE_US = 500_000
_MONOTONIC_LIMIT_US = 2**61

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class MessageSamples:
    """Samples of many messages, and whose they are.

    Attributes
    ----------
    samples
        Sorted by (device, time); ``samples.device`` indexes `device_ids`.
    device_ids
        Ascending.
    """

    samples: SampleTable
    device_ids: list[str]


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
    """Turn messages into samples, with clock steps and overlaps of boots resolved.

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
    table, message = _expand(rows, order[device].astype(np.int32), stepped)
    place = np.lexsort((table.time_us, table.device))
    if not np.array_equal(place, np.arange(len(place))):
        table, message = table.take(place), message[place]
    return MessageSamples(
        _resolve_overlaps(table, _int64(rows, "sequence")[message], segment[message]), sorted(device_ids)
    )


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


def _expand(rows: pa.RecordBatch, device: npt.NDArray[np.int32], stepped: Mask) -> tuple[SampleTable, Ints]:
    """Give every sample its message's columns; returns the samples and the message of each, in message order."""
    accel_g, counts = accel_values_g(rows)
    first = np.cumsum(counts) - counts
    message = np.repeat(np.arange(rows.num_rows), counts)
    within = np.arange(len(message)) - first[message]
    rate_hz = rows.column("rate_hz").to_numpy()
    period_offset_us = np.rint(within * 1e6 / rate_hz[message]).astype(np.int64)
    flags = np.zeros(len(message), np.int32)
    flags[first[stepped]] |= int(QualityFlag.CLOCK_STEP)
    table = SampleTable(
        device=device[message],
        boot=_int64(rows, "boot_id")[message],
        time_us=_int64(rows, "start_time_us")[message] + period_offset_us,
        rate_hz=rate_hz[message],
        accel_g=accel_g,
        flags=flags,
        **_on_block_starts(rows, first, counts),
    )
    return table, message


def _on_block_starts(rows: pa.RecordBatch, first: Ints, counts: Ints) -> dict[str, Any]:
    """Place the values given per block on the first sample of each block."""
    size = int(counts.sum())
    blocks = np.maximum(rows.column("block_count").to_numpy().astype(np.int64), 1)
    columns: dict[str, Any] = {}
    for name, blank, dtype in (
        ("peak_raw_g", np.nan, np.float32),
        ("peak_g", np.nan, np.float32),
        ("glitches", 0, np.int32),
        ("clipped", 0, np.int32),
    ):
        lists = rows.column(name)
        lengths = np.diff(lists.offsets.to_numpy()).astype(np.int64)
        message = np.repeat(np.arange(rows.num_rows), lengths)
        block = np.arange(len(message)) - (np.cumsum(lengths) - lengths)[message]
        at = first[message] + np.rint(block * counts[message] / blocks[message]).astype(np.int64)
        columns[name] = np.full(size, blank, dtype)
        columns[name][at] = lists.flatten().to_numpy().astype(dtype)
    return columns


def _resolve_overlaps(table: SampleTable, sequence: Ints, segment: Ints) -> SampleTable:
    """Let one clock of one boot speak for each instant.

    Where two of them cover one instant within a window, the one with more samples in that window wins (then the lower
    boot, then the lower sequence) and what is kept of the window is flagged `OVERLAP`. Two that follow each other
    inside a window are both kept. Where the clock segment changes between neighbours the later one is flagged
    `CLOCK_STEP`, because the sample on which the clock jumped may have lost its window.
    """
    speaker = _changes(table.boot, segment)
    if not speaker.any():
        return table
    same_window = _same(table.device, table.time_us // WINDOW_US)
    if not (speaker & same_window).any():
        return _mark_steps(table, segment)
    keep, overlap = _choose(table, sequence, segment, same_window)
    flags = table.flags | np.where(overlap, int(QualityFlag.OVERLAP), 0).astype(np.int32)
    return _mark_steps(replace(table, flags=flags).take(keep), segment[keep])


def _choose(table: SampleTable, sequence: Ints, segment: Ints, same_window: Mask) -> tuple[Mask, Mask]:
    """Return which samples are kept, and which lie in a window with an overlap."""
    window = np.cumsum(~same_window)
    keep, overlap = np.ones(len(table), bool), np.zeros(len(table), bool)
    crowded = np.unique(window[1:][(_changes(table.boot, segment) & same_window)[1:]])
    begins, ends = np.searchsorted(window, crowded), np.searchsorted(window, crowded, side="right")
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        part = slice(begin, end)
        kept = _speakers(table.boot[part], segment[part], sequence[part])
        keep[part], overlap[part] = kept, not kept.all()
    return keep, overlap


def _speakers(boot: Ints, segment: Ints, sequence: Ints) -> Mask:
    """Return which samples of one window are kept: best-covered speaker first, each only if it crosses none kept."""
    _, speaker = np.unique(np.stack((boot, segment)), axis=1, return_inverse=True)
    ranked = []
    for number in range(int(speaker.max()) + 1):
        at = np.flatnonzero(speaker == number)
        ranked.append((-len(at), int(boot[at[0]]), int(sequence[at].min()), int(at[0]), int(at[-1]), number))
    taken: list[tuple[int, int]] = []
    kept = []
    for *_, first, last, number in sorted(ranked):
        if all(last < begin or first > end for begin, end in taken):
            taken.append((first, last))
            kept.append(number)
    return np.isin(speaker, kept)


def _mark_steps(table: SampleTable, segment: Ints) -> SampleTable:
    changes = np.zeros(len(table), bool)
    changes[1:] = (np.diff(segment) != 0) & (np.diff(table.boot) == 0) & (np.diff(table.device) == 0)
    changes[1:] &= np.diff(table.time_us) <= WINDOW_US  # farther apart they are not neighbours, whatever lies between
    return replace(table, flags=table.flags | np.where(changes, int(QualityFlag.CLOCK_STEP), 0).astype(np.int32))


def _changes(*columns: Ints) -> Mask:
    """Mark positions where any column differs from the position before."""
    changed = np.zeros(len(columns[0]), bool)
    for column in columns:
        changed[1:] |= np.diff(column) != 0
    return changed


def _same(*columns: npt.NDArray[Any]) -> Mask:
    """Mark positions where every column equals the position before."""
    same = np.ones(len(columns[0]), bool)
    same[:1] = False
    for column in columns:
        same[1:] &= np.diff(column) == 0
    return same
