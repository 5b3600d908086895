"""Order restored per device and boot: duplicates dropped, gaps held for a while, what comes later named late.

Everything is decided by log positions and log time, so the answer does not depend on how the log is cut into fetches.
The decisions are made in `order_kernel`, the memory is in `order_state`; here messages go in and come out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stream import order_columns as columns
from stream import order_kernel as kernel
from stream import order_table as table
from stream.decode import Ints, Messages
from stream.devices import Devices
from stream.order_state import OrderState
from wearables_platform.wire.codec import dictionary_of
from wearables_platform.wire.samples import clock_offsets_us

__all__ = ["ClockStep", "Gap", "Late", "OrderState", "Ordered", "Passed", "restore_order"]


class Gap(NamedTuple):
    """A row for `quality.gaps`."""

    device_id: str
    boot: int
    first_sequence: int
    last_sequence: int
    after_us: int
    before_us: int
    detected_us: int


class ClockStep(NamedTuple):
    """A row for `quality.clock_steps`, with the span of the message on which the clock jumped."""

    device_id: str
    boot: int
    sequence: int
    start_us: int
    end_us: int
    step_us: int
    log_us: int


class Late(NamedTuple):
    """A message, or a span near one, that the stream's windows do without: batch recomputes what it touches."""

    device_id: str
    boot: int
    sequence: int
    start_us: int
    end_us: int
    log_us: int
    cause: str


@dataclass(frozen=True)
class Passed:
    """Messages in order, ready for windows: sorted by device, then by when they passed."""

    rows: pa.RecordBatch
    device: npt.NDArray[np.int32]
    start_us: Ints
    end_us: Ints
    log_us: Ints
    segment: Ints
    stepped: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Ordered:
    """What became of the messages of one step, and of messages held before it.

    Attributes
    ----------
    passed
        What leaves in order.
    fresh
        (R,) bool, whether a message is neither a duplicate nor quarantined.
    duplicates, quarantined
        Positions in the log.
    gap_rows, step_rows, late_rows
        Structured arrays with device numbers; `gaps`, `clock_steps` and `late` are the same with names.
    forgotten
        Boots that are remembered no more.
    """

    passed: Passed
    fresh: npt.NDArray[np.bool_]
    duplicates: Ints
    quarantined: Ints
    gap_rows: npt.NDArray[np.void]
    step_rows: npt.NDArray[np.void]
    late_rows: npt.NDArray[np.void]
    forgotten: int
    devices: Devices

    @property
    def gaps(self) -> list[Gap]:
        """The gaps given up on."""
        return [Gap(self.devices[device], *rest) for device, *rest in self.gap_rows.tolist()]

    @property
    def clock_steps(self) -> list[ClockStep]:
        """Where a clock jumped from one message to the next."""
        return [ClockStep(self.devices[device], *rest) for device, *rest in self.step_rows.tolist()]

    @property
    def late(self) -> list[Late]:
        """What came too late, or is not believed."""
        rows = self.late_rows.tolist()
        causes = [columns.CAUSES[row[-1]] for row in rows]
        return [Late._make((self.devices[r[0]], *r[1:-1], cause)) for r, cause in zip(rows, causes, strict=True)]


def restore_order(
    state: OrderState,
    messages: Messages,
    *,
    log_times: tuple[Ints, Ints],
    next_offset: int,
    log_us: int,
    hold_us: int,
) -> Ordered:
    """Take messages of one partition in log order; `state` goes forward with them.

    Parameters
    ----------
    log_times
        Offset and log time of every record since the last call, decodable or not: gaps end where the log's clock
        passes, whatever record moved it.
    next_offset, log_us
        Where the log stands after them; `log_us` may be ahead of the last record at the end of the log.
    hold_us
        How long a gap is held open.
    """
    forgotten = state.forgotten
    fetched = _fetched(state, messages, log_times, hold_us)
    state.make_room(len(messages))
    found = _room_for(len(messages), state.held)
    kernel.take_messages(state.memory, fetched, found, len(state.boots), next_offset, log_us)
    exits = _in_order(found, len(state.devices))
    rows = _rows_of(state, messages.rows, exits["row"], fetched.base)
    state.settle(messages.rows)
    state.forgotten += int(found.counts[columns.FORGOTTEN])
    return Ordered(
        Passed(rows, exits["device"], *(exits[n] for n in ("start_us", "end_us", "log_us", "segment", "stepped"))),
        found.outcome == columns.FRESH,
        messages.offset[found.outcome == columns.DUPLICATE],
        messages.offset[found.outcome == columns.JUMPED],
        found.gaps[: found.counts[columns.GAPS]],
        found.steps[: found.counts[columns.STEPS]],
        found.lates[: found.counts[columns.LATES]],
        state.forgotten - forgotten,
        state.devices,
    )


def _fetched(state: OrderState, messages: Messages, log_times: tuple[Ints, Ints], hold_us: int) -> kernel.Fetched:
    code, device_ids = dictionary_of(messages.rows.column("device_id"))
    device = state.devices.numbers(device_ids)[code]
    earliest_us = int(messages.log_us[0]) if len(messages) else 0
    slots = state.slots(device, messages.int64("boot_id"), earliest_us)
    clock_us = clock_offsets_us(messages.start_us, messages.int64("start_monotonic_us"))
    return kernel.Fetched(
        slots,
        _own(messages.int64("sequence")),
        _own(clock_us),
        _own(messages.start_us),
        _own(messages.end_us),
        _own(messages.log_us),
        _own(messages.offset),
        _own(log_times[0]),
        _own(log_times[1]),
        state.waiting_rows,
        hold_us,
    )


def _own(column: Ints) -> Ints:
    """Return the column as the kernel is compiled for: contiguous and writeable (Arrow's are not)."""
    return np.require(column, np.int64, ("C", "W"))


def _room_for(messages: int, held: int) -> kernel.Found:
    leaving = messages + held
    return kernel.Found(
        np.zeros(messages, np.int8),
        np.empty(leaving, columns.EXIT_DTYPE),
        np.empty(leaving, columns.GAP_DTYPE),
        np.empty(leaving, columns.STEP_DTYPE),
        np.empty(2 * messages, columns.LATE_DTYPE),
        np.zeros(columns.COUNTS, np.int64),
    )


def _in_order(found: kernel.Found, devices: int) -> npt.NDArray[np.void]:
    """Sort by device, then by when they left: as they are, unless log time let some go that were not asked for."""
    exits: npt.NDArray[np.void] = found.exits[: found.counts[columns.EXITS]]
    if found.counts[columns.EXPIRED]:
        order = np.lexsort([exits[name] for name in ("sequence", "boot", "own", "position", "device")])
    else:
        order = table.by_device(exits["device"], devices)
    ordered: npt.NDArray[np.void] = exits[order]
    return ordered


def _rows_of(state: OrderState, rows: pa.RecordBatch, row: Ints, base: int) -> pa.RecordBatch:
    """Return messages of this step (rows from `base` on) and of those that waited, in the order of `row`."""
    new = row >= base
    if new.all():
        return rows.take(pa.array(row - base))
    pool = pa.concat_batches([rows.take(pa.array(row[new] - base)), state.waiting(row[~new])])
    place = np.empty(len(row), np.int64)
    place[new], place[~new] = np.arange(new.sum()), new.sum() + np.arange((~new).sum())
    return pool.take(pa.array(place))
