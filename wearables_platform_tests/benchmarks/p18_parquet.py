"""P18: bytes of the lake's Parquet files per byte of the same samples as plain int16 (6 bytes a sample).

Run with `python -m wearables_platform_tests.benchmarks --only P18`. Everything in the files counts: samples, identity,
clocks, log position, SHA-256 of each message, statistics, footer. The figure is one day's partition holding every
recording of the corpus, sent as int16 in messages of a second. The detail says what else was tried on the same corpus:
messages of 100 ms, samples alone, each kind of recording alone, and float32 as a client sends it by default, both the
recorded values and means of four samples. Read back, every message is compared with what was sent, byte by byte.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray

from wearables_platform.clients.lake import Lake, Manifest
from wearables_platform.clients.lake_files import FileObjects
from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.wire.codec import encode_samples_float32, encode_samples_int16
from wearables_platform.wire.lake_schemas import ACCELERATION_DATASET
from wearables_platform.wire.raw_messages import TIME_SPAN, raw_rows
from wearables_platform.wire.sample_columns import STORED
from wearables_platform.wire.v1 import telemetry_pb2 as pb
from wearables_platform_tests import recordings
from wearables_platform_tests.benchmarks.runner import Figure, judged, tell
from wearables_platform_tests.lake_rig import DAY, DAY_US
from wearables_platform_tests.recordings import Recording

IDS = ("P18",)
COUNTS = 32_767
INT16, FLOAT32 = "int16", "float32"

Corpus = Mapping[str, Sequence[Recording]]


def corpus() -> Corpus:
    """Return the real recordings that are on this machine, by kind."""
    kinds: dict[str, Callable[[], Sequence[Recording]]] = {
        "watch 50 Hz": recordings.seglearn_watch,
        "watch 104 Hz": recordings.spsw_watch,
        "wristband 32 Hz": lambda: [recordings.stress_predict(subject) for subject in ("S01", "S02", "S10")],
        "actigraph 100 Hz": lambda: [recordings.harlab_wrist()],
        "phones": lambda: [recordings.oxford_trial(name) for name in recordings.OXFORD_STEPS],
        "shock 20 kHz": lambda: [recordings.endaq_piezo()],
    }
    found: dict[str, Sequence[Recording]] = {}
    for kind, read in kinds.items():
        try:
            found[kind] = read()
        except pytest.skip.Exception:
            continue
    return found


def documents(recording: Recording, device_id: str, encoding: str, seconds: float) -> list[dict[str, Any]]:
    """Return a recording as archived messages of so many seconds, from the day's begin."""
    range_g = 16.0 if np.abs(recording.accel_g).max() <= 16 else 128.0
    scale_g = float(np.float32(range_g / COUNTS))
    each = max(1, round(recording.rate_hz * seconds))
    return [
        _document(recording.accel_g[at : at + each], recording.rate_hz, device_id, number, encoding, scale_g, seconds)
        for number, at in enumerate(range(0, len(recording.accel_g), each))
    ]


def _document(
    accel_g: NDArray[np.float64],
    rate_hz: float,
    device_id: str,
    number: int,
    encoding: str,
    scale_g: float,
    seconds: float,
) -> dict[str, Any]:
    at_us = round(number * seconds * 1e6)
    as_int16 = encoding == INT16
    payload = pb.AccelerationBatch(
        device_id=device_id,
        boot_id=int.from_bytes(hashlib.sha256(device_id.encode()).digest()[:7]),
        sequence=number,
        start_time_us=DAY_US + at_us,
        start_monotonic_us=at_us,
        rate_hz=rate_hz,
        encoding=pb.SAMPLE_ENCODING_INT16_SCALED if as_int16 else pb.SAMPLE_ENCODING_FLOAT32_G,
        scale_g=scale_g if as_int16 else 0.0,
        samples=encode_samples_int16(accel_g, scale_g) if as_int16 else encode_samples_float32(accel_g),
        source_rate_hz=rate_hz,
        downsampling=pb.DOWNSAMPLING_NONE,
        block_count=min(len(accel_g), max(1, round(seconds * 10))),
    ).SerializeToString(deterministic=True)
    return {
        "_id": f"{device_id}:{number}",
        "payload": payload,
        "payload_sha256": hashlib.sha256(payload).hexdigest(),
        "append_time_us": DAY_US + at_us + 1_300_000 + number % 977 * 313,
        "topic": ACCELERATION.topic,
        "partition": 0,
        "offset": number * 7,
    }


class Written:
    """A partition written from messages: its size, and whether it gives back what was sent."""

    def __init__(self, made: Sequence[dict[str, Any]]) -> None:
        rows = raw_rows(ACCELERATION, made).sort_by([("device_id", "ascending"), ("start_time_us", "ascending")])
        with TemporaryDirectory(prefix="p18-") as directory:
            lake = Lake(FileObjects(Path(directory)))
            with lake.writer(lake.edition(ACCELERATION_DATASET, DAY), TIME_SPAN) as writer:
                writer.write(rows)
                manifest = writer.publish()
            back = lake.read_table(ACCELERATION_DATASET, [DAY])
            self.samples_bytes = _samples_bytes(lake, manifest)
        self.whole = back is not None and back.equals(rows)
        self.bytes = manifest.size_bytes


def _samples_bytes(lake: Lake, manifest: Manifest) -> int:
    """Return what the columns of samples take, headers of their pages included."""
    found = 0
    for file in manifest.files:
        metadata = pq.read_metadata(pa.BufferReader(lake.get(file.path)))
        for group in range(metadata.num_row_groups):
            columns = (metadata.row_group(group).column(i) for i in range(metadata.num_columns))
            found += sum(
                column.total_compressed_size for column in columns if column.path_in_schema.split(".")[0] in STORED
            )
    return found


def mean_of_four(recording: Recording) -> Recording:
    """Return a recording reduced as the edge reduces: means of consecutive samples."""
    whole = len(recording.accel_g) // 4 * 4
    means = recording.accel_g[:whole].reshape(-1, 4, 3).mean(axis=1)
    return Recording(recording.name, recording.time_us[:whole:4], means, recording.rate_hz / 4)


def measure(rounds: int, seconds: float) -> list[Figure]:
    """Write the corpus in each way; sizes do not vary, so one round is all."""
    del rounds, seconds
    found = corpus()
    reduced = {kind: [mean_of_four(one) for one in each] for kind, each in found.items()}
    ways: dict[str, tuple[Corpus, str, float]] = {
        "all": (found, INT16, 1.0),
        "messages of 100 ms": (found, INT16, 0.1),
        **{kind: ({kind: each}, INT16, 1.0) for kind, each in found.items()},
        "sent as float32": (found, FLOAT32, 1.0),
        "float32 means of 4": (reduced, FLOAT32, 1.0),
    }
    ratios: dict[str, float] = {}
    alone: dict[str, float] = {}
    whole = True
    for done, (name, (part, encoding, length)) in enumerate(ways.items()):
        tell("P18", done, len(ways))
        made = [
            document
            for kind, each in part.items()
            for number, one in enumerate(each)
            for document in documents(one, f"{kind.replace(' ', '-')}-{number:03d}", encoding, length)
        ]
        written = Written(made)
        raw_bytes = sum(6 * len(one.accel_g) for each in part.values() for one in each)
        ratios[name], alone[name] = written.bytes / raw_bytes, written.samples_bytes / raw_bytes
        whole = whole and written.whole
    size_mb = sum(6 * len(one.accel_g) for each in found.values() for one in each) / 1e6
    detail = f"{size_mb:.1f} MB of {len(found)} kinds of recordings; samples alone {alone['all']:.3f}; "
    detail += ", ".join(f"{name} {ratio:.3f} ({alone[name]:.3f})" for name, ratio in ratios.items() if name != "all")
    unit = "x int16"
    return [judged("P18", [ratios["all"]], must=0.6, stretch=0.45, unit=unit, whole=whole, detail=detail, at_most=True)]
