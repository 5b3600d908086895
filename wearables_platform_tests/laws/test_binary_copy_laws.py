"""Rows encoded column by column are, byte for byte, what psycopg writes row by row."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from psycopg._copy_base import format_row_binary
from psycopg.adapt import Transformer
from psycopg.types.json import Jsonb

from wearables_platform.clients.binary_copy import HEADER, TRAILER, Exact, Text, cells_of, encode, row_count, stacked
from wearables_platform.domain.time_policy import EPOCH

EARLIEST = datetime(1, 1, 2, tzinfo=UTC)
LATEST = datetime(9999, 12, 30, tzinfo=UTC)
VALUES: Mapping[str, st.SearchStrategy[Any]] = {
    "int2": st.integers(-(2**15), 2**15 - 1),
    "int4": st.integers(-(2**31), 2**31 - 1),
    "int8": st.integers(-(2**63), 2**63 - 1),
    "float4": st.floats(width=32, allow_nan=False),
    "float8": st.floats(allow_nan=False),
    "bool": st.booleans(),
    "timestamptz": st.datetimes(EARLIEST.replace(tzinfo=None), LATEST.replace(tzinfo=None), timezones=st.just(UTC)),
    "date": st.dates(),
    "text": st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12),
    "jsonb": st.dictionaries(st.text(st.characters(codec="ascii"), max_size=3), st.integers(0, 9), max_size=2),
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Kinds of columns, and rows with NULLs among them."""
    kinds = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=6))
    n = draw(st.integers(1, 8))
    columns = [draw(st.lists(st.none() | VALUES[kind], min_size=n, max_size=n)) for kind in kinds]
    return kinds, list(zip(*columns, strict=True))


def as_column(kind: str, values: list[Any]) -> Any:
    """A column as the platform holds it: arrays where it can."""
    if kind == "jsonb":
        return [None if value is None else json.dumps(value) for value in values]
    if kind in ("text", "date"):
        return pa.array(values, pa.string() if kind == "text" else pa.date32())
    if kind in ("float4", "float8"):
        return np.array([np.nan if value is None else value for value in values], f"f{kind[-1]}")
    if kind == "timestamptz":
        values = [None if value is None else (value - EPOCH) // timedelta(microseconds=1) for value in values]
    plain = np.array([0 if value is None else value for value in values], bool if kind == "bool" else np.int64)
    return np.ma.MaskedArray(plain, [value is None for value in values])


def as_psycopg_writes(kinds: list[str], rows: list[tuple[Any, ...]]) -> bytes:
    transformer = Transformer()
    transformer.set_dumper_types([psycopg.adapters.types[kind].oid for kind in kinds], psycopg.pq.Format.BINARY)
    written = bytearray(HEADER)
    for row in rows:
        given = [Jsonb(v) if kind == "jsonb" and v is not None else v for kind, v in zip(kinds, row, strict=True)]
        format_row_binary(given, transformer, written)  # what `Copy.write_row` calls
    return bytes(written + TRAILER)


def encoded(kinds: list[str], columns: list[Any]) -> bytes:
    n = row_count(dict(enumerate(columns)))  # type: ignore[arg-type]
    cells = [cells_of(kind, column, n) for kind, column in zip(kinds, columns, strict=True)]
    return HEADER + b"".join(encode(cells, n)) + TRAILER


@given(tables())
def test_columns_are_encoded_as_psycopg_writes_rows(table: tuple[list[str], list[tuple[Any, ...]]]) -> None:
    kinds, rows = table
    columns = [as_column(kind, list(values)) for kind, values in zip(kinds, zip(*rows, strict=True), strict=True)]
    assert encoded(kinds, columns) == as_psycopg_writes(kinds, rows)


@given(tables(), st.data())
def test_columns_in_parts_are_the_columns(table: tuple[list[str], list[tuple[Any, ...]]], data: st.DataObject) -> None:
    kinds, rows = table
    cut = data.draw(st.integers(0, len(rows)))
    by_kind = list(zip(kinds, zip(*rows, strict=True), strict=True))
    columns = [
        stacked([(as_column(kind, list(part)), len(part)) for part in (values[:cut], values[cut:])])
        for kind, values in by_kind
    ]
    assert encoded(kinds, columns) == as_psycopg_writes(kinds, rows)


@given(st.lists(st.sampled_from(["a", "bb", "", None]), min_size=1), st.sampled_from([None, "stream", True, 7, 1.5]))
def test_a_single_value_stands_for_a_column_of_it(texts: list[str | None], value: Any) -> None:
    kind = {str: "text", bool: "bool", int: "int8", float: "float8", type(None): "float8"}[type(value)]
    values = sorted({text for text in texts if text is not None}) + [None]
    codes = np.array([values.index(text) if text is not None else -1 for text in texts])
    rows = [(text, value) for text in texts]
    assert encoded(["text", kind], [Text(codes, values), value]) == as_psycopg_writes(["text", kind], rows)


@given(st.lists(st.none() | st.floats(allow_nan=True), min_size=1))
def test_exact_numbers_keep_what_is_not_a_number_apart_from_what_is_missing(values: list[float | None]) -> None:
    # Rows given by Python's one NaN: the bits of others are not what a column carries on.
    plain = [float("nan") if value is not None and value != value else value for value in values]
    column = Exact(pa.array(plain, pa.float64(), from_pandas=False))
    assert encoded(["float8"], [column]) == as_psycopg_writes(["float8"], [(value,) for value in plain])
