"""The manifest of a lake partition: exactly which files hold it, and what they were made from.

Pure: text in, text out. Nothing in a manifest depends on when or by whom it was written, so the same input gives the
same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

FORMAT = 1


@dataclass(frozen=True)
class DataFile:
    """One immutable object of a partition; its name holds its hash, so it is never overwritten by other content."""

    path: str
    sha256: str
    rows: int
    size_bytes: int
    min_time_us: int | None
    max_time_us: int | None


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
    """

    dataset: str
    partition: str
    files: tuple[DataFile, ...] = ()
    cut: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

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
        """Read a manifest back; refuses another format."""
        document = json.loads(data)
        found = document.pop("format")
        if found != FORMAT:
            msg = f"manifest format {found!r}, this code reads {FORMAT}"
            raise ValueError(msg)
        files = tuple(DataFile(**file) for file in document.pop("files"))
        return cls(files=files, **document)


@dataclass(frozen=True)
class Edition:
    """A partition as it was when somebody began to replace it: the manifest and the tag a swap must still find."""

    dataset: str
    partition: str
    manifest: Manifest | None
    tag: str | None
