"""The lake: Parquet by dataset and day, on a directory or on S3, through the same calls.

A partition is what its manifest lists: data files are immutable and named after their content, and a partition is
replaced by swapping the manifest with a conditional put. A reader therefore sees the old partition or the new one,
two writers cannot both win, and a writer killed half-way leaves nothing but unreferenced files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import boto3
import pyarrow as pa
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, ParamValidationError, SSLError

from wearables_platform.clients.lake_files import FileObjects
from wearables_platform.clients.lake_writer import MANIFESTS, Objects, PartitionWriter, manifest_key
from wearables_platform.clients.manifest import DataFile, Edition, Manifest
from wearables_platform.clients.parquet import (
    Ranges,
    RowGroupCutter,
    TimeRange,
    parquet_bytes,
    row_groups,
)
from wearables_platform.errors import AccessRefused, ConfigError, LakeConflict, StoreRefused, StoreUnavailable
from wearables_platform.settings import Settings
from wearables_platform.wire.lake_schemas import schema_of

__all__ = ["DataFile", "Edition", "Lake", "Manifest", "Objects", "PartitionWriter", "open_lake", "parquet_bytes"]

# A file ends where its values weigh this much: what a day of one device at 16 kHz is cut into.
FILE_BYTES = 256_000_000
PART_BYTES = 16_000_000  # larger objects reach S3 in parts of this size
_SETTING = "lake_url"  # where its address or account is wrong
_KEY_SETTING = "lake_access_key"  # where its address or account is wrong
_MISSING = ("404", "NoSuchKey", "NotFound")
_CONFLICT = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
_UNTRUSTED = ("CERTIFICATE_VERIFY_FAILED", "doesn't match")
_DENIED = ("InvalidAccessKeyId", "SignatureDoesNotMatch")
_NOT_NOW = ("SlowDown", "InternalError", "ServiceUnavailable", "RequestTimeout", "500", "502", "503", "504")


class Lake:
    """Datasets of partitions; see the module for what a reader may rely on.

    Parameters
    ----------
    file_bytes
        How much the rows of a data file weigh at most.
    group_bytes
        How much the rows of a row group weigh.
    """

    def __init__(self, objects: Objects, *, file_bytes: int = FILE_BYTES, group_bytes: int | None = None) -> None:
        self.objects = objects
        self._file_bytes, self._group_bytes = file_bytes, group_bytes

    def edition(self, dataset: str, partition: str) -> Edition:
        """Begin to replace a partition: call this *before* reading the source, so that a later reader wins."""
        found = self.objects.get(manifest_key(dataset, partition))
        if found is None:
            return Edition(dataset, partition, None, None)
        return Edition(dataset, partition, Manifest.from_bytes(found[0]), found[1])

    @contextmanager
    def writer(self, edition: Edition, time_columns: tuple[str, str] | None = None) -> Iterator[PartitionWriter]:
        """Lend what replaces a partition by rows that need not fit in memory; nothing counts until it publishes."""
        cutter = RowGroupCutter(self._group_bytes) if self._group_bytes else RowGroupCutter()
        with TemporaryDirectory(prefix="lake-") as directory:
            writer = PartitionWriter(self.objects, edition, Path(directory), cutter, self._file_bytes, time_columns)
            try:
                yield writer
            finally:
                writer.abandon()

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
        with self.writer(edition, time_columns) as writer:
            for table in tables:
                writer.write(table)
                writer.end_file()
            return writer.publish(cut, versions)

    def manifest(self, dataset: str, partition: str) -> Manifest | None:
        """Return what a partition consists of now, None where it was never written."""
        return self.edition(dataset, partition).manifest

    def partitions(self, dataset: str) -> list[str]:
        """Return the partitions that have a manifest, sorted."""
        names = self.objects.sizes(f"{MANIFESTS}/{dataset}")
        return sorted(name.removesuffix(".json") for name in names if name.endswith(".json"))

    def read_table(
        self,
        dataset: str,
        partitions: Sequence[str],
        *,
        columns: Sequence[str] | None = None,
        time_range_us: TimeRange | None = None,
        device_id: str | None = None,
    ) -> pa.Table | None:
        """Read partitions, in the order given, as one table; None where they hold nothing wanted.

        `time_range_us` and `device_id` skip files and row groups that hold nothing of them; rows are not filtered. A
        column that files of an older version do not have is null in their rows.
        """
        if time_range_us is None and device_id is None:
            manifests = [self.manifest(dataset, partition) for partition in partitions]
            tables = [self.read_file(file, columns) for manifest in manifests if manifest for file in manifest.files]
        else:
            tables = list(
                self.scan(dataset, partitions, columns=columns, time_range_us=time_range_us, device_id=device_id)
            )
        return pa.concat_tables(tables, promote_options="default") if tables else None

    def scan(
        self,
        dataset: str,
        partitions: Sequence[str],
        *,
        columns: Sequence[str] | None = None,
        time_range_us: TimeRange | None = None,
        device_id: str | None = None,
    ) -> Iterator[pa.Table]:
        """Yield the row groups that may hold what is wanted, one at a time: as `read_table`, in bounded memory."""
        for partition in partitions:
            manifest = self.manifest(dataset, partition)
            for file in manifest.files if manifest else ():
                if file.touches(time_range_us) and (device_id is None or file.may_hold(device_id)):
                    only = None if device_id is None else [device_id]
                    yield from self.scan_file(file, columns=columns, time_range_us=time_range_us, device_ids=only)

    def scan_file(
        self,
        file: DataFile,
        *,
        columns: Sequence[str] | None = None,
        time_range_us: TimeRange | None = None,
        device_ids: Sequence[str] | None = None,
    ) -> Iterator[pa.Table]:
        """Yield the row groups of one file of a manifest that may hold what is wanted, reading no others.

        `device_ids` are in ascending order.
        """
        source = self.open_file(file.path, file.size_bytes)
        schema = schema_of(_dataset_of(file))
        return row_groups(
            pa.PythonFile(source, "r"),
            schema,
            file.path,
            columns=columns,
            device_ids=device_ids,
            time_range_us=time_range_us,
        )

    def open_file(self, path: str, size_bytes: int) -> Ranges:
        """Open a file of a manifest for reading by ranges, whatever the lake lies on."""
        return Ranges(lambda first, size: self.objects.get_range(path, first, size), size_bytes)

    def read_file(self, file: DataFile, columns: Sequence[str] | None = None) -> pa.Table:
        """Read one file of a manifest."""
        schema = schema_of(_dataset_of(file))
        groups = list(row_groups(pa.BufferReader(self.get(file.path)), schema, file.path, columns=columns))
        return pa.concat_tables(groups)

    def put(self, key: str, data: bytes) -> None:
        """Write an object that no manifest lists, such as a model's artefact."""
        self.objects.put(key, data)

    def get(self, key: str) -> bytes:
        """Read an object.

        Raises
        ------
        StoreRefused
            There is none.
        """
        found = self.objects.get(key)
        if found is None:
            msg = f"the lake holds no {key}"
            raise StoreRefused(msg)
        return found[0]

    def get_at_most(self, key: str, max_bytes: int) -> bytes:
        """Read an object, or of a larger one so much and a byte more, which tells that it is larger.

        Raises
        ------
        StoreRefused
            There is none.
        """
        try:
            return self.objects.get_range(key, 0, max_bytes + 1)
        except FileNotFoundError as exc:
            msg = f"the lake holds no {key}"
            raise StoreRefused(msg) from exc

    def holds(self, key: str) -> bool:
        """Return whether there is such an object."""
        return self.objects.get(key) is not None

    def address(self, key: str) -> str:
        """Return where a person finds an object."""
        return self.objects.address(key)


def _dataset_of(file: DataFile) -> str:
    return file.path.rpartition("/day=")[0]


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


def configured_lake(settings: Settings) -> Lake:
    """Open the lake the settings name, with their keys."""
    access, secret = settings.lake_access_key, settings.lake_secret_key
    return open_lake(
        settings.require("lake_url"),
        access_key=access.get_secret_value() if access else None,
        secret_key=secret.get_secret_value() if secret else None,
    )


_PARTS = TransferConfig(multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=2)


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
            verify=options.get("ca_file"),
            config=Config(retries={"mode": "standard", "max_attempts": 5}, connect_timeout=10, read_timeout=60),
        )

    def put(self, key: str, data: bytes) -> None:
        """Write an object whole, replacing what was there."""
        with _translating("write", key):
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=data)

    def put_file(self, key: str, path: Path) -> None:
        """Write a local file as an object, in parts where it is large."""
        with _translating("write", key):
            self._client.upload_file(str(path), self._bucket, self._prefix + key, Config=_PARTS)

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

    def get_range(self, key: str, first: int, size: int) -> bytes:
        """Return a part of an object."""
        with _translating("read", key):
            wanted = f"bytes={first}-{first + size - 1}"
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key, Range=wanted)
            data: bytes = answer["Body"].read()
            return data

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the names and sizes of the objects directly in a folder."""
        prefix = f"{self._prefix}{folder}/"
        pages = self._client.get_paginator("list_objects_v2")
        with _translating("list", folder):
            found = pages.paginate(Bucket=self._bucket, Prefix=prefix, Delimiter="/")
            entries = [entry for page in found for entry in page.get("Contents", ())]
        return {entry["Key"].removeprefix(prefix): int(entry["Size"]) for entry in entries}

    def delete_unfinished(self, before: datetime) -> int:
        """Remove uploads in parts that a killed writer began before an instant; returns how many there were."""
        with _translating("list", "uploads"):
            pages = self._client.get_paginator("list_multipart_uploads")
            found = [
                upload
                for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix)
                for upload in page.get("Uploads", ())
                if upload["Initiated"] < before
            ]
        for upload in found:
            with _translating("end the upload of", upload["Key"]):
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        return len(found)

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is fine."""
        with _translating("delete", key):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)

    def address(self, key: str) -> str:
        """Return where a person finds the object."""
        return f"s3://{self._bucket}/{self._prefix}{key}"


@contextmanager
def _translating(verb: str, key: str) -> Iterator[None]:
    try:
        yield
    except ClientError as exc:
        raise _translated(exc, f"cannot {verb} {key}") from exc
    except FileNotFoundError:
        raise
    except Boto3Error as exc:  # an upload in parts wraps what went wrong in one of them
        if isinstance(exc.__context__, ClientError):
            raise _translated(exc.__context__, f"cannot {verb} {key}") from exc
        msg = f"cannot {verb} {key}: {exc}"
        raise StoreUnavailable(msg) from exc
    except ParamValidationError as exc:
        msg = f"cannot {verb} {key}: {exc}"
        raise StoreRefused(msg) from exc
    except SSLError as exc:
        if not any(words in str(exc) for words in _UNTRUSTED):  # cut short in the middle of a handshake, say
            msg = f"cannot {verb} {key}: {exc}"
            raise StoreUnavailable(msg) from exc
        raise AccessRefused(_SETTING, f"TLS: {str(exc)[:300]}") from exc
    except NoCredentialsError as exc:
        raise AccessRefused(_KEY_SETTING, str(exc)) from exc
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
    if code in _DENIED:
        return AccessRefused(_KEY_SETTING, msg)
    return StoreUnavailable(msg) if code in _NOT_NOW else StoreRefused(msg)
