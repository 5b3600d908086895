"""State as columns, and what changed of it: how a partition's memory becomes bytes without pickled objects.

A sub-state (order, windows, rules) counts its devices 0, 1, 2 ... and holds everything in columns of three forms:

* a plain array: one row per device, in device order;
* arrays named ``table.column`` with a ``table.device`` among them: any number of rows per device, which that column
  says; rows of one device keep their order;
* a `RecordBatch`: the same as a table, with a column ``device``; it may be left out while it has no rows.

A snapshot then is the whole of it, or the rows of the devices touched since the last one; `merged` puts them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]
# name to np.ndarray or pa.RecordBatch, which carries no types for mypy
Columns = dict[str, Any]

DEVICE: Final = "device"


@runtime_checkable
class Columnar(Protocol):
    """A sub-state that can be saved by what changed. All device numbers are its own."""

    def columns(self) -> Columns:
        """Return everything; nothing of it may change in place before the caller is done with it."""

    def changed(self) -> Ints:
        """Return the devices whose rows changed since `mark_saved`, new devices among them; in ascending order."""

    def mark_saved(self) -> None:
        """Begin to collect changes anew."""

    def rows_of(self, devices: Ints) -> Columns:
        """Return these devices' rows, in the order of `devices`: `columns` without the rest."""

    def restore(self, columns: Columns) -> None:
        """Take the place of a state that gave these columns."""


def check_layout(found: Columns, blank: Columns) -> None:
    """Raise `ValueError` unless the columns are those of a blank state of this code, of the same types.

    A batch may be left out while it has no rows: it is compared where both have it.
    """
    saved, expected = layout_of(found), layout_of(blank)
    may_lack = {name for both in (found, blank) for name, column in both.items() if isinstance(column, pa.RecordBatch)}
    differing = [
        name
        for name in sorted(saved.keys() | expected.keys())
        if saved.get(name) != expected.get(name) and not (name in may_lack and (name in saved) != (name in expected))
    ]
    if differing:
        msg = f"other columns or types: {', '.join(differing)}"
        raise ValueError(msg)


def layout_of(columns: Columns) -> dict[str, str]:
    """Return each column's type: of an array that of an element and the shape of a row."""
    return {
        name: str([(f.name, str(f.type)) for f in column.schema])
        if isinstance(column, pa.RecordBatch)
        else f"{np.lib.format.dtype_to_descr(column.dtype)} {list(column.shape[1:])}"
        for name, column in columns.items()
    }


class Delta(NamedTuple):
    """Rows of some devices, in place of whatever was known of these devices."""

    devices: Ints
    columns: Columns


def merged(base: Columns, deltas: Sequence[Delta]) -> Columns:
    """Return the columns after all deltas, oldest first; each device's rows are of the last delta that has it."""
    if not deltas:
        return base
    size = _device_count(base, deltas)
    last = np.full(size, -1, np.int64)  # which delta speaks for a device; -1: the base
    for number, delta in enumerate(deltas):
        last[delta.devices] = number
    result: Columns = {}
    for name in {name: None for part in (base, *(delta.columns for delta in deltas)) for name in part}:
        if name not in base or isinstance(base[name], pa.RecordBatch):
            result[name] = _merged_batch(name, base, deltas, last)
        elif "." not in name:
            result[name] = _merged_array(name, base[name], deltas, size)
    for table in sorted({name.partition(".")[0] for name in base if "." in name}):
        result |= _merged_table(table, base, deltas, last)
    return result


def _device_count(base: Columns, deltas: Sequence[Delta]) -> int:
    known = [len(column) for name, column in base.items() if isinstance(column, np.ndarray) and "." not in name]
    keyed = [name for name in base if name.endswith(f".{DEVICE}") or isinstance(base[name], pa.RecordBatch)]
    numbers = [*(_devices_of(base[name]) for name in keyed), *(delta.devices for delta in deltas)]
    return max([0, *known, *(int(found.max()) + 1 for found in numbers if len(found))])


def _devices_of(column: Any) -> Ints:
    found = column.column(DEVICE).to_numpy() if isinstance(column, pa.RecordBatch) else column
    devices: Ints = found.astype(np.int64, copy=False)
    return devices


def _merged_array(name: str, column: npt.NDArray[Any], deltas: Sequence[Delta], size: int) -> npt.NDArray[Any]:
    result = np.zeros((size, *column.shape[1:]), column.dtype)
    result[: len(column)] = column
    for delta in deltas:
        result[delta.devices] = delta.columns[name]
    return result


def _merged_table(table: str, base: Columns, deltas: Sequence[Delta], last: Ints) -> Columns:
    key = f"{table}.{DEVICE}"
    parts = [base, *(delta.columns for delta in deltas)]
    kept = [last[_devices_of(part[key])] == number for number, part in enumerate(parts, -1)]
    device = np.concatenate([_devices_of(part[key])[keep] for part, keep in zip(parts, kept, strict=True)])
    order = np.argsort(device, kind="stable")
    return {
        name: np.concatenate([part[name][keep] for part, keep in zip(parts, kept, strict=True)])[order]
        for name in base
        if name.startswith(f"{table}.")
    }


def _merged_batch(name: str, base: Columns, deltas: Sequence[Delta], last: Ints) -> pa.RecordBatch:
    parts = [(-1, base.get(name)), *((number, delta.columns.get(name)) for number, delta in enumerate(deltas))]
    kept = [part.filter(pa.array(last[_devices_of(part)] == number)) for number, part in parts if part is not None]
    whole = pa.concat_batches(kept)
    return whole.take(pa.array(np.argsort(_devices_of(whole), kind="stable")))
