"""P3: the stream with everything on, against the stock Bytewax style: KafkaSource, then one message at a time.

The stock side does less: it parses each message with protobuf, keeps one-second windows per device in keyed state and
computes six of the row's columns with numpy; no order, no duplicates, no cleaning, no stores. Its windows are counted.
"""

from __future__ import annotations

import time
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
from wearables_platform_tests.benchmarks.runner import Figure, Lap, compare
from wearables_platform_tests.benchmarks.stream_job import PARTITIONS, Job, prepared_job, stream_lap

TOPIC = "bench.stock"
# The stock style is slower: it gets a part of the messages, and rates are compared.
SHARE = 4

Window = tuple[int, list[np.ndarray]]


def measure(rounds: int, seconds: float) -> list[Figure]:
    """Alternate the stream and the stock style."""
    shape = shape_of(seconds)
    shorter = replace(shape, blocks=max(BLOCKS_PER_WINDOW, shape.blocks // SHARE))
    with prepared_job(shape, [TopicSpec(TOPIC, PARTITIONS)]) as job:
        append(job.kafka_url, records_of(shorter), TOPIC)
        sides = {"stream": lambda: stream_lap(job), "stock": lambda: stock_lap(job, shorter)}
        return [compare("P3", sides, rounds=rounds, must=10, stretch=25, unit="x stock style")]


def stock_lap(job: Job, shape: LogShape) -> Lap:
    """Run the stock dataflow over its topic from its first message on and count the windows it closed."""
    closed: list[Any] = []
    began: list[float] = []

    def parse(message: Any) -> pb.AccelerationBatch:
        if not began:
            began.extend((time.perf_counter(), time.process_time()))
        return pb.AccelerationBatch.FromString(message.value)

    flow = Dataflow("stock")
    brokers = [connection_config(job.kafka_url, "bench")["bootstrap.servers"]]
    messages = op.input("read", flow, KafkaSource(brokers, [TOPIC], tail=False, batch_size=1_000))
    keyed = op.key_on("device", op.map("parse", messages, parse), lambda batch: batch.device_id)
    rows = op.stateful_map("window", keyed, add_to_window)
    found = op.filter_map("closed", rows, lambda pair: pair[1])
    op.output("count", found, TestingSink(closed))
    cli_main(flow)
    seconds, cpu_seconds = time.perf_counter() - began[0], time.process_time() - began[1]
    windows = shape.devices * (shape.blocks // BLOCKS_PER_WINDOW)  # the closing message ends the last one
    return Lap(shape.messages, seconds, len(closed) == windows, cpu_seconds)


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
