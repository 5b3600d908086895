"""Replacing a partition of the lake: files written on the side, then one conditional put that makes them count."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from wearables_platform.clients.manifest import DataFile, Edition, Manifest, file_name, partition_folder
from wearables_platform.clients.parquet import ParquetFile, RowGroupCutter, row_weights
from wearables_platform.errors import StoreRefused, TransientError
from wearables_platform.wire.lake_schemas import schema_of

MANIFESTS = "manifests"
READ_BYTES = 16_000_000


class Objects(Protocol):
    """What a lake needs of a store: whole objects, written atomically, and one conditional put."""

    def put(self, key: str, data: bytes) -> None: ...  # noqa: D102 - described in `FileObjects`
    def put_file(self, key: str, path: Path) -> None: ...  # noqa: D102
    def put_if(self, key: str, data: bytes, tag: str | None) -> str: ...  # noqa: D102
    def get(self, key: str) -> tuple[bytes, str] | None: ...  # noqa: D102
    def get_range(self, key: str, first: int, size: int) -> bytes: ...  # noqa: D102
    def sizes(self, folder: str) -> dict[str, int]: ...  # noqa: D102
    def delete(self, key: str) -> None: ...  # noqa: D102
    def delete_unfinished(self, before: datetime) -> int: ...  # noqa: D102
    def address(self, key: str) -> str: ...  # noqa: D102


class PartitionWriter:
    """Replaces one partition: rows come in sorted, go to files on disk, and count once `publish` has swapped.

    Equal rows give equal files, whatever portions they come in.
    """

    def __init__(
        self,
        objects: Objects,
        edition: Edition,
        directory: Path,
        cutter: RowGroupCutter,
        file_bytes: int,
        time_columns: tuple[str, str] | None,
    ) -> None:
        self._objects, self._edition, self._directory = objects, edition, directory
        self._schema = schema_of(edition.dataset)
        self._span = time_columns or self._schema.span
        self._cutter, self._file_bytes = cutter, file_bytes
        self._files: list[DataFile] = []
        self._open: tuple[ParquetFile, Path] | None = None
        self._weight = 0
        self._about: dict[str, Any] = {}

    def begin_file(self, **about: Any) -> None:
        """End the present file; what follows goes into files of which the manifest says `about` (see `DataFile`)."""
        self.end_file()
        self._about = about

    def write(self, table: pa.Table) -> None:
        """Append rows, sorted by the caller."""
        for group in self._cutter.add(table):
            self._write_group(group)

    def end_file(self) -> None:
        """End the present file, if there is one."""
        if self._cutter:
            self._write_group(self._cutter.rest())
        if self._open is not None:
            self._finish()

    def publish(self, cut: Mapping[str, Any] | None = None, versions: Mapping[str, str] | None = None) -> Manifest:
        """Swap the manifest for one that lists what was written; unchanged content changes nothing.

        Raises
        ------
        LakeConflict
            The partition was replaced since the edition was taken; read the source again.
        """
        self.end_file()
        edition = self._edition
        manifest = Manifest(
            edition.dataset, edition.partition, tuple(self._files), dict(cut or {}), dict(versions or {})
        )
        if edition.manifest is not None:
            unchanged = replace(manifest, generation=edition.generation)
            if unchanged == edition.manifest:
                return unchanged
        manifest = replace(manifest, generation=edition.next_generation)
        swap_manifest(self._objects, edition, manifest.to_bytes())
        return manifest

    def abandon(self) -> None:
        """Let go of a file that was not ended."""
        if self._open is not None:
            self._open[0].close()
            self._open = None

    def _write_group(self, group: pa.Table) -> None:
        weight = int(row_weights(group).sum())
        if self._open is not None and self._weight + weight > self._file_bytes:
            self._finish()
        if self._open is None:
            path = self._directory / f"{len(self._files)}.parquet"
            self._open = (ParquetFile(path, self._schema), path)
            self._weight = 0
        self._open[0].write(group, self._span)
        self._weight += weight

    def _finish(self) -> None:
        assert self._open is not None
        file, path = self._open
        self._open = None
        digest, size = file.close()
        key = self._key(digest)
        listed = self._edition.manifest is not None and key in {each.path for each in self._edition.manifest.files}
        if not listed or not holds(self._objects, key, digest, size):
            self._objects.put_file(key, path)
        path.unlink()
        self._files.append(DataFile(key, digest, file.rows, size, file.first_us, file.last_us, **self._about))

    def _key(self, digest: str) -> str:
        """Return the name of the edition's own file of that content, or a name no earlier generation ever had."""
        if self._edition.manifest is not None:
            for file in self._edition.manifest.files:
                if file.sha256 == digest:
                    return file.path
        folder = partition_folder(self._edition.dataset, self._edition.partition)
        return f"{folder}/{file_name(self._edition.next_generation, digest)}"


def holds(objects: Objects, key: str, digest: str, size: int) -> bool:
    """Tell whether an object is there and whole: one that was cut short or changed is written again by whoever can."""
    found = hashlib.sha256()
    try:
        for first in range(0, size, READ_BYTES):
            found.update(objects.get_range(key, first, min(READ_BYTES, size - first)))
    except (FileNotFoundError, StoreRefused):  # gone, or shorter than the range
        return False
    return found.hexdigest() == digest


def swap_manifest(objects: Objects, edition: Edition, data: bytes) -> None:
    """Put a manifest in the place of the edition's; `LakeConflict` where somebody else did so first."""
    key = manifest_key(edition.dataset, edition.partition)
    try:
        objects.put_if(key, data, edition.tag)
    except TransientError:
        # Somebody else won, or our own put did and only its answer was lost: the store knows which.
        found = objects.get(key)
        if found is None or found[0] != data:
            raise


def manifest_key(dataset: str, partition: str) -> str:
    """Return where a partition's manifest lies."""
    return f"{MANIFESTS}/{dataset}/{partition}.json"
