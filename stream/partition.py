"""One log partition from fetches to rows: decode, restore order, window, score; and the state that all of it needs.

A `Harvest` is the dataflow's item: everything one step of one partition has for the sinks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from stream.decode import DeadLetter, Ints, Messages, decode_fetch
from stream.latest import latest_of_messages, latest_of_windows
from stream.order import ClockStep, Gap, Late, Ordered, restore_order
from stream.sensor_values import latest_of_sensors
from stream.state import PartitionState, Pending
from stream.windows import Derived, accept, close_idle, close_windows
from wearables_platform.clients.kafka import Fetch
from wearables_platform.clients.latest import LatestBatch
from wearables_platform.domain.channels import ACCELERATION, CHANNEL_BY_TOPIC, VITALS
from wearables_platform.domain.sensor_types import SensorType
from wearables_platform.models.thresholds import ThresholdTimeline
from wearables_platform.signals.device_rules import Findings
from wearables_platform.signals.windows import WindowRows
from wearables_platform.wire.codec import DEFAULT_MAX_PAYLOAD_BYTES

OUTCOMES: Final = ("stored", "duplicate", "quarantined", "dead_lettered")
# Where nothing more can be read, the wall clock may stand in for the log's, this much later: a broker's clock that is
# behind ours by less cannot make us give up on what it would still have dated in time.
END_OF_LOG_MARGIN_US: Final = 2_000_000
# So many messages are worth a flush on their own: catching up, rows leave often enough to bound memory.
FLUSH_MESSAGES: Final = 100_000
# Who is further behind catches up: then small steps would be dear, and nobody waits for this one's rows.
LIVE_US: Final = 5_000_000


class Scoring(Protocol):
    """Scores windows with the model in force at each window's start."""

    def score(self, rows: WindowRows) -> tuple[npt.NDArray[np.float64], list[str | None]]:
        """Return a score per row (NaN where no model was in force) and the version that made it."""

    @property
    def thresholds(self) -> ThresholdTimeline:
        """The thresholds of devices there are now, by event time."""


@dataclass(frozen=True)
class ScoredRows:
    """Rows made at one time, with their scores."""

    derived: Derived
    score: npt.NDArray[np.float64]
    version: list[str | None]
    judged_by: list[str | None] = field(default_factory=list)  # per event, the version of the thresholds


@dataclass(frozen=True)
class Ruled:
    """What a lane's rules found in one step; `device_ids` names the devices that findings count.

    `partition` is the lane's, and `read` how far each topic had been read by then; `judged_by` is, per event, the
    version of the thresholds in force when it began.
    """

    device_ids: list[str]
    findings: Findings
    log_us: int
    partition: int
    read: Mapping[str, int]
    judged_by: list[str | None] = field(default_factory=list)


@dataclass(frozen=True)
class Harvest:
    """What one step of one partition gives the sinks; every sink takes its part, all of them may see it twice."""

    topic: str
    partition: int
    topic_id: str | None
    dead_letters: tuple[DeadLetter, ...] = ()
    latest: list[LatestBatch] = field(default_factory=list)
    rows: list[ScoredRows] = field(default_factory=list)
    ledger: dict[str, list[list[int]]] = field(default_factory=dict)
    gaps: list[Gap] = field(default_factory=list)
    clock_steps: list[ClockStep] = field(default_factory=list)
    late: list[Late] = field(default_factory=list)
    counters: dict[str, int] = field(default_factory=dict)
    newest_append_us: int = 0
    messages: Messages | None = None  # new ones in log order; of acceleration only whose and when
    ruled: Ruled | None = None

    @property
    def has_history(self) -> bool:
        """Whether there is anything for the database."""
        return bool(self.rows or self.ledger or self.gaps or self.clock_steps or self.late or self.ruled)


@dataclass(frozen=True)
class PartitionRules:
    """What a partition is run with.

    Live, windows are looked at every `step_us` of wall time, so that rows leave, and samples are forgotten, soon after
    they are due; whatever else is for the database leaves with rows, or after `flush_us`.
    """

    hold_us: int = 2_000_000
    idle_us: int = 5_000_000
    step_us: int = 250_000
    flush_us: int = 1_000_000
    max_payload_bytes: int = DEFAULT_MAX_PAYLOAD_BYTES
    sensor_types: tuple[SensorType, ...] = ()


class Partition:
    """Turns fetches of one partition into harvests; `state` always stands exactly behind the last one."""

    def __init__(self, state: PartitionState, rules: PartitionRules, scoring: Scoring) -> None:
        self.state, self.rules, self.scoring = state, rules, scoring
        self.channel = CHANNEL_BY_TOPIC[state.topic]
        self._since_flush = 0
        self._flushed_us = self._stepped_us = 0

    def take(self, fetch: Fetch, now_us: int) -> Harvest:
        """Take the next fetch; `now_us` decides only when rows leave, never what is in them."""
        state = self.state
        decoded = decode_fetch(self.channel, fetch, state.log_us, max_payload_bytes=self.rules.max_payload_bytes)
        log_times = np.maximum.accumulate(np.maximum(fetch.append_us, state.log_us))
        next_offset = int(fetch.offsets[-1]) + 1 if len(fetch) else state.next_offset
        ordered = restore_order(
            state.order,
            decoded.messages,
            log_times=(fetch.offsets, log_times),
            next_offset=next_offset,
            log_us=decoded.log_us,
            hold_us=self.rules.hold_us,
        )
        self._window(ordered)
        outcomes = {
            "duplicate": np.array(ordered.duplicates, np.int64),
            "quarantined": np.concatenate((decoded.quarantined, np.array(ordered.quarantined, np.int64))),
            "dead_lettered": np.array([letter.offset for letter in decoded.dead_letters], np.int64),
            "stored": decoded.messages.offset[ordered.fresh],
        }
        self._record(outcomes, len(fetch))
        state.next_offset, state.log_us = next_offset, decoded.log_us
        self._since_flush += len(fetch)
        latest = latest_of_messages(self.channel, decoded.messages, ordered.fresh)
        if self.channel is VITALS and self.rules.sensor_types:
            latest += latest_of_sensors(decoded.messages, ordered.fresh, self.rules.sensor_types)
        newest_us = int(fetch.append_us.max()) if len(fetch) else 0
        harvest = self._harvest(now_us, decoded.dead_letters, latest, newest_us)
        messages = decoded.messages
        if self.channel is ACCELERATION:  # the samples stay behind
            messages = replace(messages, rows=messages.rows.select(["device_id"]))
        return replace(harvest, messages=messages.take(np.flatnonzero(ordered.fresh)))

    def wait(self, now_us: int) -> Harvest | None:
        """At the end of the log, let time pass: gaps and idle devices need not wait for the next record."""
        log_us = max(self.state.log_us, now_us - END_OF_LOG_MARGIN_US)
        if self.state.order.held:
            self._window(self._let_go(log_us))
        harvest = self._harvest(now_us, (), [], 0, log_us)
        return harvest if harvest.has_history else None

    def flush(self, now_us: int) -> Harvest:
        """Hand out everything that may leave now."""
        self._flushed_us = self._stepped_us = 0
        return self._harvest(max(now_us, self.rules.flush_us), (), [], 0)

    def _let_go(self, log_us: int) -> Ordered:
        empty = Fetch(self.state.topic, self.state.partition, *(np.zeros(0, np.int64),) * 2, [], [])
        nothing: Ints = np.zeros(0, np.int64)
        return restore_order(
            self.state.order,
            decode_fetch(self.channel, empty, self.state.log_us).messages,
            log_times=(nothing, nothing),
            next_offset=self.state.next_offset,
            log_us=log_us,
            hold_us=self.rules.hold_us,
        )

    def _window(self, ordered: Ordered) -> None:
        pending, late = self.state.pending, list(ordered.late)
        if self.channel is ACCELERATION:
            late += accept(self.state.windows, ordered.passed, self.state.order.devices)
            pending.late += [list(row) for row in late]
            # Only these dirty windows. A vitals message starts with its earliest reading, whenever it was made; a
            # status message would report the same jump a second time.
            pending.clock_steps += [list(row) for row in ordered.clock_steps]
        pending.gaps += [list(row) for row in ordered.gaps]
        self._count("late", len(late))
        self._count("boots_forgotten", ordered.forgotten)

    def _record(self, outcomes: dict[str, Ints], read: int) -> None:
        self._count("read", read)
        for outcome, offsets in outcomes.items():
            self._count(outcome, len(offsets))
            if len(offsets):
                self.state.pending.ledger.setdefault(outcome, []).extend(ranges(offsets))

    def _count(self, name: str, by: int) -> None:
        self.state.counters[name] = self.state.counters.get(name, 0) + by

    def _harvest(
        self,
        now_us: int,
        dead_letters: tuple[DeadLetter, ...],
        latest: list[LatestBatch],
        newest_append_us: int,
        log_us: int = 0,
    ) -> Harvest:
        state = self.state
        base = Harvest(state.topic, state.partition, state.topic_id, dead_letters, latest)
        if not self._is_step(now_us):
            return replace(base, newest_append_us=newest_append_us)
        self._stepped_us = now_us
        rows = [self._scored(derived) for derived in self._derived(max(log_us, state.log_us))]
        if not rows and not self._is_flush(now_us):
            return replace(base, newest_append_us=newest_append_us)
        self._since_flush, self._flushed_us = 0, now_us
        pending, state.pending = state.pending, Pending()
        return replace(
            base,
            latest=latest
            + [batch for made in rows for batch in latest_of_windows(made.derived, made.score, made.version)],
            rows=rows,
            ledger={outcome: merged(spans) for outcome, spans in pending.ledger.items()},
            gaps=[Gap(*row) for row in pending.gaps],
            clock_steps=[ClockStep(*row) for row in pending.clock_steps],
            late=[Late(*row) for row in pending.late],
            counters={f"{state.topic}/{state.partition}/{name}": count for name, count in state.counters.items()},
            newest_append_us=newest_append_us,
        )

    def _is_step(self, now_us: int) -> bool:
        live = now_us - self.state.log_us < LIVE_US
        return self._is_flush(now_us) or (live and now_us - self._stepped_us >= self.rules.step_us)

    def _is_flush(self, now_us: int) -> bool:
        return self._since_flush >= FLUSH_MESSAGES or now_us - self._flushed_us >= self.rules.flush_us

    def _derived(self, log_us: int) -> list[Derived]:
        if self.channel is not ACCELERATION:
            return []
        windows, devices = self.state.windows, self.state.order.devices
        limits = self.scoring.thresholds.limits(devices.names)
        closed = close_windows(windows, devices, limits)
        return [*closed, *close_idle(windows, devices, log_us, self.rules.idle_us, limits)]

    def _scored(self, derived: Derived) -> ScoredRows:
        score, version = self.scoring.score(derived.windows)
        self._count("provisional_windows" if derived.provisional else "windows", len(derived.windows))
        self._count("spikes", len(derived.events))
        return ScoredRows(derived, score, version, self.scoring.thresholds.versions(derived.events.start_us))


def ranges(offsets: Ints) -> list[list[int]]:
    """Write positions as ranges [first, end).

    >>> ranges(np.array([3, 4, 5, 9]))
    [[3, 6], [9, 10]]
    """
    ordered = np.sort(offsets)
    opens = np.flatnonzero(np.diff(ordered, prepend=ordered[0] - 2) != 1)
    closes = np.append(opens[1:], len(ordered)) - 1
    return [[first, last + 1] for first, last in zip(ordered[opens].tolist(), ordered[closes].tolist(), strict=True)]


def merged(spans: list[list[int]]) -> list[list[int]]:
    """Join ranges that touch.

    >>> merged([[5, 9], [0, 5], [12, 13]])
    [[0, 9], [12, 13]]
    """
    joined: list[list[int]] = []
    for first, end in sorted(spans):
        if joined and first <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], end)
        else:
            joined.append([first, end])
    return joined
