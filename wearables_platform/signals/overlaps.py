"""One speaker per instant: samples of all series of a device, brought into UTC seconds.

Two boots of a device, or one boot before and after its clock jumped, may cover the same instant. In each second the
series with most samples wins (then the lower boot, then the earlier clock segment); others are kept only where they
cross none of those kept, so that two that follow each other inside a second both count.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wearables_platform.signals.samples import SampleTable

WINDOW_US = 1_000_000
"""Windows are one second long and start at whole UTC seconds."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Seconds:
    """R windows of D devices, sorted by (device, start), and the samples that speak for them.

    Attributes
    ----------
    device, start_us : (R,) int64
    index : (K,) int64
        Positions in the table of the samples kept, window by window, by time.
    first : (R + 1,) int64
        Where each window's samples begin in `index`.
    overlap : (R,) bool
        Windows of which samples were left out.
    """

    device: Ints
    start_us: Ints
    index: Ints
    first: Ints
    overlap: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.device)

    @property
    def counts(self) -> Ints:
        """Return the number of samples of each window."""
        return np.diff(self.first)

    def by_count(self) -> Iterator[tuple[Ints, Ints]]:
        """Yield, per number n > 0 of samples, the windows that have it and their samples' positions (W, n)."""
        counts = self.counts
        for count in np.unique(counts[counts > 0]).tolist():
            rows = np.flatnonzero(counts == count)
            yield rows, self.index[self.first[rows][:, None] + np.arange(count)]

    def rows_at(self, device: Ints, start_us: Ints) -> Ints:
        """Return the row of each (device, start), which must be among them."""
        keys = np.concatenate((self.start_us, start_us))
        _, second = np.unique(keys, return_inverse=True)
        scale = int(second.max(initial=0)) + 1
        own = self.device * scale + second[: len(self)]
        return np.searchsorted(own, device * scale + second[len(self) :])


def always(devices: int) -> tuple[Ints, Ints]:
    """Return the span of all time for so many devices.

    >>> [span.tolist() for span in always(1)]
    [[-4611686018427387904], [4611686018427387904]]
    """
    return np.full(devices, -(2**62)), np.full(devices, 2**62)


class _Blocks(NamedTuple):
    """Samples of one series in one window: contiguous in the table."""

    device: Ints
    start_us: Ints
    first: Ints
    last: Ints


def into_seconds(table: SampleTable, spans: tuple[Ints, Ints], also: tuple[Ints, Ints] | None = None) -> Seconds:
    """Choose the samples of every window that starts in its device's span.

    Parameters
    ----------
    table : SampleTable
        Sorted; its devices are positions in `spans`.
    spans : ((D,) int64, (D,) int64)
        First instant, and end, of what is asked for, per device; whole seconds.
    also : ((N,) int64, (N,) int64), optional
        Devices and window starts that get a row even without samples.
    """
    blocks = _blocks(table, spans)
    begins = _begins(blocks)
    crowded = np.flatnonzero(np.diff(begins, append=len(blocks.device)) > 1)
    order, overlap_starts = _chosen(table, blocks, begins, crowded)
    seconds = _seconds(blocks, begins, order, overlap_starts)
    return seconds if also is None or not len(also[0]) else _with_rows(seconds, also)


def _blocks(table: SampleTable, spans: tuple[Ints, Ints]) -> _Blocks:
    """Return the blocks inside the spans, sorted by (device, window)."""
    second = table.time_us // WINDOW_US
    opens = table.series_starts()
    opens[1:] |= second[1:] != second[:-1]
    first = np.flatnonzero(opens)
    last = np.append(first[1:], len(table)) - 1
    device, start_us = table.device[first].astype(np.int64), second[first] * WINDOW_US
    inside = (start_us >= spans[0][device]) & (start_us < spans[1][device])
    blocks = _Blocks(*(column[inside] for column in (device, start_us, first, last)))
    ahead = (np.diff(blocks.device) == 0) & (np.diff(blocks.start_us) < 0)
    if not ahead.any():
        return blocks
    order = np.lexsort((blocks.first, blocks.start_us, blocks.device))
    return _Blocks(*(column[order] for column in blocks))


def _begins(blocks: _Blocks) -> Ints:
    """Return where the blocks of each window begin."""
    opens = np.ones(len(blocks.device), dtype=np.bool_)
    opens[1:] = (np.diff(blocks.device) != 0) | (np.diff(blocks.start_us) != 0)
    return np.flatnonzero(opens)


def _chosen(table: SampleTable, blocks: _Blocks, begins: Ints, crowded: Ints) -> tuple[Ints, list[int]]:
    """Return the blocks kept, in the order of time, and the windows (by number) that lost some."""
    order = np.arange(len(blocks.device))
    lossy: list[int] = []
    if not len(crowded):
        return order, lossy
    keep = np.ones(len(order), dtype=np.bool_)
    ends = np.append(begins[1:], len(order))
    for window in crowded.tolist():
        part = range(begins[window], ends[window])
        kept = sorted(_speakers(table, blocks, part))
        order[part.start : part.start + len(kept)] = [block for _, block in kept]
        keep[part.start + len(kept) : part.stop] = False
        if len(kept) < len(part):
            lossy.append(window)
    return order[keep], lossy


def _speakers(table: SampleTable, blocks: _Blocks, part: range) -> Iterator[tuple[int, int]]:
    """Return (first instant, block) of what is kept of one window: best-covered first, each only if it crosses none."""
    ranked = []
    for block in part:
        first, last = int(blocks.first[block]), int(blocks.last[block])
        series = int(table.boot[first]), int(table.segment[first])
        ranked.append((first - last, *series, int(table.time_us[first]), int(table.time_us[last]), block))
    taken: list[tuple[int, int]] = []
    for *_, from_us, to_us, block in sorted(ranked):
        if all(to_us < begin_us or from_us > end_us for begin_us, end_us in taken):
            taken.append((from_us, to_us))
            yield from_us, block


def _seconds(blocks: _Blocks, begins: Ints, order: Ints, lossy: list[int]) -> Seconds:
    lengths = (blocks.last - blocks.first + 1)[order]
    before = np.cumsum(lengths) - lengths
    index = np.repeat(blocks.first[order] - before, lengths) + np.arange(int(lengths.sum()))
    # A window's first kept block stands where its first block stood, less those dropped before.
    window = np.searchsorted(begins, order, side="right") - 1
    counts = np.zeros(len(begins), dtype=np.int64)
    np.add.at(counts, window, lengths)
    overlap = np.zeros(len(begins), dtype=np.bool_)
    overlap[lossy] = True
    return Seconds(
        blocks.device[begins], blocks.start_us[begins], index, np.concatenate(([0], np.cumsum(counts))), overlap
    )


def _with_rows(seconds: Seconds, also: tuple[Ints, Ints]) -> Seconds:
    """Add rows without samples where there are none."""
    keys = np.unique(np.stack((np.append(seconds.device, also[0]), np.append(seconds.start_us, also[1]))), axis=1)
    whole = Seconds(keys[0], keys[1], seconds.index, np.zeros(keys.shape[1] + 1, np.int64), np.zeros(0, np.bool_))
    place = whole.rows_at(seconds.device, seconds.start_us)
    counts, overlap = np.zeros(len(whole), dtype=np.int64), np.zeros(len(whole), dtype=np.bool_)
    counts[place], overlap[place] = seconds.counts, seconds.overlap
    first = np.concatenate(([0], np.cumsum(counts)))
    return Seconds(whole.device, whole.start_us, seconds.index, first, overlap)
