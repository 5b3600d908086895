"""Windows over messages in order: a row leaves when nothing that may still come in order can change it.

Per device the *frontier* is the latest instant its messages in order have reached. A window is closed when the frontier
has passed everything its row looks at; what comes for a closed window is not put into it, but named, so that batch
recomputes exactly the rows it touches. Both are decided message by message, never by when rows are computed, so any
cut of the log gives the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stream.columns import DEVICE, Columns
from stream.decode import Ints
from stream.devices import Devices
from stream.order import Late, Passed
from wearables_platform.signals.cleaning import clean
from wearables_platform.signals.events import EventRows, SpikeParams, events_in
from wearables_platform.signals.flags import QualityFlag
from wearables_platform.signals.windows import WINDOW_US, WindowParams, WindowRows, window_start_us, windows_in
from wearables_platform.wire.samples import REACH_AFTER_US, REACH_BEFORE_US, SETTLE_US, build_samples

NEVER_US: Final = -(2**62)
# So many messages are turned into rows at once: their samples stay in the processor's cache, and memory is bounded.
MESSAGES_AT_ONCE: Final = 3_000
# Batch's defaults: `compute_windows` and `spike_events` clean alike, so the stream cleans once for both.
_WINDOWS: Final = WindowParams()
_SPIKES: Final = SpikeParams(clean=_WINDOWS.clean)

# What the buffer keeps of a message: all that `build_samples` reads, and what the order step found out.
MESSAGE_COLUMNS: Final = (
    "device_id",
    "boot_id",
    "sequence",
    "start_time_us",
    "rate_hz",
    "encoding",
    "scale_g",
    "samples",
    "block_count",
    "peak_raw_g",
    "peak_g",
    "glitches",
    "clipped",
)

PROGRESS_DTYPE: Final = np.dtype(
    [
        ("frontier_us", np.int64),
        ("closed_us", np.int64),  # windows that start before this are final
        ("provisional_us", np.int64),  # windows that start before this may have provisional rows
        ("last_log_us", np.int64),  # log time of the device's last message
        ("idle", np.bool_),  # provisional rows of everything held have been made
    ]
)


@dataclass
class WindowState:
    """Messages that open windows still need, and how far each device is (indexed by device number)."""

    progress: npt.NDArray[np.void] = field(default_factory=lambda: np.zeros(0, PROGRESS_DTYPE))
    buffer: list[pa.RecordBatch] = field(default_factory=list)
    merged: bool = True  # the buffer is one batch at most, sorted
    touched: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))  # changed since `mark_saved`

    def columns(self) -> Columns:
        """Return everything as columns."""
        rows = merged_buffer(self)
        return {"progress": self.progress.copy()} | ({"buffer": rows} if rows is not None and rows.num_rows else {})

    def changed(self) -> Ints:
        """Return the devices that messages came for, or whose windows closed."""
        return np.flatnonzero(self.touched)

    def mark_saved(self) -> None:
        """Begin to collect changes anew."""
        self.touched[:] = False

    def rows_of(self, devices: Ints) -> Columns:
        """Return these devices' progress and messages."""
        found: Columns = {"progress": self.progress[devices]}
        rows = merged_buffer(self)
        mine = np.isin(rows.column(DEVICE).to_numpy(), devices) if rows is not None else np.zeros(0, bool)
        if rows is not None and mine.any():
            found["buffer"] = rows.filter(pa.array(mine))
        return found

    def restore(self, columns: Columns) -> None:
        """Take the place of a state that gave these columns."""
        self.progress, self.touched = columns["progress"].copy(), np.zeros(len(columns["progress"]), bool)
        self.buffer = [columns["buffer"]] if "buffer" in columns else []
        self.merged = not self.buffer

    def grow(self, devices: int) -> None:
        """Make room for new devices."""
        fresh = np.zeros(devices - len(self.progress), PROGRESS_DTYPE)
        for name in ("frontier_us", "closed_us", "provisional_us", "last_log_us"):
            fresh[name] = NEVER_US
        if len(fresh):
            self.progress = np.concatenate((self.progress, fresh))
            self.touched = np.concatenate((self.touched, np.ones(len(fresh), bool)))


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
    """Put messages in order into the buffer; returns those that come for closed windows and are not."""
    state.grow(len(devices))
    if not len(passed.device):
        return []
    before_us, after_us = _frontiers(state, passed)
    late = passed.start_us < _settled_us(before_us)
    state.progress["frontier_us"][passed.device] = after_us  # the last of a device's messages holds its maximum
    np.maximum.at(state.progress["last_log_us"], passed.device, passed.log_us)
    state.progress["idle"][passed.device] = False
    state.touched[passed.device] = True
    state.buffer.append(_columns(passed, np.flatnonzero(~late)))
    state.merged = False
    return [_late(passed, int(i), devices) for i in np.flatnonzero(late)]


def close_windows(state: WindowState) -> list[Derived]:
    """Make the final rows of every window closed since the last call."""
    closed_us = _settled_us(state.progress["frontier_us"]) - REACH_AFTER_US
    ready = closed_us > state.progress["closed_us"]
    if not ready.any():
        return []
    since_us = state.progress["closed_us"].copy()
    derived = _derive(state, ready, since_us, closed_us, provisional=False)
    state.progress["closed_us"][ready] = closed_us[ready]
    state.touched |= ready
    _trim(state)
    return derived


def close_idle(state: WindowState, log_us: int, idle_us: int) -> list[Derived]:
    """Make provisional rows of the open windows of devices not heard of for `idle_us` of log time."""
    progress = state.progress
    idle = ~progress["idle"] & (progress["frontier_us"] > progress["closed_us"])
    idle &= progress["last_log_us"] < log_us - idle_us
    if not idle.any():
        return []
    until_us = np.full(len(progress), 2**62)
    derived = _derive(state, idle, progress["closed_us"], until_us, provisional=True)
    progress["idle"][idle] = True
    state.touched |= idle
    reached_us = _window_us(progress["frontier_us"]) + WINDOW_US
    progress["provisional_us"][idle] = np.maximum(progress["provisional_us"], reached_us)[idle]
    return derived


def _frontiers(state: WindowState, passed: Passed) -> tuple[Ints, Ints]:
    """Return each message's device's frontier before and after it; messages are sorted by device."""
    # Ranks instead of instants, so that one running maximum serves all devices without overflow.
    instants = np.concatenate((passed.end_us, state.progress["frontier_us"][passed.device]))
    distinct, rank = np.unique(instants, return_inverse=True)
    end_rank, known_rank = rank[: len(passed.end_us)], rank[len(passed.end_us) :]
    base = passed.device.astype(np.int64) * len(distinct)
    running = np.maximum.accumulate(np.maximum(end_rank, known_rank) + base) - base
    opens = np.ones(len(base), bool)
    opens[1:] = np.diff(passed.device) != 0
    before = np.where(opens, known_rank, np.roll(running, 1))
    return distinct[before], distinct[running]


def _settled_us(frontier_us: Ints) -> Ints:
    """Return the instant before which nothing is taken any more."""
    return _window_us(frontier_us - SETTLE_US)


def _window_us(time_us: Ints) -> Ints:
    return time_us // WINDOW_US * WINDOW_US


def _late(passed: Passed, i: int, devices: Sequence[str] | Devices) -> Late:
    cause = "clock_step" if passed.segment[i] else "overlap"
    boot, sequence = (int(passed.rows.column(name)[i].as_py()) for name in ("boot_id", "sequence"))
    start_us, end_us, log_us = (int(column[i]) for column in (passed.start_us, passed.end_us, passed.log_us))
    return Late(devices[int(passed.device[i])], boot, sequence, start_us, end_us, log_us, cause)


def _columns(passed: Passed, index: Ints) -> pa.RecordBatch:
    rows = passed.rows.select(MESSAGE_COLUMNS).take(pa.array(index))
    found: dict[str, npt.NDArray[Any]] = {
        "device": passed.device,
        "start_us": passed.start_us,
        "end_us": passed.end_us,
        "segment": passed.segment,
        "stepped": passed.stepped,
    }
    return pa.RecordBatch.from_arrays(
        [*rows.columns, *(pa.array(column[index]) for column in found.values())],
        names=[*MESSAGE_COLUMNS, *found],
    )


def merged_buffer(state: WindowState) -> pa.RecordBatch | None:
    """Return all buffered messages as one batch, sorted by (device, boot, sequence)."""
    if not state.merged:
        rows = pa.concat_batches(state.buffer)
        keys = [rows.column(name).to_numpy() for name in ("sequence", "boot_id", "device")]
        state.buffer = [rows.take(pa.array(np.lexsort(keys)))]
        state.merged = True
    return state.buffer[0] if state.buffer else None


def _derive(
    state: WindowState, chosen: npt.NDArray[np.bool_], from_us: Ints, to_us: Ints, *, provisional: bool
) -> list[Derived]:
    """Compute the windows of the chosen devices that start in their [from, to), some devices at a time."""
    rows = merged_buffer(state)
    if rows is None:
        return []
    mine = chosen[rows.column("device").to_numpy()]
    rows = rows if mine.all() else rows.filter(pa.array(mine))
    return [_derive_some(state, part, from_us, to_us, provisional=provisional) for part in _by_devices(rows)]


def _by_devices(rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Cut messages sorted by device into parts of whole devices, of about `MESSAGES_AT_ONCE`."""
    device = rows.column("device").to_numpy()
    begin = 0
    while begin < len(device):
        last = device[min(begin + MESSAGES_AT_ONCE, len(device)) - 1]
        end = int(np.searchsorted(device, last, side="right"))
        yield rows.slice(begin, end - begin)
        begin = end


def _derive_some(state: WindowState, rows: pa.RecordBatch, from_us: Ints, to_us: Ints, *, provisional: bool) -> Derived:
    made = build_samples(rows, rows.column("stepped").to_numpy(zero_copy_only=False), rows.column("segment").to_numpy())
    number = _numbers(rows, made.device_ids)
    cleaned = clean(made.samples, _WINDOWS.clean)
    windows, events = windows_in(made.samples, cleaned, _WINDOWS), events_in(cleaned, _SPIKES)
    windows = windows.take(_inside(number[windows.device], windows.start_us, from_us, to_us))
    events = events.take(_inside(number[events.device], window_start_us(events.start_us), from_us, to_us))
    if provisional:
        windows.features["flags"] = windows.features["flags"].astype(np.int32) | np.int32(QualityFlag.PROVISIONAL)
    spans = [
        (device_id, max(int(from_us[n]), -(2**52)), min(int(to_us[n]), int(state.progress["provisional_us"][n])))
        for device_id, n in zip(made.device_ids, number.tolist(), strict=True)
        if state.progress["provisional_us"][n] > from_us[n]
    ]
    return Derived(made.device_ids, windows, events, provisional, spans)


def _numbers(rows: pa.RecordBatch, device_ids: list[str]) -> Ints:
    """Return the partition's device number of each of `device_ids`."""
    number = rows.column("device").to_numpy()
    opens = np.flatnonzero(np.diff(number, prepend=-1))
    names = rows.column("device_id").take(pa.array(opens)).to_pylist()
    by_name = dict(zip(names, number[opens].tolist(), strict=True))
    return np.array([by_name[device_id] for device_id in device_ids], np.int64)


def _inside(device: Ints, start_us: Ints, from_us: Ints, to_us: Ints) -> npt.NDArray[np.bool_]:
    inside: npt.NDArray[np.bool_] = (start_us >= from_us[device]) & (start_us < to_us[device])
    return inside


def _trim(state: WindowState) -> None:
    """Forget messages that no open window looks at."""
    rows = merged_buffer(state)
    if rows is None:
        return
    needed_us = state.progress["closed_us"] - REACH_BEFORE_US
    keep = rows.column("end_us").to_numpy() > needed_us[rows.column("device").to_numpy()]
    # `take` copies, so that a few kept messages do not keep a whole fetch in memory.
    state.buffer = [rows] if keep.all() else [rows.take(pa.array(np.flatnonzero(keep)))]
