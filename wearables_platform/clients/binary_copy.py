"""Columns to PostgreSQL's binary COPY format, by whole columns: no Python per row.

A row is a count of fields, and per field its length (-1: NULL) and its bytes in network order. Rows are laid out at
their greatest width in one structured array; where texts are shorter or values NULL, the bytes nobody wrote are then
dropped in one pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import lt
from typing import Any, Final, TypeAlias, TypeGuard

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER: Final = b"\xff\xff"
# So many rows are laid out at once: a few MB, and the server reads one part while the next is laid out.
ROWS_AT_ONCE: Final = 4_096
_POSTGRES_EPOCH_US: Final = 946_684_800_000_000  # 2000-01-01
_POSTGRES_EPOCH_DAY: Final = 10_957
_FIXED: Final = {
    "int2": ">i2",
    "int4": ">i4",
    "int8": ">i8",
    "float4": ">f4",
    "float8": ">f8",
    "bool": "?",
    "timestamptz": ">i8",
    "date": ">i4",
}
_PREFIX: Final = {"text": b"", "jsonb": b"\x01"}  # jsonb: the version of its binary form
KINDS: Final = frozenset({*_FIXED, *_PREFIX})

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Text:
    """A text column as a dictionary: row i is ``values[codes[i]]``; a negative code, or the value None, is NULL."""

    codes: Array
    values: Sequence[str | None]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.codes)


@dataclass(frozen=True)
class Exact:
    """Numbers as they are: NaN is a value like others, and only what is missing is NULL."""

    values: pa.Array

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.values)


# A column: an array (NaN, NaT and masked are NULL; instants are microseconds since 1970, dates days), texts, or one
# value for all.
Column: TypeAlias = "Array | Text | Exact | pa.Array | Sequence[str | None] | str | float | bool | None"


@dataclass(frozen=True)
class Cells:
    """A column ready to be laid out: fixed-width `values`, and what each row's length is (-1: NULL)."""

    values: Array
    lengths: npt.NDArray[np.int32] | None  # None: all rows are as wide as `values`

    def take(self, index: Array | slice) -> Cells:
        """Return some rows."""
        return Cells(self.values[index], None if self.lengths is None else self.lengths[index])


def row_count(columns: Mapping[str, Column]) -> int:
    """Return how many rows the columns hold; at least one of them must not be a single value.

    Raises
    ------
    ValueError
        The columns differ in length, or all are single values.
    """
    counts = {len(column) for column in columns.values() if not _is_single(column)}  # type: ignore[arg-type]
    if len(counts) != 1:
        msg = f"columns of one length are needed, not of {sorted(counts)}"
        raise ValueError(msg)
    return counts.pop()


def cells_of(kind: str, column: Column, n: int) -> Cells:
    """Bring a column of `n` rows into the form of its SQL type."""
    if _is_single(column):
        return _repeated(kind, column, n)
    if kind in _PREFIX:
        return _text_cells(_as_text(column), _PREFIX[kind])
    if isinstance(column, Exact):
        absent = column.values.is_null().to_numpy(zero_copy_only=False)
        return _fixed_cells(kind, column.values, absent)
    return _fixed_cells(kind, column, _absent(column))


def encode(cells: Sequence[Cells], n: int) -> Iterator[bytes]:
    """Yield the rows in parts, without header and trailer."""
    for begin in range(0, n, ROWS_AT_ONCE):
        part = slice(begin, min(begin + ROWS_AT_ONCE, n))
        yield _laid_out([cell.take(part) for cell in cells], part.stop - begin)


def sort_key(column: Column) -> Array | None:
    """Return numbers that sort like the column; None for a single value, which decides nothing."""
    if _is_single(column):
        return None
    if not isinstance(column, np.ndarray):
        text = _as_text(column)
        # The order of the texts themselves, so that every writer has the same; equal texts rank equal.
        values = [value or "" for value in text.values]
        if all(map(lt, values, values[1:])):
            return text.codes
        ranks = {value: rank for rank, value in enumerate(sorted(set(values)))}
        rank = np.array([*(ranks[value] for value in values), -1])
        return np.where(text.codes < 0, -1, rank[text.codes])
    return column


def stacked(parts: Sequence[tuple[Column, int]]) -> Column:
    """Put parts of one column, each with its number of rows, below each other."""
    first = parts[0][0]
    if len(parts) == 1 or (_is_single(first) and all(_is_single(part) and part == first for part, _ in parts)):
        return first
    if all(isinstance(part, pa.Array) for part, _ in parts):
        return pa.concat_arrays([part for part, _ in parts])
    if any(isinstance(part, int | float | np.ndarray) for part, _ in parts):
        arrays = [_as_array(part, n) for part, n in parts]
        masked = any(isinstance(array, np.ma.MaskedArray) for array in arrays)
        whole: Array = np.ma.concatenate(arrays) if masked else np.concatenate(arrays)  # type: ignore[no-untyped-call]
        return whole
    texts = [_as_text([part] * n if _is_single(part) else part) for part, n in parts]
    codes, values = [], list[str | None]()
    for text in texts:
        codes.append(np.where(text.codes < 0, -1, text.codes + len(values)))
        values += text.values
    return Text(np.concatenate(codes), values)


def _as_array(part: Any, n: int) -> Array:
    if isinstance(part, np.ndarray):
        return part
    return np.ma.MaskedArray(np.zeros(n, np.int8), mask=True) if part is None else np.full(n, part)


def _is_single(column: Column) -> TypeGuard[str | float | bool | None]:
    return column is None or isinstance(column, str | int | float | bool)


def _repeated(kind: str, value: Any, n: int) -> Cells:
    if value is None:
        return Cells(np.zeros(n, _FIXED.get(kind, "S1")), np.full(n, -1, np.int32))
    one = [value] if kind in _PREFIX else np.array([value])
    cells = cells_of(kind, one, 1)
    return cells.take(np.zeros(n, np.int64))


def _as_text(column: Any) -> Text:
    if isinstance(column, Text):
        return column
    found = column if isinstance(column, pa.Array) else pa.array(column, pa.string())
    if not pa.types.is_dictionary(found.type):
        found = found.dictionary_encode()
    return Text(pc.fill_null(found.indices, -1).to_numpy(), found.dictionary.to_pylist())


def _text_cells(text: Text, prefix: bytes) -> Cells:
    raw: list[Any] = [*text.values, None]  # the last entry is what code -1 names
    present: list[Any] = [value or "" for value in raw]
    if prefix or not "".join(present).isascii():
        present = [prefix + value.encode() for value in present]
    lengths = np.fromiter(map(len, present), np.int32, len(present))
    values = np.array(present, f"S{max(1, int(lengths.max()))}")
    lengths[[i for i, value in enumerate(raw) if value is None]] = -1
    codes = np.where(text.codes < 0, len(raw) - 1, text.codes)
    used = lengths[codes]
    return Cells(values[codes], None if (used == values.itemsize).all() else used)


def _fixed_cells(kind: str, column: Any, absent: npt.NDArray[np.bool_] | None) -> Cells:
    values = column.fill_null(0).to_numpy(zero_copy_only=False) if isinstance(column, pa.Array) else np.asarray(column)
    if kind == "date":
        values = values.astype("datetime64[D]").astype(np.int64) - _POSTGRES_EPOCH_DAY
    elif values.dtype.kind == "M":
        values = values.astype("datetime64[us]").astype(np.int64)
    if kind == "timestamptz":
        values = values.astype(np.int64) - _POSTGRES_EPOCH_US
    elif kind.startswith("int") and values.dtype.kind == "f":
        values = np.where(absent, 0, values) if absent is not None else values
    fixed = np.dtype(_FIXED[kind])
    laid = values.astype(fixed)
    if fixed.kind == "i" and values.dtype.itemsize > fixed.itemsize and not (laid == values).all():
        msg = f"a value does not fit {kind}"
        raise ValueError(msg)
    if absent is None or not absent.any():
        return Cells(laid, None)
    return Cells(laid, np.where(absent, -1, fixed.itemsize).astype(np.int32))


def _absent(column: Any) -> npt.NDArray[np.bool_] | None:
    absent: npt.NDArray[np.bool_] | None = None
    if isinstance(column, pa.Array):
        absent = column.is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
    elif isinstance(column, np.ma.MaskedArray):
        absent = np.ma.getmaskarray(column) | _unset(column.data)
    elif column.dtype.kind in "fM":
        absent = _unset(column)
    return absent


def _unset(values: Array) -> npt.NDArray[np.bool_]:
    unset: npt.NDArray[np.bool_] = np.isnan(values) if values.dtype.kind in "fM" else np.zeros(len(values), bool)
    return unset


def _laid_out(cells: Sequence[Cells], n: int) -> bytes:
    kinds = [("fields", ">i2")]
    for i, cell in enumerate(cells):
        kinds += [(f"length_{i}", ">i4"), (f"value_{i}", cell.values.dtype.str)]
    rows = np.empty(n, kinds)
    rows["fields"] = len(cells)
    for i, cell in enumerate(cells):
        rows[f"length_{i}"] = cell.values.itemsize if cell.lengths is None else cell.lengths
        rows[f"value_{i}"] = cell.values
    if all(cell.lengths is None for cell in cells):
        return rows.tobytes()
    return _without_gaps(rows, cells)


def _without_gaps(rows: Array, cells: Sequence[Cells]) -> bytes:
    assert rows.dtype.fields is not None
    written = np.ones((len(rows), rows.itemsize), bool)
    for i, cell in enumerate(cells):
        if cell.lengths is not None:
            begin, width = rows.dtype.fields[f"value_{i}"][1], cell.values.itemsize
            written[:, begin : begin + width] = np.arange(width) < cell.lengths[:, None]
    laid: Array = rows.view(np.uint8).reshape(len(rows), rows.itemsize)
    return laid[written].tobytes()
