"""The source: one Bytewax partition per log partition, carrying the state of everything downstream of it.

A snapshot is the state's own bytes: topic id, next offset and all that was remembered at that offset. Nothing is
exchanged between workers, and partitions spread evenly over them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import prometheus_client
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from stream.partition import Harvest, Partition, PartitionRules, Scoring
from stream.state import PartitionState, from_bytes, to_bytes
from wearables_platform.clients.kafka import PartitionReader, check_topic_id
from wearables_platform.clients.log import EARLIEST
from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.domain.time_policy import EPOCH

MAX_MESSAGES: Final = 10_000
# How long an empty partition is left alone: what it adds to latency, against a core kept busy by asking.
QUIET: Final = {True: timedelta(milliseconds=20), False: timedelta(milliseconds=100)}
WAIT_US: Final = 250_000

_lag = prometheus_client.Gauge(
    "wearables_stream_lag_seconds", "Age of the newest record read; 0 at the log's end.", ["topic", "partition"]
)
_records = prometheus_client.Counter("wearables_stream_records", "Records read.", ["topic"])
_snapshot_bytes = prometheus_client.Gauge(
    "wearables_stream_snapshot_bytes", "Size of the last snapshot.", ["topic", "partition"]
)

ClockUs = Callable[[], int]


@dataclass(frozen=True)
class LiveLog:
    """The log to read: where it is, its topics with their ids, and how many partitions each has."""

    kafka_url: str
    topic_ids: dict[str, str | None]
    partitions: int


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
    """Every partition of the telemetry topics.

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

    def list_parts(self) -> list[str]:
        """Return ``topic/number`` of every partition."""
        return [f"{topic}/{number}" for topic in self._log.topic_ids for number in range(self._log.partitions)]

    def build_part(self, step_id: str, for_part: str, resume_state: bytes | None) -> LivePartition:
        """Go on where the snapshot stands, or begin where the log does.

        Raises
        ------
        LogPositionError
            The snapshot belongs to another log, or the log no longer holds its position.
        """
        del step_id
        topic, _, number = for_part.rpartition("/")
        state = self._resumed(topic, int(number), resume_state)
        start = state.next_offset if resume_state is not None else EARLIEST
        reader = PartitionReader(self._log.kafka_url, topic, int(number), start, group_id="stream")
        partition = Partition(state, self._rules, self._scoring)
        return LivePartition(reader, partition, self._control, stop_at_end=self._stop_at_end)

    def _resumed(self, topic: str, number: int, resume_state: bytes | None) -> PartitionState:
        topic_id = self._log.topic_ids[topic]
        if resume_state is None:
            return PartitionState(topic, number, topic_id, 0)
        state = from_bytes(resume_state)
        check_topic_id(topic, state.topic_id, topic_id)
        return state


class LivePartition(StatefulSourcePartition[Harvest, bytes]):
    """Reads one log partition and turns fetches into harvests."""

    def __init__(
        self, reader: PartitionReader, partition: Partition, control: Control, *, stop_at_end: bool = False
    ) -> None:
        self._reader, self._partition, self._control = reader, partition, control
        self._stop_at_end = stop_at_end
        self._at_end = False
        self._next_awake: datetime | None = None
        self._waited_us = 0
        self._quiet = QUIET[partition.channel is ACCELERATION]
        self._labels = (partition.state.topic, str(partition.state.partition))

    def next_batch(self) -> list[Harvest]:
        """Return what the next fetch gives, at most one harvest."""
        self._control.turn()
        if self._control.stopping.is_set():
            raise StopIteration
        now_us = self._control.clock_us()
        fetch = self._reader.fetch(MAX_MESSAGES, 0.0)
        if fetch is not None:
            self._at_end = fetch.at_end
        if fetch is not None and len(fetch):
            return [self._taken(self._partition.take(fetch, now_us), len(fetch), now_us)]
        if self._at_end and self._stop_at_end:
            return self._last(now_us)
        self._next_awake = datetime.now(UTC) + self._quiet
        return self._wait(now_us)

    def next_awake(self) -> datetime | None:
        """Return when to ask again: at once while there is data."""
        return self._next_awake

    def snapshot(self) -> bytes:
        """Return position and state; they change together, in `next_batch` alone."""
        raw = to_bytes(self._partition.state)
        _snapshot_bytes.labels(*self._labels).set(len(raw))
        return raw

    def close(self) -> None:
        """Leave the brokers."""
        self._reader.close()

    def _taken(self, harvest: Harvest, read: int, now_us: int) -> Harvest:
        self._next_awake = None
        _records.labels(self._labels[0]).inc(read)
        _lag.labels(*self._labels).set(0 if self._at_end else max(0, now_us - harvest.newest_append_us) / 1e6)
        return harvest

    def _wait(self, now_us: int) -> list[Harvest]:
        if not self._at_end or now_us - self._waited_us < WAIT_US:
            return []
        self._waited_us = now_us
        harvest = self._partition.wait(now_us)
        return [] if harvest is None else [harvest]

    def _last(self, now_us: int) -> list[Harvest]:
        harvest = self._partition.flush(now_us)
        if not harvest.has_history:
            raise StopIteration
        return [harvest]


def wall_clock_us() -> int:
    """Return now in microseconds since the epoch."""
    return (datetime.now(UTC) - EPOCH) // timedelta(microseconds=1)
