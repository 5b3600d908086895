"""Three days of messages around a midnight in a lake, with everything that makes a day depend on its neighbours."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wearables_platform.batch import messages
from wearables_platform.clients.lake import Lake
from wearables_platform.clients.lake_files import FileObjects
from wearables_platform.domain.channels import ACCELERATION, VITALS
from wearables_platform.domain.time_policy import event_day
from wearables_platform.partitions import neighbours
from wearables_platform.wire.codec import encode_samples_float32
from wearables_platform.wire.v1 import telemetry_pb2 as pb
from wearables_platform_tests.lake_rig import DAY, DAY_US

SECOND_US = 1_000_000
DAY_END_US = DAY_US + 86_400 * SECOND_US


class DaysArchive:
    """The reads of `DocumentStore` that an export makes, over given documents of any days and channels."""

    def __init__(self, documents: Sequence[Mapping[str, Any]]) -> None:
        self._documents = documents

    def aggregate(self, collection: str, pipeline: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        days = [each["event_day"] for each in self._documents if each["collection"] == collection]
        return [{"_id": day, "messages": days.count(day)} for day in sorted(set(days))]

    def stream_documents(
        self, collection: str, query: Mapping[str, Any], fields: Any = None, *, batch: int = 1_000
    ) -> Iterator[list[dict[str, Any]]]:
        day = query["event_day"]
        found = (dict(d) for d in self._documents if (d["collection"], d["event_day"]) == (collection, day))
        while part := list(islice(found, batch)):
            yield part


def archived(collection: str, device_id: str, boot: int, number: int, start_us: int, payload: bytes) -> dict[str, Any]:
    return {
        "collection": collection,
        "_id": f"{device_id}:{boot:016x}:{number}",
        "event_day": event_day(start_us),
        "payload": payload,
        "payload_sha256": hashlib.sha256(payload).hexdigest(),
        "append_time_us": start_us + 2 * SECOND_US,
        "topic": collection,
        "partition": 0,
        "offset": (start_us - DAY_US) // 1_000 + 10**9,
    }


def motion(
    device_id: str,
    begin_us: int,
    seconds: int,
    *,
    rate_hz: float = 50.0,
    boot: int = 1,
    first: int = 0,
    step_us: int = 0,
) -> Iterator[dict[str, Any]]:
    """Messages of a second; with `step_us` the wall clock has jumped that far against the monotonic one."""
    random = np.random.default_rng([boot, first, sum(device_id.encode())])
    for number in range(first, first + seconds):
        start_us = begin_us + (number - first) * SECOND_US
        accel_g = random.normal(0, 0.3, (round(rate_hz), 3)) + (0, 0, 1)
        accel_g[3:9] += 4.0 * (number % 11 == 0)  # a knock now and then
        payload = pb.AccelerationBatch(
            device_id=device_id,
            boot_id=boot,
            sequence=number,
            start_time_us=start_us,
            start_monotonic_us=start_us - DAY_US + 10**12 - step_us,
            rate_hz=rate_hz,
            encoding=pb.SAMPLE_ENCODING_FLOAT32_G,
            samples=encode_samples_float32(accel_g),
            source_rate_hz=rate_hz,
            downsampling=pb.DOWNSAMPLING_NONE,
            block_count=1,
        ).SerializeToString(deterministic=True)
        yield archived(ACCELERATION.collection, device_id, boot, number, start_us, payload)


def pulse(device_id: str, begin_us: int, minutes: int, bpm: float) -> dict[str, Any]:
    """A heart rate per ten seconds in one message."""
    readings = [pb.HeartRate(time_us=begin_us + i * 10 * SECOND_US, bpm=bpm) for i in range(6 * minutes)]
    payload = pb.VitalsBatch(
        device_id=device_id, boot_id=9, sequence=1, start_time_us=begin_us, heart_rate=readings
    ).SerializeToString(deterministic=True)
    return archived(VITALS.collection, device_id, 9, 1, begin_us, payload)


def three_days() -> list[dict[str, Any]]:
    """Movement over both midnights, two boots at once, an old clock jump, a silence, 2 kHz, heart rates."""
    noon_us = DAY_US + 43_200 * SECOND_US
    parts = [
        motion("watch-both-midnights", DAY_US - 200 * SECOND_US, 400),
        motion("watch-both-midnights", DAY_END_US - 40 * SECOND_US, 90, first=1_000),
        motion("watch-boots", noon_us, 60),
        motion("watch-boots", noon_us + 20_300_000, 60, boot=2),
        motion("watch-stepped", DAY_US - 3_600 * SECOND_US, 20),
        motion("watch-stepped", DAY_US + 90 * SECOND_US, 60, first=500, step_us=7 * SECOND_US),
        motion("watch-2khz", noon_us - 3 * SECOND_US, 12, rate_hz=2_000.0),
        motion("watch-silent", noon_us, 30),
        motion("watch-silent", noon_us + 7_200 * SECOND_US, 30, first=30),
        *(motion(f"watch-{number:02d}", noon_us + number * 500_000, 25) for number in range(12)),
        motion("watch-tomorrow", DAY_END_US + SECOND_US, 20),
        motion("watch-yesterday", DAY_US - 4_000 * SECOND_US, 20),
    ]
    hearts = [pulse("watch-00", noon_us, 30, 190.0), pulse("watch-no-motion", DAY_US - 60 * SECOND_US, 40, 185.0)]
    return [document for part in parts for document in part] + hearts


def lake_of_days(
    directory: Path, documents: Sequence[Mapping[str, Any]], patch: pytest.MonkeyPatch, buckets: int = 1, **options: Any
) -> Lake:
    """Export a day and its neighbours, each cut into so many buckets."""
    lake = Lake(FileObjects(directory), **options)
    with patch.context() as patched:
        patched.setattr(messages, "bucket_count", lambda _: buckets)
        for channel in (ACCELERATION, VITALS):
            for day in neighbours([DAY]):
                messages.export_days(DaysArchive(documents), lake, channel, [day])
    return lake


def objects_of(directory: Path, folder: str) -> dict[str, bytes]:
    """Every file below a folder of the lake, and its manifests."""
    found = [*(directory / folder).rglob("*"), *(directory / "manifests" / folder).rglob("*")]
    return {str(path.relative_to(directory)): path.read_bytes() for path in found if path.is_file()}
