"""How a message's samples lie in Parquet: one column per axis, as counts wherever that loses nothing.

On the wire samples are interleaved x, y, z bytes, which no column encoding can do anything with. At rest each axis is a
list of its own: ``count_x`` and so on (int16, times ``step_g``) for samples that were sent as int16 and for float32
samples that are exactly a multiple of a sensor's step; ``x_g`` and so on (float32) for all others, such as means.
`restore_samples` gives back the very bytes that were sent: a float32 message is stored as counts only where every bit
comes back.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wearables_platform.wire.v1 import telemetry_pb2 as pb

AXES: Final = "xyz"
COUNT_COLUMNS: Final = tuple(f"count_{axis}" for axis in AXES)
VALUE_COLUMNS: Final = tuple(f"{axis}_g" for axis in AXES)
STEP: Final = "step_g"
STORED: Final = (STEP, *COUNT_COLUMNS, *VALUE_COLUMNS)

# Steps sensors measure in, largest first: a full scale of 2, 4, 8 or 16 g over 2^15 or 2^15 - 1 counts, fractions of
# two as older wristbands use them, and thousandths, in which exported recordings are written.
STEPS_G: Final = tuple(
    sorted(
        {2.0**-power for power in range(4, 15)}
        | {float(np.float32(range_g / 32_767)) for range_g in (2, 4, 8, 16)}
        | {0.001, 0.004},
        reverse=True,
    )
)

Floats = npt.NDArray[np.float32]
Counts = npt.NDArray[np.int16]
Mask = npt.NDArray[np.bool_]


class _Rows(NamedTuple):
    """Samples of some rows: (S, 3) values and (R,) samples of each row."""

    values: npt.NDArray[Any]
    lengths: npt.NDArray[np.int64]


def split_samples(table: pa.Table) -> pa.Table:
    """Replace ``samples`` by a column per axis; the inverse of `restore_samples`."""
    if "samples" not in table.column_names:
        return table
    at = table.column_names.index("samples")
    is_float = _is_float(table)
    raw, sizes = _bytes_of(table.column("samples"))
    floats = _Rows(_pick(raw, sizes, is_float, "<f4"), sizes[is_float] // 12)
    sent = _Rows(_pick(raw, sizes, ~is_float, "<i2"), sizes[~is_float] // 6)
    step_g = np.full(len(is_float), np.nan)
    step_g[~is_float] = table.column("scale_g").to_numpy()[~is_float]
    step_g[is_float] = steps_of(floats.values, floats.lengths)
    counted = ~np.isnan(step_g)
    columns = [pa.array(step_g, from_pandas=True)]
    columns += _lists(_counts(floats, sent, is_float, step_g), counted, pa.int16())
    columns += _lists(_select(floats, ~counted[is_float]), ~counted, pa.float32())
    stored = table.remove_column(at)
    for place, (name, column) in enumerate(zip(STORED, columns, strict=True), start=at):
        stored = stored.add_column(place, name, column)
    return stored


def restore_samples(table: pa.Table) -> pa.Table:
    """Put ``samples`` back as they were sent; needs the columns `STORED` and ``encoding``."""
    if STEP not in table.column_names:
        return table
    at = table.column_names.index(STEP)
    is_float = _is_float(table)
    step_g = table.column(STEP).to_numpy()
    counted = ~np.isnan(step_g)
    counts = _rows_of(table, COUNT_COLUMNS, counted, np.int16)
    values = _rows_of(table, VALUE_COLUMNS, ~counted, np.float32)
    lengths = np.empty(len(is_float), np.int64)
    lengths[counted], lengths[~counted] = counts.lengths, values.lengths
    sizes = lengths * np.where(is_float, 12, 6)
    raw = np.empty(int(sizes.sum()), np.uint8)
    float_of_counted = is_float[counted]
    _place(raw, sizes, ~is_float, _select(counts, ~float_of_counted).values.astype("<i2"))
    on_grid = _select(counts, float_of_counted)
    steps = np.repeat(step_g[counted][float_of_counted], on_grid.lengths)
    _place(raw, sizes, is_float & counted, _on_grid(on_grid.values, steps[:, None]).astype("<f4"))
    _place(raw, sizes, is_float & ~counted, values.values.astype("<f4"))
    samples = pa.Array.from_buffers(
        pa.binary(), len(sizes), [None, pa.py_buffer(_offsets(sizes)), pa.py_buffer(raw)], null_count=0
    )
    for name in STORED:
        table = table.remove_column(table.column_names.index(name))
    return table.add_column(at, pa.field("samples", pa.binary(), nullable=False), samples)


def steps_of(accel_g: Floats, lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return (R,) the largest step of which all of a row's samples are exact multiples, NaN where there is none.

    >>> steps_of(np.array([[0.25, 0, 1], [0.12345, 0, 1]], np.float32), np.array([1, 1])).tolist()
    [0.0625, nan]
    """
    found = np.full(len(lengths), np.nan)
    if not len(accel_g):
        return found
    first = np.cumsum(lengths) - lengths
    for step_g in STEPS_G:
        # One sample of each row tells most steps apart: only rows that pass are looked at whole.
        hopeful = np.isnan(found) & _multiples(accel_g[first], step_g)
        if not hopeful.any():
            continue
        rows = _select(_Rows(accel_g, lengths), hopeful)
        good = np.logical_and.reduceat(_multiples(rows.values, step_g), np.cumsum(rows.lengths) - rows.lengths)
        found[np.flatnonzero(hopeful)[good]] = step_g
    return found


def _multiples(accel_g: Floats, step_g: float) -> Mask:
    """Return which samples come back bit by bit from int16 counts of a step (minus zero and NaN do not)."""
    with np.errstate(invalid="ignore", over="ignore"):
        counts = np.rint(accel_g.astype(np.float64) / step_g)
        back = _on_grid(counts, step_g)
    same = (back.view(np.uint32) == np.ascontiguousarray(accel_g).view(np.uint32)) & (np.abs(counts) <= 32_767)
    return np.asarray(same.all(axis=1))


def _on_grid(counts: npt.NDArray[Any], step_g: Any) -> Floats:
    values: Floats = (counts.astype(np.float64) * step_g + 0.0).astype(np.float32)  # a count has no minus zero
    return values


def _counts(floats: _Rows, sent: _Rows, is_float: Mask, step_g: npt.NDArray[np.float64]) -> _Rows:
    """Join the counts that were sent with those of float rows on a step, in row order."""
    counted = ~np.isnan(step_g)
    on_step = _select(floats, counted[is_float])
    steps = np.repeat(step_g[is_float & counted], on_step.lengths)
    made = np.rint(on_step.values.astype(np.float64) / steps[:, None]).astype(np.int16)
    if not len(sent.values):
        return _Rows(made, on_step.lengths)
    if not len(made):
        return sent
    lengths = np.empty(int(counted.sum()), np.int64)
    was_float = is_float[counted]
    lengths[was_float], lengths[~was_float] = on_step.lengths, sent.lengths
    joined = np.empty((int(lengths.sum()), 3), np.int16)
    per_sample = np.repeat(was_float, lengths)
    joined[per_sample], joined[~per_sample] = made, sent.values
    return _Rows(joined, lengths)


def _lists(rows: _Rows, present: Mask, kind: pa.DataType) -> list[pa.Array]:
    """Return three list columns over all rows, null where a row is not `present`."""
    sizes = np.zeros(len(present), np.int64)
    sizes[present] = rows.lengths
    offsets, absent = pa.array(_offsets(sizes)), pa.array(~present)
    axes = (pa.array(np.ascontiguousarray(rows.values[:, axis]), kind) for axis in range(3))
    return [pa.ListArray.from_arrays(offsets, values, mask=absent) for values in axes]


def _rows_of(table: pa.Table, names: tuple[str, ...], present: Mask, dtype: Any) -> _Rows:
    lists = [table.column(name).combine_chunks() for name in names]
    sizes = np.diff(lists[0].offsets.to_numpy()).astype(np.int64)[present]
    return _Rows(np.stack([part.flatten().to_numpy() for part in lists], axis=1).astype(dtype, copy=False), sizes)


def _select(rows: _Rows, chosen: Mask) -> _Rows:
    if chosen.all():
        return rows
    return _Rows(rows.values[np.repeat(chosen, rows.lengths)], rows.lengths[chosen])


def _is_float(table: pa.Table) -> Mask:
    return np.asarray(table.column("encoding").to_numpy() == pb.SAMPLE_ENCODING_FLOAT32_G)


def _bytes_of(column: pa.ChunkedArray) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    whole = column.combine_chunks()
    offsets = np.frombuffer(whole.buffers()[1], np.int32)[whole.offset : whole.offset + len(whole) + 1]
    data = whole.buffers()[2]
    raw = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
    begin, end = (int(offsets[0]), int(offsets[-1])) if len(whole) else (0, 0)
    return raw[begin:end], np.diff(offsets).astype(np.int64) if len(whole) else np.empty(0, np.int64)


def _pick(raw: npt.NDArray[np.uint8], sizes: npt.NDArray[np.int64], chosen: Mask, dtype: str) -> npt.NDArray[Any]:
    # A copy, so that the view is aligned wherever the bytes began.
    picked = raw.copy() if chosen.all() else raw[np.repeat(chosen, sizes)]
    return picked.view(dtype).reshape(-1, 3)


def _place(raw: npt.NDArray[np.uint8], sizes: npt.NDArray[np.int64], chosen: Mask, values: npt.NDArray[Any]) -> None:
    if chosen.any():
        raw[np.repeat(chosen, sizes)] = np.ascontiguousarray(values).view(np.uint8).ravel()


def _offsets(sizes: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
