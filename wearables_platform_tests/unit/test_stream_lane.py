"""A lane without the engine: a plain loop over fetches gives the rows, and gives them again from any saved state."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from stream.journal import Journal
from stream.lane import Lane, lane_at_the_beginning, part_name, part_number
from stream.partition import Harvest, PartitionRules
from stream.warm import warm
from wearables_platform.clients.kafka import Fetch
from wearables_platform.domain.channels import CHANNELS, STATUS, VITALS
from wearables_platform_tests import messages
from wearables_platform_tests.stream_logs import START_US, NoModel, Outcome, Record, message, to_fetch

TOPICS = {channel.topic: "log-1" for channel in CHANNELS}
MESSAGES = 60


def acceleration_log() -> list[Record]:
    at = [START_US + i * 500_000 for i in range(MESSAGES)]
    return [
        Record(at[i], f"watch-{d}", message(f"watch-{d}", 1, i, at[i], i * 500_000, seed=d))
        for i in range(MESSAGES)
        for d in range(3)
        if (i, d) != (20, 1)
    ]


def other_log(topic: str, payloads: list[bytes], device_id: str = "watch-1") -> Fetch:
    offsets = np.arange(len(payloads), dtype=np.int64)
    return Fetch(topic, 0, offsets, START_US + offsets, [device_id.encode()] * len(payloads), payloads)


def cut(fetch: Fetch, begin: int, end: int) -> Fetch:
    part = slice(begin, end)
    columns = {name: getattr(fetch, name)[part] for name in ("offsets", "append_us", "keys", "payloads")}
    return replace(fetch, **columns)


def fresh() -> Lane:
    return Lane(lane_at_the_beginning(0, TOPICS), PartitionRules(), NoModel())


def outcome_of(harvests: list[Harvest]) -> Outcome:
    outcome = Outcome()
    for harvest in harvests:
        outcome.add(harvest)
    return outcome


def ended(lane: Lane) -> list[Harvest]:
    return lane.wait(list(TOPICS), START_US + 10**9) + lane.flush(START_US + 2 * 10**9)


@pytest.mark.parametrize("step", [7, 60])
def test_a_plain_loop_with_resumes_gives_the_rows_of_one_go(step: int, tmp_path) -> None:
    records = acceleration_log()
    vitals = other_log(VITALS.topic, [messages.vitals("watch-1", i, bpm=60.0 + i) for i in range(10)])
    status = other_log(STATUS.topic, [messages.status("watch-2", i) for i in range(3)], "watch-2")
    lane = fresh()
    whole = lane.take([to_fetch(records, 0, len(records)), vitals, status], START_US)
    expected = outcome_of([*whole, *ended(lane)])
    assert len(expected.final) > 3 * 20
    assert len(expected.gaps) == 1

    lane, harvests = fresh(), []
    journal = Journal(tmp_path, 0)
    for begin in range(0, len(records), step):
        fetches = [to_fetch(records, begin, min(begin + step, len(records)))]
        if begin // step < 5:  # the other topics advance at their own pace
            fetches += [cut(vitals, begin // step * 2, begin // step * 2 + 2)]
        if begin == 0:
            fetches += [status]
        harvests += lane.take(fetches, START_US + begin * 700_000)
        pointer = journal.save(lane.state)
        if (begin // step) % 3 == 1:
            journal.close()
            journal = Journal(tmp_path, 0)
            lane = Lane(journal.load(pointer), PartitionRules(), NoModel())
    rest = [cut(vitals, min(10, 2 * len(range(0, len(records), step))), 10)]
    harvests += lane.take([one for one in rest if len(one)], START_US)
    found = outcome_of([*harvests, *ended(lane)])
    assert found.final == expected.final
    assert found.provisional == expected.provisional
    assert found.gaps == expected.gaps
    assert found.ledger == expected.ledger


def test_nothing_of_the_derivation_knows_the_engine() -> None:
    modules = "stream.lane, stream.state, stream.journal, stream.rules, stream.crashes, stream.rows, stream.latest"
    code = f"import sys, {modules}; print([name for name in sys.modules if name.startswith('bytewax')])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_part_names_sort_as_their_numbers() -> None:
    assert sorted(map(part_name, range(256))) == [part_name(number) for number in range(256)]
    assert [part_number(part_name(number)) for number in (0, 9, 255)] == [0, 9, 255]


def test_what_warms_the_compiler_makes_rows() -> None:
    assert warm() > 15
