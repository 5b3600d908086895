"""The lake: Parquet by dataset and day, on a directory or on S3, through the same calls.

A partition is what its manifest lists: data files are immutable and named after their content, and a partition is
replaced by swapping the manifest with a conditional put. A reader therefore sees the old partition or the new one,
two writers cannot both win, and a writer killed half-way leaves nothing but unreferenced files.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

import boto3
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

from wearables_platform.clients.lake_files import FileObjects
from wearables_platform.clients.manifest import DataFile, Edition, Manifest
from wearables_platform.errors import ConfigError, LakeConflict, StoreRefused, StoreUnavailable

__all__ = ["DataFile", "Edition", "Lake", "Manifest", "Objects", "open_lake"]

MANIFESTS = "manifests"
# Rows per row group: a device-day of windows is 86,400 rows, so a range read of one device skips the others.
ROW_GROUP_ROWS = 65_536
ZSTD_LEVEL = 3
_MISSING = ("404", "NoSuchKey", "NotFound")
_CONFLICT = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
_NOT_NOW = ("SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "500", "502", "503", "504")


class Objects(Protocol):
    """What a lake needs of a store: whole objects, written atomically, and one conditional put."""

    def put(self, key: str, data: bytes) -> None: ...  # noqa: D102 - described in `FileObjects`
    def put_if(self, key: str, data: bytes, tag: str | None) -> str: ...  # noqa: D102
    def get(self, key: str) -> tuple[bytes, str] | None: ...  # noqa: D102
    def names(self, folder: str) -> list[str]: ...  # noqa: D102
    def delete(self, key: str) -> None: ...  # noqa: D102
    def address(self, key: str) -> str: ...  # noqa: D102


class Lake:
    """Datasets of partitions; see the module for what a reader may rely on."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def edition(self, dataset: str, partition: str) -> Edition:
        """Begin to replace a partition: call this *before* reading the source, so that a later reader wins."""
        found = self._objects.get(_manifest_key(dataset, partition))
        if found is None:
            return Edition(dataset, partition, None, None)
        return Edition(dataset, partition, Manifest.from_bytes(found[0]), found[1])

    def publish(
        self,
        edition: Edition,
        tables: Sequence[pa.Table],
        *,
        time_columns: tuple[str, str],
        cut: Mapping[str, Any] | None = None,
        versions: Mapping[str, str] | None = None,
    ) -> Manifest:
        """Replace a partition with one file per table (sorted by the caller); empty tables leave no file.

        The same tables give the same bytes, and publishing what is already there writes nothing.

        Parameters
        ----------
        time_columns
            The columns whose least and greatest value are the file's time span (a first and a last instant).

        Raises
        ------
        LakeConflict
            The partition was replaced since `edition` was taken; read the source again.
        """
        files = tuple(self._write(edition, table, time_columns) for table in tables if table.num_rows)
        manifest = Manifest(edition.dataset, edition.partition, files, dict(cut or {}), dict(versions or {}))
        if manifest != edition.manifest:
            self._swap(edition, manifest.to_bytes())
        return manifest

    def manifest(self, dataset: str, partition: str) -> Manifest | None:
        """Return what a partition consists of now, None where it was never written."""
        return self.edition(dataset, partition).manifest

    def partitions(self, dataset: str) -> list[str]:
        """Return the partitions that have a manifest, sorted."""
        names = self._objects.names(f"{MANIFESTS}/{dataset}")
        return [name.removesuffix(".json") for name in names if name.endswith(".json")]

    def read_table(
        self,
        dataset: str,
        partitions: Sequence[str],
        *,
        columns: Sequence[str] | None = None,
        time_range_us: tuple[int, int] | None = None,
    ) -> pa.Table | None:
        """Read partitions, in the order given, as one table; None where they hold no file.

        `time_range_us` skips files that hold nothing in [first, last); rows are not filtered. A column that files of an
        older version do not have is null in their rows.
        """
        manifests = [self.manifest(dataset, partition) for partition in partitions]
        files = [file for manifest in manifests if manifest for file in manifest.files if _touches(file, time_range_us)]
        tables = [self.read_file(file, columns) for file in files]
        return pa.concat_tables(tables, promote_options="default") if tables else None

    def read_file(self, file: DataFile, columns: Sequence[str] | None = None) -> pa.Table:
        """Read one file of a manifest."""
        source = pa.BufferReader(self.get(file.path))
        return pq.read_table(source, columns=list(columns) if columns is not None else None)

    def put(self, key: str, data: bytes) -> None:
        """Write an object that no manifest lists, such as a model's artefact."""
        self._objects.put(key, data)

    def get(self, key: str) -> bytes:
        """Read an object.

        Raises
        ------
        StoreRefused
            There is none.
        """
        found = self._objects.get(key)
        if found is None:
            msg = f"the lake holds no {key}"
            raise StoreRefused(msg)
        return found[0]

    def address(self, key: str) -> str:
        """Return where a person finds an object."""
        return self._objects.address(key)

    def _write(self, edition: Edition, table: pa.Table, time_columns: tuple[str, str]) -> DataFile:
        data = parquet_bytes(table)
        digest = hashlib.sha256(data).hexdigest()
        path = f"{edition.dataset}/day={edition.partition}/{digest[:24]}.parquet"
        if edition.manifest is None or path not in {file.path for file in edition.manifest.files}:
            self._objects.put(path, data)
        first, last = _time_span(table, time_columns)
        return DataFile(path, digest, table.num_rows, len(data), first, last)

    def _swap(self, edition: Edition, data: bytes) -> None:
        key = _manifest_key(edition.dataset, edition.partition)
        try:
            self._objects.put_if(key, data, edition.tag)
        except LakeConflict:
            # Either somebody else won, or our own first try did and only its answer was lost.
            found = self._objects.get(key)
            if found is None or found[0] != data:
                raise


def open_lake(url: str, *, access_key: str | None = None, secret_key: str | None = None) -> Lake:
    """Open ``file:///directory`` or ``s3://bucket/prefix?endpoint_url=...``."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Lake(FileObjects(Path(unquote(parts.path))))
    if parts.scheme == "s3" and parts.netloc:
        options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        return Lake(S3Objects(parts.netloc, parts.path.strip("/"), options, access_key, secret_key))
    msg = f"WEARABLES_LAKE_URL must be file:///directory or s3://bucket/prefix, not {parts.scheme}://..."
    raise ConfigError(msg)


class S3Objects:
    """Objects in a bucket; the conditional put is S3's own (``If-None-Match``, ``If-Match``)."""

    def __init__(
        self, bucket: str, prefix: str, options: Mapping[str, str], access_key: str | None, secret_key: str | None
    ) -> None:
        self._bucket, self._prefix = bucket, f"{prefix}/" if prefix else ""
        self._client = boto3.client(
            "s3",
            endpoint_url=options.get("endpoint_url"),
            region_name=options.get("region", "us-east-1"),
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
            config=Config(retries={"mode": "standard", "max_attempts": 5}, connect_timeout=10, read_timeout=60),
        )

    def put(self, key: str, data: bytes) -> None:
        """Write an object whole, replacing what was there."""
        with _translating("write", key):
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=data)

    def put_if(self, key: str, data: bytes, tag: str | None) -> str:
        """Write an object only if it still has `tag` (None: only if it does not exist); returns the new tag."""
        condition = {"IfNoneMatch": "*"} if tag is None else {"IfMatch": tag}
        with _translating("write", key):
            answer = self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=data, **condition)
        return str(answer["ETag"])

    def get(self, key: str) -> tuple[bytes, str] | None:
        """Return an object and its tag, None where there is none."""
        try:
            with _translating("read", key):
                answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)
                return answer["Body"].read(), str(answer["ETag"])
        except FileNotFoundError:
            return None

    def names(self, folder: str) -> list[str]:
        """Return the names of the objects directly in a folder, sorted."""
        prefix = f"{self._prefix}{folder}/"
        pages = self._client.get_paginator("list_objects_v2")
        with _translating("list", folder):
            found = pages.paginate(Bucket=self._bucket, Prefix=prefix, Delimiter="/")
            keys = [entry["Key"] for page in found for entry in page.get("Contents", ())]
        return sorted(key.removeprefix(prefix) for key in keys)

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is fine."""
        with _translating("delete", key):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)

    def address(self, key: str) -> str:
        """Return where a person finds the object."""
        return f"s3://{self._bucket}/{self._prefix}{key}"


def parquet_bytes(table: pa.Table) -> bytes:
    """Write a table as Parquet; equal tables give equal bytes (one lock file, one result)."""
    sink = io.BytesIO()
    pq.write_table(
        table.combine_chunks(),
        sink,
        compression="zstd",
        compression_level=ZSTD_LEVEL,
        row_group_size=ROW_GROUP_ROWS,
        write_page_index=True,
    )
    return sink.getvalue()


def _manifest_key(dataset: str, partition: str) -> str:
    return f"{MANIFESTS}/{dataset}/{partition}.json"


def _touches(file: DataFile, time_range_us: tuple[int, int] | None) -> bool:
    if time_range_us is None or file.min_time_us is None or file.max_time_us is None:
        return True
    return file.min_time_us < time_range_us[1] and file.max_time_us >= time_range_us[0]


def _time_span(table: pa.Table, columns: tuple[str, str]) -> tuple[int | None, int | None]:
    first, last = (table.column(name) for name in columns)
    return pc.min(first.cast(pa.int64())).as_py(), pc.max(last.cast(pa.int64())).as_py()


@contextmanager
def _translating(verb: str, key: str) -> Iterator[None]:
    try:
        yield
    except ClientError as exc:
        raise _translated(exc, f"cannot {verb} {key}") from exc
    except ParamValidationError as exc:
        msg = f"cannot {verb} {key}: {exc}"
        raise StoreRefused(msg) from exc
    except BotoCoreError as exc:  # no connection, no answer in time, cut short
        msg = f"cannot {verb} {key}: {exc}"
        raise StoreUnavailable(msg) from exc


def _translated(exc: ClientError, what: str) -> Exception:
    code = str(exc.response.get("Error", {}).get("Code", ""))
    msg = f"{what}: {code} {exc.response.get('Error', {}).get('Message', '')}".rstrip()
    if code in _MISSING:
        return FileNotFoundError(msg)
    if code in _CONFLICT:
        return LakeConflict(msg)
    return StoreUnavailable(msg) if code in _NOT_NOW else StoreRefused(msg)
