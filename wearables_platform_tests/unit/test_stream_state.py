"""A snapshot is bytes of ours: read back whole, or refused with a line that says what to do."""

from __future__ import annotations

import pytest

from stream.partition import Partition, PartitionRules
from stream.state import VERSION, LaneState, PartitionState, read_records, to_bytes
from wearables_platform.errors import LogPositionError
from wearables_platform_tests.stream_logs import START_US, TOPIC, NoModel, Record, lane_of, message, to_fetch


def busy_state() -> LaneState:
    """A state with held messages, a hole, a buffer and rows not yet written."""
    at = [START_US + i * 500_000 for i in range(30)]
    kept = [i for i in range(30) if i not in (4, 27)]
    records = [Record(at[i], "watch-1", message("watch-1", 3, i, at[i], i * 500_000)) for i in kept]
    partition = Partition(PartitionState(TOPIC, 0, "log-1", 0), PartitionRules(flush_us=10**18), NoModel())
    partition.take(to_fetch(records, 0, len(records)), 1)
    assert partition.state.order.held
    assert partition.state.order.holes
    assert partition.state.windows.arrived
    assert partition.state.pending.ledger
    return lane_of(partition.state)


def test_a_snapshot_holds_everything_and_is_the_same_bytes_again() -> None:
    lane = busy_state()
    raw = to_bytes(lane)
    back = read_records([raw])
    assert to_bytes(back) == raw
    state, again = lane.partitions[TOPIC], back.partitions[TOPIC]
    assert (again.topic_id, again.next_offset, again.log_us) == (state.topic_id, state.next_offset, state.log_us)
    assert again.pending == state.pending
    assert again.counters == state.counters


@pytest.mark.parametrize("damage", ["version", "cut", "flipped", "foreign"])
def test_a_snapshot_that_cannot_be_read_is_refused_with_what_to_do(damage: str) -> None:
    raw = bytearray(to_bytes(busy_state()))
    if damage == "version":
        raw[4:6] = (VERSION + 1).to_bytes(2, "little")
    elif damage == "cut":
        del raw[-10:]
    elif damage == "flipped":
        raw[-1] ^= 1
    else:
        raw = bytearray(b"\x80\x04pickle")
    with pytest.raises(LogPositionError, match="remove the stream's recovery directory"):
        read_records([bytes(raw)])
