"""Archived messages as Arrow tables: how they lie in the lake's ``raw/`` datasets.

One row per message: its identity as text, every field of the schema file decoded (samples keep their exact bytes),
the last instant it covers, and where and when the log held it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from wearables_platform.domain.channels import ACCELERATION, VITALS, Channel
from wearables_platform.errors import WireError
from wearables_platform.wire.codec import accel_values_g, decode
from wearables_platform.wire.samples import message_spans_us

RAW_SCHEMA_VERSION: Final = "2"
TIME_SPAN: Final = ("start_time_us", "end_time_us")
SORT_KEYS: Final = [("device_id", "ascending"), ("boot_id", "ascending"), ("sequence", "ascending")]
# Order in the lake: what a person asks for is a device and a span of time. Day and bucket are columns while sorting.
LAKE_ORDER: Final = ("event_day", "bucket", "device_id", "start_time_us", "boot_id", "sequence")

# What is read of an archived document; everything else is in its payload.
DOCUMENT_FIELDS: Final = ("payload", "payload_sha256", "append_time_us", "topic", "partition", "offset")
_FROM_DOCUMENT: Final = pa.schema(
    [
        pa.field("message_id", pa.string(), nullable=False),
        pa.field("append_time_us", pa.int64(), nullable=False),
        pa.field("topic", pa.string(), nullable=False),
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("payload_sha256", pa.string(), nullable=False),
    ]
)


def raw_dataset(channel: Channel) -> str:
    """Return the lake dataset that holds a channel's messages."""
    return f"raw/{channel.name}"


def raw_rows(channel: Channel, documents: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Decode archived documents into rows, in the order given.

    Raises
    ------
    WireError
        A payload does not decode: the archive decoded it before storing, so the store or the schema has changed.
    """
    decoded = decode(channel, [document["payload"] for document in documents], max_payload_bytes=2**31 - 1)
    if decoded.rejected:
        bad = decoded.rejected[0]
        raise WireError(bad.reason, f"{documents[bad.position]['_id']}: {bad.detail}")
    archived = [
        pa.array([document["_id" if field.name == "message_id" else field.name] for document in documents], field.type)
        for field in _FROM_DOCUMENT
    ]
    table = pa.Table.from_batches([decoded.rows])
    table = table.append_column(
        pa.field("end_time_us", pa.int64(), nullable=False), pa.array(_ends_us(channel, decoded.rows))
    )
    for field, column in zip(_FROM_DOCUMENT, archived, strict=True):
        table = table.append_column(field, column)
    return table


def sorted_messages(tables: Sequence[pa.Table]) -> pa.Table:
    """Join tables of raw messages and sort them by (device_id, boot_id, sequence)."""
    joined = pa.concat_tables(tables)
    return joined.take(pc.sort_indices(joined, sort_keys=SORT_KEYS)).combine_chunks()


def _ends_us(channel: Channel, rows: pa.RecordBatch) -> npt.NDArray[np.int64]:
    """Return (R,) the instant after the last one each message speaks of."""
    if channel is ACCELERATION:
        return message_spans_us(rows, accel_values_g(rows)[1])[1]
    ends: npt.NDArray[np.int64] = rows.column("start_time_us").to_numpy().copy()
    if channel is VITALS:
        for name, field in (("heart_rate", "time_us"), ("steps", "end_time_us"), ("readings", "time_us")):
            readings = rows.column(name)
            if len(readings.flatten()):
                np.maximum.at(ends, pc.list_parent_indices(readings).to_numpy(), readings.flatten().field(field))
    return ends
