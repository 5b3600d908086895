"""What a condemned record would have touched, read from its bytes without what it kills the process with.

Everything here is plain Python over bytes: no decoder, no kernel. A record that cannot be read so is none that batch
can read either, and touches nothing.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from stream.order import Late
from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.domain.time_policy import impossible_time
from wearables_platform.wire.v1 import telemetry_pb2 as pb

CAUSE: Final = "poison"
_RATES_HZ: Final = (1.0, 32_000.0)
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_NUMBER: Final = {field.name: field.number for field in pb.AccelerationBatch.DESCRIPTOR.fields}


def touched_by(topic: str, key: bytes | None, payload: bytes, append_us: int) -> list[Late]:
    """Return what the rows lack without this record: its span, if it is acceleration and its time can be read."""
    if topic != ACCELERATION.topic or key is None:
        return []
    try:
        last = dict(_fields(payload))
        device_id, sequence = key.decode(), last.get(_NUMBER["sequence"], 0)
        boot, start_us, rate_hz, samples, encoding = _measured(last)
    except (ValueError, KeyError, IndexError, struct.error, TypeError):
        return []
    sample_bytes = 12 if encoding == pb.SAMPLE_ENCODING_FLOAT32_G else 6
    genuine = last.get(_NUMBER["device_id"]) == key and isinstance(sequence, int)
    if not genuine or not _RATES_HZ[0] <= rate_hz <= _RATES_HZ[1]:
        return []
    if impossible_time(start_us, append_us) is not None:
        return []  # batch leaves it out as well
    end_us = start_us + round(samples // sample_bytes * 1e6 / rate_hz)
    assert isinstance(sequence, int)
    return [Late(device_id, boot, sequence, start_us, end_us, append_us, CAUSE)]


def _measured(last: dict[int, int | bytes]) -> tuple[int, int, float, int, int | bytes]:
    """Return boot, start, rate, bytes of samples and encoding."""
    formats = {"boot_id": "<Q", "start_time_us": "<q", "rate_hz": "<d"}
    boot, start_us, rate_hz = (struct.unpack(how, _as_bytes(last[_NUMBER[name]]))[0] for name, how in formats.items())
    return boot, start_us, rate_hz, len(_as_bytes(last[_NUMBER["samples"]])), last[_NUMBER["encoding"]]


def _as_bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        msg = "a number where bytes belong"
        raise TypeError(msg)
    return value


def _fields(payload: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield number and value of each field: a varint as an integer, everything else as its bytes."""
    at = 0
    while at < len(payload):
        tag, at = _varint(payload, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _varint(payload, at)
            yield tag >> 3, value
            continue
        size = {_FIXED64: 8, _FIXED32: 4}.get(kind)
        if kind == _BYTES:
            size, at = _varint(payload, at)
        if size is None or at + size > len(payload):
            msg = f"no field of kind {kind} at {at}"
            raise ValueError(msg)
        yield tag >> 3, payload[at : at + size]
        at += size


def _varint(payload: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        byte = payload[at]
        value, at, shift = value | (byte & 0x7F) << shift, at + 1, shift + 7
        if byte < 0x80:
            return value, at
    msg = "a number without an end"
    raise ValueError(msg)
