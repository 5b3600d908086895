"""The real stream process on real servers, killed where a test says.

The kill lives here, outside the platform's code: a named function is wrapped and, at its n-th call, the process kills
itself with SIGKILL. Processes are forked from a server that has imported the stream and opened nothing, so that a kill
costs no imports.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import stream.journal
import stream.partition
import stream.sinks
from stream.partition import Partition, PartitionRules
from stream.process import run
from stream.source import wall_clock_us
from stream.state import PartitionState
from wearables_platform.clients.kafka import EARLIEST, Admin, Fetch, PartitionReader, Producer
from wearables_platform.clients.sql import SqlClient
from wearables_platform.clients.topics import platform_topics
from wearables_platform.domain.channels import ACCELERATION, CHANNELS, Channel
from wearables_platform.settings import load_settings
from wearables_platform_tests.stream_logs import NoModel, Outcome, Record

MODEL_SIGNING_KEY = "a key only tests sign with"

# Where a kill may strike: the function wrapped, and whether it dies before or after the call.
POINTS: dict[str, tuple[Any, str, str]] = {
    "after_decode": (stream.partition, "decode_fetch", "after"),
    "before_latest": (stream.sinks.LatestWriter, "write", "before"),
    "after_latest": (stream.sinks.LatestWriter, "write", "after"),
    "before_history": (stream.sinks, "write_history", "before"),
    "in_history": (stream.sinks, "write_history", "after"),  # written, not committed
    "before_snapshot": (stream.journal, "write_record", "before"),
    "in_snapshot": (stream.journal, "write_record", "after"),  # nothing on the disk yet
    "after_state": (stream.journal.Journal, "save", "after"),  # on the disk, and the engine does not know yet
}


def arm(point: str, after: int) -> None:
    """Let the process die at the n-th call of a point."""
    home, name, when = POINTS[point]
    real = getattr(home, name)
    calls = 0

    def deadly(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == after and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*args, **kwargs)
        if calls == after:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(home, name, deadly)


def arm_poison(marker: bytes) -> None:
    """Let the process die of a segmentation fault when it decodes a payload with the marker."""
    real = stream.partition.decode_fetch

    def deadly(channel: Channel, fetch: Fetch, *args: Any, **kwargs: Any) -> Any:
        if any(marker in payload for payload in fetch.payloads):
            os.kill(os.getpid(), signal.SIGSEGV)
        return real(channel, fetch, *args, **kwargs)

    stream.partition.decode_fetch = deadly


@dataclass
class StreamRig:
    """A stream with its own Kafka, database and Redis."""

    kafka_url: str
    sql_url: str
    redis_url: str
    run_dir: Path
    partitions: int = 2
    extra: dict[str, str] = field(default_factory=dict)
    process: Any = None

    def environment(self) -> dict[str, str]:
        settings = {
            "KAFKA_URL": self.kafka_url,
            "SQL_URL": self.sql_url,
            "REDIS_URL": self.redis_url,
            "RUN_DIR": str(self.run_dir),
            "TOPIC_PARTITIONS": str(self.partitions),
            "STREAM_EPOCH_S": "0.1",
            "MODEL_SIGNING_KEY": MODEL_SIGNING_KEY,
            **self.extra,
        }
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("WEARABLES_")}
        return {**inherited, **{f"WEARABLES_{name}": value for name, value in settings.items()}}

    def make_topics(self) -> None:
        Admin(self.kafka_url).ensure_topics(platform_topics(self.partitions))

    def send(self, records: list[Record], channel: Channel = ACCELERATION) -> None:
        """Append records, with their times where the broker lets a producer say them."""
        producer = Producer(self.kafka_url, "test")
        for record in records:
            key, at_ms = record.device_id.encode(), record.at_us // 1_000
            producer.send(channel.topic, key, record.payload, timestamp_ms=at_ms)
        producer.flush(30)

    def start(self, kill: tuple[str, int] | None = None, poison: bytes | None = None) -> None:
        """Start the process; `kill` is a point and the call of it to die at, `poison` bytes it dies of."""
        self.run_dir.mkdir(parents=True, exist_ok=True)
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["wearables_platform_tests.stream_rig", "wearables_platform_tests.stream_warm"])
        log = str(self.run_dir / "stream.log")
        arguments = (self.environment(), log, kill, poison)
        self.process = context.Process(target=_run_stream, args=arguments, daemon=True)
        self.process.start()

    def wait(self, seconds: float = 60.0) -> int:
        """Wait for the process to end by itself and return its exit code (negative: the signal)."""
        assert self.process is not None
        self.process.join(seconds)
        code = self.process.exitcode
        if code is None:
            pytest.fail(f"the stream did not end within {seconds} s\n{self.log()[-3000:]}")
        self.process = None
        return code

    def stop(self) -> int:
        """Ask the process to end and return its exit code."""
        assert self.process is not None
        self.process.terminate()
        return self.wait()

    def start_until_it_lives(self, done: Callable[[], bool], poison: bytes, most: int = 20) -> int:
        """Start the process again whenever it dies, until `done`; returns how often it died."""
        for deaths in range(most):
            self.start(poison=poison)
            deadline = time.monotonic() + 60.0
            while self.process.exitcode is None and not done():
                assert time.monotonic() < deadline, self.log()[-3000:]
                time.sleep(0.05)
            if self.process.exitcode is None:
                return deaths
            assert self.wait() == -signal.SIGSEGV
        pytest.fail(f"it died {most} times\n{self.log()[-3000:]}")

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join(30)
        self.process = None

    def log(self) -> str:
        return (self.run_dir / "stream.log").read_text()

    def wait_until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Poll until a condition holds; a process that ends meanwhile fails the test with its log."""
        deadline = time.monotonic() + seconds
        while not condition():
            if self.process is not None and self.process.exitcode is not None:
                pytest.fail(f"the stream ended with {self.process.exitcode}\n{self.log()[-3000:]}")
            if time.monotonic() > deadline:
                pytest.fail(f"not within {seconds} s\n{self.log()[-3000:]}")
            time.sleep(0.05)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        client = SqlClient(self.sql_url, "test", pool_size=1)
        try:
            return [tuple(row.values()) for row in client.rows(query)]
        finally:
            client.close()

    def ledger(self) -> dict[str, dict[tuple[str, int], set[int]]]:
        """What became of each position: outcome -> (topic, partition) -> positions."""
        found: dict[str, dict[tuple[str, int], set[int]]] = {}
        query = """SELECT outcome, topic, partition_number, lower(r)::int8 AS lo, upper(r)::int8 AS hi
                   FROM quality.ledger, unnest(positions) AS r WHERE consumer = 'stream'"""
        for outcome, topic, number, low, high in self.rows(query):
            found.setdefault(outcome, {}).setdefault((topic, number), set()).update(range(low, high))
        return found

    def positions_read(self) -> int:
        return sum(len(positions) for by_log in self.ledger().values() for positions in by_log.values())


def whole_log(kafka_url: str, topic: str, number: int) -> list[Fetch]:
    """Everything a partition holds."""
    reader = PartitionReader(kafka_url, topic, number, EARLIEST)
    fetches, at_end = [], False
    while not at_end:
        fetch = reader.fetch(10_000, 0.1)
        if fetch is not None:
            at_end = fetch.at_end
            fetches.append(fetch)
    reader.close()
    return fetches


def expected_outcome(rig: StreamRig) -> Outcome:
    """What an undisturbed stream makes of the log as it is."""
    outcome = Outcome()
    for channel in CHANNELS:
        for number in range(rig.partitions):
            partition = Partition(PartitionState(channel.topic, number, None, 0), PartitionRules(), NoModel())
            for fetch in whole_log(rig.kafka_url, channel.topic, number):
                outcome.add(partition.take(fetch, wall_clock_us()))
            outcome.add(partition.flush(wall_clock_us()))
            last = partition.wait(wall_clock_us() + 10_000_000)
            if last is not None:
                outcome.add(last)
    return outcome


def _run_stream(environment: dict[str, str], log: str, kill: tuple[str, int] | None, poison: bytes | None) -> None:
    """Be the stream process (in the forked child)."""
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.clear()
    os.environ.update(environment)
    if kill is not None:
        arm(*kill)
    if poison is not None:
        arm_poison(poison)
    run(load_settings())
