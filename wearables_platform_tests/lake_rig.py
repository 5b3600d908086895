"""Archived acceleration messages for tests of the lake, and an archive that is a list of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from itertools import islice
from typing import Any

import numpy as np

from wearables_platform.domain.time_policy import event_day, to_us
from wearables_platform.wire.codec import encode_samples_float32
from wearables_platform.wire.v1 import telemetry_pb2 as pb

DAY = "2026-03-29"
DAY_US = to_us(datetime(2026, 3, 29, tzinfo=UTC))
BOOT = 0x1234


@cache
def noise(count: int) -> bytes:
    """Samples no encoding can do much with."""
    return encode_samples_float32(np.random.default_rng(7).normal(0, 1, (count, 3)))


def document(
    device_id: str, sequence: int, *, samples: bytes | None = None, rate_hz: float = 100.0, every_us: int = 1_000_000
) -> dict[str, Any]:
    """An archived message, as the archive stores it."""
    start_us = DAY_US + sequence * every_us
    payload = pb.AccelerationBatch(
        device_id=device_id,
        boot_id=BOOT,
        sequence=sequence,
        start_time_us=start_us,
        start_monotonic_us=sequence * every_us,
        rate_hz=rate_hz,
        encoding=pb.SAMPLE_ENCODING_FLOAT32_G,
        samples=noise(10) if samples is None else samples,
        source_rate_hz=rate_hz,
        downsampling=pb.DOWNSAMPLING_NONE,
        block_count=1,
    ).SerializeToString(deterministic=True)
    return {
        "_id": f"{device_id}:{BOOT:016x}:{sequence}",
        "event_day": event_day(start_us),
        "payload": payload,
        "payload_sha256": hashlib.sha256(payload).hexdigest(),
        "append_time_us": start_us + 500_000,
        "topic": "wearables.acceleration.v1",
        "partition": 0,
        "offset": sequence,
    }


def documents(*, devices: int, messages: int) -> list[dict[str, Any]]:
    """A second's message per device and second, in the order a log would have."""
    return [document(f"watch-{number:03d}", sequence) for sequence in range(messages) for number in range(devices)]


def large_documents(count: int) -> Iterator[dict[str, Any]]:
    """Messages of 100 ms at 16 kHz, made as they are asked for, latest first."""
    samples = noise(1_600)
    for sequence in reversed(range(count)):
        yield document("watch-fast", sequence, samples=samples, rate_hz=16_000.0, every_us=100_000)


class ListedArchive:
    """The reads of `DocumentStore` that an export makes, over given documents of one day."""

    def __init__(
        self, documents: Iterable[Mapping[str, Any]], count: int | None = None, *, at_once: int = 800, day: str = DAY
    ) -> None:
        self._documents, self._at_once, self._day = documents, at_once, day
        self._count = len(documents) if isinstance(documents, list) else count or 0

    def aggregate(self, collection: str, pipeline: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return [{"_id": self._day, "messages": self._count}]

    def stream_documents(
        self, collection: str, query: Any, fields: Any = None, *, batch: int = 1_000
    ) -> Iterator[list[dict[str, Any]]]:
        """Yield documents in lists no longer than a server sends."""
        found = iter(self._documents)
        while part := list(islice(found, min(batch, self._at_once))):
            yield [dict(each) for each in part]
