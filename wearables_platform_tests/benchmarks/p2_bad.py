"""P2-bad: the stream's rate on a log of which a tenth is bad, against its rate on the same log without faults.

Of a hundred records five are poison (noise, cut short, another device's, not a number), two are duplicates, two come
after their successor, and one was lost, so that its boot has a gap. Every poison record must end as a dead letter,
every duplicate as one, and the samples of all others in final rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from wearables_platform.wire.v1 import telemetry_pb2 as pb
from wearables_platform_tests.benchmarks.fleet_log import BLOCK_US, LogRecord, LogShape, device_id, records_of
from wearables_platform_tests.benchmarks.p2_stream import shape_of
from wearables_platform_tests.benchmarks.runner import Figure, compare
from wearables_platform_tests.benchmarks.stream_job import Expected, stage, stream_lap

SHARES = {"poison": 0.05, "duplicate": 0.02, "swapped": 0.02, "lost": 0.01}
# A gap is held open for two seconds of log time: none is planted so late that the log ends before.
QUIET_BLOCKS = 40


def measure(rounds: int, seconds: float) -> list[Figure]:
    """Alternate the log with faults and the same log without."""
    with stage() as here:
        shape = shape_of(seconds / 2)
        plan = FaultPlan(shape, SHARES)
        clean, bad = here.job(shape), here.job(shape, plan.records, plan.expected())
        sides = {"a tenth bad": lambda: stream_lap(bad), "clean": lambda: stream_lap(clean)}
        return [compare("P2-bad", sides, rounds=rounds, must=0.5, stretch=0.8, unit="of the clean rate")]


@dataclass(frozen=True)
class FaultPlan:
    """Which fault each message of a log has, from a seed."""

    shape: LogShape
    shares: dict[str, float]
    seed: int = 3

    def faults(self) -> dict[str, np.ndarray]:
        """Return per fault a (blocks, devices) mask; no message has two faults, a late one's successor none."""
        shape = self.shape
        drawn = np.random.default_rng(self.seed).random((shape.blocks, shape.devices))
        edges = np.cumsum([0.0, *self.shares.values()])
        masks = {
            name: (low <= drawn) & (drawn < high)
            for name, low, high in zip(self.shares, edges, edges[1:], strict=False)
        }
        for mask in masks.values():
            mask[:1] = mask[max(0, shape.blocks - QUIET_BLOCKS) :] = False
        swapped = masks.get("swapped", np.zeros_like(drawn, bool))
        for i in range(1, len(swapped)):
            swapped[i] &= ~swapped[i - 1]
        for name in masks.keys() - {"swapped"}:
            masks[name][1:] &= ~swapped[:-1]
        return masks

    def expected(self) -> Expected:
        """Say what becomes of the log: poison comes in addition to the device's own messages."""
        counts = {name: int(mask.sum()) for name, mask in self.faults().items()}
        lost = counts.get("lost", 0)
        outcomes = {
            "stored": self.shape.messages - lost,
            "duplicate": counts.get("duplicate", 0),
            "dead_lettered": counts.get("poison", 0),
        }
        samples = (self.shape.devices * self.shape.blocks - lost) * self.shape.samples_kept
        return Expected({name: count for name, count in outcomes.items() if count}, samples, whole=not lost)

    def records(self) -> Iterator[LogRecord]:
        """Give the log's records with the faults in them."""
        masks = self.faults()
        none = np.zeros((self.shape.blocks, self.shape.devices), bool)
        poison, duplicate, swapped, lost = (
            masks.get(name, none) for name in ("poison", "duplicate", "swapped", "lost")
        )
        kept_back: dict[int, LogRecord] = {}
        for i, record in enumerate(records_of(self.shape)):
            block, device = divmod(i, self.shape.devices)
            at = (block, device)
            if block == self.shape.blocks:
                yield record
                continue
            if poison[at]:
                yield record._replace(payload=poisoned(record, i))
            if swapped[at]:
                kept_back[device] = record
            elif not lost[at]:
                yield record
                if duplicate[at]:
                    yield record
                if device in kept_back:
                    yield kept_back.pop(device)._replace(at_ms=record.at_ms)


def poisoned(record: LogRecord, number: int) -> bytes:
    """Spoil a message in one of four ways."""
    kind = number % 4
    if kind == 0:
        return np.random.default_rng(number).bytes(len(record.payload))
    if kind == 1:
        return record.payload[:-7]
    whole = pb.AccelerationBatch.FromString(record.payload)
    if kind == 2:
        whole.device_id = device_id(record.device + 1)
    else:
        whole.rate_hz = float("nan")
    whole.start_time_us += BLOCK_US // 2
    return whole.SerializeToString()
