"""Newest values on their way to Redis: columns of many devices, packed into one text value per device and group.

A packed value is a guard, 32 hexadecimal digits that sort like (guard time, sequence), and a JSON object of texts. The
guard alone decides which of two values is newer, so a server compares them without looking inside.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

# The fields of a device that are newer or older together. A reader asks for all of them.
GROUPS: Final = ("motion", "window", "heart_rate", "steps", "status", "rolling", "wear")
SENSOR: Final = "sensor"  # and a group per channel of a declared sensor type, see `sensor_group`
GUARD_DIGITS: Final = 32
TRACE_POINTS: Final = 250  # 10 s at 25 Hz
TRACE_SPAN_US: Final = 10_000_000
# A trace whose times go back by more than this begins anew: the device's clock was set.
TRACE_RESTART_US: Final = 60_000_000
POINT_DTYPE: Final = np.dtype([("time_us", "<i8"), ("vm_g", "<f4")])
_TIME_DIGITS: Final = 16
# What a JSON text holds as it is; all else `json.dumps` has to say otherwise.
_ESCAPED: Final = r"[^ !#-\[\]-~]"
_DIGITS: Final = np.frombuffer(b"0123456789abcdef", np.uint8)
_SHIFTS: Final = np.arange(60, -4, -4, dtype=np.uint64)

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TraceChunk:
    """The last points of one device's vector magnitude in some messages, in time order (`POINT_DTYPE`).

    `guard_us` is the newest of their guards: a chunk not newer than the last one is a repeat.
    """

    device_id: str
    guard_us: int
    points: npt.NDArray[np.void]

    def packed(self) -> bytes:
        """Return guard and points as one value."""
        return b"%016x" % max(self.guard_us, 0) + self.points[-TRACE_POINTS:].tobytes()


# Gives the chunks of the devices asked for; None asks for all.
Traces = Callable[[frozenset[str] | None], list[TraceChunk]]


@dataclass(frozen=True)
class LatestBatch:
    """New values of one group of fields, one row per device.

    Attributes
    ----------
    guard_us, sequence
        (N,): what decides whether a device's values are newer than those there.
    fields
        Name to N values: numbers as arrays, texts as lists. NULL is written as an empty text, NaN as ``nan``.
    traces
        For motion: the points that led to these values.
    """

    group: str
    device_ids: Sequence[str]
    guard_us: Ints
    sequence: Ints
    fields: Mapping[str, npt.NDArray[Any] | pa.Array | Sequence[str | None]]
    traces: Traces | None = None

    def __post_init__(self) -> None:
        """Refuse a group no reader asks for."""
        if self.group not in GROUPS and not self.group.startswith(f"{SENSOR}:"):
            msg = f"no group of newest values is called {self.group}"
            raise ValueError(msg)

    def __len__(self) -> int:
        """Return the number of devices."""
        return len(self.device_ids)

    def packed(self) -> list[bytes]:
        """Return one value per device."""
        guard = np.concatenate((_hex(self.guard_us), _hex(self.sequence)), axis=1)
        parts: list[Any] = [_fixed_texts(guard)]
        for i, (name, values) in enumerate(self.fields.items()):
            parts += [('","' if i else '{"') + name + '":"', _texts(values)]
        parts += ['"}' if self.fields else "{}", ""]  # the last is what joins them
        packed: list[bytes] = pc.binary_join_element_wise(*parts).cast(pa.binary()).to_pylist()
        return packed


def sensor_group(sensor: str, channel: str) -> str:
    """Return the group of one channel of a declared sensor type; its fields are called the same, and what follows.

    >>> sensor_group("skin_temperature", "value")
    'sensor:skin_temperature:value'
    """
    return f"{SENSOR}:{sensor}:{channel}"


def unpacked(value: bytes | None) -> dict[str, str]:
    """Return the fields of a packed value; none where there is no value."""
    fields: dict[str, str] = json.loads(value[GUARD_DIGITS:]) if value else {}
    return fields


def newest_values(batches: Iterable[LatestBatch]) -> dict[str, dict[str, bytes]]:
    """Return per group each device's newest packed value, in the order devices came."""
    newest: dict[str, dict[str, bytes]] = {}
    for batch in batches:
        known = newest.setdefault(batch.group, {})
        for device_id, value in zip(batch.device_ids, batch.packed(), strict=True):
            older = known.get(device_id)
            if older is None or value[:GUARD_DIGITS] > older[:GUARD_DIGITS]:
                known[device_id] = value
    return newest


def joined_trace(chunks: Iterable[bytes], after_us: int) -> list[tuple[int, float]]:
    """Return the last points (time_us, vm_g) of packed chunks that are after an instant, each time once."""
    parts: list[npt.NDArray[np.void]] = []
    until_us = -(2**62)
    for chunk in chunks:
        points = np.frombuffer(chunk, POINT_DTYPE, offset=_TIME_DIGITS)
        if len(points) and points["time_us"][-1] < until_us - TRACE_RESTART_US:
            parts, until_us = [], -(2**62)
        points = points[points["time_us"] > until_us]
        if len(points):
            until_us = int(points["time_us"][-1])
            parts.append(points)
    joined = np.concatenate(parts)[-TRACE_POINTS:] if parts else np.zeros(0, POINT_DTYPE)
    joined = joined[joined["time_us"] > after_us]
    return [(time_us, round(vm_g, 4)) for time_us, vm_g in joined.tolist()]


def hex_texts(values: Ints) -> pa.Array:
    """Return each number as a text of 16 hexadecimal digits.

    >>> hex_texts(np.array([255])).to_pylist()
    ['00000000000000ff']
    """
    return _fixed_texts(_hex(values))


def _hex(values: Ints) -> npt.NDArray[np.uint8]:
    """Return each number as 16 hexadecimal digits, (N, 16); below zero counts as zero."""
    whole = np.maximum(values, 0).astype(np.uint64)[:, None]
    digits: npt.NDArray[np.uint8] = _DIGITS[((whole >> _SHIFTS) & np.uint64(15)).astype(np.intp)]
    return digits


def _fixed_texts(characters: npt.NDArray[np.uint8]) -> pa.Array:
    n, width = characters.shape
    offsets = np.arange(0, (n + 1) * width, width, dtype=np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(characters))]
    return pa.StringArray.from_buffers(n, buffers[1], buffers[2])


def _texts(values: Any) -> pa.Array:
    """Return values as they stand between the quotes of a JSON text."""
    array = values if isinstance(values, pa.Array) else pa.array(values, from_pandas=False)
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.int8())
    if pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
        return array.cast(pa.string()).fill_null("")
    texts = array.cast(pa.string())
    if not pc.any(pc.match_substring_regex(texts, _ESCAPED)).as_py():
        return texts.fill_null("")
    coded = texts.dictionary_encode()
    escaped = [json.dumps(value or "")[1:-1] for value in coded.dictionary.to_pylist()]
    return pa.array(escaped, pa.string()).take(coded.indices).fill_null("")
