"""The source: one Bytewax partition per lane, carrying the state of everything downstream of it.

A snapshot points to the state's own bytes (`stream.journal`): topic ids, next offsets and all that was remembered at
them. Nothing is exchanged between workers, and lanes are dealt out evenly to them.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import prometheus_client
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from stream.crashes import CrashBook, blanked, with_poison_named
from stream.journal import Journal
from stream.lane import Lane, lane_at_the_beginning, part_name, part_number
from stream.partition import LIVE_US, Harvest, PartitionRules, Scoring
from stream.rules import LiveRules
from stream.state import LaneState
from stream.warm import warm
from wearables_platform.clients.kafka import Fetch, PartitionReader, bounds, check_topic_id, check_within
from wearables_platform.clients.log import EARLIEST, Position
from wearables_platform.domain.time_policy import EPOCH
from wearables_platform.signals.device_rules import DeviceRules
from wearables_platform.signals.windows import WindowRows

MAX_MESSAGES: Final = 10_000
# How long an empty lane is left alone: what it adds to latency, against a core kept busy by asking.
QUIET: Final = timedelta(milliseconds=20)
WAIT_US: Final = 250_000
# A step costs some milliseconds however few messages it has. A lane that is up to date rests so many times as long as
# a step takes, so that a busy fleet's messages come in fewer, larger steps; never longer than is felt in latency.
REST_PER_STEP: Final = 9
LONGEST_REST: Final = timedelta(milliseconds=80)

_lag = prometheus_client.Gauge(
    "wearables_stream_lag_seconds", "Age of the newest record read; 0 at the log's end.", ["topic", "partition"]
)
_behind = prometheus_client.Gauge(
    "wearables_stream_lag_records", "Records not yet read, as far as the broker has said.", ["topic", "partition"]
)
_counts = prometheus_client.Gauge(
    "wearables_stream_counts",
    "What became of records, and rows made of them, since the log's beginning; as of the last snapshot.",
    ["topic", "partition", "what"],
)
_take_seconds = prometheus_client.Histogram(
    "wearables_stream_take_seconds",
    "From a fetch to its rows: decode, order, windows, rules, score.",
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3),
)
_records = prometheus_client.Counter("wearables_stream_records", "Records read.", ["topic"])
_snapshot_bytes = prometheus_client.Counter("wearables_stream_snapshot_bytes", "Bytes of state written.", ["lane"])
_state_bytes = prometheus_client.Gauge(
    "wearables_stream_state_bytes", "Size of a lane's whole state when it was last written whole.", ["lane"]
)
_snapshot_seconds = prometheus_client.Histogram(
    "wearables_stream_snapshot_seconds",
    "Time to make a lane's changes durable, once an epoch.",
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3),
)

ClockUs = Callable[[], int]


@dataclass(frozen=True)
class LiveLog:
    """The log to read: where it is, its topics with their ids, how many partitions each has; and where state is saved.

    Without a `state_dir` nothing is saved, and nothing can be resumed.
    """

    kafka_url: str
    topic_ids: dict[str, str | None]
    partitions: int
    state_dir: Path | None = None


@dataclass
class Control:
    """What the process tells the source, and hears from it.

    Attributes
    ----------
    stopping
        Set to end the dataflow after a last snapshot.
    turn
        Called each time a partition is asked for data; raises what other threads failed with.
    clock_us
        The wall clock; decides when rows leave, never what they hold.
    """

    stopping: threading.Event
    turn: Callable[[], None]
    clock_us: ClockUs


class LiveSource(FixedPartitionedSource[Harvest, bytes]):
    """Every lane of the telemetry topics.

    Parameters
    ----------
    stop_at_end
        End when every partition has been read to its end, for benchmarks and rebuilds.
    """

    def __init__(
        self, log: LiveLog, rules: PartitionRules, scoring: Scoring, control: Control, *, stop_at_end: bool = False
    ) -> None:
        self._log, self._rules, self._scoring, self._control = log, rules, scoring, control
        self._stop_at_end = stop_at_end
        self._bounds: dict[Position, tuple[int, int]] = {}
        self._finding_bounds = threading.Lock()

    def list_parts(self) -> list[str]:
        """Return every lane's name; every worker can read every lane."""
        return [part_name(number) for number in range(self._log.partitions)]

    def build_part(self, step_id: str, for_part: str, resume_state: bytes | None) -> LivePart:
        """Go on where the snapshot stands, or begin where the log does.

        Raises
        ------
        LogPositionError
            The snapshot belongs to another log, or the log no longer holds its position.
        """
        del step_id
        number = part_number(for_part)
        journal = Journal(self._log.state_dir, number) if self._log.state_dir is not None else None
        state = self._state(number, journal, resume_state)
        resumed = resume_state is not None
        if resumed:
            self._check_positions(state)
        readers = {
            topic: PartitionReader(
                self._log.kafka_url,
                topic,
                number,
                one.next_offset if resumed else EARLIEST,
                group_id="stream",
                checked=True,
            )
            for topic, one in state.partitions.items()
        }
        assert isinstance(state.rules, DeviceRules), "made with the state"
        lane = Lane(state, self._rules, self._scoring, LiveRules(state.rules, state.devices, self._scoring))
        return LivePart(readers, lane, self._control, journal, self._crashes(state), stop_at_end=self._stop_at_end)

    def _check_positions(self, state: LaneState) -> None:
        with self._finding_bounds:  # of all lanes at once, the first time: each look costs a connection
            if not self._bounds:
                numbers = range(self._log.partitions)
                self._bounds = bounds(self._log.kafka_url, [(t, n) for t in state.partitions for n in numbers])
        check_within(self._bounds, {(t, state.number): one.next_offset for t, one in state.partitions.items()})

    def _crashes(self, state: LaneState) -> CrashBook | None:
        if self._log.state_dir is None:
            return None
        path = self._log.state_dir.parent / "crashes" / f"lane-{state.number:03d}.json"
        return CrashBook(path, {topic: one.next_offset for topic, one in state.partitions.items()})

    def _state(self, number: int, journal: Journal | None, resume_state: bytes | None) -> LaneState:
        if resume_state is None or journal is None:
            return replace(lane_at_the_beginning(number, self._log.topic_ids), rules=DeviceRules())
        state = journal.load(resume_state, DeviceRules())
        for topic, partition in state.partitions.items():
            check_topic_id(topic, partition.topic_id, self._log.topic_ids[topic])
        return state


class LivePart(StatefulSourcePartition[Harvest, bytes]):
    """Reads a lane's partitions and turns fetches into harvests."""

    def __init__(
        self,
        readers: dict[str, PartitionReader],
        lane: Lane,
        control: Control,
        journal: Journal | None,
        crashes: CrashBook | None,
        *,
        stop_at_end: bool = False,
    ) -> None:
        self._readers, self._lane, self._control, self._journal = readers, lane, control, journal
        self._crashes = crashes
        self._ready = False
        self._portions: deque[list[Fetch]] = deque()
        self._stop_at_end = stop_at_end
        self._at_end = dict.fromkeys(readers, False)
        self._next_awake: datetime | None = None
        self._waited_us = 0
        self._took_s = 0.0
        self._number = str(lane.state.number)

    def next_batch(self) -> list[Harvest]:
        """Return what the next fetches give; an empty list where there was nothing to read and nothing is due."""
        self._control.turn()
        if self._control.stopping.is_set():
            raise StopIteration
        now_us = self._control.clock_us()
        fetches = self._portions.popleft() if self._portions else self._fetches()
        if fetches:
            began_s = time.perf_counter()
            with _take_seconds.time():
                harvests = self._work(fetches, now_us)
            self._next_awake = self._rested(fetches, now_us, time.perf_counter() - began_s)
            return self._taken(harvests, fetches, now_us)
        if self._stop_at_end and all(self._at_end.values()):
            return self._last(now_us)
        self._next_awake = datetime.now(UTC) + QUIET
        return self._wait(now_us)

    def next_awake(self) -> datetime | None:
        """Return when to ask again: at once while there is a backlog."""
        return self._next_awake

    def snapshot(self) -> bytes:
        """Save positions and state, which change together in `next_batch` alone, and return where they are."""
        if self._journal is None:
            return b""
        begin = time.perf_counter()
        pointer = self._journal.save(self._lane.state)
        _snapshot_bytes.labels(self._number).inc(self._journal.written_bytes)
        _snapshot_seconds.observe(time.perf_counter() - begin)
        self._report()
        return pointer

    def _report(self) -> None:
        """Say once an epoch what would be too dear to say at every step."""
        if self._journal is not None:
            _state_bytes.labels(self._number).set(self._journal.whole_bytes)
        for topic, partition in self._lane.state.partitions.items():
            for what, count in partition.counters.items():
                _counts.labels(topic, self._number, what).set(count)
            end = self._readers[topic].known_end()
            _behind.labels(topic, self._number).set(max(0, end - partition.next_offset) if end is not None else 0)

    def close(self) -> None:
        """Leave the brokers, close the state's file."""
        for reader in self._readers.values():
            reader.close()
        if self._journal is not None:
            self._journal.close()
        if self._crashes is not None:
            self._crashes.close()

    def _fetches(self) -> list[Fetch]:
        """Return what has arrived, at most one fetch per topic; after crashes a portion of it."""
        found = {topic: reader.fetch(MAX_MESSAGES, 0.0) for topic, reader in self._readers.items()}
        self._at_end |= {topic: fetch.at_end for topic, fetch in found.items() if fetch is not None}
        fetches = [fetch for fetch in found.values() if fetch is not None and len(fetch)]
        if self._crashes is None or not fetches:
            return fetches
        first, *rest = self._crashes.portions(fetches)
        self._portions.extend(rest)
        return first

    def _work(self, fetches: list[Fetch], now_us: int) -> list[Harvest]:
        at_end = [topic for topic, is_so in self._at_end.items() if is_so and not self._portions]
        if self._crashes is None:
            return self._lane.take(fetches, now_us, at_end)
        if self._crashes.careful:
            self._be_ready()
        with self._crashes.working_on(fetches):
            condemned = [self._crashes.condemned(fetch.topic) for fetch in fetches]
            workable = [blanked(*pair) for pair in zip(fetches, condemned, strict=True)]
            harvests = self._lane.take(workable, now_us, at_end)
        for i, (fetch, positions) in enumerate(zip(fetches, condemned, strict=True)):
            harvests[i] = with_poison_named(harvests[i], fetch, positions)
        return harvests

    def _be_ready(self) -> None:
        """Do before the first record what a process does once: a kill from outside must not seem a record's doing."""
        if not self._ready:
            warm()  # loading compiled code takes longer than working on a record by a thousand times
            self._ready = True
        self._lane.scoring.score(WindowRows.none())  # waits, at a start, for the models there are

    def _rested(self, fetches: list[Fetch], now_us: int, took_s: float) -> datetime | None:
        """Return when to look again, None for at once; of two steps the quicker counts: the other made rows, too."""
        usual_s, self._took_s = min(took_s, self._took_s), took_s
        behind = any(len(f) >= MAX_MESSAGES or now_us - int(f.append_us.max()) >= LIVE_US for f in fetches)
        if behind or self._portions or self._stop_at_end:
            return None
        return datetime.now(UTC) + min(max(QUIET, REST_PER_STEP * timedelta(seconds=usual_s)), LONGEST_REST)

    def _taken(self, harvests: list[Harvest], fetches: list[Fetch], now_us: int) -> list[Harvest]:
        for fetch in fetches:
            _records.labels(fetch.topic).inc(len(fetch))
            lag_us = 0 if self._at_end[fetch.topic] else max(0, now_us - int(fetch.append_us.max()))
            _lag.labels(fetch.topic, self._number).set(lag_us / 1e6)
        return harvests

    def _wait(self, now_us: int) -> list[Harvest]:
        waiting = [topic for topic, at_end in self._at_end.items() if at_end]
        if not waiting or now_us - self._waited_us < WAIT_US:
            return []
        self._waited_us = now_us
        return self._lane.wait(waiting, now_us)

    def _last(self, now_us: int) -> list[Harvest]:
        harvests = self._lane.flush(now_us)
        if not harvests:
            raise StopIteration
        return harvests


def wall_clock_us() -> int:
    """Return now in microseconds since the epoch."""
    return (datetime.now(UTC) - EPOCH) // timedelta(microseconds=1)
