"""Logs of one acceleration partition, and what the stream made of them, for the tests of the stream."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np
import pyarrow as pa

from stream.partition import Harvest, Partition, PartitionRules
from stream.state import LaneState, PartitionState, read_records, write_record
from wearables_platform.clients.kafka import Fetch
from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.models.thresholds import NO_THRESHOLDS
from wearables_platform.signals.samples import SampleTable
from wearables_platform.signals.windows import WindowRows, compute_windows
from wearables_platform.wire.codec import decode
from wearables_platform.wire.samples import MessageSamples, samples_from_messages, touched_windows
from wearables_platform.wire.v1 import telemetry_pb2 as pb

START_US = 1_774_742_400_000_000  # 2026-03-29 00:00 UTC
TOPIC = ACCELERATION.topic


class NoModel:
    """Scores nothing: no model is in force."""

    thresholds = NO_THRESHOLDS

    def score(self, rows: WindowRows) -> tuple[np.ndarray, list[str | None]]:
        return np.full(len(rows), np.nan), [None] * len(rows)


@dataclass
class Record:
    """One record on its way to the log: `at_us` is when the log takes it."""

    at_us: int
    device_id: str
    payload: bytes = field(repr=False)
    verdict: str | None = None


@cache
def message(
    device_id: str,
    boot: int,
    sequence: int,
    wall_us: int,
    monotonic_us: int,
    *,
    n: int = 25,
    rate_hz: float = 50.0,
    seed: int = 0,
    noise_g: float = 0.3,
) -> bytes:
    """One acceleration message with samples that no other message has."""
    random = np.random.default_rng([seed, boot, sequence])
    accel_g = (random.normal(0, noise_g, (n, 3)) + (0, 0, 1)).astype("<f4")
    return pb.AccelerationBatch(
        device_id=device_id,
        boot_id=boot,
        sequence=sequence,
        start_time_us=wall_us,
        start_monotonic_us=monotonic_us,
        rate_hz=rate_hz,
        encoding=pb.SAMPLE_ENCODING_FLOAT32_G,
        samples=accel_g.tobytes(),
        source_rate_hz=rate_hz,
        block_count=5,
        peak_g=np.arange(5, dtype=np.float32) + 1,
        peak_raw_g=np.arange(5, dtype=np.float32) + 2,
        glitches=[0, 1, 0, 0, 0],
    ).SerializeToString(deterministic=True)


def to_fetch(records: list[Record], begin: int, end: int, *, at_end: bool = False) -> Fetch:
    part = records[begin:end]
    return Fetch(
        TOPIC,
        0,
        np.arange(begin, end, dtype=np.int64),
        np.array([r.at_us for r in part], np.int64),
        [r.device_id.encode() for r in part],
        [r.payload for r in part],
        {i: r.verdict for i, r in enumerate(part) if r.verdict},
        at_end=at_end,
    )


@dataclass
class Outcome:
    """All that the stream said about a log."""

    final: dict[tuple[str, int], tuple] = field(default_factory=dict)
    provisional: dict[tuple[str, int], tuple] = field(default_factory=dict)
    events: set[tuple] = field(default_factory=set)
    dirty: set[tuple[str, int]] = field(default_factory=set)
    ledger: dict[str, set[tuple[str, int, int]]] = field(default_factory=dict)
    gaps: set[tuple] = field(default_factory=set)
    clock_steps: set[tuple] = field(default_factory=set)
    dead: dict[int, str] = field(default_factory=dict)

    def offsets(self, outcome: str) -> set[int]:
        """Positions with an outcome, for a log of one partition."""
        return {offset for _, _, offset in self.ledger.get(outcome, set())}

    def add(self, harvest: Harvest) -> None:
        for made in harvest.rows:
            ids, rows = made.derived.device_ids, made.derived.windows
            target = self.provisional if made.derived.provisional else self.final
            for key, row in row_bits(ids, rows).items():
                assert made.derived.provisional or key not in target, f"{key} was final already"
                target[key] = row
            if not made.derived.provisional:
                self.events |= event_bits(ids, made.derived.events)
        for late in harvest.late:
            self.dirty |= {(late.device_id, start) for start in touched_windows(late.start_us, late.end_us)}
        for step in harvest.clock_steps:
            self.dirty |= {(step.device_id, start) for start in touched_windows(step.start_us, step.end_us)}
        for outcome, spans in harvest.ledger.items():
            positions = {(harvest.topic, harvest.partition, p) for first, end in spans for p in range(first, end)}
            self.ledger.setdefault(outcome, set()).update(positions)
        self.gaps |= set(harvest.gaps)
        self.clock_steps |= set(harvest.clock_steps)
        self.dead |= {letter.offset: letter.reason for letter in harvest.dead_letters}


def row_bits(device_ids: list[str], rows: WindowRows) -> dict[tuple[str, int], tuple]:
    """Each window's row with its exact bits (NaN compares as its bits do)."""
    columns = [np.ascontiguousarray(column) for column in rows.features.values()]
    return {
        (device_ids[rows.device[i]], int(rows.start_us[i])): tuple(column[i].tobytes() for column in columns)
        for i in range(len(rows))
    }


def event_bits(device_ids: list[str], events: object) -> set[tuple]:
    return {
        (
            device_ids[events.device[i]],
            int(events.start_us[i]),
            events.duration_ms[i].tobytes(),
            events.peak_g[i].tobytes(),
        )
        for i in range(len(events.device))
    }


def run_stream(
    records: list[Record],
    cuts: list[int],
    *,
    resume_at: set[int] = frozenset(),
    rules: PartitionRules | None = None,
    scoring: NoModel | None = None,
) -> tuple[Outcome, Partition]:
    """Run a partition over a log cut into fetches; at `resume_at` it goes on from what it saved until then.

    What changed is saved after every fetch.
    """
    rules = rules or PartitionRules()
    scoring = scoring or NoModel()
    partition = Partition(PartitionState(TOPIC, 0, "log-1", 0), rules, scoring)
    lane = lane_of(partition.state)
    saved = [record_of(lane, whole=True)]
    outcome = Outcome()
    now_us = START_US
    bounds = [0, *sorted(set(cuts)), len(records)]
    for i, (begin, end) in enumerate(zip(bounds, bounds[1:], strict=False)):
        if begin == end:
            continue
        now_us += 700_000
        outcome.add(partition.take(to_fetch(records, begin, end), now_us))
        saved.append(record_of(lane, whole=False))
        if i in resume_at:
            lane = read_records(saved)
            partition = Partition(lane.partitions[TOPIC], rules, scoring)
    at_end = partition.wait(START_US + 10**9)  # the log is over: what it still held back is let go
    if at_end is not None:
        outcome.add(at_end)
    outcome.add(partition.flush(now_us))
    return outcome, partition


def lane_of(state: PartitionState) -> LaneState:
    """A lane of one partition."""
    return LaneState(0, state.order.devices, {state.topic: state})


def record_of(lane: LaneState, *, whole: bool) -> bytes:
    return b"".join(write_record(lane, whole=whole))


def batch_rows(records: list[Record], without: set[int]) -> tuple[list[str], WindowRows, pa.RecordBatch]:
    """What batch computes from everything the archive holds (each identity once)."""
    made, rows = _sampled(records, without)
    return made.device_ids, compute_windows(made.samples), rows


def batch_samples(records: list[Record]) -> tuple[SampleTable, list[str]]:
    """All samples of a log, and the devices they count."""
    made, _ = _sampled(records, set())
    return made.samples, made.device_ids


def _sampled(records: list[Record], without: set[int]) -> tuple[MessageSamples, pa.RecordBatch]:
    chosen: dict[bytes, bytes] = {}
    for position, record in enumerate(records):
        if position not in without:
            chosen.setdefault(record.payload, record.payload)
    rows = decode(ACCELERATION, list(chosen)).rows
    table = pa.Table.from_batches([rows]).sort_by([(n, "ascending") for n in ("device_id", "boot_id", "sequence")])
    rows = table.combine_chunks().to_batches()[0] if rows.num_rows else rows
    return samples_from_messages(rows), rows
