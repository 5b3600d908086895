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
_KEY_BYTES: Final = np.dtype(_KEY).itemsize
_DEVICE_BYTES: Final = np.dtype(np.int32).itemsize
_SPANS: Final = 1 << 32


@dataclass(frozen=True)
class SpanLayout:
    """What is kept of a span: columns summed, columns of which the least or greatest is kept, or some of the greatest.

    Attributes
    ----------
    sums : mapping
        Column to type.
    lows, highs : columns of float32
    tops : mapping
        Column to how many of its greatest values are kept (float32, in no order, -inf where there are fewer).
    """

    sums: Mapping[str, type]
    lows: Sequence[str] = ()
    highs: Sequence[str] = ()
    tops: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """Return the structured type of a span."""
        bounds = [(name, np.float32) for name in (*self.lows, *self.highs)]
        return np.dtype(
            [*_KEY, *self.sums.items(), *bounds, *((name, np.float32, (n,)) for name, n in self.tops.items())]
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
        for name in (*self.highs, *self.tops):
            table[name] = -np.inf
        return table


@dataclass
class OpenSpans:
    """The span every device is in; `table` is indexed by device, which it therefore does not name."""

    layout: SpanLayout
    table: Table = field(init=False)

    def __post_init__(self) -> None:
        """Begin without devices."""
        self.table = _unnamed(self.layout.empty(0))

    def grow(self, devices: int) -> None:
        """Make room for new devices."""
        if devices > len(self.table):
            self.table = np.concatenate((self.table, _unnamed(self.layout.empty(devices - len(self.table)))))

    def left(self) -> Table:
        """Return the spans that hold something, as if they were over."""
        device = np.flatnonzero(self.table["span"] != NO_SPAN)
        return self._named(device, self.table[device])

    def _named(self, device: NDArray[Any], held: Table) -> Table:
        named = np.empty(len(held), self.layout.dtype)
        as_bytes(named)[:, _DEVICE_BYTES:] = as_bytes(held)
        named["device"] = device
        return named

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
        self.table[slots["device"][last]] = _unnamed(slots[last])
        return by_key(np.concatenate((earlier, slots[~last])))

    def _add_in_place(self, device: NDArray[np.int32], rows: Mapping[str, NDArray[Any]]) -> None:
        """Add one row per device to the span it is in: what happens live, most of the time."""
        for names, ufunc in self.layout.folds:
            for name in names:
                column = self.table[name]
                column[device] = ufunc(column[device], rows[name].astype(column.dtype, copy=False))
        for name in self.layout.tops:
            held = self.table[name][device]
            place, row = held.argmin(axis=1), np.arange(len(device))
            held[row, place] = np.maximum(held[row, place], rows[name].astype(np.float32, copy=False))
            self.table[name][device] = held

    def _slots(self, device: NDArray[np.int32], span: Ints) -> tuple[Table, Table]:
        """Return the spans rows are added to, begun with what is known of them, and the open spans that are over."""
        slots = self.layout.empty(len(device))
        slots["device"], slots["span"] = device, span
        opens = np.flatnonzero(np.append(True, np.diff(device) != 0))
        held = self._named(device[opens], self.table[device[opens]])
        if (held["span"] > span[opens]).any() or (np.diff(span)[np.diff(device) == 0] < 0).any():
            msg = "rows of a device must come in the order of time"
            raise ValueError(msg)
        same = held["span"] == span[opens]
        slots[opens[same]] = held[same]
        return slots, held[~same & (held["span"] != NO_SPAN)]


@dataclass
class Ring:
    """The last few spans of each device that are over, in a short form, by how many spans ago they were.

    Attributes
    ----------
    dtype : structured type
        Of a short form; it begins with the key, then `seconds`, which is never negative.
    spans : int
    table : (D, spans)
        What is not there has negative `seconds`; the key is left out.
    """

    dtype: np.dtype[Any]
    spans: int
    table: Table = field(init=False)

    def __post_init__(self) -> None:
        """Begin without devices."""
        self.table = self._nothing(0)

    def grow(self, devices: int) -> None:
        """Make room for new devices."""
        if devices > len(self.table):
            self.table = np.concatenate((self.table, self._nothing(devices - len(self.table))))

    def recall(self, device: Ints, front: Ints) -> Table:
        """Return what is known of (d,) ascending devices that were in the span `front`; sorted by (device, span)."""
        held = self.table[device][:, ::-1]
        there = held["seconds"] >= 0
        spans_ago = np.arange(self.spans, 0, -1)
        known = np.zeros(int(there.sum()), self.dtype)
        as_bytes(known)[:, _KEY_BYTES:] = as_bytes(held[there])
        known["device"] = np.broadcast_to(device[:, None], there.shape)[there]
        known["span"] = (front[:, None] - spans_ago)[there]
        return known

    def keep(self, device: Ints, front: Ints, known: Table) -> None:
        """Keep of `known`, sorted, what (d,) ascending devices still need when they are in the span `front`."""
        self.table[device] = self._nothing(len(device))
        ago = front[np.searchsorted(device, known["device"])] - known["span"] - 1
        near = ago < self.spans
        kept = np.zeros(int(near.sum()), self.table.dtype)
        as_bytes(kept)[:] = as_bytes(known[near])[:, _KEY_BYTES:]
        self.table[known["device"][near], ago[near]] = kept

    def _nothing(self, devices: int) -> Table:
        table = np.zeros((devices, self.spans), _columns(self.dtype)[2:])
        table["seconds"] = -1
        return table


def as_bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    """Return (N, bytes) of an array of N rows: a view, where it lies in one piece."""
    width = array.dtype.itemsize * int(np.prod(array.shape[1:], dtype=np.int64))
    return np.ascontiguousarray(array).view(np.uint8).reshape(len(array), width)


def _columns(dtype: np.dtype[Any]) -> list[tuple[str, np.dtype[Any], tuple[int, ...]]]:
    return [(name, dtype[name].base, dtype[name].shape) for name in dtype.names or ()]


def _unnamed(table: Table) -> Table:
    """Return a table without its first column, the device."""
    rest = np.empty(len(table), _columns(table.dtype)[1:])
    as_bytes(rest)[:] = as_bytes(table)[:, _DEVICE_BYTES:]
    return rest


def _fold(layout: SpanLayout, slots: Table, slot: Ints, rows: Mapping[str, NDArray[Any]]) -> None:
    # `ufunc.at` goes row by row in order; a column of its own is faster than a field of the structure.
    for names, ufunc in layout.folds:
        for name in names:
            column = slots[name].copy()
            ufunc.at(column, slot, rows[name].astype(column.dtype, copy=False))
            slots[name] = column
    for name, n in layout.tops.items():
        slots[name] = _greatest(slots[name], slot, rows[name].astype(np.float32, copy=False), n)


def _greatest(held: NDArray[Any], slot: Ints, values: NDArray[np.float32], n: int) -> NDArray[np.float32]:
    """Return the (S, n) greatest of what each slot holds and of the values added to it."""
    slot = np.concatenate((np.repeat(np.arange(len(held)), n), slot))
    values = np.concatenate((held.reshape(-1), values))
    order = np.lexsort((-values, slot))
    first = np.searchsorted(slot[order], np.arange(len(held)))
    return np.asarray(values[order][first[:, None] + np.arange(n)])  # a slot has n values at least: what it held


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
