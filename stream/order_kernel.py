"""The order step's inner loop, compiled: messages of all boots in log order, one after the other.

What a boot is waiting for depends on every message before, so there is nothing to vectorise; there is also nothing in
it but integers. Memory is columns: one row per boot, and two pools (messages held, holes left) whose rows are chained
per boot in ascending sequence. No allocation happens in here: the caller has made room for the worst case.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from stream.order_columns import (
    BOOT_SILENT_US,
    BY_RECORD,
    BY_TIME,
    CLOCK_STEP,
    DUPLICATE,
    EXITS,
    EXPIRED,
    FORGOTTEN,
    GAPS,
    HELD_FREE,
    HELD_TOP,
    HOLE_FREE,
    HOLE_TOP,
    JUMPED,
    LATE,
    LATES,
    MAX_BOOTS,
    MAX_HELD_SPAN,
    MAX_HOLES,
    MAX_JOIN_SEQUENCE,
    MAX_PLAUSIBLE_SEQUENCE,
    QUARANTINED,
    STEPS,
    TOO_OLD,
)
from stream.order_table import Int, clear, compiled
from wearables_platform.domain.identity import MAX_SEQUENCE_JUMP
from wearables_platform.domain.time_policy import CLOCK_STEP_TOLERANCE_US


class Memory(NamedTuple):
    """What a partition remembers, as arrays with room to spare."""

    boots: Any  # BOOT_DTYPE
    held: Any  # HELD_DTYPE
    holes: Any  # HOLE_DTYPE
    tops: Any  # int64
    first_boot: Any  # int32 per device, -1: none
    boot_count: Any  # int32 per device
    changed: Any  # bool per device


class Fetched(NamedTuple):
    """The messages of a step, and the log's time at every record of it."""

    slot: Any
    sequence: Any
    clock_us: Any
    start_us: Any
    end_us: Any
    log_us: Any
    offset: Any
    log_offsets: Any
    log_times: Any
    base: int  # messages that wait from before have rows below this
    hold_us: int


class Found(NamedTuple):
    """What a step finds out; `counts` says how many rows of each are in use."""

    outcome: Any  # int8 per message
    exits: Any
    gaps: Any
    steps: Any
    lates: Any
    counts: Any


@compiled
def take_messages(m: Memory, x: Fetched, o: Found, boots: Int, next_offset: Int, log_us: Int) -> None:
    """Take every message in log order, then let go what log time has released."""
    i = _pass_run(m, x, o, np.int64(0))
    while i < len(x.slot):
        _take(m, x, o, i)
        i = _pass_run(m, x, o, i + 1)
    for slot in range(boots):
        if m.boots[slot].held:
            _expire(m, x, o, slot, log_us, next_offset)


@compiled
def _pass_run(m: Memory, x: Fetched, o: Found, i: Int) -> Any:
    """Let messages pass that are simply in sequence; returns the first that is not. `_take` would do the same."""
    boots, changed, exits, leaving = m.boots, m.changed, o.exits, o.counts[EXITS]
    slots, sequence, clock_us, log_us = x.slot, x.sequence, x.clock_us, x.log_us
    start_us, end_us, offset = x.start_us, x.end_us, x.offset
    while i < len(slots):
        b = boots[slots[i]]
        if not b.passed or b.held or sequence[i] != b.next or log_us[i] - b.last_us > BOOT_SILENT_US:
            break
        if abs(clock_us[i] - b.clock_us) > CLOCK_STEP_TOLERANCE_US:
            break
        changed[b.device] = True
        b.next, b.clock_us, b.end_us, b.last_us, b.last_offset = (
            sequence[i] + 1,
            clock_us[i],
            end_us[i],
            log_us[i],
            offset[i],
        )
        e = exits[leaving]
        e.row, e.device, e.boot, e.position, e.own, e.sequence = x.base + i, b.device, b.boot, offset[i], 1, b.next - 1
        e.start_us, e.end_us, e.log_us, e.segment, e.stepped = start_us[i], end_us[i], log_us[i], b.segment, False
        leaving += 1
        i += 1
    o.counts[EXITS] = leaving
    return i


@compiled
def _take(m: Memory, x: Fetched, o: Found, i: Int) -> None:
    slot, sequence = x.slot[i], x.sequence[i]
    b = m.boots[slot]
    m.changed[b.device] = True
    if b.held:
        _expire(m, x, o, slot, x.log_us[i], x.offset[i])
    if b.seen and x.log_us[i] - b.last_us > BOOT_SILENT_US:
        _forget(m, o, slot)
    if not b.seen and sequence <= MAX_PLAUSIBLE_SEQUENCE:
        _meet(m, x, o, i)
    b.last_us, b.last_offset = x.log_us[i], x.offset[i]
    if sequence == b.next and b.seen:
        _leave(
            m,
            o,
            slot,
            x.base + i,
            BY_RECORD,
            x.offset[i],
            sequence,
            x.start_us[i],
            x.end_us[i],
            x.log_us[i],
            x.clock_us[i],
        )
        if b.held:
            _drain(m, o, slot, x.offset[i], BY_RECORD)
    elif sequence < b.next:
        _behind(m, x, o, i)
    else:
        _ahead(m, x, o, i)


@compiled
def _meet(m: Memory, x: Fetched, o: Found, i: Int) -> None:
    """Begin to remember a boot; the device's longest silent one makes room for it."""
    b = m.boots[x.slot[i]]
    if m.boot_count[b.device] >= MAX_BOOTS:
        oldest = slot = np.int64(m.first_boot[b.device])
        while slot >= 0:
            if m.boots[slot].last_offset < m.boots[oldest].last_offset:
                oldest = slot
            slot = np.int64(m.boots[slot].sibling)
        _expire(m, x, o, oldest, x.log_us[i], x.offset[i])
        while m.boots[oldest].held:
            _give_up(m, o, oldest, x.offset[i], BY_TIME, x.log_us[i])
        _forget(m, o, oldest)
    b.seen, b.sibling = True, m.first_boot[b.device]
    m.first_boot[b.device] = x.slot[i]
    m.boot_count[b.device] += 1
    if x.sequence[i] > MAX_JOIN_SEQUENCE:
        b.next, b.floor = x.sequence[i], x.sequence[i] - 1


@compiled
def _forget(m: Memory, o: Found, slot: Int) -> None:
    """Make a boot with nothing held one that was never met."""
    b = m.boots[slot]
    o.counts[FORGOTTEN] += 1
    while b.holes:
        _drop_hole(m, slot, b.first_hole)
    other = m.first_boot[b.device]
    if other == slot:
        m.first_boot[b.device] = b.sibling
    else:
        while m.boots[other].sibling != slot:
            other = m.boots[other].sibling
        m.boots[other].sibling = b.sibling
    m.boot_count[b.device] -= 1
    clear(m.boots, slot, np.int64(b.device), b.boot)


@compiled
def _behind(m: Memory, x: Fetched, o: Found, i: Int) -> None:
    slot, sequence = x.slot[i], x.sequence[i]
    b = m.boots[slot]
    if sequence <= b.floor:
        _note_late(m, x, o, i, TOO_OLD)
        return
    hole = b.last_hole
    while hole >= 0 and m.holes[hole].first > sequence:
        hole = m.holes[hole].before
    if hole < 0 or m.holes[hole].last < sequence:
        o.outcome[i] = DUPLICATE
        return
    _note_late(m, x, o, i, LATE)
    h = m.holes[hole]
    apart_us = max(abs(x.clock_us[i] - h.clock_before_us), abs(x.clock_us[i] - h.clock_after_us))
    if apart_us > CLOCK_STEP_TOLERANCE_US:
        _note_late(m, x, o, i, CLOCK_STEP)
        late = o.lates[o.counts[LATES] - 1]
        late.start_us, late.end_us = h.after_start_us, h.after_end_us
    _fill(m, slot, hole, sequence)


@compiled
def _fill(m: Memory, slot: Int, hole: Int, sequence: Int) -> None:
    """Take one sequence out of a hole, which may leave none, one or two."""
    h, b = m.holes[hole], m.boots[slot]
    if h.first == h.last:
        _drop_hole(m, slot, hole)
    elif h.first == sequence:
        h.first = sequence + 1
    elif h.last == sequence:
        h.last = sequence - 1
    else:
        rest = _add_hole(m, slot, hole)
        r = m.holes[rest]
        r.first, r.last = sequence + 1, h.last
        r.clock_before_us, r.clock_after_us = h.clock_before_us, h.clock_after_us
        r.after_start_us, r.after_end_us = h.after_start_us, h.after_end_us
        h.last = sequence - 1
        if b.holes > MAX_HOLES:
            b.floor = m.holes[b.first_hole].last
            _drop_hole(m, slot, b.first_hole)


@compiled
def _ahead(m: Memory, x: Fetched, o: Found, i: Int) -> None:
    slot, sequence = x.slot[i], x.sequence[i]
    b = m.boots[slot]
    before = b.last_held
    while before >= 0 and m.held[before].sequence > sequence:
        before = m.held[before].before
    if before >= 0 and m.held[before].sequence == sequence:
        o.outcome[i] = DUPLICATE
        return
    reached = m.held[b.last_held].sequence if b.held else b.next - 1
    if not b.seen or sequence > reached + MAX_SEQUENCE_JUMP:
        o.outcome[i] = JUMPED
        _note_late(m, x, o, i, QUARANTINED)
        return
    entry = _add_held(m, slot, before)
    e = m.held[entry]
    e.sequence, e.log_us, e.start_us, e.end_us = sequence, x.log_us[i], x.start_us[i], x.end_us[i]
    e.clock_us, e.row = x.clock_us[i], x.base + i
    b.oldest_us = e.log_us if b.held == 1 else min(b.oldest_us, e.log_us)
    while b.held and m.held[b.last_held].sequence - b.next >= MAX_HELD_SPAN:
        _give_up(m, o, slot, x.offset[i], BY_RECORD, x.log_us[i])


@compiled
def _expire(m: Memory, x: Fetched, o: Found, slot: Int, log_us: Int, position: Int) -> None:
    """Give up gaps whose time is over; each at the log position where it was."""
    b = m.boots[slot]
    while b.held:
        deadline_us = b.oldest_us + x.hold_us
        if log_us <= deadline_us:
            return
        place = np.searchsorted(x.log_times, deadline_us, side="right")
        at = x.log_offsets[place] if place < len(x.log_offsets) else position
        _give_up(m, o, slot, at, BY_TIME, deadline_us)


@compiled
def _give_up(m: Memory, o: Found, slot: Int, position: Int, own: Int, detected_us: Int) -> None:
    b = m.boots[slot]
    after = m.held[b.first_held]
    m.changed[b.device] = True
    o.counts[EXPIRED] += 1 - own
    g = o.gaps[o.counts[GAPS]]
    o.counts[GAPS] += 1
    g.device, g.boot, g.first_sequence, g.last_sequence = b.device, b.boot, b.next, after.sequence - 1
    g.after_us, g.before_us = b.end_us if b.passed else after.start_us, after.start_us
    g.detected_us = detected_us
    h = m.holes[_add_hole(m, slot, b.last_hole)]
    h.first, h.last = b.next, after.sequence - 1
    h.clock_before_us, h.clock_after_us = b.clock_us if b.passed else after.clock_us, after.clock_us
    h.after_start_us, h.after_end_us = after.start_us, after.end_us
    if b.holes > MAX_HOLES:
        b.floor = m.holes[b.first_hole].last
        _drop_hole(m, slot, b.first_hole)
    b.next = after.sequence
    _drain(m, o, slot, position, own)


@compiled
def _drain(m: Memory, o: Found, slot: Int, position: Int, own: Int) -> None:
    """Let go what waits from the next sequence on."""
    b = m.boots[slot]
    left_oldest = False
    while b.held and m.held[b.first_held].sequence == b.next:
        e = m.held[b.first_held]
        left_oldest |= e.log_us == b.oldest_us
        _leave(m, o, slot, e.row, own, position, e.sequence, e.start_us, e.end_us, e.log_us, e.clock_us)
        _drop_held(m, slot, b.first_held)
    if left_oldest and b.held:
        entry = b.first_held
        b.oldest_us = m.held[entry].log_us
        while entry >= 0:
            b.oldest_us = min(b.oldest_us, m.held[entry].log_us)
            entry = m.held[entry].after


@compiled
def _leave(
    m: Memory,
    o: Found,
    slot: Int,
    row: Int,
    own: Int,
    position: Int,
    sequence: Int,
    start_us: Int,
    end_us: Int,
    log_us: Int,
    clock_us: Int,
) -> None:
    b = m.boots[slot]
    step_us = clock_us - b.clock_us if b.passed else 0
    stepped = abs(step_us) > CLOCK_STEP_TOLERANCE_US
    b.segment += stepped
    b.passed, b.next, b.clock_us, b.end_us = True, sequence + 1, clock_us, end_us
    e = o.exits[o.counts[EXITS]]
    o.counts[EXITS] += 1
    e.row, e.device, e.boot, e.position, e.own, e.sequence = row, b.device, b.boot, position, own, sequence
    e.start_us, e.end_us, e.log_us, e.segment, e.stepped = start_us, end_us, log_us, b.segment, stepped
    if stepped:
        s = o.steps[o.counts[STEPS]]
        o.counts[STEPS] += 1
        s.device, s.boot, s.sequence, s.step_us = b.device, b.boot, sequence, step_us
        s.start_us, s.end_us, s.log_us = start_us, end_us, log_us


@compiled
def _note_late(m: Memory, x: Fetched, o: Found, i: Int, cause: Int) -> None:
    late, b = o.lates[o.counts[LATES]], m.boots[x.slot[i]]
    o.counts[LATES] += 1
    late.device, late.boot, late.sequence, late.cause = b.device, b.boot, x.sequence[i], cause
    late.start_us, late.end_us, late.log_us = x.start_us[i], x.end_us[i], x.log_us[i]


@compiled
def _add_held(m: Memory, slot: Int, before: Int) -> Any:
    """Return a row of the pool, chained behind `before` (-1: first)."""
    entry = m.tops[HELD_FREE]
    if entry >= 0:
        m.tops[HELD_FREE] = m.held[entry].after
    else:
        entry = m.tops[HELD_TOP]
        m.tops[HELD_TOP] += 1
    b, e = m.boots[slot], m.held[entry]
    e.slot, e.before, e.after = slot, before, m.held[before].after if before >= 0 else b.first_held
    if before >= 0:
        m.held[before].after = entry
    else:
        b.first_held = entry
    if e.after >= 0:
        m.held[e.after].before = entry
    else:
        b.last_held = entry
    b.held += 1
    return entry


@compiled
def _drop_held(m: Memory, slot: Int, entry: Int) -> None:
    """Unchain the boot's first row."""
    b, e = m.boots[slot], m.held[entry]
    b.first_held = e.after
    if e.after >= 0:
        m.held[e.after].before = -1
    else:
        b.last_held = -1
    b.held -= 1
    e.slot, e.after = -1, m.tops[HELD_FREE]
    m.tops[HELD_FREE] = entry


@compiled
def _add_hole(m: Memory, slot: Int, before: Int) -> Any:
    hole = m.tops[HOLE_FREE]
    if hole >= 0:
        m.tops[HOLE_FREE] = m.holes[hole].after
    else:
        hole = m.tops[HOLE_TOP]
        m.tops[HOLE_TOP] += 1
    b, h = m.boots[slot], m.holes[hole]
    h.slot, h.before, h.after = slot, before, m.holes[before].after if before >= 0 else b.first_hole
    if before >= 0:
        m.holes[before].after = hole
    else:
        b.first_hole = hole
    if h.after >= 0:
        m.holes[h.after].before = hole
    else:
        b.last_hole = hole
    b.holes += 1
    return hole


@compiled
def _drop_hole(m: Memory, slot: Int, hole: Int) -> None:
    b, h = m.boots[slot], m.holes[hole]
    if h.before >= 0:
        m.holes[h.before].after = h.after
    else:
        b.first_hole = h.after
    if h.after >= 0:
        m.holes[h.after].before = h.before
    else:
        b.last_hole = h.before
    b.holes -= 1
    h.slot, h.after = -1, m.tops[HOLE_FREE]
    m.tops[HOLE_FREE] = hole
