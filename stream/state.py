"""A partition's state as explicit, versioned bytes: no pickled objects, so a snapshot can be read by later code.

Layout: magic, version, length of a JSON header, CRC-32 of what follows, header, then the blobs the header names.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa

from stream.order import BOOT_DTYPE, Held, Hole, OrderState
from stream.windows import PROGRESS_DTYPE, WindowState, merged_buffer
from wearables_platform.errors import LogPositionError

MAGIC: Final = b"WPSS"
VERSION: Final = 1
_PREFIX: Final = struct.Struct("<4sHIII")  # magic, version, header bytes, body bytes, CRC-32 of header and body
REBUILD: Final = "remove the stream's recovery directory to rebuild it from the log"


@dataclass
class Pending:
    """Rows for SQL found since the last flush; part of the state because an epoch may end between two flushes."""

    ledger: dict[str, list[list[int]]] = field(default_factory=dict)
    gaps: list[list[Any]] = field(default_factory=list)
    clock_steps: list[list[Any]] = field(default_factory=list)
    late: list[list[Any]] = field(default_factory=list)


@dataclass
class PartitionState:
    """Everything a partition needs to go on: where it is in which log, and what it remembers."""

    topic: str
    partition: int
    topic_id: str | None
    next_offset: int
    log_us: int = 0
    order: OrderState = field(default_factory=OrderState)
    windows: WindowState = field(default_factory=WindowState)
    pending: Pending = field(default_factory=Pending)
    counters: dict[str, int] = field(default_factory=dict)


def to_bytes(state: PartitionState) -> bytes:
    """Write a state."""
    blobs: list[bytes] = []
    buffer = merged_buffer(state.windows)
    held = [(slot, entry) for slot, entries in state.order.held.items() for entry in entries.values()]
    header = {
        "topic": state.topic,
        "partition": state.partition,
        "topic_id": state.topic_id,
        "next_offset": state.next_offset,
        "log_us": state.log_us,
        "devices": state.order.devices,
        "holes": {str(slot): holes for slot, holes in state.order.holes.items() if holes},
        "pending": asdict(state.pending),
        "counters": state.counters,
        "boots": _add(blobs, state.order.boots.tobytes()),
        "progress": _add(blobs, state.windows.progress.tobytes()),
        "buffer": _add(blobs, _ipc(buffer)),
        "held": [[slot, entry.sequence, entry.log_us, entry.start_us, entry.end_us] for slot, entry in held],
        "held_rows": _add(blobs, _ipc(pa.concat_batches([entry.row for _, entry in held]) if held else None)),
    }
    text = json.dumps(header, separators=(",", ":")).encode()
    body = b"".join(blobs)
    return _PREFIX.pack(MAGIC, VERSION, len(text), len(body), zlib.crc32(body, zlib.crc32(text))) + text + body


def from_bytes(raw: bytes) -> PartitionState:
    """Read a state back.

    Raises
    ------
    LogPositionError
        The bytes are no state, are damaged, or were written by another version of this code.
    """
    header, body = _checked(raw)
    blobs = {name: body[slice(*header[name])] for name in ("boots", "progress", "buffer", "held_rows")}
    order = OrderState(
        header["devices"],
        np.frombuffer(blobs["boots"], BOOT_DTYPE).copy(),
        _held(header["held"], blobs["held_rows"]),
        {int(slot): [Hole(*hole) for hole in holes] for slot, holes in header["holes"].items()},
    )
    buffer = _batch(blobs["buffer"])
    windows = WindowState(
        np.frombuffer(blobs["progress"], PROGRESS_DTYPE).copy(), [buffer] if buffer is not None else []
    )
    plain = {name: header[name] for name in ("topic", "partition", "topic_id", "next_offset", "log_us", "counters")}
    return PartitionState(**plain, order=order, windows=windows, pending=Pending(**header["pending"]))


def _checked(raw: bytes) -> tuple[dict[str, Any], bytes]:
    if len(raw) < _PREFIX.size or raw[:4] != MAGIC:
        msg = f"the saved state is not one of this stream's; {REBUILD}"
        raise LogPositionError(msg)
    _, version, header_size, body_size, crc = _PREFIX.unpack_from(raw)
    if version != VERSION:
        msg = f"the saved state has version {version}, this code reads {VERSION}; {REBUILD}"
        raise LogPositionError(msg)
    content = raw[_PREFIX.size :]
    if len(content) != header_size + body_size or zlib.crc32(content) != crc:
        msg = f"the saved state is damaged; {REBUILD}"
        raise LogPositionError(msg)
    return json.loads(content[:header_size]), content[header_size:]


def _add(blobs: list[bytes], blob: bytes) -> tuple[int, int]:
    begin = sum(map(len, blobs))
    blobs.append(blob)
    return begin, begin + len(blob)


def _ipc(rows: pa.RecordBatch | None) -> bytes:
    if rows is None or not rows.num_rows:
        return b""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_batch(rows)
    return bytes(sink.getvalue())


def _batch(raw: bytes) -> pa.RecordBatch | None:
    return pa.ipc.open_stream(raw).read_next_batch() if raw else None


def _held(entries: list[list[int]], raw: bytes) -> dict[int, dict[int, Held]]:
    rows = _batch(raw)
    held: dict[int, dict[int, Held]] = {}
    for i, (slot, sequence, log_us, start_us, end_us) in enumerate(entries):
        row = rows.take(pa.array([i]))  # type: ignore[union-attr]
        held.setdefault(slot, {})[sequence] = Held(row, sequence, log_us, start_us, end_us)
    return held
