"""Sums over aligned spans of time, kept per device until a span is over: the same bits however rows are cut.

A span's sums are added row by row in the order of the rows, also across calls, so it does not matter in which portions
the rows come. What is larger than a span is combined from whole spans, again in a fixed order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Table = NDArray[Any]
"""A structured array; `device` (int32) and `span` (int32, spans since the epoch) are its key."""

Ints = NDArray[np.int64]

NO_SPAN: Final = -(2**31)
_KEY: Final = [("device", np.int32), ("span", np.int32)]
_SPANS: Final = 1 << 32


@dataclass(frozen=True)
class SpanLayout:
    """What is kept of a span: columns summed, columns of which the least or greatest is kept, and single values.

    Attributes
    ----------
    sums : mapping
        Column to type.
    lows, highs : columns of float32
    each : mapping
        Column to how many values a span has of it (float32, NaN where there is none); rows say which is theirs in the
        column ``place``.
    """

    sums: Mapping[str, type]
    lows: Sequence[str] = ()
    highs: Sequence[str] = ()
    each: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """Return the structured type of a span."""
        bounds = [(name, np.float32) for name in (*self.lows, *self.highs)]
        return np.dtype(
            [*_KEY, *self.sums.items(), *bounds, *((name, np.float32, (n,)) for name, n in self.each.items())]
        )

    @cached_property
    def folds(self) -> tuple[tuple[Iterable[str], np.ufunc], ...]:
        """Return which columns a row is added to by which function."""
        return (self.sums, np.add), (self.lows, np.minimum), (self.highs, np.maximum)

    def empty(self, n: int) -> Table:
        """Return `n` spans that hold nothing and belong to no time."""
        table = np.zeros(n, self.dtype)
        table["span"] = NO_SPAN
        for name in self.lows:
            table[name] = np.inf
        for name in self.highs:
            table[name] = -np.inf
        for name in self.each:
            table[name] = np.nan
        return table


@dataclass
class OpenSpans:
    """The span every device is in; `table` is indexed by device."""

    layout: SpanLayout
    table: Table = field(init=False)

    def __post_init__(self) -> None:
        """Begin without devices."""
        self.table = self.layout.empty(0)

    def grow(self, devices: int) -> None:
        """Make room for new devices."""
        if devices > len(self.table):
            self.table = np.concatenate((self.table, self.layout.empty(devices - len(self.table))))
            self.table["device"] = np.arange(devices)

    def add(self, device: NDArray[np.int32], span: Ints, rows: Mapping[str, NDArray[Any]]) -> Table:
        """Add rows and return the spans that are over, sorted by (device, span).

        Parameters
        ----------
        device, span : (R,)
            Sorted by device; spans ascend within a device and never fall behind the span it is in.
        rows : mapping of (R,) arrays
            One per column of the layout.

        Raises
        ------
        ValueError
            A row belongs to a span that is over.
        """
        if not len(device):
            return self.layout.empty(0)
        if (np.diff(device) != 0).all() and (self.table["span"][device] == span).all():
            self._add_in_place(device, rows)
            return self.layout.empty(0)
        fresh = np.ones(len(device), bool)
        fresh[1:] = (np.diff(device) != 0) | (np.diff(span) != 0)
        slots, earlier = self._slots(device[fresh], span[fresh])
        _fold(self.layout, slots, np.cumsum(fresh) - 1, rows)
        last = np.append(np.diff(slots["device"]) != 0, True)
        self.table[slots["device"][last]] = slots[last]
        return by_key(np.concatenate((earlier, slots[~last])))

    def _add_in_place(self, device: NDArray[np.int32], rows: Mapping[str, NDArray[Any]]) -> None:
        """Add one row per device to the span it is in: what happens live, most of the time."""
        for names, ufunc in self.layout.folds:
            for name in names:
                column = self.table[name]
                column[device] = ufunc(column[device], rows[name].astype(column.dtype, copy=False))
        for name in self.layout.each:
            self.table[name][device, rows["place"]] = rows[name]

    def _slots(self, device: NDArray[np.int32], span: Ints) -> tuple[Table, Table]:
        """Return the spans rows are added to, begun with what is known of them, and the open spans that are over."""
        slots = self.layout.empty(len(device))
        slots["device"], slots["span"] = device, span
        opens = np.flatnonzero(np.append(True, np.diff(device) != 0))
        held = self.table[device[opens]]
        if (held["span"] > span[opens]).any() or (np.diff(span)[np.diff(device) == 0] < 0).any():
            msg = "rows of a device must come in the order of time"
            raise ValueError(msg)
        same = held["span"] == span[opens]
        slots[opens[same]] = held[same]
        return slots, held[~same & (held["span"] != NO_SPAN)]


def _fold(layout: SpanLayout, slots: Table, slot: Ints, rows: Mapping[str, NDArray[Any]]) -> None:
    # `ufunc.at` goes row by row in order; a column of its own is faster than a field of the structure.
    for names, ufunc in layout.folds:
        for name in names:
            column = slots[name].copy()
            ufunc.at(column, slot, rows[name].astype(column.dtype, copy=False))
            slots[name] = column
    for name in layout.each:
        slots[name][slot, rows["place"]] = rows[name]


def keys_of(device: NDArray[Any], span: NDArray[Any]) -> Ints:
    """Return one integer per (device, span), in the order of both."""
    keys: Ints = device.astype(np.int64) * _SPANS + (span.astype(np.int64) - NO_SPAN)
    return keys


def devices_and_spans(keys: Ints) -> tuple[Ints, Ints]:
    """Return what `keys_of` was given."""
    return keys // _SPANS, keys % _SPANS + NO_SPAN


def by_key(table: Table) -> Table:
    """Return spans sorted by (device, span)."""
    keys = keys_of(table["device"], table["span"])
    return table if (np.diff(keys) > 0).all() else table[np.argsort(keys, kind="stable")]


def moving(kept: Table, front: Ints, done: Ints, spans: int) -> tuple[Table, NDArray[np.intp], NDArray[np.bool_]]:
    """Return the windows of `spans` spans, moved by one, that are over and hold at least one span.

    Parameters
    ----------
    kept : spans that are over, sorted by (device, span)
    front : (D,) the span each device is in: what comes before is over
    done : (D,) windows that end at this span or before have been returned
    spans : how many spans a window covers

    Returns
    -------
    windows : structured array of `device` and `span`, the first span after the window
    place : (W, spans) places in `kept`, oldest first
    there : (W, spans) whether the span is there; where not, the place means nothing
    """
    device = np.repeat(kept["device"].astype(np.int64), spans)
    end = (kept["span"].astype(np.int64)[:, None] + np.arange(1, spans + 1)).reshape(-1)
    due = (end <= front[device]) & (end > done[device])
    found, ends = devices_and_spans(np.unique(keys_of(device[due], end[due])))
    windows = np.zeros(len(found), _KEY)
    windows["device"], windows["span"] = found, ends
    wanted = keys_of(found[:, None], ends[:, None] - np.arange(spans, 0, -1))
    known = keys_of(kept["device"], kept["span"])
    place = np.minimum(np.searchsorted(known, wanted), max(len(known) - 1, 0))
    there = known[place] == wanted if len(known) else np.zeros(wanted.shape, bool)
    return windows, place, there
