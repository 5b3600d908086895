"""P2: the stream with everything on, against a bare loop that consumes the same topic and counts bytes.

Both read the same messages, of 190 bytes (P2) or of 19 kB (P2-19kB: raw, 16 kHz), and may use the machine's two cores.
The stream dedupes, restores order, cleans, computes every feature and event, and writes database, Redis and ledger,
with recovery on; all positions, all counts and the bits of some devices' rows are checked after each lap. The
stream's clock runs from its first look for data to the end of all, the loop's from the end of its first call, without
what that call gave, to its last message.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import confluent_kafka as ck

from wearables_platform.clients.log import connection_config
from wearables_platform.domain.channels import ACCELERATION
from wearables_platform_tests.benchmarks.fleet_log import SOURCE_HZ, TARGET_HZ, LogShape
from wearables_platform_tests.benchmarks.runner import Figure, Lap, compare
from wearables_platform_tests.benchmarks.stream_job import PARTITIONS, Job, prepared_job, stream_lap

DEVICES = 100
# A log's messages per second of a round: what the stream needs about a fifth of the round for.
MESSAGES_PER_SECOND = {TARGET_HZ: 60_000, SOURCE_HZ: 1_000}
# What a run costs however short it is (60 ms and more) must be small beside the messages; 16,000 of 19 kB are 0.3 GB.
LEAST_MESSAGES = 16_000
NAMES = {TARGET_HZ: "P2", SOURCE_HZ: "P2-19kB"}


def measure(rounds: int, seconds: float) -> list[Figure]:
    """Alternate stream and bare loop over one log, for either size of message."""
    return [_of_size(rate_hz, rounds, seconds) for rate_hz in NAMES]


def shape_of(seconds: float, rate_hz: int = TARGET_HZ) -> LogShape:
    """Return a log that suits a round of so many seconds: whole windows, a second at least."""
    devices = DEVICES if rate_hz == TARGET_HZ else 20
    messages = max(MESSAGES_PER_SECOND[rate_hz] * seconds, LEAST_MESSAGES if rate_hz == SOURCE_HZ else 0)
    windows = max(1, int(messages / devices / 10))
    return LogShape(devices, windows * 10, rate_hz)


def _of_size(rate_hz: int, rounds: int, seconds: float) -> Figure:
    shape = shape_of(seconds, rate_hz)
    with prepared_job(shape) as job:
        sides = {"stream": lambda: stream_lap(job), "bare consume": lambda: bare_lap(job, seconds / 10)}
        unit = "of bare consume" if rate_hz == TARGET_HZ else "of bare MB/s"
        return compare(NAMES[rate_hz], sides, rounds=rounds, must=0.5, stretch=0.75, unit=unit)


def bare_lap(job: Job, seconds: float) -> Lap:
    """Consume the topic and count bytes, nothing else, pass after pass."""
    config = connection_config(job.kafka_url, "bench-bare") | {"group.id": "bare", "enable.partition.eof": True}
    consumer = ck.Consumer(config | {"enable.auto.commit": False})
    spent, timed, read, whole = 0.0, 0, 0, True
    began_cpu = time.process_time()
    while spent < seconds:
        consumer.assign([ck.TopicPartition(ACCELERATION.topic, number, 0) for number in range(PARTITIONS)])
        one = one_pass(consumer)
        whole = whole and one.messages == job.records and one.size == job.shape.payload_bytes
        spent, timed, read = spent + one.seconds, timed + one.timed, read + one.messages
    cpu_seconds = time.process_time() - began_cpu
    consumer.close()
    return Lap(timed, spent, whole, cpu_seconds * timed / read)


class Pass(NamedTuple):
    """One reading of the log: messages, their bytes; the messages after the first call's, and the seconds they took."""

    messages: int
    size: int
    timed: int
    seconds: float


def one_pass(consumer: ck.Consumer) -> Pass:
    """Read every partition to its end; what the first call gives was fetched before the clock started."""
    count = size = ended = first = 0
    began = last = 0.0
    while ended < PARTITIONS:
        messages = consumer.consume(10_000, 0.02)
        before = count
        for message in messages:
            if message.error() is not None:
                ended += 1
                continue
            count += 1
            size += len(message.value())
        if count > before:
            last = time.perf_counter()
            if not first:
                first, began = count, last
    return Pass(count, size, count - first, last - began)
