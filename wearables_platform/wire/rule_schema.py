"""What rules find, as Arrow tables: how it lies in the lake. Columns are named as in SQL; NaN is null at rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from wearables_platform.signals.rolling import ROLLING_COLUMNS
from wearables_platform.signals.rule_kinds import RULE_KINDS
from wearables_platform.signals.wear import QUARTER_US
from wearables_platform.signals.windows import FEATURE_VERSION, WINDOW_US
from wearables_platform.wire.feature_schema import INSTANT

RULES_DATASET: Final = "features/rules"
WEAR_DATASET: Final = "features/wear"
ROLLING_DATASET: Final = "features/rolling"

_ARROW_TYPES: Final = {"float64": pa.float64(), "int32": pa.int32()}


def _schema(*fields: tuple[str, pa.DataType]) -> pa.Schema:
    keys = [pa.field("device_id", pa.string(), nullable=False), pa.field("window_start", INSTANT, nullable=False)]
    return pa.schema([*keys, *fields, pa.field("feature_version", pa.string(), nullable=False)])


RULE_SCHEMA: Final = _schema(
    ("kind", pa.string()),
    ("started_at", INSTANT),
    ("duration_ms", pa.float64()),
    ("extreme_value", pa.float64()),
)
WEAR_SCHEMA: Final = _schema(("seconds", pa.int32()), ("still_axes", pa.int32()), ("sd_mg", pa.float64()))
ROLLING_SCHEMA: Final = _schema(
    ("span_s", pa.int32()), *((column.name, _ARROW_TYPES[column.dtype]) for column in ROLLING_COLUMNS)
)
SCHEMA_OF: Final = {RULES_DATASET: RULE_SCHEMA, WEAR_DATASET: WEAR_SCHEMA, ROLLING_DATASET: ROLLING_SCHEMA}


def rule_table(events: npt.NDArray[Any], device_ids: Sequence[str]) -> pa.Table:
    """Turn events into a table sorted by (device_id, started_at, kind)."""
    events = events[np.lexsort((events["kind"], events["start_us"], events["device"]))]
    start_us, end_us = events["start_us"].astype(np.int64), events["end_us"].astype(np.int64)
    kinds = _texts(events["kind"], [kind.name for kind in RULE_KINDS])
    values = [kinds, _instants(start_us), pa.array((end_us - start_us) / 1000), _nullable(events["value"])]
    return _table(RULE_SCHEMA, events["device"], device_ids, start_us // WINDOW_US * WINDOW_US, values)


def wear_table(wear: npt.NDArray[Any], device_ids: Sequence[str]) -> pa.Table:
    """Turn quarters of an hour into a table sorted by (device_id, window_start)."""
    wear = wear[np.lexsort((wear["span"], wear["device"]))]
    values = [pa.array(wear[name].astype(np.int32)) for name in ("seconds", "still_axes")]
    start_us = wear["span"].astype(np.int64) * QUARTER_US
    return _table(WEAR_SCHEMA, wear["device"], device_ids, start_us, [*values, _nullable(wear["sd_mg"])])


def rolling_table(rolling: npt.NDArray[Any], device_ids: Sequence[str]) -> pa.Table:
    """Turn rolling rows into a table sorted by (device_id, window_start, span_s)."""
    rolling = rolling[np.lexsort((rolling["span_s"], rolling["start_us"], rolling["device"]))]
    values = [_nullable(rolling[name]) for name in ("span_s", *(column.name for column in ROLLING_COLUMNS))]
    return _table(ROLLING_SCHEMA, rolling["device"], device_ids, rolling["start_us"].astype(np.int64), values)


def _table(
    schema: pa.Schema,
    device: npt.NDArray[Any],
    device_ids: Sequence[str],
    start_us: npt.NDArray[np.int64],
    values: Sequence[pa.Array],
) -> pa.Table:
    version = pa.repeat(FEATURE_VERSION, len(device))
    return pa.Table.from_arrays([_texts(device, device_ids), _instants(start_us), *values, version], schema=schema)


def _texts(codes: npt.NDArray[Any], values: Sequence[str]) -> pa.Array:
    indices = pa.array(codes.astype(np.int32))
    return pa.DictionaryArray.from_arrays(indices, pa.array(values, pa.string())).dictionary_decode()


def _instants(time_us: npt.NDArray[np.int64]) -> pa.Array:
    return pa.array(time_us).cast(INSTANT)


def _nullable(values: npt.NDArray[Any]) -> pa.Array:
    return pa.array(np.ascontiguousarray(values), from_pandas=True)
