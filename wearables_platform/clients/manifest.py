"""The manifest of a lake partition: exactly which files hold it, and what they were made from.

Pure: text in, text out. Nothing in a manifest depends on when or by whom it was written, so the same input gives the
same bytes.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from wearables_platform.errors import StoreRefused

# 1: no generation, no buckets. Both are read.
FORMAT = 2
_GENERATION = re.compile(r"(?:.*/)?(\d{6,})-[0-9a-f]+\.parquet")


@dataclass(frozen=True)
class DataFile:
    """One immutable object of a partition; its name holds generation and hash, so it is never overwritten.

    Attributes
    ----------
    bucket, buckets
        The file holds devices of bucket `bucket` of `buckets` only (`bucket_of`).
    width_us
        In a zoom dataset, the width of the cells in the file.
    """

    path: str
    sha256: str
    rows: int
    size_bytes: int
    min_time_us: int | None
    max_time_us: int | None
    bucket: int = 0
    buckets: int = 1
    width_us: int | None = None

    def may_hold(self, device_id: str) -> bool:
        """Return whether the file's bucket is the device's."""
        return bucket_of(device_id, self.buckets) == self.bucket

    def touches(self, time_range_us: tuple[int, int] | None) -> bool:
        """Return whether the file may hold something in [first, last)."""
        if time_range_us is None or self.min_time_us is None or self.max_time_us is None:
            return True
        return self.min_time_us < time_range_us[1] and self.max_time_us >= time_range_us[0]


@dataclass(frozen=True)
class Manifest:
    """What a partition consists of.

    Attributes
    ----------
    dataset, partition
        Such as ``raw/acceleration`` and ``2026-03-29``.
    files
        Every file, in order; readers read these and nothing else.
    cut
        How far the source was read, such as the last append time per log partition.
    versions
        Versions of code, features, schema the rows were made with.
    generation
        How often the partition has been replaced: no two manifests of a partition are ever the same bytes, and no
        file is ever published under a name of an earlier generation.
    """

    dataset: str
    partition: str
    files: tuple[DataFile, ...] = ()
    cut: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    generation: int = 0

    @property
    def rows(self) -> int:
        """Return the number of rows of all files."""
        return sum(file.rows for file in self.files)

    @property
    def size_bytes(self) -> int:
        """Return the size of all files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def min_time_us(self) -> int | None:
        """Return the earliest instant in the partition, None where it holds no rows."""
        return min((file.min_time_us for file in self.files if file.min_time_us is not None), default=None)

    @property
    def max_time_us(self) -> int | None:
        """Return the latest instant in the partition, None where it holds no rows."""
        return max((file.max_time_us for file in self.files if file.max_time_us is not None), default=None)

    def to_bytes(self) -> bytes:
        """Write the manifest as JSON with sorted keys: equal manifests have equal bytes."""
        document = {"format": FORMAT, **asdict(self)}
        return json.dumps(document, sort_keys=True, indent=1).encode() + b"\n"

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Read a manifest back.

        Raises
        ------
        StoreRefused
            A later version of this code wrote it.
        """
        document = json.loads(data)
        found = document.pop("format")
        if not 1 <= found <= FORMAT:
            partition = f"{document.get('dataset')}/{document.get('partition')}"
            msg = (
                f"the manifest of {partition} has format {found}, this code reads up to {FORMAT}: "
                "update the software that reads the lake"
            )
            raise StoreRefused(msg)
        files = tuple(DataFile(**file) for file in document.pop("files"))
        return cls(files=files, **document)


@dataclass(frozen=True)
class Edition:
    """A partition as it was when somebody began to replace it: the manifest and the tag a swap must still find."""

    dataset: str
    partition: str
    manifest: Manifest | None
    tag: str | None

    @property
    def generation(self) -> int:
        """Return the generation that is being replaced, 0 where there is none."""
        return self.manifest.generation if self.manifest is not None else 0

    @property
    def next_generation(self) -> int:
        """Return the generation a writer of this edition makes."""
        return self.generation + 1


def bucket_of(device_id: str, buckets: int) -> int:
    """Return a device's bucket; the same on every machine and in every release.

    >>> bucket_of("watch-1", 1)
    0
    """
    return zlib.crc32(device_id.encode()) % buckets


def partition_folder(dataset: str, partition: str) -> str:
    """Return where a partition's data files lie."""
    return f"{dataset}/day={partition}"


def file_name(generation: int, sha256: str) -> str:
    """Return a data file's name within its partition's folder."""
    return f"{generation:06d}-{sha256[:24]}.parquet"


def generation_of(name: str) -> int:
    """Return the generation a data file was written for; 0 for a name of before there were generations.

    >>> generation_of("raw/vitals/day=2026-03-01/000012-0123456789abcdef01234567.parquet")
    12
    """
    found = _GENERATION.fullmatch(name)
    return int(found[1]) if found else 0
