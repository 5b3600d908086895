"""Windows over messages in order: a row leaves when nothing that may still come in order can change it.

Per device the *frontier* is the latest instant its messages in order have reached. A second is *taken* when the
frontier has passed its end and what its cleaning looks at: its samples become a row without steps, and are forgotten.
The row is final, and leaves, when two more seconds have been taken: steps look that far ahead. What comes for a second
already due is not put into it, but named, so that batch recomputes exactly the rows it touches. All of it is decided
message by message, never by when rows are computed, so any cut of the log gives the same rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from stream.decode import Ints
from stream.devices import Devices
from stream.order import Late, Passed
from stream.window_state import WindowState
from wearables_platform.signals.cleaning import clean, clean_reach_us
from wearables_platform.signals.compiled import compiled, plain
from wearables_platform.signals.events import (
    BLOCK_US,
    LEAD_US,
    EventRows,
    SpikeParams,
    describe_events,
    no_events,
)
from wearables_platform.signals.flags import QualityFlag
from wearables_platform.signals.limits import DeviceLimits
from wearables_platform.signals.steps import count_steps
from wearables_platform.signals.walk import BINS, NEVER_US
from wearables_platform.signals.windows import (
    AWAITED_US,
    WINDOW_US,
    Carry,
    WindowParams,
    WindowRows,
    compute_all,
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


def close_windows(
    state: WindowState, devices: Sequence[str] | Devices, limits: DeviceLimits | None = None
) -> list[Derived]:
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
    events = _events(state, onsets[over], limits)
    state.rows, state.onsets = rows.take(~final), onsets[~over]
    superseded = _superseded(state, ready, closing_us, devices)
    progress["taken_us"], progress["closed_us"] = until_us, closing_us
    state.touched |= ready
    _forget(state)
    rows = rows.take(final)
    return [_derived(rows, events, devices, superseded)] if len(rows) or len(events) or superseded else []


def close_idle(
    state: WindowState,
    devices: Sequence[str] | Devices,
    log_us: int,
    idle_us: int,
    limits: DeviceLimits | None = None,
) -> list[Derived]:
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
    events = _events(state, onsets[idle[onsets["device"]]], limits)
    superseded = _superseded(state, idle, np.full(len(progress), _EVER_US), devices)
    progress["idle"][idle] = True
    state.touched |= idle
    reached_us = window_start_us(progress["frontier_us"]) + WINDOW_US
    progress["provisional_us"][idle] = np.maximum(progress["provisional_us"], reached_us)[idle]
    rows.features["flags"] = rows.features["flags"].astype(np.int32) | np.int32(QualityFlag.PROVISIONAL)
    return [replace(_derived(rows, events, devices, superseded), provisional=True)]


def compile_kernels() -> None:
    """Compile everything that windows run (seconds, once per installation), so that no start has to."""
    size = 400
    ints, counts = np.zeros(1, np.int64), np.full(1, size, np.int32)
    accel_g = np.ones((size, 3), np.float32)
    accel_g[150:170] = 3.0  # a movement: its event is described, too
    block = np.zeros(1, BLOCK_DTYPE)
    no = np.zeros(1, np.int32), np.zeros(1, bool)
    messages = AccelerationMessages(
        no[0], ints, ints, no[0], counts, no[0] + 1, np.full(1, 100.0), no[1], accel_g, block
    )
    compute_all(messages.take(ints).samples(), _WINDOWS, _SPIKES)
    state = WindowState()
    state.grow(1)
    _admit(state.progress, plain(no[0], ints, ints, ints, ints), no[1].copy())


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


def _events(state: WindowState, onsets: npt.NDArray[np.void], limits: DeviceLimits | None) -> EventRows:
    """Return the events that begin at the onsets."""
    if not len(onsets):
        return no_events()
    mine = np.zeros(len(state.progress), bool)
    mine[onsets["device"]] = True
    messages = state.put_in()
    chosen = _in_parts(messages.take(mine[messages.device]))
    parts = [(clean(part.samples(), _WINDOWS.clean), np.unique(part.device)) for part in chosen]
    found = [
        describe_events(cleaned, onsets[np.isin(onsets["device"], own)], _SPIKES, limits) for cleaned, own in parts
    ]
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
