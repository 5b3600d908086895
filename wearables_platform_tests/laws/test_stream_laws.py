"""The stream's laws: any cut of the log and any resume point give the same rows, and they are batch's rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream import rows
from wearables_platform.signals.walk import NEVER_US
from wearables_platform.wire.v1 import telemetry_pb2 as pb
from wearables_platform_tests.stream_logs import START_US, Record, batch_rows, message, row_bits, run_stream

SPAN_US = 500_000  # of one message


@st.composite
def logs(draw: st.DrawFn) -> list[Record]:
    """A log of a few devices with gaps, duplicates, delays, clock steps, reboots and overlapping boots."""
    records: list[Record] = []
    for d in range(draw(st.integers(1, 3))):
        wall_us, at_us = START_US + draw(st.integers(0, 3)) * 250_000, START_US + d * 100_000
        for boot in range(1, draw(st.integers(1, 2)) + 1):
            for sequence in range(draw(st.integers(5, 40))):
                fate = draw(st.sampled_from(("fine",) * 12 + ("lost", "twice", "late", "step", "pause", "jitter")))
                if fate == "step":
                    wall_us += draw(st.sampled_from((-3_000_000, -700_000, 600_000, 4_000_000)))
                if fate == "pause":
                    wall_us += 6_000_000
                    at_us += 6_000_000
                monotonic_us = at_us - START_US
                stamp_us = wall_us + (draw(st.integers(-20_000, 20_000)) if fate == "jitter" else 0)
                payload = message(f"watch-{d}", boot, sequence, stamp_us, monotonic_us + (stamp_us - wall_us), seed=d)
                delay_us = draw(st.integers(0, 300_000))
                if fate == "late":
                    delay_us = draw(st.sampled_from((1_000_000, 3_000_000, 9_000_000)))
                if fate != "lost":
                    records.append(Record(at_us + delay_us, f"watch-{d}", payload))
                if fate == "twice":
                    records.append(Record(at_us + draw(st.integers(0, 8_000_000)), f"watch-{d}", payload))
                wall_us += SPAN_US
                at_us += SPAN_US
            # The next boot may overlap this one, by its clock and in the log.
            wall_us += draw(st.sampled_from((-2_300_000, 0, 400_000, 5_000_000)))
            at_us += draw(st.sampled_from((-6_000_000, 0, 0)))
    order = sorted(range(len(records)), key=lambda i: (records[i].at_us, i))
    return [records[i] for i in order]


def cuts_of(draw_from: Any, size: int) -> list[int]:
    return draw_from(st.lists(st.integers(0, size), max_size=12))


@given(st.data())
@settings(max_examples=60)
def test_any_cut_and_any_resume_point_give_the_same_final_rows(data: st.DataObject) -> None:
    records = data.draw(logs())
    whole, _ = run_stream(records, [])
    cuts = cuts_of(data.draw, len(records))
    resume_at = data.draw(st.sets(st.integers(0, 12)))
    cut, _ = run_stream(records, cuts, resume_at=resume_at)
    assert cut.final == whole.final
    assert cut.events == whole.events
    assert cut.dirty == whole.dirty
    assert cut.ledger == whole.ledger
    assert cut.gaps == whole.gaps
    assert cut.clock_steps == whole.clock_steps


@given(st.data())
@settings(max_examples=60)
def test_every_clean_row_is_bit_equal_to_batch_and_none_is_missing(data: st.DataObject) -> None:
    records = data.draw(logs())
    stream, partition = run_stream(records, cuts_of(data.draw, len(records)))
    device_ids, windows, _ = batch_rows(records, set())
    batch = row_bits(device_ids, windows)
    progress, devices = partition.state.windows.progress, partition.state.order.devices
    closed_us = {device_id: int(progress["closed_us"][i]) for i, device_id in enumerate(devices)}
    due = {key for key in batch if key[1] < closed_us.get(key[0], NEVER_US)}
    assert {key for key in stream.final if key not in stream.dirty} <= due
    for key in due - stream.dirty:
        assert key in stream.final, f"{key} is missing and nothing says why"
        assert stream.final[key] == batch[key], f"{key} differs and nothing says why"


@given(st.data())
@settings(max_examples=60)
def test_every_position_has_exactly_one_outcome(data: st.DataObject) -> None:
    records = data.draw(logs())
    for at in data.draw(st.sets(st.integers(0, len(records) - 1), max_size=5)):
        records[at] = data.draw(
            st.sampled_from(
                (
                    Record(records[at].at_us, "watch-0", b"\xff\x01nonsense"),
                    Record(records[at].at_us, "watch-9", records[at].payload),
                    Record(
                        records[at].at_us, records[at].device_id, records[at].payload, verdict="before_registration"
                    ),
                    Record(records[at].at_us, "watch-0", message("watch-0", 7, 0, 1_000_000, 0)),
                )
            )
        )
    stream, _ = run_stream(records, cuts_of(data.draw, len(records)))
    positions = [p for outcome in stream.ledger for p in stream.offsets(outcome)]
    assert sorted(positions) == list(range(len(records)))
    assert stream.offsets("dead_lettered") == set(stream.dead)


def test_a_planted_duplicate_gap_and_late_message_are_each_named() -> None:
    wall = [START_US + i * SPAN_US for i in range(60)]
    sent = [Record(wall[i], "watch-1", message("watch-1", 5, i, wall[i], wall[i] - START_US)) for i in range(60)]
    late = sent.pop(20)
    late.at_us = wall[40]
    lost = sent.pop(30)
    records = sorted([*sent, late, Record(wall[50], "watch-1", sent[3].payload)], key=lambda record: record.at_us)
    assert lost not in records
    stream, _ = run_stream(records, [10, 33])
    assert stream.offsets("duplicate") == {
        next(i for i, r in enumerate(records) if i > 20 and r.payload == sent[3].payload)
    }
    assert {(gap.first_sequence, gap.last_sequence) for gap in stream.gaps} == {(20, 20), (31, 31)}
    dirty = {start for _, start in stream.dirty}
    assert wall[20] // 1_000_000 * 1_000_000 in dirty
    assert wall[50] // 1_000_000 * 1_000_000 not in dirty


INT64 = st.one_of(st.sampled_from((-(2**63), -1, 0, 1, 2**53, 2**63 - 1)), st.integers(-(2**63), 2**63 - 1))
SEQUENCES = st.one_of(st.integers(0, 6), st.sampled_from((4_095, 4_096, 400_001, 2**53, 2**63 - 1)))
ODD_VALUES = st.sampled_from((0.0, 1.0, -16.0, 1e-30, 3.4e38, float("nan"), float("inf"), float("-inf")))


@st.composite
def odd_messages(draw: st.DrawFn) -> Record:
    """A message that decodes and is otherwise as strange as the wire allows."""
    n = draw(st.sampled_from((1, 2, 3, 10, 200)))
    axes = [draw(ODD_VALUES) for _ in range(3)]
    blocks = draw(st.integers(0, min(n, 3)))
    listed = max(blocks, 1) * draw(st.integers(0, 1))
    at_us = START_US + draw(st.integers(0, 20_000_000))
    payload = pb.AccelerationBatch(
        device_id="odd",
        boot_id=draw(st.sampled_from((1, 2, 2**63 - 1))),
        sequence=draw(SEQUENCES),
        start_time_us=draw(st.one_of(st.integers(START_US - 10_000_000, START_US + 10_000_000), INT64)),
        start_monotonic_us=draw(INT64),
        rate_hz=draw(st.sampled_from((1.0, 3.3, 25.0, 100.0, 104.3, 32_000.0))),
        encoding=pb.SAMPLE_ENCODING_FLOAT32_G,
        samples=np.tile(np.array(axes, "<f4"), n).tobytes(),
        block_count=blocks,
        peak_g=[draw(ODD_VALUES) for _ in range(listed)],
        glitches=[2**31 - 1] * listed,
    ).SerializeToString()
    return Record(at_us, "odd", payload)


@given(st.lists(odd_messages(), min_size=1, max_size=12), st.data())
@settings(max_examples=80)
def test_no_message_that_decodes_stops_the_stream(records: list[Record], data: st.DataObject) -> None:
    records.sort(key=lambda record: record.at_us)
    stream, partition = run_stream(records, cuts_of(data.draw, len(records)), resume_at={0, 2})
    assert sorted(p for outcome in stream.ledger for p in stream.offsets(outcome)) == list(range(len(records)))
    for harvest in (partition.flush(START_US), partition.wait(START_US + 10**9)):
        for made in harvest.rows if harvest is not None else ():
            list(rows.window_rows(made))
            list(rows.anomaly_rows(made))


def final_of(partitions: list[list[Record]], cuts: list[int]) -> tuple[dict, set, set, set]:
    """What some partitions say together: final rows, events, gaps, dirty windows."""
    found = [run_stream(records, [cut for cut in cuts if cut <= len(records)])[0] for records in partitions if records]
    rows_of_all: dict = {}
    for one in found:
        assert not rows_of_all.keys() & one.final.keys()
        rows_of_all |= one.final
    gaps = {gap[:-1] for one in found for gap in one.gaps}  # without when it was noticed: other devices' records tell
    return rows_of_all, {e for one in found for e in one.events}, gaps, {d for one in found for d in one.dirty}


@given(st.data())
@settings(max_examples=30)
def test_one_partition_says_what_any_number_say(data: st.DataObject) -> None:
    records = data.draw(logs())
    devices = sorted({record.device_id for record in records})
    home = {device: data.draw(st.integers(0, 2), label=device) for device in devices}
    many = [[record for record in records if home[record.device_id] == number] for number in range(3)]
    assert final_of(many, cuts_of(data.draw, len(records))) == final_of([records], [])


@given(st.data())
@settings(max_examples=30)
def test_any_mixture_of_devices_gives_the_same_rows_but_for_those_it_names(data: st.DataObject) -> None:
    """Each device's records keep their order. Others' records may make log time pass sooner: then gaps end sooner."""
    records = data.draw(logs())
    queues = {d: [r for r in records if r.device_id == d] for d in {r.device_id for r in records}}
    turns = data.draw(st.permutations([record.device_id for record in records]))
    mixed = [queues[device].pop(0) for device in turns]
    rows_of, _, _, dirty = final_of([records], [])
    rows_mixed, _, _, dirty_mixed = final_of([mixed], cuts_of(data.draw, len(records)))
    clean = (rows_of.keys() | rows_mixed.keys()) - dirty - dirty_mixed
    assert {key: rows_mixed.get(key) for key in clean} == {key: rows_of.get(key) for key in clean}
