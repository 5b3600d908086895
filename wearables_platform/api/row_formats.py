"""Rows of a query as CSV, NDJSON or Parquet, a batch at a time."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from wearables_platform.api.reads import RowStream

# Type OIDs of PostgreSQL (pg_type.dat), which are fixed; what is not here is written as text.
_ARROW = {
    16: pa.bool_(),
    20: pa.int64(),
    21: pa.int16(),
    23: pa.int32(),
    700: pa.float32(),
    701: pa.float64(),
    1082: pa.date32(),
    1184: pa.timestamp("us", tz="UTC"),
}
_ROWS_PER_GROUP = 50_000
PartsOf = Callable[[RowStream], Iterator[bytes]]


def csv_parts(rows: RowStream) -> Iterator[bytes]:
    """Write a header and a line per row; NULL is empty, instants are RFC 3339, lists JSON."""
    names = [name for name, _ in rows.columns]
    yield _csv_lines([names])
    for batch in rows.batches:
        yield _csv_lines([[_text(value) for value in row] for row in batch])


def ndjson_parts(rows: RowStream) -> Iterator[bytes]:
    """Write a JSON object per line and row."""
    return json_lines(rows, lambda row: {name: _plain(value) for name, value in row.items()})


def json_lines(rows: RowStream, as_json: Callable[[dict[str, Any]], dict[str, Any]]) -> Iterator[bytes]:
    """Write what `as_json` makes of each row, a line each."""
    names = [name for name, _ in rows.columns]
    for batch in rows.batches:
        lines = (json.dumps(as_json(dict(zip(names, row, strict=True))), separators=(",", ":")) for row in batch)
        yield "".join(f"{line}\n" for line in lines).encode()


def parquet_parts(rows: RowStream) -> Iterator[bytes]:
    """Write a Parquet file, sent a row group at a time."""
    schema = pa.schema([pa.field(name, _ARROW.get(oid, pa.string())) for name, oid in rows.columns])
    sink = _Sink()
    with pq.ParquetWriter(pa.PythonFile(sink, mode="w"), schema, compression="zstd") as writer:
        waiting: list[tuple[Any, ...]] = []
        for batch in rows.batches:
            waiting += batch
            if len(waiting) >= _ROWS_PER_GROUP:
                writer.write_table(_table(waiting, schema))
                waiting = []
                yield sink.taken()
        if waiting:
            writer.write_table(_table(waiting, schema))
    yield sink.taken()


FORMATS: dict[str, tuple[str, PartsOf]] = {
    "csv": ("text/csv", csv_parts),
    "ndjson": ("application/x-ndjson", ndjson_parts),
    "parquet": ("application/vnd.apache.parquet", parquet_parts),
}


class _Sink(io.RawIOBase):
    """A file that only grows, and whose new bytes can be taken away."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._at = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        self._at += len(part)
        return len(part)

    def taken(self) -> bytes:
        """Return what was written since the last time."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _table(rows: list[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    columns = zip(*rows, strict=True)
    return pa.table(
        [
            pa.array([_text(value) if pa.types.is_string(kind) else value for value in column], kind)
            for kind, column in zip(schema.types, columns, strict=True)
        ],
        schema=schema,
    )


def _csv_lines(rows: list[list[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()


def _text(value: Any) -> Any:
    if value is None or isinstance(value, str):
        return value
    plain = _plain(value)
    return plain if isinstance(plain, str) else json.dumps(plain)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    # JSON knows neither NaN nor infinity.
    return None if isinstance(value, float) and not math.isfinite(value) else value
