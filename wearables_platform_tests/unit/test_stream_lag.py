"""How far behind the stream says it is: right while it catches up, and nothing once it has (F36); and when it rests."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import prometheus_client

from stream.journal import Journal
from stream.lane import Lane
from stream.partition import PartitionRules
from stream.source import LONGEST_REST, MAX_MESSAGES, QUIET, Control, LivePart
from stream.state import PartitionState
from wearables_platform.clients.kafka import Fetch
from wearables_platform_tests.stream_logs import START_US, TOPIC, NoModel, Outcome, Record, lane_of, message, to_fetch

NUMBER = "0"


class GrowingLog:
    """A partition that goes on growing while nobody reads, handed over in small fetches."""

    def __init__(self, records: list[Record], at_once: int) -> None:
        self.records, self.at_once, self.next = records, at_once, 0

    def fetch(self, most: int, _timeout_s: float) -> Fetch | None:
        assert most == MAX_MESSAGES
        begin, self.next = self.next, min(self.next + self.at_once, len(self.records))
        return (
            to_fetch(self.records, begin, self.next, at_end=self.next == len(self.records))
            if begin < self.next
            else None
        )

    def known_end(self) -> int:
        return len(self.records)

    def close(self) -> None:
        pass


def gauge(name: str) -> float:
    found = prometheus_client.REGISTRY.get_sample_value(name, {"topic": TOPIC, "partition": NUMBER})
    assert found is not None
    return found


def records_of(begin: int, end: int) -> list[Record]:
    at = {i: START_US + i * 500_000 for i in range(begin, end)}
    return [Record(at[i], "slow", message("slow", 1, i, at[i], i * 500_000)) for i in range(begin, end)]


def test_what_a_slow_consumer_lacks_is_told_and_caught_up(tmp_path: Path) -> None:
    log = GrowingLog(records_of(0, 40), 20)
    clock_us = START_US + 200 * 500_000
    lane = Lane(lane_of(PartitionState(TOPIC, 0, "log-1", 0)), PartitionRules(), NoModel())
    control = Control(threading.Event(), lambda: None, lambda: clock_us)
    part = LivePart({TOPIC: log}, lane, control, Journal(tmp_path, 0), None)  # type: ignore[dict-item]
    outcome = Outcome()

    def turn() -> tuple[float, float]:
        for harvest in part.next_batch():
            outcome.add(harvest)
        part.snapshot()
        return gauge("wearables_stream_lag_records"), gauge("wearables_stream_lag_seconds")

    assert turn() == (20, (200 - 19) * 0.5)
    assert turn() == (0, 0)
    log.records += records_of(40, 200)  # it stands still while 80 s of data come
    behind = [turn() for _ in range(8)]
    assert behind == [(200 - end, (200 - end + 1) * 0.5 if end < 200 else 0) for end in range(60, 201, 20)]
    for harvest in lane.flush(clock_us):
        outcome.add(harvest)
    assert outcome.offsets("stored") == set(range(200))
    part.close()


def test_a_lane_rests_where_it_is_up_to_date_and_never_before_a_backlog(tmp_path: Path) -> None:
    log = GrowingLog(records_of(0, 60), 20)
    clock = [START_US + 50 * 500_000]
    lane = Lane(lane_of(PartitionState(TOPIC, 0, "log-1", 0)), PartitionRules(), NoModel())
    control = Control(threading.Event(), lambda: None, lambda: clock[0])
    part = LivePart({TOPIC: log}, lane, control, Journal(tmp_path, 0), None)  # type: ignore[dict-item]

    part.next_batch()
    assert part.next_awake() is None, "the newest of these records is fifteen seconds old"
    for now_us in (START_US + 40 * 500_000, START_US + 60 * 500_000):
        clock[0], before = now_us, datetime.now(UTC)
        part.next_batch()
        awake = part.next_awake()
        assert awake is not None
        assert before + QUIET <= awake <= datetime.now(UTC) + LONGEST_REST
    part.close()
