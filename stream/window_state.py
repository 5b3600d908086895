"""What the windows of a partition remember: progress, the carry of the kernels, messages still needed, rows waiting.

Everything is in columns that count devices by their number, about 3.2 kB per device at 100 Hz.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stream.columns import Columns
from stream.decode import Ints
from wearables_platform.signals.events import ONSET_DTYPE
from wearables_platform.signals.steps import StepCarry
from wearables_platform.signals.walk import NEVER_US
from wearables_platform.signals.windows import Carry, WindowRows
from wearables_platform.wire.samples import BLOCK_DTYPE, AccelerationMessages

PROGRESS_DTYPE: Final = np.dtype(
    [
        ("frontier_us", np.int64),
        ("reach_us", np.int64),  # what cleaning looks at, at the slowest rate met
        ("due_us", np.int64),  # seconds before this may be taken: their samples have all come
        ("sealed_us", np.int64),  # nothing that starts before this is accepted any more
        ("taken_us", np.int64),  # seconds before this have been taken
        ("closed_us", np.int64),  # windows that start before this are final
        ("provisional_us", np.int64),  # windows that start before this may have provisional rows
        ("last_log_us", np.int64),  # log time of the device's last message
        ("idle", np.bool_),  # provisional rows of everything held have been made
    ],
)
_NEVER: Final = [name for name in PROGRESS_DTYPE.names or () if name.endswith("_us") and name != "reach_us"]


def _no_messages() -> AccelerationMessages:
    int32, int64 = np.zeros(0, np.int32), np.zeros(0, np.int64)
    return AccelerationMessages(
        device=int32,
        boot=int64,
        start_us=int64,
        segment=int32,
        count=int32,
        blocks=int32,
        rate_hz=np.zeros(0),
        stepped=np.zeros(0, bool),
        accel_g=np.zeros((0, 3), np.float32),
        block=np.zeros(0, BLOCK_DTYPE),
    )


@dataclass
class WindowState:
    """What open windows still need, and how far each device is; everything counts devices by their number.

    Attributes
    ----------
    progress
        (D,) PROGRESS_DTYPE.
    carry
        What each device's next second needs of those taken.
    messages
        Sorted by (device, boot, segment) once `arrived` has been put in.
    arrived
        Messages accepted since.
    rows
        Rows that wait for their steps, sorted by (device, start).
    onsets
        Onsets of events that are not over.
    touched
        (D,) bool, changed since `mark_saved`.
    """

    progress: npt.NDArray[np.void] = field(default_factory=lambda: np.zeros(0, PROGRESS_DTYPE))
    carry: Carry = field(default_factory=lambda: Carry.blank(0))
    messages: AccelerationMessages = field(default_factory=_no_messages)
    arrived: list[AccelerationMessages] = field(default_factory=list)
    rows: WindowRows = field(default_factory=WindowRows.none)
    onsets: npt.NDArray[np.void] = field(default_factory=lambda: np.zeros(0, ONSET_DTYPE))
    touched: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))

    def nbytes(self) -> int:
        """Return the bytes of everything remembered."""
        carry = (self.carry.last, self.carry.steps.until_us, self.carry.steps.grid_g, self.carry.steps.code)
        rows = (self.rows.device, self.rows.start_us, *self.rows.features.values())
        messages = sum(part.nbytes for part in (self.messages, *self.arrived))
        return messages + sum(part.nbytes for part in (self.progress, *carry, *rows, self.onsets, self.touched))

    def grow(self, devices: int) -> None:
        """Make room for new devices."""
        count = devices - len(self.progress)
        if count <= 0:
            return
        fresh = np.zeros(count, PROGRESS_DTYPE)
        for name in _NEVER:
            fresh[name] = NEVER_US
        self.progress = np.concatenate((self.progress, fresh))
        self.carry = _joined(self.carry, Carry.blank(count))
        self.touched = np.concatenate((self.touched, np.ones(count, bool)))

    def put_in(self) -> AccelerationMessages:
        """Put what arrived among the messages held, and return all of them."""
        if self.arrived:
            self.messages = AccelerationMessages.concat([self.messages, *self.arrived]).sorted()
            self.arrived = []
        return self.messages

    def columns(self) -> Columns:
        """Return everything as columns."""
        return _as_columns(self.progress.copy(), self.carry.copy(), self.put_in(), self.rows, self.onsets)

    def changed(self) -> Ints:
        """Return the devices that messages came for, or whose seconds were taken."""
        return np.flatnonzero(self.touched)

    def mark_saved(self) -> None:
        """Begin to collect changes anew."""
        self.touched[:] = False

    def rows_of(self, devices: Ints) -> Columns:
        """Return these devices' columns."""
        mine = np.zeros(len(self.progress), bool)
        mine[devices] = True
        messages = self.put_in()
        return _as_columns(
            self.progress[devices],
            self.carry.take(devices),
            messages.take(mine[messages.device]),
            self.rows.take(mine[self.rows.device]),
            self.onsets[mine[self.onsets["device"]]],
        )

    def restore(self, columns: Columns) -> None:
        """Take the place of a state that gave these columns."""
        self.progress = columns["progress"].copy()
        self.carry = Carry(
            columns["last"].copy(),
            StepCarry(*(columns[name].copy() for name in ("steps_until_us", "steps_grid_g", "steps_code"))),
        )
        self.messages, self.arrived = _messages_of(columns["messages"]) if "messages" in columns else _no_messages(), []
        names = WindowRows.none().features
        self.rows = WindowRows(
            columns["rows.device"], columns["rows.start_us"], {name: columns[f"rows.{name}"] for name in names}
        )
        self.onsets = columns["onsets.onset"].copy()
        self.touched = np.zeros(len(self.progress), bool)


def _joined(first: Carry, second: Carry) -> Carry:
    parts = [(part.last, part.steps.until_us, part.steps.grid_g, part.steps.code) for part in (first, second)]
    last, *steps = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Carry(last, StepCarry(*steps))


def _as_columns(
    progress: npt.NDArray[np.void],
    carry: Carry,
    messages: AccelerationMessages,
    rows: WindowRows,
    onsets: npt.NDArray[np.void],
) -> Columns:
    return {
        "progress": progress,
        "last": carry.last,
        "steps_until_us": carry.steps.until_us,
        "steps_grid_g": carry.steps.grid_g,
        "steps_code": carry.steps.code,
        "messages": _batch_of(messages),
        "rows.device": rows.device,
        "rows.start_us": rows.start_us,
        **{f"rows.{name}": column for name, column in rows.features.items()},
        "onsets.device": onsets["device"].copy(),
        "onsets.onset": onsets,
    }


_RAGGED: Final = ("accel_g", "count", "block", "blocks")


def _batch_of(messages: AccelerationMessages) -> pa.RecordBatch:
    """Return the messages as columns; how many samples and blocks one has is told by the length of its bytes."""
    plain_columns = {f.name: getattr(messages, f.name) for f in fields(messages) if f.name not in _RAGGED}
    ragged = {
        "accel_g": _binary(messages.accel_g, messages.count, 12),
        "block": _binary(messages.block, messages.blocks, BLOCK_DTYPE.itemsize),
    }
    columns = {name: pa.array(column) for name, column in plain_columns.items()} | ragged
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def _binary(values: npt.NDArray[Any], counts: npt.NDArray[np.int32], item_bytes: int) -> pa.Array:
    """Return each message's items as bytes."""
    offsets = np.concatenate(([0], np.cumsum(counts.astype(np.int64)))) * item_bytes
    raw = np.ascontiguousarray(values).view(np.uint8)
    return pa.Array.from_buffers(pa.large_binary(), len(counts), [None, pa.py_buffer(offsets), pa.py_buffer(raw)])


def _messages_of(rows: pa.RecordBatch) -> AccelerationMessages:
    accel_g, count = _items(rows.column("accel_g"), np.dtype((np.float32, 3)))
    block, blocks = _items(rows.column("block"), BLOCK_DTYPE)
    names = [f.name for f in fields(AccelerationMessages) if f.name not in _RAGGED]
    columns = {name: rows.column(name).to_numpy(zero_copy_only=False) for name in names}
    return AccelerationMessages(**columns, count=count, blocks=blocks, accel_g=accel_g, block=block)


def _items(column: pa.Array, dtype: np.dtype[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[np.int32]]:
    """Return all messages' items, and how many each has."""
    offsets = np.frombuffer(column.buffers()[1], np.int64)[column.offset : column.offset + len(column) + 1]
    data = column.buffers()[2]
    raw = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]] if data is not None and len(column) else b""
    return np.frombuffer(bytes(raw), dtype), (np.diff(offsets) // dtype.itemsize).astype(np.int32)
