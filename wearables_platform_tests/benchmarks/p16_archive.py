"""P16: raw messages into MongoDB, of ten blocks of 100 ms against of one, the same samples.

Both sides go the archive's own way: records of the log are decoded, hashed and sorted, then written by its sink.
`P16` is blocks per second, `P16-disk` bytes of documents and indexes in the store's files. `P16-bare` holds the sink,
from the log's bytes to the answer, against an unordered `insert_many` of the same documents made before. After each lap
every identity and hash is read back. WEARABLES_TEST_MONGO_URL names another store than the embedded one.
"""

from __future__ import annotations

import os
import statistics
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import numpy as np
import pymongo

from wearables_platform.archive.documents import Sorted, sort_fetch
from wearables_platform.archive.sink import ArchiveSink
from wearables_platform.clients.kafka import Fetch
from wearables_platform.clients.mongo import DocumentStore
from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.wire.codec import decode, encode_samples_float32
from wearables_platform.wire.v1 import telemetry_pb2 as pb
from wearables_platform_tests.benchmarks.runner import Figure, Lap, compare, judged
from wearables_platform_tests.servers import URL_VARIABLE, TestServers, open_directory

IDS = ("P16",)
START_US = 1_774_742_400_000_000
BLOCK_US, SAMPLES_PER_BLOCK, RATE_HZ = 100_000, 10, 100.0
MANY = 10
RECORDS_PER_FETCH = 2_000
DEVICES = 20
# Documents the embedded store takes in a second, about; decides only how many fit a lap.
DOCUMENTS_PER_S = 4_000
RETENTION_S = 20 * 365 * 86_400


@dataclass
class Bench:
    """A server, and databases of it that no lap has used yet."""

    url: str
    blocks: int
    disk: dict[int, list[int]] = field(default_factory=dict)

    def lap(self, blocks_per_message: int, *, bare: bool = False) -> Lap:
        """Time one way of writing all blocks into a fresh database, check it and weigh it."""
        fetches = fetches_of(self.blocks, blocks_per_message)
        database = f"p16_{uuid.uuid4().hex[:12]}"
        url = urlunsplit(urlsplit(self.url)._replace(path=f"/{database}"))
        with (
            closing(DocumentStore(url, "bench")) as store,
            pymongo.MongoClient(url, w="majority", journal=True) as client,
        ):
            sink = ArchiveSink(store, RETENTION_S)
            sink.prepare()
            collection = client.get_default_database()[ACCELERATION.collection]
            write: Callable[[Any], Any] = sink.write
            ready: Sequence[Any] = fetches
            if bare:
                ready = [sorted_of(fetch).messages for fetch in fetches]
                write = lambda documents: collection.insert_many(documents, ordered=False)  # noqa: E731
            began, began_cpu = time.perf_counter(), time.process_time()
            for one in ready:
                write(one if bare else sorted_of(one))
            seconds, cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
            wrong = difference(store, fetches)
            self.disk.setdefault(blocks_per_message, []).append(bytes_of(client, database))
            client.drop_database(database)
        return Lap(self.blocks, seconds, not wrong, cpu_s, wrong)


def bytes_of(client: pymongo.MongoClient[Any], database: str) -> int:
    """Return what the documents and indexes of a database take in its files."""
    return int(client[database].command("dbStats")["totalSize"])


def sorted_of(fetch: Fetch) -> Sorted:
    return sort_fetch(ACCELERATION, fetch, "log-1", decode)


def fetches_of(blocks: int, blocks_per_message: int) -> list[Fetch]:
    """Cut the same samples of a fleet into messages, as the log would hand them over."""
    per_device = blocks // DEVICES
    random = np.random.default_rng(16)
    samples = random.normal(0, 0.3, (DEVICES, per_device * SAMPLES_PER_BLOCK, 3)).astype(np.float32)
    messages = per_device // blocks_per_message
    records = [
        (f"bench-{device:04d}", _payload(samples[device], device, number, blocks_per_message))
        for number in range(messages)
        for device in range(DEVICES)
    ]
    return [_fetch(records, at) for at in range(0, len(records), RECORDS_PER_FETCH)]


def _payload(samples: Any, device: int, number: int, blocks: int) -> bytes:
    size = blocks * SAMPLES_PER_BLOCK
    start_us = START_US + number * blocks * BLOCK_US
    return pb.AccelerationBatch(
        device_id=f"bench-{device:04d}",
        boot_id=1,
        sequence=number,
        start_time_us=start_us,
        start_monotonic_us=number * blocks * BLOCK_US,
        rate_hz=RATE_HZ,
        encoding=pb.SAMPLE_ENCODING_FLOAT32_G,
        samples=encode_samples_float32(samples[number * size : (number + 1) * size]),
        source_rate_hz=RATE_HZ,
        downsampling=pb.DOWNSAMPLING_NONE,
        block_count=blocks,
    ).SerializeToString(deterministic=True)


def _fetch(records: Sequence[tuple[str, bytes]], at: int) -> Fetch:
    part = records[at : at + RECORDS_PER_FETCH]
    offsets = np.arange(at, at + len(part), dtype=np.int64)
    append_us = np.full(len(part), START_US + 86_400_000_000)
    keys, payloads = [device.encode() for device, _ in part], [payload for _, payload in part]
    return Fetch(ACCELERATION.topic, 0, offsets, append_us, keys, payloads, at_end=False)


def difference(store: DocumentStore, fetches: Sequence[Fetch]) -> str:
    """Say how the store differs from the messages it should hold."""
    wanted = {each["_id"]: each["payload_sha256"] for fetch in fetches for each in sorted_of(fetch).messages}
    batches = store.stream_documents(ACCELERATION.collection, {}, ["payload_sha256"], batch=RECORDS_PER_FETCH)
    found = {each["_id"]: each["payload_sha256"] for batch in batches for each in batch}
    return "" if found == wanted else f"of {len(wanted)} messages the store holds {len(found.items() & wanted.items())}"


@contextmanager
def prepared(seconds: float) -> Iterator[Bench]:
    """Start or take a server and hand over."""
    blocks = max(2_000, round(seconds / 6 * DOCUMENTS_PER_S) // (DEVICES * MANY) * DEVICES * MANY)
    given = os.environ.get(URL_VARIABLE["mongo"])
    if given:
        yield Bench(given, blocks)
        return
    with open_directory() as directory:
        servers = TestServers(directory)
        try:
            yield Bench(servers.shared("mongo").url, blocks)
        finally:
            servers.stop_all()


def measure(rounds: int, seconds: float) -> list[Figure]:
    """Compare messages of ten blocks with messages of one, and the sink with a bare insert."""
    with prepared(seconds) as bench:
        sides = {"10 blocks": lambda: bench.lap(MANY), "1 block": lambda: bench.lap(1)}
        batched = compare("P16", sides, rounds=rounds, must=5.0, stretch=5.0, unit="x blocks/s")
        many, one = bench.disk[MANY], bench.disk[1]
        shares = [a / b for a, b in zip(many, one, strict=True)]
        each = [statistics.median(found) / bench.blocks for found in (many, one)]
        detail = f"{each[0]:.0f} against {each[1]:.0f} bytes a block"
        disk = judged(
            "P16-disk",
            shares,
            must=0.5,
            stretch=0.5,
            unit="x bytes",
            whole=batched.loss_check,
            detail=detail,
            at_most=True,
        )
        bare = {"sink": lambda: bench.lap(MANY), "insert_many": lambda: bench.lap(MANY, bare=True)}
        return [batched, disk, compare("P16-bare", bare, rounds=rounds, must=0.0, stretch=0.8, unit="of insert_many")]
