"""P3: the stream with everything on, against the stock Bytewax style doing the same job (`p3_same_job`).

P3-lean holds it against a stock dataflow that does less, so that nobody is fooled: it parses each message, keeps
one-second windows per device in keyed state and computes six of the row's columns with numpy; no order, no duplicates,
no cleaning, no stores. Its windows are counted; the other's rows are compared with batch's, as the stream's are.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import bytewax.operators as op
import numpy as np
from bytewax.connectors.kafka import KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.run import cli_main
from bytewax.testing import TestingSink

from wearables_platform.clients.log import TopicSpec, connection_config
from wearables_platform.signals.windows import WINDOW_US
from wearables_platform.wire.v1 import telemetry_pb2 as pb
from wearables_platform_tests.benchmarks.fleet_log import BLOCKS_PER_WINDOW, LogShape, append, records_of
from wearables_platform_tests.benchmarks.p2_stream import shape_of
from wearables_platform_tests.benchmarks.p3_same_job import parse, same_job
from wearables_platform_tests.benchmarks.runner import Figure, Lap, compare
from wearables_platform_tests.benchmarks.stream_job import (
    PARTITIONS,
    Job,
    clean_log,
    empty_stores,
    prepared_job,
    stream_lap,
    wrong_rows,
)

LEAN_TOPIC, SAME_JOB_TOPIC = "bench.stock.lean", "bench.stock.same"
# The stock styles are slower: they get a part of the messages, and rates are compared.
LEAN_SHARE, SAME_JOB_SHARE = 4, 40

Window = tuple[int, list[np.ndarray]]


def measure(rounds: int, seconds: float) -> list[Figure]:
    """Alternate the stream and either stock style."""
    shape = shape_of(seconds)
    with prepared_job(shape, [TopicSpec(topic, PARTITIONS) for topic in (LEAN_TOPIC, SAME_JOB_TOPIC)]) as job:
        lean, same = shorter(shape, LEAN_SHARE), shorter(shape, SAME_JOB_SHARE)
        append(job.kafka_url, records_of(lean), LEAN_TOPIC)
        append(job.kafka_url, records_of(same), SAME_JOB_TOPIC)
        against_same = {"stream": lambda: stream_lap(job), "stock, same job": lambda: same_job_lap(job, same)}
        against_lean = {"stream": lambda: stream_lap(job), "stock, lean": lambda: lean_lap(job, lean)}
        return [
            compare("P3", against_same, rounds=rounds, must=10, stretch=25, unit="x stock style"),
            compare("P3-lean", against_lean, rounds=rounds, must=1, stretch=10, unit="x lean stock"),
        ]


def shorter(shape: LogShape, share: int) -> LogShape:
    """Return a log of a part of the messages: whole windows, ten at least."""
    return replace(shape, blocks=max(10 * BLOCKS_PER_WINDOW, shape.blocks // share // 10 * 10))


def same_job_lap(job: Job, shape: LogShape) -> Lap:
    """Run the stock dataflow of the same job over its topic into empty stores and check its rows."""
    empty_stores(job.settings)
    clock = FirstMessage()
    cli_main(same_job(job.settings, SAME_JOB_TOPIC, clock.starting(parse)))
    seconds, cpu_seconds = clock.elapsed()
    wrong = wrong_rows(job.settings, shape, clean_log(shape))
    return Lap(shape.messages, seconds, not wrong, cpu_seconds, wrong)


class FirstMessage:
    """A clock that starts with the first message."""

    def __init__(self) -> None:
        self._began: tuple[float, float] | None = None

    def starting(self, parse_one: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return the parser, starting the clock."""

        def starting(message: Any) -> Any:
            if self._began is None:
                self._began = time.perf_counter(), time.process_time()
            return parse_one(message)

        return starting

    def elapsed(self) -> tuple[float, float]:
        """Return seconds and processor seconds since."""
        assert self._began is not None, "no message came"
        return time.perf_counter() - self._began[0], time.process_time() - self._began[1]


def lean_lap(job: Job, shape: LogShape) -> Lap:
    """Run the lean dataflow over its topic and count the windows it closed."""
    closed: list[Any] = []
    clock = FirstMessage()
    flow = Dataflow("stock-lean")
    brokers = [connection_config(job.kafka_url, "bench")["bootstrap.servers"]]
    messages = op.input("read", flow, KafkaSource(brokers, [LEAN_TOPIC], tail=False, batch_size=1_000))
    parsed = op.map("parse", messages, clock.starting(lambda message: pb.AccelerationBatch.FromString(message.value)))
    keyed = op.key_on("device", parsed, lambda batch: batch.device_id)
    rows = op.stateful_map("window", keyed, add_to_window)
    found = op.filter_map("closed", rows, lambda pair: pair[1])
    op.output("count", found, TestingSink(closed))
    cli_main(flow)
    windows = shape.devices * (shape.blocks // BLOCKS_PER_WINDOW)  # the closing message ends the last one
    return Lap(shape.messages, clock.elapsed()[0], len(closed) == windows, clock.elapsed()[1])


def add_to_window(state: Window | None, batch: pb.AccelerationBatch) -> tuple[Window, dict[str, float] | None]:
    """Add a message to its device's window; a message of the next second closes it."""
    accel_g = np.frombuffer(batch.samples, "<f4").reshape(-1, 3)
    vm_g = np.sqrt((accel_g.astype(np.float64) ** 2).sum(axis=1))
    second = batch.start_time_us // WINDOW_US
    if state is None or state[0] == second:
        return (second, [*(state[1] if state else []), vm_g]), None
    return (second, [vm_g]), features(np.concatenate(state[1]))


def features(vm_g: np.ndarray) -> dict[str, float]:
    """Compute six columns of a window."""
    return {
        "vm_mean_g": float(vm_g.mean()),
        "vm_std_g": float(vm_g.std()),
        "vm_max_g": float(vm_g.max()),
        "vm_p95_g": float(np.percentile(vm_g, 95)),
        "enmo_mg": float(np.maximum(vm_g - 1, 0).mean() * 1_000),
        "mad_mg": float(np.abs(vm_g - vm_g.mean()).mean() * 1_000),
    }
