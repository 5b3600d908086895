"""The stock Bytewax style doing the stream's job: one message at a time through keyed state, rows to the same stores.

`KafkaSource`, a protobuf parse per message, a key per device, and per device in keyed state: duplicates dropped and
order restored by sequence, messages kept for the reach of a row, and each second, once it can be final, computed with
the platform's own kernels from that device's messages. Rows go to the same table by `executemany` with the same ON
CONFLICT, newest values to Redis by a pipeline of HSET, one batch of the engine at a time. It has no quarantine, ledger,
events, rolling rows or gap timeouts: still less than the stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import bytewax.operators as op
import numpy as np
import psycopg
import pyarrow as pa
import redis
from bytewax.connectors.kafka import KafkaSource, KafkaSourceMessage
from bytewax.dataflow import Dataflow
from bytewax.outputs import DynamicSink, StatelessSinkPartition

from stream.rows import FINAL_REVISION, ORIGIN, WINDOWS
from wearables_platform.clients.log import connection_config
from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.domain.time_policy import from_us
from wearables_platform.settings import Settings
from wearables_platform.signals.features import FEATURE_COLUMNS
from wearables_platform.signals.windows import FEATURE_VERSION, WINDOW_US, compute_windows
from wearables_platform.wire.codec import decode
from wearables_platform.wire.samples import REACH_AFTER_US, REACH_BEFORE_US, SETTLE_US, samples_from_messages
from wearables_platform.wire.v1 import telemetry_pb2 as pb
from wearables_platform_tests.benchmarks.fleet_log import BLOCK_US


class Message(NamedTuple):
    """A parsed message and its bytes."""

    batch: pb.AccelerationBatch
    raw: bytes


@dataclass
class Device:
    """What keyed state holds of a device."""

    next_sequence: int = 0
    waiting: dict[int, Message] = field(default_factory=dict)
    kept: list[Message] = field(default_factory=list)
    next_window_us: int | None = None

    def take(self, message: Message) -> Iterator[tuple[Any, ...]]:
        """Take a message and give the rows that became final."""
        if message.batch.sequence < self.next_sequence:
            return
        self.waiting[message.batch.sequence] = message
        while (following := self.waiting.pop(self.next_sequence, None)) is not None:
            self.next_sequence += 1
            self.kept.append(following)
            yield from self._final_rows(following.batch.start_time_us + BLOCK_US)

    def _final_rows(self, frontier_us: int) -> Iterator[tuple[Any, ...]]:
        first_us = self.kept[0].batch.start_time_us // WINDOW_US * WINDOW_US
        from_window_us = self.next_window_us if self.next_window_us is not None else first_us
        until_us = (frontier_us - SETTLE_US - REACH_AFTER_US) // WINDOW_US * WINDOW_US
        if until_us <= from_window_us:
            return
        yield from window_rows([message.raw for message in self.kept], from_window_us, until_us)
        self.next_window_us = until_us
        self.kept = [one for one in self.kept if one.batch.start_time_us + BLOCK_US > until_us - REACH_BEFORE_US]


def window_rows(payloads: list[bytes], from_us_: int, until_us: int) -> Iterator[tuple[Any, ...]]:
    """Compute a device's rows of the windows in [from, until)."""
    rows = decode(ACCELERATION, payloads).rows
    made = samples_from_messages(pa.RecordBatch.from_arrays(rows.columns, rows.schema.names))
    found = compute_windows(made.samples)
    for i in np.flatnonzero((found.start_us >= from_us_) & (found.start_us < until_us)).tolist():
        features = (_plain(found[column.name][i]) for column in FEATURE_COLUMNS)
        start = from_us(int(found.start_us[i]))
        yield (made.device_ids[0], start, *features, None, None, FEATURE_VERSION, False, FINAL_REVISION, ORIGIN)


def _plain(value: Any) -> float | int | None:
    plain: float | int = value.item()
    return None if plain != plain else plain  # noqa: PLR0124 - NaN is NULL


def same_job(settings: Settings, topic: str, parse: Any) -> Dataflow:
    """Build the dataflow; `parse` turns a Kafka message into a `Message`."""
    flow = Dataflow("stock-same-job")
    brokers = [connection_config(settings.require("kafka_url"), "bench")["bootstrap.servers"]]
    read = op.input("read", flow, KafkaSource(brokers, [topic], tail=False, batch_size=1_000))
    parsed = op.map("parse", read, parse)
    op.output("latest", parsed, PipelineSink(settings.require("redis_url")))
    keyed = op.key_on("device", parsed, lambda message: message.batch.device_id)
    rows = op.stateful_flat_map("windows", keyed, step)
    op.output("rows", op.map("row", rows, lambda pair: pair[1]), ExecuteManySink(settings.require("sql_url")))
    return flow


def parse(message: KafkaSourceMessage[Any, Any]) -> Message:
    """Parse one message."""
    return Message(pb.AccelerationBatch.FromString(message.value), message.value)


def step(device: Device | None, message: Message) -> tuple[Device, list[tuple[Any, ...]]]:
    """Move one device on by a message."""
    device = device or Device()
    return device, list(device.take(message))


@dataclass(frozen=True)
class ExecuteManySink(DynamicSink[tuple[Any, ...]]):
    """Rows to SQL, a transaction per batch."""

    sql_url: str

    def build(self, step_id: str, worker_index: int, worker_count: int) -> ExecuteManyPartition:
        """Connect."""
        del step_id, worker_index, worker_count
        return ExecuteManyPartition(psycopg.connect(self.sql_url))


class ExecuteManyPartition(StatelessSinkPartition[tuple[Any, ...]]):
    """One connection."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        names, marks = ", ".join(WINDOWS.columns), ", ".join(["%s"] * len(WINDOWS.columns))
        self._statement = f"INSERT INTO {WINDOWS.name} ({names}) VALUES ({marks}) {WINDOWS.on_conflict}".encode()

    def write_batch(self, items: list[tuple[Any, ...]]) -> None:
        """Write and commit."""
        with self._connection.cursor() as cursor:
            cursor.executemany(self._statement, items)
        self._connection.commit()

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()


@dataclass(frozen=True)
class PipelineSink(DynamicSink[Message]):
    """Newest values to Redis, a pipeline per batch."""

    redis_url: str

    def build(self, step_id: str, worker_index: int, worker_count: int) -> PipelinePartition:
        """Connect."""
        del step_id, worker_index, worker_count
        return PipelinePartition(redis.Redis.from_url(self.redis_url))


class PipelinePartition(StatelessSinkPartition[Message]):
    """One connection."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def write_batch(self, items: list[Message]) -> None:
        """Write the newest value of each device in the batch."""
        newest = {message.batch.device_id: message.batch for message in items}
        pipeline = self._client.pipeline(transaction=False)
        for device_id, batch in newest.items():
            x_g, y_g, z_g = np.frombuffer(batch.samples, "<f4")[-3:].tolist()
            values = {"time_us": batch.start_time_us, "sequence": batch.sequence, "x_g": x_g, "y_g": y_g, "z_g": z_g}
            pipeline.hset(f"stock:{device_id}", mapping=values)
        pipeline.execute()
