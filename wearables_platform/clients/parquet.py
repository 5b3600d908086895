"""Parquet files: written a row group at a time in bounded memory, read by the row groups a question touches.

Equal rows, handed over in any portions, give equal bytes: row groups are cut by what the rows weigh, never by how they
arrived, and nothing in a file depends on when or where it was written.
"""

from __future__ import annotations

import hashlib
import io
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wearables_platform.domain.time_policy import to_us
from wearables_platform.wire.lake_schemas import LakeSchema, column_encodings

# A row group ends at 8 MB of values or so many rows, whatever comes first: what a reader of one device has to
# read at least, and what a writer holds in memory.
ROW_GROUP_BYTES: Final = 8_000_000
ROW_GROUP_ROWS: Final = 65_536
ROW_BYTES: Final = 128  # what a row weighs beside its byte strings
# Level 9 saves 1 % of the bytes and takes two to four times as long (docs/lake.md).
ZSTD_LEVEL: Final = 3
COUNT_ENCODINGS: Final = ("DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT")
TimeRange = tuple[int, int]
ReadRange = Callable[[int, int], bytes]


class RowGroupCutter:
    """Cuts a stream of rows into row groups, the same ones however the rows are portioned."""

    def __init__(self, group_bytes: int = ROW_GROUP_BYTES, group_rows: int = ROW_GROUP_ROWS) -> None:
        self._limits = (group_bytes, group_rows)
        self._held: list[pa.Table] = []
        self._bytes = self._rows = 0

    def add(self, table: pa.Table) -> Iterator[pa.Table]:
        """Take rows and yield the row groups that are complete."""
        while table.num_rows:
            weights = np.cumsum(row_weights(table))
            by_bytes = int(np.searchsorted(weights, self._limits[0] - self._bytes)) + 1
            cut = min(by_bytes, self._limits[1] - self._rows)
            if cut > table.num_rows:
                self._hold(table, int(weights[-1]))
                return
            self._hold(table.slice(0, cut), 0)
            table = table.slice(cut)
            yield self.rest()

    def rest(self) -> pa.Table:
        """Return the rows held and forget them."""
        group = pa.concat_tables(self._held).combine_chunks()
        self._held, self._bytes, self._rows = [], 0, 0
        return group

    def __bool__(self) -> bool:
        """Return whether rows are held."""
        return bool(self._held)

    def _hold(self, table: pa.Table, weight: int) -> None:
        self._held.append(table)
        self._bytes += weight
        self._rows += table.num_rows


def row_weights(table: pa.Table) -> npt.NDArray[np.int64]:
    """Return (R,) how many bytes each row counts for when row groups and files are cut."""
    weights = np.full(table.num_rows, ROW_BYTES, np.int64)
    for each in table.schema:
        if pa.types.is_binary(each.type):
            weights += pc.fill_null(pc.binary_length(table.column(each.name)), 0).to_numpy().astype(np.int64)
    return weights


class ParquetFile:
    """One file being written: a row group per `write`, its digest at the end."""

    def __init__(self, path: Path, schema: LakeSchema) -> None:
        self._schema = schema
        self._sink = _HashingFile(path)
        self._writer: pq.ParquetWriter | None = None
        self.rows = 0
        self.first_us: int | None = None
        self.last_us: int | None = None

    def write(self, group: pa.Table, span: tuple[str, str]) -> None:
        """Write one row group."""
        self._note_span(group, span)
        stored = self._schema.to_stored(group)
        if self._writer is None:
            described = stored.schema.with_metadata(self._schema.metadata(stored.schema))
            counts = _smaller_encoding(stored)
            self._writer = _writer(self._sink, described, counts, split_floats=self._schema.split_floats)
        self._writer.write_table(stored, row_group_size=max(1, stored.num_rows))
        self.rows += stored.num_rows

    def close(self) -> tuple[str, int]:
        """End the file; returns its SHA-256 and its size."""
        if self._writer is not None:
            self._writer.close()
        self._sink.close()
        return self._sink.digest.hexdigest(), self._sink.written

    def _note_span(self, group: pa.Table, span: tuple[str, str]) -> None:
        first = pc.min(group.column(span[0]).cast(pa.int64())).as_py()
        last = pc.max(group.column(span[1]).cast(pa.int64())).as_py()
        self.first_us = first if self.first_us is None else min(first, self.first_us)
        self.last_us = last if self.last_us is None else max(last, self.last_us)


def parquet_bytes(table: pa.Table) -> bytes:
    """Write a table of no dataset as Parquet; equal tables give equal bytes (one lock file, one result)."""
    sink = io.BytesIO()
    with _writer(sink, table.schema, COUNT_ENCODINGS[0]) as writer:
        writer.write_table(table.combine_chunks(), row_group_size=ROW_GROUP_ROWS)
    return sink.getvalue()


class Ranges(io.RawIOBase):
    """An object read by ranges, as a file."""

    def __init__(self, read: ReadRange, size: int) -> None:
        super().__init__()
        self._read, self._size, self._at = read, size, 0

    def readable(self) -> bool:  # noqa: D102 - io's own meaning
        return True

    def seekable(self) -> bool:  # noqa: D102
        return True

    def tell(self) -> int:  # noqa: D102
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:  # noqa: D102
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def read(self, size: int = -1) -> bytes:  # noqa: D102
        end = self._size if size < 0 else min(self._size, self._at + size)
        data = self._read(self._at, end - self._at) if end > self._at else b""
        self._at += len(data)
        return data


def row_groups(
    source: Any,
    schema: LakeSchema,
    path: str,
    *,
    columns: Sequence[str] | None = None,
    device_ids: Sequence[str] | None = None,
    time_range_us: TimeRange | None = None,
) -> Iterator[pa.Table]:
    """Yield the row groups whose statistics do not rule out a match; their rows are not filtered.

    Parameters
    ----------
    device_ids
        Wanted devices, ascending.
    time_range_us
        Rows whose span touches [first, last) are wanted.
    """
    with pq.ParquetFile(source, pre_buffer=True) as file:
        schema.require_readable(file.metadata.metadata, path)
        names = None if columns is None else schema.stored_names(columns, file.schema_arrow.names)
        for number in range(file.num_row_groups):
            if _may_match(file.metadata.row_group(number), schema, device_ids, time_range_us):
                group = schema.from_stored(file.read_row_group(number, columns=names)).replace_schema_metadata(None)
                yield group if columns is None else group.select([n for n in columns if n in group.column_names])


def _may_match(
    group: pq.RowGroupMetaData, schema: LakeSchema, device_ids: Sequence[str] | None, time_range_us: TimeRange | None
) -> bool:
    bounds = {}
    for number in range(group.num_columns):
        column = group.column(number)
        if column.is_stats_set and column.statistics.has_min_max:
            bounds[column.path_in_schema] = (column.statistics.min, column.statistics.max)
    if device_ids is not None and "device_id" in bounds:
        low, high = bounds["device_id"]
        if bisect_left(device_ids, low) == bisect_right(device_ids, high):
            return False
    first, last = (bounds.get(name) for name in schema.span)
    if time_range_us is None or first is None or last is None:
        return True
    return bool(_us(first[0]) < time_range_us[1] and _us(last[1]) >= time_range_us[0])


def _us(value: int | datetime) -> int:
    return value if isinstance(value, int) else to_us(value)


def _smaller_encoding(stored: pa.Table) -> str:
    """Return which encoding makes these rows' counts smaller: quantized signals and smooth ones differ."""
    names = [each.name for each in stored.schema if pa.types.is_list(each.type) and each.type.value_type == pa.int16()]
    if not names or not stored.num_rows:
        return COUNT_ENCODINGS[0]
    counts = stored.select(names)

    def size(encoding: str) -> int:
        sink = io.BytesIO()
        with _writer(sink, counts.schema, encoding) as writer:
            writer.write_table(counts)
        return sink.tell()

    return min(COUNT_ENCODINGS, key=size)


def _writer(sink: Any, schema: pa.Schema, counts: str, *, split_floats: bool = False) -> pq.ParquetWriter:
    chosen = column_encodings(schema, counts, split_floats=split_floats)
    return pq.ParquetWriter(
        sink,
        schema,
        compression="zstd",
        compression_level=ZSTD_LEVEL,
        use_dictionary=chosen.dictionary or False,
        column_encoding=chosen.encoding or None,
        write_statistics=chosen.statistics or False,
        write_page_index=True,
    )


class _HashingFile(io.RawIOBase):
    """A file that knows its digest once it is written."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("wb")
        self.digest = hashlib.sha256()
        self.written = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.digest.update(data)
        self.written += self._file.write(data)
        return len(data)

    def tell(self) -> int:
        return self.written

    def flush(self) -> None:
        if not self._file.closed:
            self._file.flush()

    def close(self) -> None:
        self._file.close()
        super().close()
