"""What the benchmarks' devices say: messages put together from parts encoded once, and logs made of them.

A device sends a message per 100 ms. Its last one, sent with the others, jumps ahead by `CLOSING_JUMP_US`: it closes
every window before it, so that a log holds a whole number of final rows however few blocks a device has.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import confluent_kafka as ck
import numpy as np

from wearables_platform.clients.log import connection_config
from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.wire.v1 import telemetry_pb2 as pb

START_US = 1_774_742_400_000_000  # 2026-03-29 00:00 UTC
BLOCK_US = 100_000
BLOCKS_PER_WINDOW = 10
CLOSING_JUMP_US = 4_000_000  # beyond any window's reach, within the time after which a device counts as idle
DIFFERENT_BLOCKS = 1_000
SOURCE_HZ, TARGET_HZ = 16_000, 100
DELIVERY_TIMEOUT_S = 120


@dataclass(frozen=True)
class LogShape:
    """A log: how many devices, how many blocks each, and at which rate; `boot_id` tells its messages from another's."""

    devices: int
    blocks: int
    rate_hz: int = TARGET_HZ
    start_us: int = START_US
    boot_id: int = 9

    @property
    def messages(self) -> int:
        """Messages in all, the closing ones included."""
        return self.devices * (self.blocks + 1)

    @property
    def samples_kept(self) -> int:
        """Samples of a message that go into rows: what comes at the sensor's rate is reduced first."""
        return min(self.rate_hz, TARGET_HZ) * BLOCK_US // 1_000_000

    @property
    def payload_bytes(self) -> int:
        """Bytes of all payloads; the content of every message has the same length."""
        identities = sum(len(identity_part(device, self.boot_id)) for device in range(self.devices))
        timings = sum(len(self.timing(block)) for block in range(self.blocks + 1))
        return identities * (self.blocks + 1) + timings * self.devices + self.messages * len(contents(self.rate_hz)[0])

    def begins_us(self, block: int) -> int:
        """When a block's first sample was taken."""
        jump_us = CLOSING_JUMP_US if block == self.blocks else 0
        return self.start_us + block * BLOCK_US + jump_us

    def payload(self, device: int, block: int) -> bytes:
        """One message as the thin client sends it: 190 bytes at 100 Hz, 19 kB at 16 kHz."""
        content = contents(self.rate_hz)
        return identity_part(device, self.boot_id) + self.timing(block) + content[(device * 31 + block) % len(content)]

    def timing(self, block: int) -> bytes:
        """Encode which block it is; both clocks run alike."""
        begins_us = self.begins_us(block)
        return timing_part(block, begins_us, begins_us - self.start_us)


def device_id(device: int) -> str:
    """Name of a device."""
    return f"bench-{device:05d}"


def identity_part(device: int, boot_id: int) -> bytes:
    """Encode who sends: fields of a message may be encoded apart and joined."""
    return pb.AccelerationBatch(device_id=device_id(device), boot_id=boot_id).SerializeToString()


def timing_part(sequence: int, start_us: int, monotonic_us: int) -> bytes:
    """Encode which message it is and when it began."""
    return pb.AccelerationBatch(
        sequence=sequence, start_time_us=start_us, start_monotonic_us=monotonic_us
    ).SerializeToString()


@cache
def contents(rate_hz: int) -> list[bytes]:
    """Encode a wrist that moves a little, a thousand different blocks at 100 Hz, fewer of the large ones."""
    random = np.random.default_rng(2)
    samples = rate_hz * BLOCK_US // 1_000_000
    different = DIFFERENT_BLOCKS if rate_hz <= TARGET_HZ else 50
    reduced = pb.DOWNSAMPLING_BLOCK_MEAN if rate_hz < SOURCE_HZ else pb.DOWNSAMPLING_NONE
    return [
        pb.AccelerationBatch(
            rate_hz=rate_hz,
            encoding=pb.SAMPLE_ENCODING_FLOAT32_G,
            samples=(random.normal(0, 0.05, (samples, 3)) + (0, 0, 1)).astype("<f4").tobytes(),
            source_rate_hz=SOURCE_HZ,
            downsampling=reduced,
            block_count=1,
            peak_raw_g=[1.5],
            peak_g=[1.25],
            glitches=[0],
            clipped=[0],
        ).SerializeToString()
        for _ in range(different)
    ]


class LogRecord(NamedTuple):
    """A record before it is appended."""

    device: int
    payload: bytes
    at_ms: int


def records_of(shape: LogShape) -> Iterator[LogRecord]:
    """Give the log's records, block after block as a fleet sends them."""
    heads = [identity_part(device, shape.boot_id) for device in range(shape.devices)]
    content = contents(shape.rate_hz)
    for block in range(shape.blocks + 1):
        at_ms = (shape.start_us + (block + 1) * BLOCK_US) // 1_000
        timing = shape.timing(block)
        for device, head in enumerate(heads):
            yield LogRecord(device, head + timing + content[(device * 31 + block) % len(content)], at_ms)


def bench_producer(kafka_url: str, **settings: object) -> ck.Producer:
    """Open a producer as the gateways' is, without its reports: what the log holds is checked by position instead."""
    config = connection_config(kafka_url, "bench-fleet")
    config |= {"enable.idempotence": True, "acks": "all", "compression.type": "lz4", "linger.ms": 5}
    config |= {"partitioner": "murmur2_random", "queue.buffering.max.messages": 400_000}
    return ck.Producer(config | settings)


def append(kafka_url: str, records: Iterator[LogRecord], topic: str = ACCELERATION.topic) -> int:
    """Append records to a topic and return how many; raises if any is not in the log in time."""
    producer = bench_producer(kafka_url)
    keys: dict[int, bytes] = {}
    count = 0
    for record in records:
        key = keys.setdefault(record.device, device_id(record.device).encode())
        _with_room(producer, topic, record, key)
        count += 1
    if producer.flush(DELIVERY_TIMEOUT_S):
        msg = f"not every record reached {topic} within {DELIVERY_TIMEOUT_S} s"
        raise TimeoutError(msg)
    return count


def _with_room(producer: ck.Producer, topic: str, record: LogRecord, key: bytes) -> None:
    deadline = time.monotonic() + DELIVERY_TIMEOUT_S
    while True:
        try:
            return producer.produce(topic, record.payload, key, timestamp=record.at_ms)
        except BufferError:
            producer.poll(0.01)
            if time.monotonic() > deadline:
                raise
