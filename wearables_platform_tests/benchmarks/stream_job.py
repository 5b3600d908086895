"""The stream with everything on over a log of known content, in this process, and the check of all that it wrote.

Nothing but `stream_run` and `live_loop` knows how the stream is put together.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import redis

from stream.source import wall_clock_us
from wearables_platform.clients.kafka import Admin, PartitionReader, TopicSpec
from wearables_platform.clients.sql import SqlClient
from wearables_platform.clients.topics import platform_topics
from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.domain.time_policy import from_us
from wearables_platform.errors import ConfigError
from wearables_platform.settings import Settings, load_settings
from wearables_platform.signals.features import FEATURE_COLUMNS
from wearables_platform.signals.windows import compute_windows
from wearables_platform.sql.migrate import migrate
from wearables_platform.wire.codec import decode
from wearables_platform.wire.samples import samples_from_messages
from wearables_platform_tests.benchmarks.fleet_log import (
    BLOCK_US,
    BLOCKS_PER_WINDOW,
    LogShape,
    append,
    device_id,
    records_of,
)
from wearables_platform_tests.benchmarks.runner import Lap
from wearables_platform_tests.benchmarks.stream_run import timed_cluster, timed_run
from wearables_platform_tests.servers import URL_VARIABLE, TestServers, fresh_database

PARTITIONS = 4
CHECKED_EVERY = 25


@dataclass(frozen=True)
class Expected:
    """What a log must leave behind: positions by outcome, samples in final rows; `whole` if no message is missing."""

    outcomes: dict[str, int]
    samples: int
    whole: bool = True


@dataclass(frozen=True)
class Job:
    """A log on a broker, and the stores its rows go to; `ends_us` is when the log took its last record."""

    settings: Settings
    shape: LogShape
    expected: Expected
    ends_us: int

    @property
    def kafka_url(self) -> str:
        """Where the log is."""
        return self.settings.require("kafka_url")

    @property
    def records(self) -> int:
        """Records in the log, bad ones included."""
        return sum(self.expected.outcomes.values())


def clean_log(shape: LogShape) -> Expected:
    """Say what a log without faults leaves behind; the closing messages stay in open windows."""
    return Expected({"stored": shape.messages}, shape.devices * shape.blocks * shape.samples_kept)


@dataclass
class Stage:
    """Servers for jobs: one database and Redis for all, a broker for each job unless one was given."""

    servers: TestServers
    settings: Settings
    given_kafka: str | None = None
    more_topics: Sequence[TopicSpec] = ()
    jobs: int = field(default=0)

    def job(
        self, shape: LogShape, records: Callable[[], Iterator[Any]] | None = None, expected: Expected | None = None
    ) -> Job:
        """Append a log to empty topics and hand it over."""
        settings = self.with_broker()
        kafka_url = settings.require("kafka_url")
        append(kafka_url, records() if records else records_of(shape))
        return Job(settings, shape, expected or clean_log(shape), log_end_us(kafka_url, shape))

    def with_broker(self) -> Settings:
        """Return the settings with a broker whose topics are there and empty."""
        self.jobs += 1
        kafka_url = self._given() if self.given_kafka else self._own()
        Admin(kafka_url).ensure_topics(self._topics())
        return self.settings.model_copy(update={"kafka_url": kafka_url})

    def _own(self) -> str:
        return self.servers.start_own("kafka", self.servers.directory / f"broker-{self.jobs}").url

    def _given(self) -> str:
        if self.jobs > 1:
            msg = "this figure needs several brokers at once: run it without --kafka-url"
            raise ConfigError(msg)
        delete_topics(str(self.given_kafka), {spec.name for spec in self._topics()})
        return str(self.given_kafka)

    def _topics(self) -> list[TopicSpec]:
        return [*platform_topics(PARTITIONS), *self.more_topics]


def log_end_us(kafka_url: str, shape: LogShape) -> int:
    """Return the append time of a log's last record: the producer's, or the broker's where that puts its own."""
    reader = PartitionReader(kafka_url, ACCELERATION.topic, 0)
    fetch, deadline = None, time.monotonic() + 30
    while fetch is None or not len(fetch):
        fetch = reader.fetch(1, 1.0)
        if time.monotonic() > deadline:
            msg = f"nothing to read in {ACCELERATION.topic}[0]"
            raise TimeoutError(msg)
    reader.close()
    by_producer = int(fetch.append_us[0]) == shape.start_us + BLOCK_US
    return shape.start_us + (shape.blocks + 1) * BLOCK_US if by_producer else wall_clock_us()


def delete_topics(kafka_url: str, ours: set[str]) -> None:
    """Delete topics of a broker that is for tests, and wait until they are gone."""
    admin = Admin(kafka_url)
    if found := ours & set(admin.list_topics()):
        admin.delete_topics(sorted(found))
    deadline = time.monotonic() + 30
    while ours & set(admin.list_topics()):
        if time.monotonic() > deadline:
            msg = "deleted topics did not go away within 30 s"
            raise TimeoutError(msg)
        time.sleep(0.2)


@contextmanager
def stage() -> Iterator[Stage]:
    """Start database and Redis; everything is gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="wearables-bench-"))
    directory.chmod(0o755)
    servers = TestServers(directory)
    try:
        redis_url = servers.url("redis")
        for sql_url in fresh_database(servers.url("postgres")):
            with contextlib.redirect_stdout(io.StringIO()):
                migrate(sql_url)
            settings = load_settings(
                redis_url=redis_url, sql_url=sql_url, run_dir=directory / "run", topic_partitions=PARTITIONS
            )
            yield Stage(servers, settings, os.environ.get(URL_VARIABLE["kafka"]))
    finally:
        servers.stop_all()
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def prepared_job(shape: LogShape, more_topics: Sequence[TopicSpec] = ()) -> Iterator[Job]:
    """Start servers, fill one log, and hand it over."""
    with stage() as here:
        here.more_topics = more_topics
        yield here.job(shape)


def stream_lap(job: Job, *, recovery: bool = True) -> Lap:
    """Run the whole stream over the log into empty stores and check what it wrote.

    The clock runs from the first look for data to the end of the dataflow: connecting, checking the log and making the
    recovery store come before it, the last writes and snapshots do not. With `WEARABLES_STREAM_PROCESSES` above one the
    stream runs in as many processes of its own, from the first look of any to the end of the last.
    """
    empty_stores(job.settings)
    directory = Path(tempfile.mkdtemp(prefix="wearables-bench-recovery-"))
    settings = job.settings.model_copy(update={"run_dir": directory})
    behind_us = wall_clock_us() - job.ends_us
    if settings.stream_processes > 1:
        timings = timed_cluster(settings, behind_us, recovery=recovery)
    else:
        timings = [timed_run(settings, behind_us, recovery=recovery)]
    shutil.rmtree(directory)
    seconds = max(one.ended_s for one in timings) - min(one.began_s for one in timings)
    wrong = what_is_wrong(job)
    return Lap(job.records, seconds, not wrong, sum(one.cpu_s for one in timings), wrong)


def what_is_wrong(job: Job) -> str:
    """Check every position, every row's samples, and the bits of some devices' rows against batch; say what differs."""
    client = SqlClient(job.settings.require("sql_url"), "bench", pool_size=1)
    try:
        if (found := positions(client)) != job.expected.outcomes:
            return f"the ledger has {found}, not {job.expected.outcomes}"
    finally:
        client.close()
    return wrong_rows(job.settings, job.shape, job.expected)


def wrong_rows(settings: Settings, shape: LogShape, expected: Expected) -> str:
    """Check the final rows' samples, and the bits of some devices' rows against batch; say what differs."""
    client = SqlClient(settings.require("sql_url"), "bench", pool_size=1)
    try:
        if (samples := final_samples(client)) != expected.samples:
            return f"final rows hold {samples} samples, not {expected.samples}"
        devices = range(0, shape.devices if expected.whole else 0, max(CHECKED_EVERY, shape.devices // 40))
        different = [device for device in devices if not rows_equal_batch(client, shape, device)]
        return f"rows of {len(different)} of {len(devices)} devices differ from batch's" if different else ""
    finally:
        client.close()


def positions(client: SqlClient) -> dict[str, int]:
    """Count log positions by what became of them, as the ledger tells."""
    ledger = """SELECT outcome, sum(upper(r) - lower(r))::int8 AS n FROM quality.ledger, unnest(positions) AS r
                WHERE consumer = 'stream' GROUP BY 1"""
    return {row["outcome"]: row["n"] for row in client.rows(ledger)}


def final_samples(client: SqlClient) -> int:
    """Sum the samples in final rows."""
    query = "SELECT coalesce(sum(n_samples), 0)::int8 AS n FROM telemetry.window_features WHERE NOT provisional"
    return int(client.rows(query)[0]["n"])


def rows_equal_batch(client: SqlClient, shape: LogShape, device: int) -> bool:
    """Compare a device's final rows with what batch computes from its messages, bit by bit."""
    payloads = [shape.payload(device, block) for block in range(shape.blocks + 1)]
    rows = decode(ACCELERATION, payloads).rows
    expected = compute_windows(
        samples_from_messages(pa.RecordBatch.from_arrays(rows.columns, rows.schema.names)).samples
    )
    names = ", ".join(column.name for column in FEATURE_COLUMNS)
    query = f"""SELECT window_start, {names} FROM telemetry.window_features
                WHERE device_id = %s AND NOT provisional ORDER BY window_start"""
    stored: list[dict[str, Any]] = client.rows(query, [device_id(device)])
    final = shape.blocks // BLOCKS_PER_WINDOW
    return [row["window_start"] for row in stored] == [from_us(int(at)) for at in expected.start_us[:final]] and all(
        np.array([np.nan if row[c.name] is None else row[c.name] for row in stored], c.dtype).tobytes()
        == expected[c.name][:final].astype(c.dtype).tobytes()
        for c in FEATURE_COLUMNS
    )


def empty_stores(settings: Settings) -> None:
    """Forget every row, position and newest value."""
    client = SqlClient(settings.require("sql_url"), "bench", pool_size=1)
    tables = "SELECT schemaname || '.' || tablename AS name FROM pg_tables WHERE schemaname IN ('telemetry', 'quality')"
    names = ", ".join(sorted(row["name"] for row in client.rows(tables)))
    client.execute(f"TRUNCATE {names} CASCADE")
    client.close()
    redis.Redis.from_url(settings.require("redis_url")).flushall()
