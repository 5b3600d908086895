"""A log of known content on an embedded Kafka, and the sides that read it: the stream with everything on, or less."""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import redis
from bytewax.run import cli_main

from stream.dataflow import build_flow
from stream.process import open_log, open_recovery, open_sinks, rules_of
from stream.source import Control, LiveSource, wall_clock_us
from wearables_platform.clients.kafka import Admin, Producer
from wearables_platform.clients.sql import SqlClient
from wearables_platform.clients.topics import platform_topics
from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.domain.time_policy import from_us
from wearables_platform.settings import Settings, load_settings
from wearables_platform.signals.features import FEATURE_COLUMNS
from wearables_platform.signals.windows import WINDOW_US, compute_windows
from wearables_platform.sql.migrate import migrate
from wearables_platform.wire.codec import decode
from wearables_platform.wire.samples import REACH_AFTER_US, samples_from_messages
from wearables_platform.wire.v1 import telemetry_pb2 as pb
from wearables_platform_tests.benchmarks.runner import Lap
from wearables_platform_tests.servers import TestServers, fresh_database
from wearables_platform_tests.stream_logs import NoModel

START_US = 1_774_742_400_000_000
BLOCK_US = 100_000
PARTITIONS = 4


@dataclass(frozen=True)
class Job:
    """The log and the stores of a benchmark."""

    settings: Settings
    devices: int
    blocks: int

    @property
    def messages(self) -> int:
        return self.devices * self.blocks

    @property
    def kafka_url(self) -> str:
        return self.settings.require("kafka_url")


def payload(device: int, block: int, samples: list[bytes]) -> bytes:
    """One message of 100 ms at 100 Hz, 188 bytes, as the thin client sends it."""
    return pb.AccelerationBatch(
        device_id=f"bench-{device:05d}",
        boot_id=9,
        sequence=block,
        start_time_us=START_US + block * BLOCK_US,
        start_monotonic_us=block * BLOCK_US,
        rate_hz=100,
        encoding=pb.SAMPLE_ENCODING_FLOAT32_G,
        samples=samples[(device * 31 + block) % len(samples)],
        source_rate_hz=16_000,
        downsampling=pb.DOWNSAMPLING_BLOCK_MEAN,
        block_count=1,
        peak_raw_g=[1.5],
        peak_g=[1.25],
        glitches=[0],
        clipped=[0],
    ).SerializeToString()


def sample_blocks() -> list[bytes]:
    """A thousand different blocks of ten samples: a wrist that moves a little."""
    random = np.random.default_rng(2)
    return [(random.normal(0, 0.05, (10, 3)) + (0, 0, 1)).astype("<f4").tobytes() for _ in range(1_000)]


@contextmanager
def prepared_job(devices: int, blocks: int) -> Iterator[Job]:
    """Start servers, fill the log, and hand over; everything is gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="wearables-bench-"))
    servers = TestServers(directory)
    try:
        kafka_url, redis_url = servers.url("kafka"), servers.url("redis")
        for sql_url in fresh_database(servers.url("postgres")):
            migrate(sql_url)
            settings = load_settings(
                kafka_url=kafka_url,
                redis_url=redis_url,
                sql_url=sql_url,
                run_dir=directory / "run",
                topic_partitions=PARTITIONS,
            )
            Admin(kafka_url).ensure_topics(platform_topics(PARTITIONS))
            job = Job(settings, devices, blocks)
            fill(job)
            yield job
    finally:
        servers.stop_all()
        shutil.rmtree(directory, ignore_errors=True)


def fill(job: Job, topic: str = ACCELERATION.topic, blocks: int | None = None) -> None:
    """Append the log's messages, block after block as a fleet sends them."""
    producer = Producer(job.kafka_url, "bench", max_queued=200_000)
    samples = sample_blocks()
    for block in range(blocks or job.blocks):
        at_ms = (START_US + (block + 1) * BLOCK_US) // 1_000
        for device in range(job.devices):
            producer.send(topic, f"bench-{device:05d}".encode(), payload(device, block, samples), timestamp_ms=at_ms)
        if producer.queued() > 100_000:
            producer.flush(60)
        producer.poll(0)
    producer.flush(60)


def stream_lap(job: Job) -> Lap:
    """Run the whole stream over the log into empty stores and check what it wrote."""
    _empty_stores(job)
    recovery_dir = Path(tempfile.mkdtemp(prefix="wearables-bench-recovery-"))
    began: list[float] = []

    def turn() -> None:
        if not began:
            began.extend((time.perf_counter(), time.process_time()))

    log = open_log(job.settings)
    control = Control(threading.Event(), turn, wall_clock_us)
    source = LiveSource(log, rules_of(job.settings), NoModel(), control, stop_at_end=True)
    flow = build_flow(source, open_sinks(job.settings, lambda _reason: None))
    cli_main(flow, epoch_interval=timedelta(seconds=1), recovery_config=open_recovery(recovery_dir, log))
    seconds, cpu_seconds = time.perf_counter() - began[0], time.process_time() - began[1]
    shutil.rmtree(recovery_dir)
    return Lap(job.messages, seconds, outputs_hold(job), cpu_seconds)


def outputs_hold(job: Job) -> bool:
    """Check every position, every row's count, and the bits of some devices' rows against batch."""
    client = SqlClient(job.settings.require("sql_url"), "bench", pool_size=1)
    try:
        ledger = (
            "SELECT outcome, sum(upper(r) - lower(r))::int8 AS n FROM quality.ledger, unnest(positions) AS r GROUP BY 1"
        )
        if [(row["outcome"], row["n"]) for row in client.rows(ledger)] != [("stored", job.messages)]:
            return False
        last_us = START_US + job.blocks * BLOCK_US
        final = (last_us - 500_000) // WINDOW_US - REACH_AFTER_US // WINDOW_US - START_US // WINDOW_US
        counts = "SELECT count(*) AS n, sum(n_samples) AS samples FROM telemetry.window_features WHERE NOT provisional"
        found = client.rows(counts)[0]
        if (found["n"], found["samples"]) != (final * job.devices, final * job.devices * 100):
            return False
        return all(_rows_equal_batch(client, job, device, final) for device in range(0, job.devices, 25))
    finally:
        client.close()


def _rows_equal_batch(client: SqlClient, job: Job, device: int, final: int) -> bool:
    samples = sample_blocks()
    rows = decode(ACCELERATION, [payload(device, block, samples) for block in range(job.blocks)]).rows
    expected = compute_windows(
        samples_from_messages(pa.RecordBatch.from_arrays(rows.columns, rows.schema.names)).samples
    )
    names = ", ".join(column.name for column in FEATURE_COLUMNS)
    query = (
        f"SELECT {names} FROM telemetry.window_features WHERE device_id = %s AND NOT provisional ORDER BY window_start"
    )
    stored: list[dict[str, Any]] = client.rows(query, [f"bench-{device:05d}"])
    first = client.rows("SELECT min(window_start) AS t FROM telemetry.window_features")[0]["t"]
    return first == from_us(START_US) and all(
        np.array([np.nan if row[c.name] is None else row[c.name] for row in stored], c.dtype).tobytes()
        == expected[c.name][:final].astype(c.dtype).tobytes()
        for c in FEATURE_COLUMNS
    )


def _empty_stores(job: Job) -> None:
    client = SqlClient(job.settings.require("sql_url"), "bench", pool_size=1)
    client.execute(
        "TRUNCATE telemetry.window_features, telemetry.anomalies, quality.ledger, quality.gaps, quality.dirty_windows"
    )
    client.close()
    redis.Redis.from_url(job.settings.require("redis_url")).flushall()
