"""A snapshot is bytes of ours: read back whole, or refused with a line that says what to do."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace

import numpy as np
import pytest

from stream.columns import layout_of
from stream.order import OrderState
from stream.partition import Partition, PartitionRules
from stream.state import VERSION, LaneState, PartitionState, Pending, read_records, to_bytes
from stream.window_state import WindowState
from wearables_platform.domain.channels import CHANNELS
from wearables_platform.errors import LogPositionError
from wearables_platform.signals.device_rules import DeviceRules
from wearables_platform.wire.codec import decode
from wearables_platform_tests.stream_logs import START_US, TOPIC, NoModel, Record, lane_of, message, record_of, to_fetch


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


def of_rules() -> dict[str, str]:
    """The fields of what rules save as plain bytes, where only the width of a row would tell."""
    rules = DeviceRules()
    parts = rules._arrays() | rules._tables()
    return {f"rules/{name}": str(getattr(part, of).dtype) for name, (part, of) in parts.items()}


def layout() -> dict[str, str]:
    """Everything that saved bytes are read by: names and types."""
    states = {"windows": WindowState(), "order": OrderState(), "rules": DeviceRules()}
    found = {f"{of}.{name}": kind for of, state in states.items() for name, kind in layout_of(state.columns()).items()}
    held = {channel.topic: str(decode(channel, []).rows.schema) for channel in CHANNELS}
    headers = {one.__name__: str([f.name for f in fields(one)]) for one in (PartitionState, Pending)}
    return found | of_rules() | held | headers


# By version. A layout that differs needs a new version, with a line of its own.
LAYOUTS = {2: "b46f1521715597a6", 3: "3244c3809101f494"}


def test_another_layout_is_another_version() -> None:
    text = json.dumps(layout(), sort_keys=True)
    found = hashlib.sha256(text.encode()).hexdigest()[:16]
    assert found == LAYOUTS[VERSION], "raise stream.state.VERSION, add its layout"


OTHER = {
    "windows": lambda c: c | {"rows.enmo_mg": c["rows.enmo_mg"].astype(np.float32)},
    "order": lambda c: c | {"boots.mood": c["boots.boot"]},
    "rules": lambda c: {name: column for name, column in c.items() if name != "heard"},
}


@pytest.mark.parametrize("part", OTHER)
@pytest.mark.parametrize("whole", [True, False])
def test_a_state_of_another_layout_is_refused_in_one_line(part: str, whole: bool, monkeypatch) -> None:
    lane = replace(busy_state(), rules=DeviceRules())
    base = record_of(lane, whole=True)
    made = {"windows": WindowState, "order": OrderState, "rules": DeviceRules}[part]
    for name in ("columns", "rows_of"):
        real = getattr(made, name)
        monkeypatch.setattr(made, name, lambda self, *args, real=real: OTHER[part](real(self, *args)))
    other = record_of(lane, whole=whole)
    monkeypatch.undo()
    read_records([base], DeviceRules())
    with pytest.raises(LogPositionError, match=rf"another form of .*{part} .*; remove the stream's") as said:
        read_records([other] if whole else [base, other], DeviceRules())
    assert "\n" not in str(said.value)
