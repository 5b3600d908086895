"""Large samples past the fast decoder: it copies a message's bytes several times, which at 19 kB costs most of all.

The samples are found in the bytes themselves, copied once to where the columns want them, and only the rest of each
message is decoded. Fields of a protobuf message may be taken away without the others noticing. Wherever a message is
anything but a plain row of fields with samples in it once, near its beginning, the decoder gets all messages as they
are.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from wearables_platform.signals.compiled import compiled, plain
from wearables_platform.wire.v1 import telemetry_pb2 as pb

LARGE_BYTES: Final = 4_096
"""Messages this large, on average, are worth it."""

HEAD_BYTES: Final = 256
"""Samples must begin within so many: encoders write fields in their order, and what comes before is short."""

_SAMPLES: Final = pb.AccelerationBatch.DESCRIPTOR.fields_by_name["samples"].number
_MOST_BYTES: Final = 2**31 - 1  # what a column of bytes can hold
_VARINT, _EIGHT, _COUNTED, _FOUR = 0, 1, 2, 5  # how the value of a field is written
_LAST_TAG: Final = 2**32 - 1


class Lifted(NamedTuple):
    """Messages without their samples, and the samples as a column."""

    rests: list[bytes]
    samples: pa.Array

    def put_into(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Return the decoded rests with the samples in their place."""
        place = rows.schema.get_field_index("samples")
        columns = [self.samples if i == place else column for i, column in enumerate(rows.columns)]
        return pa.RecordBatch.from_arrays(columns, schema=rows.schema)


def lift_samples(payloads: Sequence[bytes], large_bytes: int = LARGE_BYTES) -> Lifted | None:
    """Take the samples out of acceleration messages; None where they are small, or any message is not plain."""
    sizes = np.fromiter(map(len, payloads), np.int64, len(payloads))
    total = int(sizes.sum())
    if not total or total < large_bytes * len(payloads) or total > _MOST_BYTES:
        return None
    spans = np.empty((len(payloads), 3), np.int64)
    if not _find(*_joined([payload[:HEAD_BYTES] for payload in payloads]), sizes, _SAMPLES, spans):
        return None
    cuts = list(zip(payloads, spans[:, 0].tolist(), spans[:, 2].tolist(), strict=True))
    rests = [payload[:tag] + payload[after:] for payload, tag, after in cuts]
    return Lifted(rests, _values(payloads, spans)) if _are_plain(*_joined(rests), _SAMPLES) else None


def _joined(parts: list[bytes]) -> tuple[Any, Any]:
    """Return the parts as one array, and where each begins, with the end of the last."""
    raw, bounds = np.frombuffer(b"".join(parts), np.uint8), np.array([0, *accumulate(map(len, parts))], np.int64)
    return plain(raw)[0], bounds


def _values(payloads: Sequence[bytes], spans: Any) -> pa.Array:
    offsets = np.zeros(len(payloads) + 1, np.int32)
    np.cumsum(spans[:, 2] - spans[:, 1], out=offsets[1:])
    held = np.empty(int(offsets[-1]), np.uint8)
    room, at = held.data, 0
    for payload, begin, end in zip(payloads, spans[:, 1].tolist(), spans[:, 2].tolist(), strict=True):
        room[at : at + end - begin] = memoryview(payload)[begin:end]
        at += end - begin
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(held)]
    return pa.Array.from_buffers(pa.binary(), len(payloads), buffers, null_count=0)


@compiled
def _find(raw: Any, bounds: Any, sizes: Any, wanted: Any, spans: Any) -> bool:
    """Fill where the field's tag, its value and what follows begin in each message; False where one's head is odd."""
    for message in range(len(sizes)):
        begin, end = bounds[message], bounds[message + 1]
        at, tag, value, after = begin, 0, begin, begin
        while tag >> 3 != wanted:
            at = after
            tag, value, after = _field(raw, at, end)
            if value < 0 or (after > end and tag >> 3 != wanted):
                return False
        if tag & 7 != _COUNTED or after - begin > sizes[message]:
            return False
        spans[message, 0], spans[message, 1], spans[message, 2] = at - begin, value - begin, after - begin
    return True


@compiled
def _are_plain(raw: Any, bounds: Any, unwanted: Any) -> bool:
    """Tell whether each message is fields one after another to its end, and the unwanted one is not among them."""
    for message in range(len(bounds) - 1):
        at, end = bounds[message], bounds[message + 1]
        while at < end:
            tag, value, at = _field(raw, at, end)
            if value < 0 or at > end or tag >> 3 == unwanted:
                return False
    return True


@compiled
def _field(raw: Any, at: Any, end: Any) -> Any:
    """Return a field's tag, where its value begins, negative if that cannot be told, and where it would end."""
    tag, value = _varint(raw, at, end)
    if value < 0 or tag > _LAST_TAG or tag >> 3 == 0:
        return tag, np.int64(-1), at
    written, after = tag & 7, np.int64(-1)
    if written == _VARINT:
        after = _varint(raw, value, end)[1]
    elif written == _EIGHT:
        after = value + 8
    elif written == _FOUR:
        after = value + 4
    elif written == _COUNTED:
        size, value = _varint(raw, value, end)
        after = value + size if value >= 0 and size <= _MOST_BYTES else np.int64(-1)
    return tag, (value if after >= 0 else np.int64(-1)), after


@compiled
def _varint(raw: Any, at: Any, end: Any) -> Any:
    """Return a number and where it ends, negative if it does not end by `end`; what needs a tenth byte is told large.

    Ten bytes write negative numbers: where they are met, only their end is of use.
    """
    number = np.int64(0)
    for i in range(min(np.int64(10), end - at)):
        byte = np.int64(raw[at + i])
        if i < 9:
            number |= (byte & 127) << (7 * i)
        if byte < 128:
            return (number if i < 9 else np.int64(2**62)), at + i + 1
    return number, np.int64(-1)
