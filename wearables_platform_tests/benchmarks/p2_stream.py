"""P2: the stream with everything on, against a bare loop that consumes the same topic and counts bytes.

Both read the same messages, of 190 bytes (P2) or of 19 kB (P2-19kB: raw, 16 kHz), and may use the machine's two cores.
The stream dedupes, restores order, cleans, computes every feature and event, and writes database, Redis and ledger,
with recovery on; all positions, all counts and the bits of some devices' rows are checked after each lap. Both clocks
run from the first look for data, or the first message, to the end; connecting is in neither.
"""

from __future__ import annotations

import time

import confluent_kafka as ck

from wearables_platform.clients.log import connection_config
from wearables_platform.domain.channels import ACCELERATION
from wearables_platform_tests.benchmarks.fleet_log import SOURCE_HZ, TARGET_HZ, LogShape
from wearables_platform_tests.benchmarks.runner import Figure, Lap, compare
from wearables_platform_tests.benchmarks.stream_job import PARTITIONS, Job, prepared_job, stream_lap

DEVICES = 100
# A log's messages per second of a round: what the stream needs about a fifth of the round for.
MESSAGES_PER_SECOND = {TARGET_HZ: 40_000, SOURCE_HZ: 200}
NAMES = {TARGET_HZ: "P2", SOURCE_HZ: "P2-19kB"}


def measure(rounds: int, seconds: float) -> list[Figure]:
    """Alternate stream and bare loop over one log, for either size of message."""
    return [_of_size(rate_hz, rounds, seconds) for rate_hz in NAMES]


def shape_of(seconds: float, rate_hz: int = TARGET_HZ) -> LogShape:
    """Return a log that suits a round of so many seconds: whole windows, a second at least."""
    devices = DEVICES if rate_hz == TARGET_HZ else 20
    windows = max(1, int(MESSAGES_PER_SECOND[rate_hz] * seconds / devices / 10))
    return LogShape(devices, windows * 10, rate_hz)


def _of_size(rate_hz: int, rounds: int, seconds: float) -> Figure:
    shape = shape_of(seconds, rate_hz)
    with prepared_job(shape) as job:
        sides = {"stream": lambda: stream_lap(job), "bare consume": lambda: bare_lap(job, seconds / 10)}
        unit = "of bare consume" if rate_hz == TARGET_HZ else "of bare MB/s"
        return compare(NAMES[rate_hz], sides, rounds=rounds, must=0.5, stretch=0.75, unit=unit)


def bare_lap(job: Job, seconds: float) -> Lap:
    """Consume the topic and count bytes, nothing else, pass after pass; each timed from its first message on."""
    config = connection_config(job.kafka_url, "bench-bare") | {"group.id": "bare", "enable.partition.eof": True}
    consumer = ck.Consumer(config | {"enable.auto.commit": False})
    spent, total, whole = 0.0, 0, True
    began_cpu = time.process_time()
    while spent < seconds:
        consumer.assign([ck.TopicPartition(ACCELERATION.topic, number, 0) for number in range(PARTITIONS)])
        count, size, took = one_pass(consumer)
        whole = whole and count == job.records and size == job.shape.payload_bytes
        spent, total = spent + took, total + count
    cpu_seconds = time.process_time() - began_cpu
    consumer.close()
    return Lap(total, spent, whole, cpu_seconds)


def one_pass(consumer: ck.Consumer) -> tuple[int, int, float]:
    """Read every partition to its end; returns messages, bytes and seconds."""
    count = size = ended = 0
    began = None
    while ended < PARTITIONS:
        messages = consumer.consume(10_000, 0.02)
        if messages and began is None:
            began = time.perf_counter()
        for message in messages:
            if message.error() is not None:
                ended += 1
                continue
            count += 1
            size += len(message.value())
    return count, size, time.perf_counter() - (began or 0.0)
