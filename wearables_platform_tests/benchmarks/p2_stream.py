"""P2: the stream with everything on, against a bare loop that consumes the same topic and counts bytes.

Both read the same messages of about 190 bytes and may use the machine's two cores. The stream dedupes, restores order,
cleans, computes every feature and event, and writes database, Redis and ledger, with recovery on; its rows are checked
(all positions, all counts, the bits of every 25th device) after each lap. Time runs from the first look for data.
"""

from __future__ import annotations

import time

import confluent_kafka as ck

from wearables_platform.clients.log import connection_config
from wearables_platform.domain.channels import ACCELERATION
from wearables_platform_tests.benchmarks.runner import Figure, Lap, compare
from wearables_platform_tests.benchmarks.stream_job import (
    PARTITIONS,
    Job,
    payload,
    prepared_job,
    sample_blocks,
    stream_lap,
)

IDS = ("P2",)
DEVICES = 100
# A lap's messages per second of a round: about half the stream's rate here, so that two laps fit a round.
MESSAGES_PER_SECOND = 40_000


def measure(rounds: int, seconds: float) -> list[Figure]:
    """Alternate stream and bare loop over one log."""
    blocks = int(MESSAGES_PER_SECOND * seconds / DEVICES)
    with prepared_job(DEVICES, blocks) as job:
        samples = sample_blocks()
        size = sum(len(payload(device, block, samples)) for block in range(job.blocks) for device in range(job.devices))
        sides = {"stream": lambda: stream_lap(job), "bare consume": lambda: bare_lap(job, size, seconds / 8)}
        return [compare("P2", sides, rounds=rounds, must=0.5, stretch=0.75, unit="of bare consume")]


def bare_lap(job: Job, expected_bytes: int, seconds: float) -> Lap:
    """Consume the topic and count bytes, nothing else, pass after pass; each timed from its first message on."""
    config = connection_config(job.kafka_url, "bench-bare") | {"group.id": "bare", "enable.partition.eof": True}
    consumer = ck.Consumer(config | {"enable.auto.commit": False})
    spent, total, whole = 0.0, 0, True
    began_cpu = time.process_time()
    while spent < seconds:
        consumer.assign([ck.TopicPartition(ACCELERATION.topic, number, 0) for number in range(PARTITIONS)])
        count, size, took = one_pass(consumer)
        whole = whole and count == job.messages and size == expected_bytes
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
