"""Payloads to columns: protobuf wire format straight to Arrow, with every bad payload named.

A payload is checked in this order: size (before any parsing), wire format, identity, then the rules of its message
type. Whatever fails becomes a `Rejected` with a reason; the rest is one Arrow record batch. One bad payload makes the
fast decoder fail for the whole batch, and an empty payload passes it as a good row, so both are handled here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from google.protobuf.internal import api_implementation
from google.protobuf.message import DecodeError
from ptars import HandlerPool

from wearables_platform.domain.channels import ACCELERATION, STATUS, VITALS, Channel
from wearables_platform.domain.reasons import DeadLetterReason
from wearables_platform.errors import ConfigError, WireError
from wearables_platform.wire import rules
from wearables_platform.wire.large_samples import lift_samples
from wearables_platform.wire.v1 import telemetry_pb2 as pb

DeviceMessage = pb.AccelerationBatch | pb.VitalsBatch | pb.DeviceStatus
MESSAGE_TYPES: dict[str, type[DeviceMessage]] = {
    ACCELERATION.name: pb.AccelerationBatch,
    VITALS.name: pb.VitalsBatch,
    STATUS.name: pb.DeviceStatus,
}
DEFAULT_MAX_PAYLOAD_BYTES = 262_144

_pool = HandlerPool([pb.DESCRIPTOR])
_handlers = {name: _pool.get_for_message(message.DESCRIPTOR) for name, message in MESSAGE_TYPES.items()}


class Rejected(NamedTuple):
    """A payload that is not a valid message: its position in the input, why, and details for a person."""

    position: int
    reason: DeadLetterReason
    detail: str


@dataclass(frozen=True)
class Decoded:
    """The good rows of a batch of payloads, where each came from, and the bad ones.

    Attributes
    ----------
    rows
        One row per valid message, columns as in the schema file.
    index
        (R,) int64, position in the input of each row of `rows`, ascending.
    rejected
        Every other input, with its reason.
    """

    rows: pa.RecordBatch
    index: npt.NDArray[np.int64]
    rejected: tuple[Rejected, ...]


def require_fast_protobuf() -> None:
    """Refuse to run on protobuf's pure-Python fallback: it is two orders slower and recurses without bound."""
    implementation = api_implementation.Type()
    if implementation != "upb":
        msg = f"protobuf runs on its {implementation!r} implementation; install the binary wheel (upb)"
        raise ConfigError(msg)


def decode(
    channel: Channel, payloads: Sequence[bytes], *, max_payload_bytes: int = DEFAULT_MAX_PAYLOAD_BYTES
) -> Decoded:
    """Decode payloads of one channel into columns; never raises for bad payloads."""
    rejected: list[Rejected] = []
    index = _plausible_sizes(payloads, max_payload_bytes, rejected)
    rows, index = _parse(channel, payloads, index, rejected)
    bad = rules.broken_rule(channel, rows)
    if bad.any():
        for row in np.flatnonzero(bad):
            reason = rules.REASONS[bad[row]]
            rejected.append(Rejected(int(index[row]), reason, rules.describe(channel, rows, int(row), reason)))
        keep = bad == 0
        rows, index = rows.filter(pa.array(keep)), index[keep]
    return Decoded(rows, index, tuple(sorted(rejected)))


def decode_one(
    channel: Channel, payload: bytes, *, max_payload_bytes: int = DEFAULT_MAX_PAYLOAD_BYTES
) -> DeviceMessage:
    """Decode one payload into a message object, for gateways that handle messages one by one.

    Raises
    ------
    WireError
        With the same reasons as `decode`.
    """
    decoded = decode(channel, [payload], max_payload_bytes=max_payload_bytes)
    if decoded.rejected:
        raise WireError(decoded.rejected[0].reason, decoded.rejected[0].detail)
    try:
        return MESSAGE_TYPES[channel.name].FromString(payload)
    except DecodeError as exc:
        raise WireError(DeadLetterReason.UNDECODABLE, str(exc)) from exc


def accel_values_g(rows: pa.RecordBatch) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Return all samples of a decoded acceleration batch.

    Returns
    -------
    accel_g
        (S, 3) float32, g: the samples of all rows one after another. A view of the batch where the encoding allows.
    counts
        (R,) int64, samples of each row.
    """
    column = rows.column("samples")
    offsets = np.frombuffer(column.buffers()[1], np.int32)[column.offset : column.offset + len(column) + 1]
    data = column.buffers()[2]
    lengths = np.diff(offsets).astype(np.int64)
    is_float = rows.column("encoding").to_numpy() == pb.SAMPLE_ENCODING_FLOAT32_G
    if is_float.all() and data is not None:
        flat = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]] if len(column) else np.empty(0, np.uint8)
        return _as_float32(flat).reshape(-1, 3), lengths // 12
    return _mixed_encodings(rows, is_float)


def encode_samples_int16(accel_g: npt.NDArray[np.floating[Any]], scale_g: float) -> bytes:
    """Write (n, 3) samples in g as little-endian int16 of `scale_g` per count; values beyond the range saturate."""
    counts = np.clip(np.rint(np.asarray(accel_g, np.float64) / scale_g), -32768, 32767)
    return counts.astype("<i2").tobytes()


def encode_samples_float32(accel_g: npt.NDArray[np.floating[Any]]) -> bytes:
    """Write (n, 3) samples in g as little-endian float32."""
    return np.ascontiguousarray(accel_g, "<f4").tobytes()


def _as_float32(raw: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    # A slice may start at any byte; numpy reads unaligned data, but arithmetic on it is slow, so align by copying.
    values = raw.view("<f4") if raw.ctypes.data % 4 == 0 else raw.copy().view("<f4")
    return values.astype(np.float32, copy=False)


def _mixed_encodings(
    rows: pa.RecordBatch, is_float: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    scales = rows.column("scale_g").to_numpy()
    parts = [
        np.frombuffer(raw.as_buffer(), "<f4") if plain else np.frombuffer(raw.as_buffer(), "<i2") * np.float32(scale)
        for raw, plain, scale in zip(rows.column("samples"), is_float, scales, strict=True)
    ]
    counts = np.array([len(part) // 3 for part in parts], np.int64)
    flat = np.concatenate(parts) if parts else np.empty(0, np.float32)
    return flat.astype(np.float32, copy=False).reshape(-1, 3), counts


def _plausible_sizes(
    payloads: Sequence[bytes], max_payload_bytes: int, rejected: list[Rejected]
) -> npt.NDArray[np.int64]:
    sizes = np.fromiter(map(len, payloads), np.int64, len(payloads))
    for i in np.flatnonzero(sizes == 0):
        rejected.append(Rejected(int(i), DeadLetterReason.EMPTY, "no bytes"))
    for i in np.flatnonzero(sizes > max_payload_bytes):
        detail = f"{sizes[i]} bytes, limit {max_payload_bytes}"
        rejected.append(Rejected(int(i), DeadLetterReason.TOO_LARGE, detail))
    return np.flatnonzero((sizes > 0) & (sizes <= max_payload_bytes))


def _parse(
    channel: Channel, payloads: Sequence[bytes], index: npt.NDArray[np.int64], rejected: list[Rejected]
) -> tuple[pa.RecordBatch, npt.NDArray[np.int64]]:
    handler = _handlers[channel.name]
    chosen = index.tolist()
    try:
        return _batch(handler, payloads, chosen), index
    except ValueError:
        # Protobuf's own parser says where to look; what the fast decoder says of a payload alone counts.
        found = _refused(handler, payloads, _suspects(MESSAGE_TYPES[channel.name].FromString, payloads, chosen))
    chosen = [i for i in chosen if i not in found]
    try:
        rows = _batch(handler, payloads, chosen)
    except ValueError:
        found |= _refused(handler, payloads, chosen)
        chosen = [i for i in chosen if i not in found]
        rows = _batch(handler, payloads, chosen)
    rejected += [Rejected(i, DeadLetterReason.UNDECODABLE, detail) for i, detail in found.items()]
    return rows, np.array(chosen, np.int64)


def _batch(handler: Any, payloads: Sequence[bytes], chosen: list[int]) -> pa.RecordBatch:
    some = [payloads[i] for i in chosen]
    lifted = lift_samples(some) if handler is _handlers[ACCELERATION.name] else None
    return _decoded(handler, some) if lifted is None else lifted.put_into(_decoded(handler, lifted.rests))


def _decoded(handler: Any, payloads: list[bytes]) -> pa.RecordBatch:
    try:
        return handler.list_to_record_batch(payloads)
    except BaseException as exc:
        # The decoder panics at a length that wraps around (2^64 - 1): no `Exception`, and a type without a module.
        if type(exc).__name__ != "PanicException":
            raise
        msg = f"the decoder gave up: {exc}"
        raise ValueError(msg) from exc


def _suspects(parse: Callable[[bytes], DeviceMessage], payloads: Sequence[bytes], chosen: list[int]) -> list[int]:
    found = []
    for i in chosen:
        try:
            parse(payloads[i])
        except DecodeError:
            found.append(i)
    return found


def _refused(handler: Any, payloads: Sequence[bytes], chosen: list[int]) -> dict[int, str]:
    """Return by bisection what the decoder refuses, with its words; it gives up at the first, so failing is cheap."""
    if not chosen:
        return {}
    try:
        _batch(handler, payloads, chosen)
    except ValueError as exc:
        if len(chosen) == 1:
            return {chosen[0]: str(exc)[:200]}
        half = len(chosen) // 2
        return _refused(handler, payloads, chosen[:half]) | _refused(handler, payloads, chosen[half:])
    return {}


def dictionary_of(column: pa.Array) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Return (R,) codes and the distinct values of a text column: one Python string per device, not per message."""
    encoded = pc.dictionary_encode(column)
    return encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64), encoded.dictionary.to_pylist()
