"""Order restored per device and boot: duplicates dropped, gaps held for a while, what comes later named late.

What arrives in sequence passes at once and is handled for all boots together; only a boot with a gap, a duplicate or a
late message is looked at message by message. Everything is decided by log positions and log time, so the answer does
not depend on how the log is cut into fetches.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from stream.columns import DEVICE, Columns
from stream.decode import Ints, Messages
from stream.devices import Devices
from wearables_platform.domain.identity import MAX_SEQUENCE_JUMP
from wearables_platform.domain.time_policy import CLOCK_STEP_TOLERANCE_US
from wearables_platform.wire.codec import dictionary_of
from wearables_platform.wire.samples import clock_offsets_us

# A gap is held open no longer than this many sequences, whatever the log's clock says: it bounds memory.
MAX_HELD_SPAN: Final = 4_096
# A boot first met beyond this sequence was joined in its middle (an expired log), not met with a hole before it.
MAX_JOIN_SEQUENCE: Final = 4_096
# No client counts this far (ten messages a second take 28 million years); counting on from there would overflow.
MAX_PLAUSIBLE_SEQUENCE: Final = 2**53
# Holes remembered per boot. A message from a hole forgotten is "too old": whether it is new cannot be said.
MAX_HOLES: Final = 1_024

BOOT_DTYPE: Final = np.dtype(
    [
        ("device", np.int32),
        ("boot", np.int64),
        ("seen", np.bool_),  # a message was met
        ("passed", np.bool_),  # a message passed, so the clock and the end below are known
        ("next", np.int64),  # the sequence that passes at once
        ("floor", np.int64),  # at or below: too old
        ("clock_us", np.int64),  # wall minus monotonic clock of the last message passed
        ("segment", np.int64),  # how often that clock stepped
        ("end_us", np.int64),  # where the last message passed ends
        ("held", np.int64),  # messages waiting behind a gap
    ]
)


# Where a held message waits, beside what it says.
_HELD_COLUMNS: Final = ("held_slot", "held_sequence", "held_log_us", "held_start_us", "held_end_us")


class Hole(NamedTuple):
    """Sequences given up on, and the message that followed them: a late one may show that a clock stepped there."""

    first: int
    last: int
    clock_before_us: int
    clock_after_us: int
    after_start_us: int
    after_end_us: int


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
class Held:
    """A message waiting behind a gap."""

    row: pa.RecordBatch
    sequence: int
    log_us: int
    start_us: int
    end_us: int


@dataclass
class OrderState:
    """What must be remembered of a partition to go on restoring order."""

    devices: Devices = field(default_factory=Devices)
    boots: npt.NDArray[np.void] = field(default_factory=lambda: np.zeros(0, BOOT_DTYPE))
    held: dict[int, dict[int, Held]] = field(default_factory=dict)
    holes: dict[int, list[Hole]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Index what is there."""
        self._slots = {(int(b["device"]), int(b["boot"])): i for i, b in enumerate(self.boots)}

    def columns(self) -> Columns:
        """Return everything as columns."""
        holes = [(slot, hole) for slot, found in self.holes.items() for hole in found]
        slots = np.array([slot for slot, _ in holes], np.int64)
        found: Columns = {
            "boots.device": self.boots["device"].astype(np.int64),
            "boots.boot": self.boots.copy(),
            "boots.slot": np.arange(len(self.boots)),
            "holes.device": self.boots["device"][slots].astype(np.int64),
            "holes.slot": slots,
            "holes.hole": np.array([tuple(hole) for _, hole in holes], np.int64).reshape(-1, len(Hole._fields)),
        }
        held = [(slot, one) for slot, entries in self.held.items() for one in entries.values()]
        if held:
            rows = pa.concat_batches([one.row for _, one in held])
            places = [[int(self.boots["device"][slot]), slot, *_place(one)] for slot, one in held]
            columns = [pa.array(column) for column in zip(*places, strict=True)]
            schema = pa.schema([*rows.schema, *((name, pa.int64()) for name in (DEVICE, *_HELD_COLUMNS))])
            found["held"] = pa.RecordBatch.from_arrays([*rows.columns, *columns], schema=schema)
        return found

    def changed(self) -> Ints:
        """Return every device: which changed is not told apart here."""
        return np.unique(self.boots["device"]).astype(np.int64)

    def mark_saved(self) -> None:
        """Nothing to do: every device counts as changed."""

    def rows_of(self, devices: Ints) -> Columns:
        """Return the columns of all devices, which are those that changed."""
        del devices
        return self.columns()

    def restore(self, columns: Columns) -> None:
        """Take the place of a state that gave these columns."""
        self.boots = columns["boots.boot"][np.argsort(columns["boots.slot"])]
        self.__post_init__()
        for slot, hole in zip(columns["holes.slot"].tolist(), columns["holes.hole"].tolist(), strict=True):
            self.holes.setdefault(slot, []).append(Hole(*hole))
        rows: pa.RecordBatch | None = columns.get("held")
        for row in (rows.slice(i, 1) for i in range(rows.num_rows)) if rows is not None else ():
            slot, *place = (row.column(name)[0].as_py() for name in _HELD_COLUMNS)
            message = row.select([name for name in row.schema.names if name not in (DEVICE, *_HELD_COLUMNS)])
            self.held.setdefault(slot, {})[place[0]] = Held(message.take(pa.array([0])), *place)

    def slots(self, keys: list[tuple[int, int]]) -> Ints:
        """Return the place in `boots` of each (device, boot), new ones for new boots."""
        slots = np.array([self._slots.setdefault(key, len(self._slots)) for key in keys], np.int64)
        fresh = np.zeros(len(self._slots) - len(self.boots), BOOT_DTYPE)
        if len(fresh):
            new = slots >= len(self.boots)
            places = slots[new] - len(self.boots)
            fresh["device"][places], fresh["boot"][places] = np.array(keys, np.int64)[new].T
            fresh["floor"] = -1
            self.boots = np.concatenate((self.boots, fresh))
        return slots


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


@dataclass
class Ordered:
    """What became of the messages of one fetch, and of messages held before it."""

    passed: Passed
    fresh: npt.NDArray[np.bool_]
    duplicates: list[int]
    quarantined: list[int]
    late: list[Late]
    gaps: list[Gap]
    clock_steps: list[ClockStep]


class _Exit(NamedTuple):
    """A message leaving this step: its row in the pool, its boot, when it passed, and what its clock did."""

    pool: int
    slot: int
    position: int
    own: int  # 0: let go because log time passed, before the record at `position`; 1: by that record itself
    sequence: int
    start_us: int
    end_us: int
    log_us: int
    segment: int
    stepped: bool


_EXIT_DTYPE: Final = np.dtype(
    [
        (name, np.bool_ if name == "stepped" else np.int64) for name in _Exit._fields
    ]  # structured, so one sort orders all
)


class _Step:
    """One call of `restore_order`: mutable while it runs, gone afterwards."""

    def __init__(self, state: OrderState, messages: Messages, hold_us: int) -> None:
        self.state, self.messages, self.hold_us = state, messages, hold_us
        self.sequence = messages.int64("sequence")
        self.clock_us = clock_offsets_us(messages.start_us, messages.int64("start_monotonic_us"))
        self.fresh = np.ones(len(messages), bool)
        self.pool: list[pa.RecordBatch] = [messages.rows]
        self.pool_size = len(messages)
        self.exits: list[_Exit] = []
        self.fast: list[npt.NDArray[np.void]] = []
        self.out = Ordered(None, self.fresh, [], [], [], [], [])  # type: ignore[arg-type]

    def run(self, log_times: tuple[Ints, Ints], next_offset: int, log_us: int) -> Ordered:
        """Take every message, then let go what log time has released."""
        self.log_offsets, self.log_us = log_times
        if len(self.messages):
            self._take_all()
        for slot in sorted(self.state.held):
            self._expire(slot, log_us, next_offset)
        self.out.passed = self._passed()
        return self.out

    def _take_all(self) -> None:
        order, first, slots = self._groups()
        lengths = np.diff(first, append=len(order))
        rank = np.arange(len(order)) - np.repeat(first, lengths)
        boots = self.state.boots[slots]
        in_sequence = self.sequence[order] == np.repeat(boots["next"], lengths) + rank
        fast = np.logical_and.reduceat(in_sequence, first) & (boots["held"] == 0)
        chosen = np.repeat(fast, lengths)
        if fast.any():
            self._pass_in_sequence(order[chosen], np.repeat(slots, lengths)[chosen], slots[fast], lengths[fast])
        for group in np.flatnonzero(~fast).tolist():
            slot = int(slots[group])
            for i in order[first[group] : first[group] + lengths[group]].tolist():
                self._take(slot, i)

    def _groups(self) -> tuple[Ints, Ints, Ints]:
        """Return the messages by (device, boot) in log order, where each group begins, and its slot."""
        code, device_ids = dictionary_of(self.messages.rows.column("device_id"))
        boot = self.messages.int64("boot_id")
        order = np.lexsort((boot, code))
        opens = np.ones(len(order), bool)
        opens[1:] = (np.diff(code[order]) != 0) | (np.diff(boot[order]) != 0)
        first = np.flatnonzero(opens)
        devices = self.state.devices.numbers(device_ids).tolist()
        keys = [(devices[c], b) for c, b in zip(code[order[first]].tolist(), boot[order[first]].tolist(), strict=True)]
        return order, first, self.state.slots(keys)

    def _pass_in_sequence(self, index: Ints, slot: Ints, slots: Ints, lengths: Ints) -> None:
        """Let whole boots pass; `index` holds their messages group by group."""
        boots, m = self.state.boots, self.messages
        last = np.cumsum(lengths) - 1
        first = last - lengths + 1
        clock_us = self.clock_us[index]
        before_us = np.roll(clock_us, 1)
        before_us[first] = np.where(boots["passed"][slots], boots["clock_us"][slots], clock_us[first])
        stepped = np.abs(clock_us - before_us) > CLOCK_STEP_TOLERANCE_US
        count = np.cumsum(stepped)
        opening = count[first] - stepped[first]
        exits = np.zeros(len(index), _EXIT_DTYPE)
        exits["pool"], exits["slot"], exits["position"], exits["own"] = index, slot, m.offset[index], 1
        exits["sequence"], exits["start_us"], exits["end_us"] = self.sequence[index], m.start_us[index], m.end_us[index]
        exits["log_us"], exits["stepped"] = m.log_us[index], stepped
        exits["segment"] = count + np.repeat(boots["segment"][slots] - opening, lengths)
        self.fast.append(exits)
        for i in np.flatnonzero(stepped).tolist():
            self._note_step(exits[i], int(clock_us[i] - before_us[i]))
        boots["seen"][slots] = boots["passed"][slots] = True
        boots["next"][slots] += lengths
        boots["clock_us"][slots], boots["end_us"][slots] = clock_us[last], m.end_us[index[last]]
        boots["segment"][slots] = exits["segment"][last]

    def _take(self, slot: int, i: int) -> None:
        """Take one message of a boot that is not simply in sequence."""
        sequence, log_us = int(self.sequence[i]), int(self.messages.log_us[i])
        self._expire(slot, log_us, int(self.messages.offset[i]))
        boot, held = self.state.boots[slot], self.state.held.get(slot, {})
        if not boot["seen"] and sequence <= MAX_PLAUSIBLE_SEQUENCE:
            boot["seen"] = True
            if sequence > MAX_JOIN_SEQUENCE:
                boot["next"], boot["floor"] = sequence, sequence - 1
        if sequence in held:
            self._duplicate(i)
        elif sequence < boot["next"]:
            self._behind(slot, i, sequence)
        elif not boot["seen"] or sequence > max(held, default=int(boot["next"]) - 1) + MAX_SEQUENCE_JUMP:
            self.fresh[i] = False
            self.out.quarantined.append(int(self.messages.offset[i]))
            self._late(slot, i, "quarantined")
        elif sequence == boot["next"]:
            self._leave(slot, self._entry(i), i, int(self.messages.offset[i]), 1)
            self._drain(slot, int(self.messages.offset[i]), 1)
        else:
            self._hold(slot, i, sequence)

    def _behind(self, slot: int, i: int, sequence: int) -> None:
        if sequence <= self.state.boots[slot]["floor"]:
            self._late(slot, i, "too_old")
            return
        holes = self.state.holes.get(slot, [])
        place = next((n for n, hole in enumerate(holes) if hole.first <= sequence <= hole.last), None)
        if place is None:
            self._duplicate(i)
            return
        hole = holes.pop(place)
        rest = [hole._replace(last=sequence - 1), hole._replace(first=sequence + 1)]
        holes[place:place] = [part for part in rest if part.first <= part.last]
        self._late(slot, i, "late")
        clock_us = int(self.clock_us[i])
        if max(abs(clock_us - hole.clock_before_us), abs(clock_us - hole.clock_after_us)) > CLOCK_STEP_TOLERANCE_US:
            late = self.out.late[-1]
            after = late._replace(start_us=hole.after_start_us, end_us=hole.after_end_us, cause="clock_step")
            self.out.late.append(after)

    def _hold(self, slot: int, i: int, sequence: int) -> None:
        held = self.state.held.setdefault(slot, {})
        held[sequence] = self._entry(i)
        boot = self.state.boots[slot]
        boot["held"] = len(held)
        while held and max(held) - int(boot["next"]) >= MAX_HELD_SPAN:
            self._give_up(slot, int(self.messages.offset[i]), 1, int(self.messages.log_us[i]))

    def _expire(self, slot: int, log_us: int, position: int) -> None:
        """Give up gaps whose time is over; each at the log position where it was."""
        held = self.state.held.get(slot)
        while held:
            deadline_us = min(entry.log_us for entry in held.values()) + self.hold_us
            if log_us <= deadline_us:
                return
            place = int(np.searchsorted(self.log_us, deadline_us, side="right"))
            at = int(self.log_offsets[place]) if place < len(self.log_offsets) else position
            self._give_up(slot, at, 0, deadline_us)

    def _give_up(self, slot: int, position: int, own: int, detected_us: int) -> None:
        boot, held = self.state.boots[slot], self.state.held[slot]
        after = held[min(held)]
        missing = int(boot["next"])
        device_id = self.state.devices[boot["device"]]
        known = bool(boot["passed"])
        before_us = int(boot["end_us"]) if known else after.start_us
        self.out.gaps.append(
            Gap(device_id, int(boot["boot"]), missing, after.sequence - 1, before_us, after.start_us, detected_us)
        )
        clock_us = _clock_us(after)
        holes = self.state.holes.setdefault(slot, [])
        before_clock_us = int(boot["clock_us"]) if known else clock_us
        holes.append(Hole(missing, after.sequence - 1, before_clock_us, clock_us, after.start_us, after.end_us))
        if len(holes) > MAX_HOLES:
            boot["floor"] = holes.pop(0).last
        boot["next"] = after.sequence
        self._drain(slot, position, own)

    def _drain(self, slot: int, position: int, own: int) -> None:
        held = self.state.held.get(slot)
        if held is None:
            return
        boot = self.state.boots[slot]
        while (sequence := int(boot["next"])) in held:
            entry = held.pop(sequence)
            self.pool.append(entry.row)
            self.pool_size += 1
            self._leave(slot, entry, self.pool_size - 1, position, own)
        boot["held"] = len(held)
        if not held:
            del self.state.held[slot]

    def _leave(self, slot: int, entry: Held, pool: int, position: int, own: int) -> None:
        boot = self.state.boots[slot]
        clock_us = _clock_us(entry)
        step_us = clock_us - int(boot["clock_us"]) if boot["passed"] else 0
        stepped = abs(step_us) > CLOCK_STEP_TOLERANCE_US
        segment = int(boot["segment"]) + stepped
        boot["passed"], boot["segment"], boot["next"] = True, segment, entry.sequence + 1
        boot["clock_us"], boot["end_us"] = clock_us, entry.end_us
        leaving = _Exit(
            pool, slot, position, own, entry.sequence, entry.start_us, entry.end_us, entry.log_us, segment, stepped
        )
        self.exits.append(leaving)
        if stepped:
            self._note_step(np.array([leaving], _EXIT_DTYPE)[0], step_us)

    def _entry(self, i: int) -> Held:
        m = self.messages
        row = m.rows.take(pa.array([i]))
        return Held(row, int(self.sequence[i]), int(m.log_us[i]), int(m.start_us[i]), int(m.end_us[i]))

    def _duplicate(self, i: int) -> None:
        self.fresh[i] = False
        self.out.duplicates.append(int(self.messages.offset[i]))

    def _late(self, slot: int, i: int, cause: str) -> None:
        m, boot = self.messages, self.state.boots[slot]
        span = int(m.start_us[i]), int(m.end_us[i])
        who = self.state.devices[boot["device"]], int(boot["boot"]), int(self.sequence[i])
        self.out.late.append(Late(*who, *span, int(m.log_us[i]), cause))

    def _note_step(self, leaving: np.void, step_us: int) -> None:
        boot = self.state.boots[leaving["slot"]]
        who = self.state.devices[boot["device"]], int(boot["boot"]), int(leaving["sequence"])
        span = int(leaving["start_us"]), int(leaving["end_us"])
        self.out.clock_steps.append(ClockStep(*who, *span, step_us, int(leaving["log_us"])))

    def _passed(self) -> Passed:
        exits = np.concatenate([*self.fast, np.array(self.exits, _EXIT_DTYPE)])
        boots = self.state.boots[exits["slot"]]
        order = np.lexsort((exits["sequence"], boots["boot"], exits["own"], exits["position"], boots["device"]))
        exits = exits[order]
        pool = self.pool[0] if len(self.pool) == 1 else pa.concat_batches(self.pool)
        return Passed(
            pool.take(pa.array(exits["pool"])),
            boots["device"][order],
            exits["start_us"].copy(),
            exits["end_us"].copy(),
            exits["log_us"].copy(),
            exits["segment"].copy(),
            exits["stepped"].copy(),
        )


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
    return _Step(state, messages, hold_us).run(log_times, next_offset, log_us)


def _place(entry: Held) -> tuple[int, int, int, int]:
    return entry.sequence, entry.log_us, entry.start_us, entry.end_us


def _clock_us(entry: Held) -> int:
    return int(clock_offsets_us(entry.start_us, entry.row.column("start_monotonic_us")[0].as_py()))
