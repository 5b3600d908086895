"""What a partition remembers to go on restoring order: boots, messages held behind gaps, holes left by gaps.

Everything is columns. `order_kernel` writes the integers; the messages themselves are Arrow batches, appended where
messages begin to wait and put together again when most of them have gone.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stream import order_table as table
from stream.columns import DEVICE, Columns
from stream.devices import Devices
from stream.order_columns import (
    BOOT_DTYPE,
    BOOT_SILENT_US,
    HELD_DTYPE,
    HELD_FREE,
    HELD_TOP,
    HOLE_DTYPE,
    HOLE_FREE,
    HOLE_TOP,
)
from stream.order_kernel import Memory
from wearables_platform.wire.samples import clock_offsets_us

Ints = npt.NDArray[np.int64]

# What is saved of a boot and of a hole; chains and counts follow from it.
_BOOT_COLUMNS: Final = (
    "device",
    "boot",
    "next",
    "floor",
    "clock_us",
    "end_us",
    "last_us",
    "last_offset",
    "segment",
    "passed",
)
_HOLE_COLUMNS: Final = ("first", "last", "clock_before_us", "clock_after_us", "after_start_us", "after_end_us")
_HELD_COLUMNS: Final = (DEVICE, "held_log_us", "held_end_us")
# Rows of messages that wait no more are kept until they are this many and as many as those that do.
_IDLE_ROWS: Final = 1_024


class OrderState:
    """The memory of one topic's partition; device numbers are those of `devices`."""

    def __init__(self, devices: Devices | None = None) -> None:
        self.devices = Devices() if devices is None else devices
        self.forgotten = 0  # boots, since this object was made
        self._forget_all()

    def _forget_all(self) -> None:
        self._boots = np.zeros(0, BOOT_DTYPE)
        self._count = 0
        self._table = np.full(16, -1, np.int32)
        self._held = np.zeros(0, HELD_DTYPE)
        self._holes = np.zeros(0, HOLE_DTYPE)
        self._tops = np.array([0, -1, 0, -1])
        self._first_boot = np.zeros(0, np.int32)
        self._boot_count = np.zeros(0, np.int32)
        self._changed = np.zeros(0, np.bool_)
        self._waiting: list[pa.RecordBatch] = []

    @property
    def boots(self) -> npt.NDArray[np.void]:
        """A row per boot."""
        return self._boots[: self._count]

    @property
    def held(self) -> int:
        """How many messages wait behind gaps."""
        return int(self.boots["held"].sum())

    @property
    def holes(self) -> int:
        """How many holes are remembered."""
        return int(self.boots["holes"].sum())

    @property
    def nbytes(self) -> int:
        """What all of it takes in memory, the messages that wait included; names are counted where they are kept."""
        kept: list[Any] = [self._boots, self._table, self._held, self._holes, *self._waiting]
        return sum(int(one.nbytes) for one in (*kept, self._first_boot, self._boot_count, self._changed))

    @property
    def memory(self) -> Memory:
        """The arrays as the kernel takes them."""
        per_device = (self._first_boot, self._boot_count, self._changed)
        return Memory(self._boots, self._held, self._holes, self._tops, *per_device)

    @property
    def waiting_rows(self) -> int:
        """How many rows there are of messages that wait, or waited a while ago."""
        return sum(batch.num_rows for batch in self._waiting)

    def slots(self, device: Ints, boot: Ints, log_us: int) -> Ints:
        """Return the place in `boots` of each message's boot, new ones for new boots; `log_us` is before them all."""
        self._know_devices()
        slots = np.empty(len(device), np.int64)
        if table.find_slots(self.boots, self._count, self._table, device, boot, slots)[1]:
            new = np.unique(np.stack((device, boot))[:, slots < 0], axis=1).shape[1]
            if self._count + new > len(self._boots):
                self._make_room_for_boots(new, log_us)
            self._count, _ = table.find_slots(self._boots, self._count, self._table, device, boot, slots)
        return slots

    def make_room(self, messages: int) -> None:
        """Let the pools take what so many messages may put into them at worst."""
        waiting = self.held
        self._held = _with_room(self._held, waiting + messages)
        # Each message may leave a gap behind or split a hole, each that waits may end a gap.
        self._holes = _with_room(self._holes, self.holes + waiting + 2 * messages)

    def settle(self, rows: pa.RecordBatch) -> None:
        """After a step, keep those of its messages that wait: the kernel numbered them on from `waiting_rows`."""
        base = self.waiting_rows
        entries = self._live_entries()
        new = entries[self._held["row"][entries] >= base]
        if len(new):
            self._waiting.append(rows.take(pa.array(self._held["row"][new] - base)))
            self._held["row"][new] = base + np.arange(len(new))
        if self.waiting_rows > 2 * len(entries) + _IDLE_ROWS or (self._waiting and not len(entries)):
            kept = [self.waiting(self._held["row"][entries])] if len(entries) else []
            self._held["row"][entries] = np.arange(len(entries))
            self._waiting = kept
        self._give_back_pools(len(entries))

    def _give_back_pools(self, held: int) -> None:
        """Let go of pools that nothing is in: between steps a fleet in order costs its boots alone."""
        if not held:
            self._held, self._tops[HELD_TOP], self._tops[HELD_FREE] = self._held[:0].copy(), 0, -1
        if not self.holes:
            self._holes, self._tops[HOLE_TOP], self._tops[HOLE_FREE] = self._holes[:0].copy(), 0, -1

    def waiting(self, rows: Ints) -> pa.RecordBatch:
        """Return these rows of messages that wait."""
        table = pa.Table.from_batches(self._waiting).take(pa.array(rows))
        return table.combine_chunks().to_batches()[0] if len(rows) else self._waiting[0].slice(0, 0)

    def columns(self) -> Columns:
        """Return everything."""
        return self.rows_of(np.arange(len(self.devices)))

    def changed(self) -> Ints:
        """Return the devices touched since `mark_saved`."""
        return np.flatnonzero(self._changed)

    def mark_saved(self) -> None:
        """Begin to collect changes anew."""
        self._changed[:] = False

    def rows_of(self, devices: Ints) -> Columns:
        """Return these devices' rows, by device."""
        chosen = np.zeros(len(self.devices), np.bool_)
        chosen[devices] = True
        boots = self.boots
        slots = np.flatnonzero(boots["seen"] & chosen[boots["device"]])
        slots = slots[np.argsort(boots["device"][slots], kind="stable")]
        rank = np.full(len(boots), -1)
        rank[slots] = np.arange(len(slots))
        found: Columns = {f"boots.{name}": boots[name][slots] for name in _BOOT_COLUMNS}
        found |= self._hole_columns(rank)
        return found | self._held_columns(rank)

    def restore(self, columns: Columns) -> None:
        """Take the place of a state that gave these columns."""
        self._forget_all()
        self._know_devices()
        self._count = len(columns["boots.device"])
        self._boots = np.zeros(self._count, BOOT_DTYPE)
        for name in ("first_held", "last_held", "first_hole", "last_hole", "sibling"):
            self._boots[name] = -1
        for name in _BOOT_COLUMNS:
            self._boots[name] = columns[f"boots.{name}"]
        self._boots["seen"] = True
        self._enter_boots()
        self._restore_holes(columns)
        if "held" in columns:
            self._restore_held(columns["held"])

    def _know_devices(self) -> None:
        more = len(self.devices) - len(self._changed)
        if more > 0:
            self._first_boot = np.concatenate((self._first_boot, np.full(more, -1, np.int32)))
            self._boot_count = np.concatenate((self._boot_count, np.zeros(more, np.int32)))
            self._changed = np.concatenate((self._changed, np.zeros(more, np.bool_)))

    def _make_room_for_boots(self, new: int, log_us: int) -> None:
        """Forget boots silent for long and boots that never were, then grow."""
        boots = self.boots
        silent = (log_us - boots["last_us"] > BOOT_SILENT_US) & (boots["held"] == 0)
        self._keep_boots(np.flatnonzero(boots["seen"] & ~silent))
        size = max(64, (self._count + new) * 9 // 8)
        grown = np.zeros(size, BOOT_DTYPE)
        grown[: self._count] = self.boots
        self._boots = grown
        self._enter_boots()

    def _keep_boots(self, slots: Ints) -> None:
        if len(slots) == self._count:
            return
        rank = np.full(self._count + 1, -1, np.int32)  # the last one maps rows not in use to themselves
        rank[slots] = np.arange(len(slots))
        for pool in (self._held[: self._tops[HELD_TOP]], self._holes[: self._tops[HOLE_TOP]]):
            pool["slot"] = rank[pool["slot"]]
        gone = self.boots[rank[: self._count] < 0]
        self._changed[gone["device"]] = True
        self.forgotten += int(gone["seen"].sum())
        self._boots, self._count = self._boots[slots], len(slots)
        holes = self._holes[: self._tops[HOLE_TOP]]
        holes = holes[holes["slot"] >= 0]
        self._fill_holes(holes[np.lexsort((holes["first"], holes["slot"]))])

    def _enter_boots(self) -> None:
        """Chain the boots of each device, and find them by name."""
        self._first_boot[:], self._boot_count[:] = -1, 0
        table.chain_boots(self._boots, self._count, self._first_boot, self._boot_count)
        self._table = np.full(1 << int(2 * len(self._boots) + 8).bit_length(), -1, np.int32)
        table.fill_table(self._boots, self._count, self._table)

    def _fill_holes(self, holes: npt.NDArray[np.void]) -> None:
        self._holes = holes
        self._tops[HOLE_TOP], self._tops[HOLE_FREE] = len(holes), -1
        _chain(self._boots, holes, "holes", "first_hole", "last_hole")

    def _live_entries(self) -> Ints:
        return np.flatnonzero(self._held["slot"][: self._tops[HELD_TOP]] >= 0)

    def _hole_columns(self, rank: Ints) -> Columns:
        holes = self._holes[: self._tops[HOLE_TOP]]
        holes = holes[holes["slot"] >= 0]
        holes = holes[rank[holes["slot"]] >= 0]
        holes = holes[np.lexsort((holes["first"], rank[holes["slot"]]))]
        boots = self.boots[holes["slot"]]
        found = {f"holes.{name}": holes[name] for name in _HOLE_COLUMNS}
        return {"holes.device": boots["device"], "holes.boot": boots["boot"], **found}

    def _held_columns(self, rank: Ints) -> Columns:
        entries = self._live_entries()
        held = self._held[entries[rank[self._held["slot"][entries]] >= 0]]
        if not len(held):
            return {}
        held = held[np.lexsort((held["sequence"], rank[held["slot"]]))]
        rows = self.waiting(held["row"])
        extra = (self.boots["device"][held["slot"]].astype(np.int64), held["log_us"], held["end_us"])
        columns = [*rows.columns, *(pa.array(column) for column in extra)]
        # The messages' own fields as they are, or they could not be put beside other messages again.
        schema = pa.schema([*rows.schema, *(pa.field(name, pa.int64()) for name in _HELD_COLUMNS)])
        return {"held": pa.RecordBatch.from_arrays(columns, schema=schema)}

    def _slots_of(self, device: npt.NDArray[Any], boot: npt.NDArray[Any]) -> Ints:
        slots = np.empty(len(device), np.int64)
        columns = device.astype(np.int64), boot.astype(np.int64)
        table.find_slots(self._boots, self._count, self._table, *columns, slots)
        return slots

    def _restore_holes(self, columns: Columns) -> None:
        holes = np.zeros(len(columns["holes.device"]), HOLE_DTYPE)
        for name in _HOLE_COLUMNS:
            holes[name] = columns[f"holes.{name}"]
        holes["slot"] = self._slots_of(columns["holes.device"], columns["holes.boot"])
        self._fill_holes(holes)

    def _restore_held(self, rows: pa.RecordBatch) -> None:
        held = np.zeros(rows.num_rows, HELD_DTYPE)
        device, log_us, end_us = (rows.column(name).to_numpy() for name in _HELD_COLUMNS)
        held["slot"] = self._slots_of(device, rows.column("boot_id").to_numpy())
        held["sequence"], held["start_us"] = (rows.column(n).to_numpy() for n in ("sequence", "start_time_us"))
        held["log_us"], held["end_us"], held["row"] = log_us, end_us, np.arange(len(held))
        held["clock_us"] = clock_offsets_us(held["start_us"], rows.column("start_monotonic_us").to_numpy())
        self._held = held
        self._tops[HELD_TOP] = len(held)
        _chain(self._boots, held, "held", "first_held", "last_held")
        self._boots["oldest_us"] = np.iinfo(np.int64).max
        np.minimum.at(self._boots["oldest_us"], held["slot"], log_us)
        messages = [name for name in rows.schema.names if name not in _HELD_COLUMNS]
        self._waiting = [rows.select(messages)]


def _with_room(pool: npt.NDArray[np.void], rows: int) -> npt.NDArray[np.void]:
    """Return the pool with at least so many rows, and a quarter more where it has to grow."""
    if len(pool) >= rows:
        return pool
    grown = np.empty(rows + rows // 4, pool.dtype)
    grown[: len(pool)] = pool
    return grown


def _chain(boots: npt.NDArray[np.void], pool: npt.NDArray[np.void], count: str, first: str, last: str) -> None:
    """Chain the rows of a pool that has each boot's together, in ascending sequence."""
    slot, place = pool["slot"], np.arange(len(pool))
    opens = np.diff(slot, prepend=-1) != 0
    closes = np.append(opens[1:], True)[: len(pool)]
    pool["before"], pool["after"] = np.where(opens, -1, place - 1), np.where(closes, -1, place + 1)
    boots[count], boots[first], boots[last] = 0, -1, -1
    boots[first][slot[opens]], boots[last][slot[closes]] = place[opens], place[closes]
    boots[count] = np.bincount(slot, minlength=len(boots))
