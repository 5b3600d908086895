"""Window features and events as Arrow tables: how they lie in the lake.

Columns are named as in SQL. A number that does not exist (NaN in memory) is null at rest, in Parquet as in SQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from wearables_platform.signals.events import EventRows
from wearables_platform.signals.features import FEATURE_COLUMNS
from wearables_platform.signals.windows import FEATURE_VERSION, WINDOW_US, WindowRows

INSTANT: Final = pa.timestamp("us", tz="UTC")
_ARROW_TYPES: Final = {"float64": pa.float64(), "int32": pa.int32()}

WINDOWS_DATASET: Final = "features/windows"
SPIKES_DATASET: Final = "features/spikes"

WINDOW_SCHEMA: Final = pa.schema(
    [
        pa.field("device_id", pa.string(), nullable=False),
        pa.field("window_start", INSTANT, nullable=False),
        *(pa.field(column.name, _ARROW_TYPES[column.dtype]) for column in FEATURE_COLUMNS),
        pa.field("feature_version", pa.string(), nullable=False),
    ]
)
EVENT_NUMBERS: Final = ("duration_ms", "peak_g", "direction_x", "direction_y", "direction_z")
EVENT_SCHEMA: Final = pa.schema(
    [
        pa.field("device_id", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("window_start", INSTANT, nullable=False),
        pa.field("started_at", INSTANT, nullable=False),
        *(pa.field(name, pa.float64()) for name in EVENT_NUMBERS),
        pa.field("feature_version", pa.string(), nullable=False),
    ]
)


def window_table(rows: WindowRows, device_ids: Sequence[str]) -> pa.Table:
    """Turn window rows into a table sorted by (device_id, window_start).

    Parameters
    ----------
    rows
        ``rows.device`` indexes `device_ids`.
    device_ids
        Ascending, so that the rows' own order is the table's.
    """
    columns: list[pa.Array] = [_names(rows.device, device_ids), pa.array(rows.start_us).cast(INSTANT)]
    columns += [_nullable(rows[column.name]) for column in FEATURE_COLUMNS]
    columns.append(pa.repeat(FEATURE_VERSION, len(rows)))
    return pa.Table.from_arrays(columns, schema=WINDOW_SCHEMA)


def window_rows(table: pa.Table) -> tuple[WindowRows, list[str]]:
    """Turn a table back into window rows and the device ids they index; the inverse of `window_table`."""
    encoded = pc.dictionary_encode(table.column("device_id").combine_chunks())
    device = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int32)
    start_us = table.column("window_start").cast(pa.int64()).to_numpy()
    features = {
        column.name: table.column(column.name).to_numpy().astype(column.dtype, copy=False) for column in FEATURE_COLUMNS
    }
    return WindowRows(device, start_us, features), encoded.dictionary.to_pylist()


def event_table(events: EventRows, device_ids: Sequence[str]) -> pa.Table:
    """Turn events into a table sorted by (device_id, started_at)."""
    start = pa.array(events.start_us)
    columns: list[pa.Array] = [
        _names(events.device, device_ids),
        pa.repeat(events.kind, len(events)),
        pa.array(events.start_us // WINDOW_US * WINDOW_US).cast(INSTANT),
        start.cast(INSTANT),
        *(_nullable(getattr(events, name)) for name in EVENT_NUMBERS),
        pa.repeat(FEATURE_VERSION, len(events)),
    ]
    return pa.Table.from_arrays(columns, schema=EVENT_SCHEMA)


def _names(device: npt.NDArray[np.int32], device_ids: Sequence[str]) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(device), pa.array(device_ids, pa.string())).dictionary_decode()


def _nullable(values: npt.NDArray[Any]) -> pa.Array:
    return pa.array(values, from_pandas=True)
