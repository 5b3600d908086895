"""Windows over messages in order: a row leaves when nothing that may still come in order can change it.

Per device the *frontier* is the latest instant its messages in order have reached. A second is *taken* when the
frontier has passed its end and what its cleaning looks at: its samples become a row without steps, and are forgotten.
The row is final, and leaves, when two more seconds have been taken: steps look that far ahead. What comes for a second
already due is not put into it, but named, so that batch recomputes exactly the rows it touches. All of it is decided
message by message, never by when rows are computed, so any cut of the log gives the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stream.columns import Columns
from stream.decode import Ints
from stream.devices import Devices
from stream.order import Late, Passed
from wearables_platform.signals.cleaning import clean, clean_reach_us
from wearables_platform.signals.compiled import compiled, plain
from wearables_platform.signals.events import (
    BLOCK_US,
    LEAD_US,
    ONSET_DTYPE,
    EventRows,
    SpikeParams,
    describe_events,
    no_events,
)
from wearables_platform.signals.flags import QualityFlag
from wearables_platform.signals.samples import SampleTable
from wearables_platform.signals.steps import StepCarry, count_steps
from wearables_platform.signals.walk import BINS, NEVER_US
from wearables_platform.signals.windows import (
    AWAITED_US,
    WINDOW_US,
    Carry,
    WindowParams,
    WindowRows,
    compute_windows,
    take_seconds,
    window_start_us,
)
from wearables_platform.wire.samples import BLOCK_DTYPE, SETTLE_US, AccelerationMessages, acceleration_messages

# So many devices are taken forward at once: their samples stay in the processor's cache, and memory is bounded.
DEVICES_AT_ONCE: Final = 512
# So many samples, when a device sends that many.
SAMPLES_AT_ONCE: Final = 100_000
_EVER_US: Final = 2**62
# Batch's defaults.
_WINDOWS: Final = WindowParams()
_SPIKES: Final = SpikeParams(clean=_WINDOWS.clean)

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


def _no_rows() -> WindowRows:
    return compute_windows(SampleTable.empty())


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
    rows: WindowRows = field(default_factory=_no_rows)
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
        names = _no_rows().features
        self.rows = WindowRows(
            columns["rows.device"], columns["rows.start_us"], {name: columns[f"rows.{name}"] for name in names}
        )
        self.onsets = columns["onsets.onset"].copy()
        self.touched = np.zeros(len(self.progress), bool)


@dataclass(frozen=True)
class Derived:
    """Rows made at one time; `device_ids` names the devices that `windows.device` and `events.device` count.

    `superseded` are spans (device_id, from_us, to_us) whose earlier provisional rows these replace.
    """

    device_ids: list[str]
    windows: WindowRows
    events: EventRows
    provisional: bool
    superseded: list[tuple[str, int, int]]


def accept(state: WindowState, passed: Passed, devices: Sequence[str] | Devices) -> list[Late]:
    """Take messages in order; returns those that come for seconds already due and are not taken."""
    state.grow(len(devices))
    if not len(passed.device):
        return []
    messages = acceleration_messages(passed.rows, passed.device, passed.stepped, passed.segment)
    late = np.zeros(len(messages), bool)
    spans = plain(passed.device, passed.start_us, passed.end_us, passed.log_us, _reach_us(messages.rate_hz))
    _admit(state.progress, spans, late)
    state.touched[passed.device] = True
    # A copy, so that a few messages do not keep a whole fetch in memory.
    state.arrived.append(messages.take(np.flatnonzero(~late)))
    return [_late(passed, int(i), devices) for i in np.flatnonzero(late)]


def close_windows(state: WindowState, devices: Sequence[str] | Devices) -> list[Derived]:
    """Take the seconds that have become due, and hand out the rows that this makes final."""
    progress = state.progress
    ready = progress["due_us"] > progress["taken_us"]
    if not ready.any():
        return []
    until_us = np.where(ready, progress["due_us"], progress["taken_us"])
    closing_us = np.where(ready, until_us - AWAITED_US, progress["closed_us"])
    waiting, onsets = _take(state, state.carry, ready, until_us)
    rows = waiting.with_steps(state.carry, until_us)
    final = rows.start_us < closing_us[rows.device]
    over = window_start_us(onsets["time_us"]) < closing_us[onsets["device"]]
    events = _events(state, onsets[over])
    state.rows, state.onsets = rows.take(~final), onsets[~over]
    superseded = _superseded(state, ready, closing_us, devices)
    progress["taken_us"], progress["closed_us"] = until_us, closing_us
    state.touched |= ready
    _forget(state)
    rows = rows.take(final)
    return [_derived(rows, events, devices, superseded)] if len(rows) or len(events) or superseded else []


def close_idle(state: WindowState, devices: Sequence[str] | Devices, log_us: int, idle_us: int) -> list[Derived]:
    """Make provisional rows of the open windows of devices not heard of for `idle_us` of log time."""
    progress = state.progress
    idle = ~progress["idle"] & (progress["frontier_us"] > progress["closed_us"])
    idle &= progress["last_log_us"] < log_us - idle_us
    if not idle.any():
        return []
    carry = state.carry.take(np.arange(len(progress)))  # what is found now is forgotten again
    waiting, onsets = _take(state, carry, idle, np.where(idle, _EVER_US, progress["taken_us"]))
    until_us = np.where(idle, carry.steps.until_us, NEVER_US)
    np.maximum.at(until_us, waiting.rows.device, waiting.rows.start_us + WINDOW_US + AWAITED_US)
    rows = waiting.with_steps(carry, until_us)
    rows = rows.take(idle[rows.device])
    events = _events(state, onsets[idle[onsets["device"]]])
    superseded = _superseded(state, idle, np.full(len(progress), _EVER_US), devices)
    progress["idle"][idle] = True
    state.touched |= idle
    reached_us = window_start_us(progress["frontier_us"]) + WINDOW_US
    progress["provisional_us"][idle] = np.maximum(progress["provisional_us"], reached_us)[idle]
    rows.features["flags"] = rows.features["flags"].astype(np.int32) | np.int32(QualityFlag.PROVISIONAL)
    return [replace(_derived(rows, events, devices, superseded), provisional=True)]


def _reach_us(rate_hz: npt.NDArray[np.float64]) -> Ints:
    """Return how far around a sample its cleaning looks, per message."""
    if np.all(rate_hz == rate_hz[0]):
        return np.full(len(rate_hz), clean_reach_us(float(rate_hz[0]), _WINDOWS.clean.glitch))
    rates, place = np.unique(rate_hz, return_inverse=True)
    return np.array([clean_reach_us(rate, _WINDOWS.clean.glitch) for rate in rates.tolist()], np.int64)[place]


@compiled
def _admit(progress: Any, messages: Any, late: Any) -> None:
    """Move each device on, message by message, and mark what comes too late."""
    device, start_us, end_us, log_us, reach_us = messages
    for i in range(len(device)):
        one = progress[device[i]]
        late[i] = start_us[i] < one.sealed_us
        one.last_log_us = max(one.last_log_us, log_us[i])
        one.idle = False
        one.frontier_us = max(one.frontier_us, end_us[i])
        one.reach_us = max(one.reach_us, reach_us[i])
        due_us = (one.frontier_us - SETTLE_US - one.reach_us) // WINDOW_US * WINDOW_US
        one.due_us = max(one.due_us, due_us)
        one.sealed_us = max(one.sealed_us, due_us + one.reach_us)


def _late(passed: Passed, i: int, devices: Sequence[str] | Devices) -> Late:
    cause = "clock_step" if passed.segment[i] else "overlap"
    boot, sequence = (int(passed.rows.column(name)[i].as_py()) for name in ("boot_id", "sequence"))
    start_us, end_us, log_us = (int(column[i]) for column in (passed.start_us, passed.end_us, passed.log_us))
    return Late(devices[int(passed.device[i])], boot, sequence, start_us, end_us, log_us, cause)


@dataclass(frozen=True)
class _Waiting:
    """Rows that wait for their steps, and the grid of those just taken."""

    rows: WindowRows
    grid_g: npt.NDArray[np.float32]
    fresh: npt.NDArray[np.uint32]

    def with_steps(self, carry: Carry, until_us: Ints) -> WindowRows:
        """Return the rows with the steps that the seconds before `until_us` make known."""
        keys = self.rows.device.astype(np.int64), self.rows.start_us
        steps = count_steps(carry.steps, keys, (self.grid_g, self.fresh), until_us, _WINDOWS.steps)
        return WindowRows(self.rows.device, self.rows.start_us, self.rows.features | {"steps": steps})


def _take(
    state: WindowState, carry: Carry, chosen: npt.NDArray[np.bool_], until_us: Ints
) -> tuple[_Waiting, npt.NDArray[np.void]]:
    """Take the chosen devices' seconds before `until_us`; returns all rows that wait for steps, and all onsets."""
    spans = state.progress["taken_us"].copy(), until_us
    held = _held_for(state, chosen, until_us)
    parts = [take_seconds(carry, part.samples(), spans, _WINDOWS, _SPIKES) for part in _in_parts(held)]
    onsets = np.concatenate([state.onsets, *(part.onsets for part in parts)])
    rows = WindowRows.concat([state.rows, *(part.rows for part in parts)])
    blank = np.full((len(state.rows), BINS), np.nan, np.float32), np.zeros(len(state.rows), np.uint32)
    grid_g = np.concatenate([blank[0], *(part.grid_g for part in parts)])
    fresh = np.concatenate([blank[1], *(part.fresh for part in parts)])
    order = np.lexsort((rows.start_us, rows.device))
    return _Waiting(rows.take(order), grid_g[order], fresh[order]), onsets


def _kept_before_us(progress: npt.NDArray[np.void]) -> Ints:
    """Return how long before a second the samples reach that its rows and events look at."""
    return np.asarray(LEAD_US + np.maximum(progress["reach_us"], BLOCK_US))


def _held_for(state: WindowState, chosen: npt.NDArray[np.bool_], until_us: Ints) -> AccelerationMessages:
    """Return the messages that the chosen devices' next seconds look at."""
    progress, messages = state.progress, state.put_in()
    from_us = progress["taken_us"] - _kept_before_us(progress)
    to_us = until_us + progress["reach_us"]
    device = messages.device
    wanted = chosen[device] & (messages.end_us > from_us[device]) & (messages.start_us < to_us[device])
    return messages if wanted.all() else messages.take(wanted)


def _in_parts(messages: AccelerationMessages) -> Iterator[AccelerationMessages]:
    """Cut messages sorted by device into parts of whole devices."""
    opens = np.flatnonzero(np.diff(messages.device, prepend=-1))
    samples = np.concatenate(([0], np.cumsum(messages.count)))
    begin = 0
    while begin < len(opens):
        end = begin + 1 + int(np.searchsorted(samples[opens[begin + 1 :]], samples[opens[begin]] + SAMPLES_AT_ONCE))
        end = min(end, begin + DEVICES_AT_ONCE, len(opens))
        stop = opens[end] if end < len(opens) else len(messages)
        yield messages.slice(int(opens[begin]), int(stop))
        begin = end


def _events(state: WindowState, onsets: npt.NDArray[np.void]) -> EventRows:
    """Return the events that begin at the onsets."""
    if not len(onsets):
        return no_events()
    mine = np.zeros(len(state.progress), bool)
    mine[onsets["device"]] = True
    messages = state.put_in()
    chosen = _in_parts(messages.take(mine[messages.device]))
    parts = [(clean(part.samples(), _WINDOWS.clean), np.unique(part.device)) for part in chosen]
    found = [describe_events(cleaned, onsets[np.isin(onsets["device"], own)], _SPIKES) for cleaned, own in parts]
    return EventRows.concat(found)


def _superseded(
    state: WindowState, chosen: npt.NDArray[np.bool_], to_us: Ints, devices: Sequence[str] | Devices
) -> list[tuple[str, int, int]]:
    """Return the spans of the chosen devices that have provisional rows and are computed again."""
    progress = state.progress
    again = np.flatnonzero(chosen & (progress["provisional_us"] > progress["closed_us"]))
    from_us = np.maximum(progress["closed_us"][again], -(2**52))
    until_us = np.minimum(to_us, progress["provisional_us"])[again]
    spans = zip(again.tolist(), from_us.tolist(), until_us.tolist(), strict=True)
    return [(devices[n], begin_us, end_us) for n, begin_us, end_us in spans]


def _derived(
    rows: WindowRows, events: EventRows, devices: Sequence[str] | Devices, superseded: list[tuple[str, int, int]]
) -> Derived:
    """Name the devices."""
    numbers, place = np.unique(np.concatenate((rows.device, events.device)), return_inverse=True)
    own: npt.NDArray[np.int32] = place.astype(np.int32)
    return Derived(
        [devices[n] for n in numbers.tolist()],
        replace(rows, device=own[: len(rows)]),
        replace(events, device=own[len(rows) :]),
        False,
        superseded,
    )


def _forget(state: WindowState) -> None:
    """Forget messages that no second to come, and no event that is not over, looks at."""
    progress, messages = state.progress, state.put_in()
    needed_us = progress["taken_us"].copy()
    np.minimum.at(needed_us, state.onsets["device"], state.onsets["time_us"])
    keep = messages.end_us > (needed_us - _kept_before_us(progress))[messages.device]
    if not keep.all():
        state.messages = messages.take(keep)


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


def _batch_of(messages: AccelerationMessages) -> pa.RecordBatch:
    plain_columns = {f.name: getattr(messages, f.name) for f in fields(messages) if f.name not in ("accel_g", "block")}
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
    def items(name: str, dtype: Any) -> npt.NDArray[Any]:
        column = rows.column(name)
        offsets = np.frombuffer(column.buffers()[1], np.int64)[column.offset : column.offset + len(column) + 1]
        data = column.buffers()[2]
        raw = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]] if data is not None and len(column) else b""
        return np.frombuffer(bytes(raw), dtype)

    names = [f.name for f in fields(AccelerationMessages) if f.name not in ("accel_g", "block")]
    columns = {name: rows.column(name).to_numpy(zero_copy_only=False) for name in names}
    return AccelerationMessages(
        **columns, accel_g=items("accel_g", np.float32).reshape(-1, 3), block=items("block", BLOCK_DTYPE)
    )
