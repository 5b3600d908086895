"""Order restored the plain way, one message after the other: what the compiled form is held against."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from stream.order import ClockStep, Gap, Late
from stream.order_columns import (
    BOOT_SILENT_US,
    MAX_BOOTS,
    MAX_HELD_SPAN,
    MAX_HOLES,
    MAX_JOIN_SEQUENCE,
    MAX_PLAUSIBLE_SEQUENCE,
)
from wearables_platform.domain.identity import MAX_SEQUENCE_JUMP
from wearables_platform.domain.time_policy import CLOCK_STEP_TOLERANCE_US


class Sent(NamedTuple):
    """One message in the log; `log_us` is the log's time at it."""

    device_id: str
    boot: int
    sequence: int
    start_us: int
    end_us: int
    clock_us: int
    log_us: int
    offset: int


class Hole(NamedTuple):
    first: int
    last: int
    clock_before_us: int
    clock_after_us: int
    after: Sent


class Left(NamedTuple):
    """A message that passed, and what sorts it among its device's: the position that let it go, and how."""

    position: int
    own: int
    sent: Sent
    segment: int
    stepped: bool


@dataclass
class Boot:
    next: int = 0
    floor: int = -1
    clock_us: int | None = None
    end_us: int = 0
    segment: int = 0
    last_us: int = 0
    last_offset: int = -1
    held: dict[int, Sent] = field(default_factory=dict)
    holes: list[Hole] = field(default_factory=list)


@dataclass
class OrderModel:
    """A whole log, read once from its beginning."""

    hold_us: int
    boots: dict[tuple[str, int], Boot] = field(default_factory=dict)
    left: list[Left] = field(default_factory=list)
    duplicates: list[int] = field(default_factory=list)
    quarantined: list[int] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    clock_steps: list[ClockStep] = field(default_factory=list)
    late: list[Late] = field(default_factory=list)
    forgotten: int = 0
    times: list[tuple[int, int]] = field(default_factory=list)  # (log time, offset) of every record

    def run(self, log: list[Sent], log_us: int) -> OrderModel:
        """Take all messages, then let go what log time has released."""
        self.times = [(sent.log_us, sent.offset) for sent in log]
        for sent in log:
            self._take(sent)
        for key in list(self.boots):
            self._expire(key, log_us, len(log))
        self.left.sort(key=lambda one: (one.sent.device_id, one.position, one.own, one.sent.boot, one.sent.sequence))
        return self

    def _take(self, sent: Sent) -> None:
        key = sent.device_id, sent.boot
        if key in self.boots:
            self._expire(key, sent.log_us, sent.offset)
        if key in self.boots and sent.log_us - self.boots[key].last_us > BOOT_SILENT_US:
            self._forget(key)
        if key not in self.boots:
            if sent.sequence > MAX_PLAUSIBLE_SEQUENCE:
                self._refuse(sent)
                return
            self._meet(key, sent)
        boot = self.boots[key]
        boot.last_us, boot.last_offset = sent.log_us, sent.offset
        if sent.sequence in boot.held:
            self.duplicates.append(sent.offset)
        elif sent.sequence < boot.next:
            self._behind(boot, sent)
        elif sent.sequence > max(boot.held, default=boot.next - 1) + MAX_SEQUENCE_JUMP:
            self._refuse(sent)
        else:
            boot.held[sent.sequence] = sent
            self._drain(boot, sent.offset, 1)
            while boot.held and max(boot.held) - boot.next >= MAX_HELD_SPAN:
                self._give_up(boot, sent.offset, 1, sent.log_us)

    def _refuse(self, sent: Sent) -> None:
        self.quarantined.append(sent.offset)
        self._note_late(sent, "quarantined")

    def _meet(self, key: tuple[str, int], sent: Sent) -> None:
        others = [other for other in self.boots if other[0] == key[0]]
        if len(others) >= MAX_BOOTS:
            silent = min(others, key=lambda other: self.boots[other].last_offset)
            self._expire(silent, sent.log_us, sent.offset)
            while self.boots[silent].held:
                self._give_up(self.boots[silent], sent.offset, 0, sent.log_us)
            self._forget(silent)
        joined = sent.sequence > MAX_JOIN_SEQUENCE
        self.boots[key] = Boot(sent.sequence, sent.sequence - 1) if joined else Boot()

    def _forget(self, key: tuple[str, int]) -> None:
        self.forgotten += 1
        del self.boots[key]

    def _behind(self, boot: Boot, sent: Sent) -> None:
        if sent.sequence <= boot.floor:
            self._note_late(sent, "too_old")
            return
        place = next((n for n, h in enumerate(boot.holes) if h.first <= sent.sequence <= h.last), None)
        if place is None:
            self.duplicates.append(sent.offset)
            return
        hole = boot.holes.pop(place)
        rest = [hole._replace(last=sent.sequence - 1), hole._replace(first=sent.sequence + 1)]
        boot.holes[place:place] = [part for part in rest if part.first <= part.last]
        self._bound_holes(boot)
        self._note_late(sent, "late")
        apart_us = max(abs(sent.clock_us - hole.clock_before_us), abs(sent.clock_us - hole.clock_after_us))
        if apart_us > CLOCK_STEP_TOLERANCE_US:
            self._note_late(sent._replace(start_us=hole.after.start_us, end_us=hole.after.end_us), "clock_step")

    def _bound_holes(self, boot: Boot) -> None:
        if len(boot.holes) > MAX_HOLES:
            boot.floor = boot.holes.pop(0).last

    def _expire(self, key: tuple[str, int], log_us: int, position: int) -> None:
        boot = self.boots[key]
        while boot.held:
            deadline_us = min(sent.log_us for sent in boot.held.values()) + self.hold_us
            if log_us <= deadline_us:
                return
            at = next((offset for at_us, offset in self.times if at_us > deadline_us), position)
            self._give_up(boot, at, 0, deadline_us)

    def _give_up(self, boot: Boot, position: int, own: int, detected_us: int) -> None:
        after = boot.held[min(boot.held)]
        before_us = boot.end_us if boot.clock_us is not None else after.start_us
        span = boot.next, after.sequence - 1
        self.gaps.append(Gap(after.device_id, after.boot, *span, before_us, after.start_us, detected_us))
        clock_us = after.clock_us if boot.clock_us is None else boot.clock_us
        boot.holes.append(Hole(*span, clock_us, after.clock_us, after))
        self._bound_holes(boot)
        boot.next = after.sequence
        self._drain(boot, position, own)

    def _drain(self, boot: Boot, position: int, own: int) -> None:
        while boot.next in boot.held:
            sent = boot.held.pop(boot.next)
            step_us = 0 if boot.clock_us is None else sent.clock_us - boot.clock_us
            stepped = abs(step_us) > CLOCK_STEP_TOLERANCE_US
            boot.segment += stepped
            boot.next, boot.clock_us, boot.end_us = sent.sequence + 1, sent.clock_us, sent.end_us
            self.left.append(Left(position, own, sent, boot.segment, stepped))
            if stepped:
                span = sent.start_us, sent.end_us
                self.clock_steps.append(
                    ClockStep(sent.device_id, sent.boot, sent.sequence, *span, step_us, sent.log_us)
                )

    def _note_late(self, sent: Sent, cause: str) -> None:
        span = sent.start_us, sent.end_us
        self.late.append(Late(sent.device_id, sent.boot, sent.sequence, *span, sent.log_us, cause))
