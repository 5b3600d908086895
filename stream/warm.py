"""Compile everything that is compiled, before anyone waits for it: ``python -m stream.warm``.

Compiled code is kept on the disk (`signals.compiled`), so this is slow once after an installation and quick afterwards.
A few seconds of two made-up watches go through a lane: whatever a stream compiles it compiles for these, of the same
types; nothing is read or written but the compiler's cache.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stream.lane import Lane, lane_at_the_beginning
from stream.partition import PartitionRules
from stream.state import read_records, to_bytes
from wearables_platform.clients.log import Fetch
from wearables_platform.domain.channels import ACCELERATION, CHANNELS
from wearables_platform.models.thresholds import NO_THRESHOLDS
from wearables_platform.signals.windows import WindowRows
from wearables_platform.wire.v1 import telemetry_pb2 as pb

START_US = 1_774_742_400_000_000
BLOCK_US = 100_000
BLOCKS = 120


class NoModel:
    """Scores nothing."""

    thresholds = NO_THRESHOLDS

    def score(self, rows: WindowRows) -> tuple[npt.NDArray[np.float64], list[str | None]]:
        """Return no score per row."""
        return np.full(len(rows), np.nan), [None] * len(rows)


def warm() -> int:
    """Send what a stream meets through a lane, in pieces; returns how many rows came of it."""
    lane = Lane(lane_at_the_beginning(0, {channel.topic: None for channel in CHANNELS}), PartitionRules(), NoModel())
    log = _log()
    rows = 0
    for begin in range(0, len(log), 60):
        for harvest in lane.take([_fetch(log[begin : begin + 60], begin)], START_US + begin * BLOCK_US):
            rows += sum(len(made.derived.windows) for made in harvest.rows)
    read_records([to_bytes(lane.state)])
    for harvest in lane.wait([ACCELERATION.topic], START_US + 10**9) + lane.flush(START_US + 2 * 10**9):
        rows += sum(len(made.derived.windows) for made in harvest.rows)
    return rows


def _log() -> list[tuple[str, bytes]]:
    """Two watches, one of them at the sensor's rate: walking, a blow, a glitch; a gap, a duplicate, a late message."""
    random = np.random.default_rng(0)
    log = [
        (device_id, _message(device_id, block, rate_hz, random))
        for block in range(BLOCKS)
        for device_id, rate_hz in (("warm-100", 100.0), ("warm-16k", 16_000.0))
    ]
    log[21], log[60], log[90] = log[25], log[58], log[92]
    return [*log, log[10], log[-1]]


def _message(device_id: str, block: int, rate_hz: float, random: np.random.Generator) -> bytes:
    samples = round(rate_hz * BLOCK_US / 1e6)
    time_s = (block * samples + np.arange(samples)) / rate_hz
    accel_g = random.normal(0, 0.02, (samples, 3)) + (0, 0, 1)
    accel_g[:, 0] += 0.4 * np.sin(2 * np.pi * 1.9 * time_s) + 4.0 * (block == BLOCKS // 2)
    accel_g[samples // 2, 1] += 9.0 * (block % 7 == 0)
    return pb.AccelerationBatch(
        device_id=device_id,
        boot_id=1,
        sequence=block,
        start_time_us=START_US + block * BLOCK_US,
        start_monotonic_us=block * BLOCK_US,
        rate_hz=rate_hz,
        encoding=pb.SAMPLE_ENCODING_FLOAT32_G,
        samples=accel_g.astype("<f4").tobytes(),
        source_rate_hz=rate_hz,
        block_count=1,
    ).SerializeToString()


def _fetch(records: list[tuple[str, bytes]], begin: int) -> Fetch:
    offsets = np.arange(begin, begin + len(records), dtype=np.int64)
    keys, payloads = [device_id.encode() for device_id, _ in records], [payload for _, payload in records]
    return Fetch(ACCELERATION.topic, 0, offsets, START_US + offsets * BLOCK_US // 2, list(keys), payloads)


if __name__ == "__main__":
    warm()
