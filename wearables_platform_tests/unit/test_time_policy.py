"""The time policy, line by line, where the stream, the topics and the demo keep it (docs/delivery.md has the table)."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import numpy as np

from stream.partition import Partition, PartitionRules
from stream.state import PartitionState
from wearables_platform.archive.documents import sort_fetch
from wearables_platform.clients.topics import platform_topics
from wearables_platform.demo.cast import FLEET_START_US
from wearables_platform.domain.channels import ACCELERATION, CHANNELS
from wearables_platform.domain.time_policy import FUTURE_TOLERANCE_US, US_PER_DAY, from_us
from wearables_platform.wire.codec import decode
from wearables_platform_tests.stream_logs import (
    START_US,
    TOPIC,
    NoModel,
    Outcome,
    Record,
    message,
    run_stream,
    to_fetch,
)

SPAN_US = 500_000


def steady(device_id: str, *, behind_us: int = 0, count: int = 60) -> list[Record]:
    """A device whose event times are that much behind the log's."""
    at = [START_US + i * SPAN_US for i in range(count)]
    return [Record(t, device_id, message(device_id, 3, i, t - behind_us, t - START_US)) for i, t in enumerate(at)]


def test_an_event_time_is_valid_up_to_an_hour_ahead_of_the_log_and_quarantined_beyond() -> None:
    records = [
        Record(START_US, "watch-1", message("watch-1", 3, i, START_US + ahead_us, 0))
        for i, ahead_us in enumerate(
            (FUTURE_TOLERANCE_US, FUTURE_TOLERANCE_US + 1, -30 * US_PER_DAY, -60 * 365 * US_PER_DAY)
        )
    ]
    stream, _ = run_stream(records, [])
    assert stream.offsets("quarantined") == {1, 3}
    assert stream.offsets("stored") == {0, 2}


def test_a_device_days_behind_the_others_is_not_late() -> None:
    behind = steady("watch-behind", behind_us=3 * US_PER_DAY)
    both = sorted([*steady("watch-ahead"), *behind], key=lambda record: record.at_us)
    together, _ = run_stream(both, [7, 40, 90])
    alone, _ = run_stream(behind, [])
    assert not together.dirty
    assert {key: row for key, row in together.final.items() if key[0] == "watch-behind"} == alone.final
    assert alone.final


def idle_outcome(now_us: int, *, another_us: int, idle_us: int = 5_000_000) -> Outcome:
    """One device falls silent; the log goes on with another until `another_us`."""
    records = [*steady("watch-silent", count=20), Record(another_us, "watch-2", steady("watch-2", count=1)[0].payload)]
    outcome = Outcome()
    partition = Partition(PartitionState(TOPIC, 0, "log-1", 0), PartitionRules(idle_us=idle_us), NoModel())
    outcome.add(partition.take(to_fetch(records, 0, len(records)), now_us))
    outcome.add(partition.flush(now_us))
    return outcome


def test_a_silent_device_is_found_by_the_logs_time_and_never_by_the_wall_clock() -> None:
    last_us = START_US + 19 * SPAN_US
    for now_us in (START_US, START_US + 365 * US_PER_DAY):
        still = idle_outcome(now_us, another_us=last_us + 5_000_000)
        assert "watch-silent" not in {device_id for device_id, _ in still.provisional}
        silent = idle_outcome(now_us, another_us=last_us + 5_000_001)
        assert "watch-silent" in {device_id for device_id, _ in silent.provisional}


def test_silence_decides_when_a_provisional_row_appears_and_never_a_final_rows_content() -> None:
    records = steady("watch-1", count=30)
    pause_us = 20_000_000
    records += [
        Record(record.at_us + pause_us, "watch-1", record.payload) for record in steady("watch-1", count=60)[30:]
    ]
    soon, _ = run_stream(records, [30], rules=PartitionRules(idle_us=1_000_000))
    never, _ = run_stream(records, [30], rules=PartitionRules(idle_us=10**15))
    assert soon.final == never.final
    assert soon.final


def test_the_archive_takes_a_message_however_late_and_lets_it_expire_by_when_it_was_received() -> None:
    received_us = START_US + 400 * US_PER_DAY
    fetch = to_fetch([Record(received_us, "watch-1", message("watch-1", 3, 0, START_US, 0))], 0, 1)
    (document,) = sort_fetch(ACCELERATION, fetch, "log-1", decode).messages
    assert document["received_at"] == from_us(received_us)
    assert document["event_day"] == "2026-03-29"


def test_raw_topics_expire_by_when_the_log_took_a_record() -> None:
    specs = {spec.name: spec.config for spec in platform_topics(1)}
    assert {specs[channel.topic]["message.timestamp.type"] for channel in CHANNELS} == {"LogAppendTime"}


def test_the_demo_runs_on_fixed_dates_across_a_change_of_the_clocks() -> None:
    zone, start = ZoneInfo("Europe/Berlin"), from_us(FLEET_START_US)
    offsets = [(start + timedelta(minutes=m)).astimezone(zone).utcoffset() for m in (0, 5)]
    assert np.diff([offset.total_seconds() for offset in offsets if offset is not None]).tolist() == [3_600]
