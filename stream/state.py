"""A lane's state, and records of it as explicit, versioned bytes: no pickled objects, so later code can read them.

A record is the whole state, or what changed since the record before it. Layout: magic, version, kind, lengths, CRC-32
of what follows, a JSON header, then the blobs the header names. Positions and small things are in every record's
header; what grows with the fleet is in columns (`stream.columns`), of which a change holds the touched devices only.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa

from stream.columns import Columnar, Columns, Delta, check_layout, merged
from stream.devices import Devices
from stream.order import OrderState
from stream.window_state import WindowState
from wearables_platform.errors import LogPositionError

MAGIC: Final = b"WPSS"
VERSION: Final = 3
WHOLE: Final = 0
CHANGES: Final = 1
_PREFIX: Final = struct.Struct("<4sHHIQI")  # magic, version, kind, header bytes, body bytes, CRC-32 of header and body
PREFIX_BYTES: Final = _PREFIX.size
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


@dataclass
class LaneState:
    """Everything a lane needs to go on: per topic where it is and what it remembers, and what its rules remember."""

    number: int
    devices: Devices
    partitions: dict[str, PartitionState]  # by topic; all of them count the same devices
    rules: Columnar | None = None
    named: int = 0  # how many of the devices' names are in records already

    def columnar(self) -> Iterator[tuple[str, Columnar]]:
        """Return what is saved as columns, by name."""
        for topic, partition in self.partitions.items():
            yield f"{topic}/order", partition.order
            yield f"{topic}/windows", partition.windows
        if self.rules is not None:
            yield "rules", self.rules


def write_record(state: LaneState, *, whole: bool) -> list[bytes | memoryview]:
    """Return a record as buffers, valid until the state goes on; from then on only later changes count as changes."""
    blobs: list[memoryview] = []
    sections = {name: _section(blobs, part, whole=whole) for name, part in state.columnar()}
    header = {
        "number": state.number,
        "names": state.devices.names[0 if whole else state.named :],
        "partitions": [_plain(partition) for partition in state.partitions.values()],
        "sections": sections,
    }
    state.named = len(state.devices)
    for _, part in state.columnar():
        part.mark_saved()
    text = json.dumps(header, separators=(",", ":")).encode()
    crc, size = zlib.crc32(text), 0
    for blob in blobs:
        crc, size = zlib.crc32(blob, crc), size + len(blob)
    kind = WHOLE if whole else CHANGES
    return [_PREFIX.pack(MAGIC, VERSION, kind, len(text), size, crc), text, *blobs]


def read_records(records: Sequence[bytes | memoryview], rules: Columnar | None = None) -> LaneState:
    """Read a state back from a whole record and the changes after it; `rules` is fresh and takes what was saved.

    Raises
    ------
    LogPositionError
        The bytes are no records, are damaged, were written by another version of this code, have other columns or types
        than this code's state, or lack a part: rules that
        began in the midst of an hour would say something else than batch.
    """
    parts = [_parsed(record) for record in records]
    last = parts[-1].header
    names = [name for part in parts for name in part.header["names"]]
    devices = Devices(names)
    partitions = {one["topic"]: _partition(one, devices) for one in last["partitions"]}
    state = LaneState(last["number"], devices, partitions, rules, named=len(devices))
    for name, part in state.columnar():
        _restore(name, part, parts)
    return state


def _restore(name: str, part: Columnar, parts: Sequence[_Parsed]) -> None:
    if any(name not in one.header["sections"] for one in parts):
        msg = f"the saved state says nothing of {name}; {REBUILD}"
        raise LogPositionError(msg)
    base, *deltas = (one.section(name) for one in parts)
    try:
        blank = part.columns()
        for one in (base, *deltas):  # before they are merged, which would make one type of two
            check_layout(one.columns, blank)
        part.restore(merged(base.columns, deltas))
    except (KeyError, ValueError) as exc:
        msg = f"the saved state has another form of {name} ({exc}); {REBUILD}"
        raise LogPositionError(msg) from exc
    part.mark_saved()


def to_bytes(state: LaneState) -> bytes:
    """Return the whole state in one piece."""
    return b"".join(write_record(state, whole=True))


def _plain(partition: PartitionState) -> dict[str, Any]:
    return {
        "topic": partition.topic,
        "partition": partition.partition,
        "topic_id": partition.topic_id,
        "next_offset": partition.next_offset,
        "log_us": partition.log_us,
        "pending": asdict(partition.pending),
        "counters": partition.counters,
    }


def _partition(plain: dict[str, Any], devices: Devices) -> PartitionState:
    return PartitionState(**plain | {"pending": Pending(**plain["pending"]), "order": OrderState(devices)})


def _section(blobs: list[memoryview], part: Columnar, *, whole: bool) -> dict[str, Any]:
    devices = np.zeros(0, np.int64) if whole else part.changed()
    columns = part.columns() if whole else part.rows_of(devices)
    return {
        "devices": _add_array(blobs, devices),
        "columns": {
            name: _add_rows(blobs, column) if isinstance(column, pa.RecordBatch) else _add_array(blobs, column)
            for name, column in columns.items()
        },
    }


def _add_array(blobs: list[memoryview], array: np.ndarray[Any, Any]) -> list[Any]:
    flat = np.ascontiguousarray(array)
    blobs.append(flat.reshape(-1).view(np.uint8).data)
    return ["array", np.lib.format.dtype_to_descr(array.dtype), list(array.shape), flat.nbytes]


def _add_rows(blobs: list[memoryview], rows: pa.RecordBatch) -> list[Any]:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_batch(rows)
    blobs.append(memoryview(sink.getvalue()))
    return ["rows", len(blobs[-1])]


@dataclass(frozen=True)
class _Parsed:
    header: dict[str, Any]
    body: memoryview
    begins: dict[tuple[str, str], int]

    def section(self, name: str) -> Delta:
        saved = self.header["sections"][name]
        columns: Columns = {column: self._column(name, column, how) for column, how in saved["columns"].items()}
        return Delta(self._column(name, "", saved["devices"]), columns)

    def _column(self, section: str, name: str, how: list[Any]) -> Any:
        begin = self.begins[section, name]
        blob = self.body[begin : begin + how[-1]]
        if how[0] == "rows":
            return pa.ipc.open_stream(pa.py_buffer(blob)).read_next_batch()
        return np.frombuffer(blob, _dtype(how[1])).reshape(how[2]).copy()


def _dtype(description: Any) -> np.dtype[Any]:
    """Undo what JSON does to a description: tuples came back as lists."""
    if isinstance(description, list):
        description = [(name, _dtype(kind), *map(tuple, shape)) for name, kind, *shape in description]
    dtype: np.dtype[Any] = np.dtype(description)
    return dtype


def _parsed(raw: bytes | memoryview) -> _Parsed:
    header, body = _checked(memoryview(raw))
    begins, at = {}, 0
    for section, saved in header["sections"].items():
        for name, how in [("", saved["devices"]), *saved["columns"].items()]:
            begins[section, name] = at
            at += how[-1]
    return _Parsed(header, body, begins)


def _checked(raw: memoryview) -> tuple[dict[str, Any], memoryview]:
    if len(raw) < _PREFIX.size or bytes(raw[:4]) != MAGIC:
        msg = f"the saved state is not one of this stream's; {REBUILD}"
        raise LogPositionError(msg)
    _, version, _, header_size, body_size, crc = _PREFIX.unpack_from(raw)
    if version != VERSION:
        msg = f"the saved state has version {version}, this code reads {VERSION}; {REBUILD}"
        raise LogPositionError(msg)
    content = raw[_PREFIX.size :]
    if len(content) != header_size + body_size or zlib.crc32(content) != crc:
        msg = f"the saved state is damaged; {REBUILD}"
        raise LogPositionError(msg)
    return json.loads(bytes(content[:header_size])), content[header_size:]
