"""A lane's saved state on disk: a file that begins with a whole record and goes on with what changed.

The engine's own store holds a *pointer*: which file, and how far into it. Both sides of a crash are then harmless:
what was written behind the last pointer the engine kept is never read, and a pointer is handed out only when all it
points to is on the disk. A file is given up for a new one when its changes have outgrown its beginning, so saving costs
what changed, twice at most, and reading at most thrice the state. The file before it is kept until three pointers into
the new one have been handed out: by then the engine has recorded the first.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from stream.columns import Columnar
from stream.state import PREFIX_BYTES, REBUILD, LaneState, read_records, write_record
from wearables_platform.errors import LogPositionError, StoreRefused

POINTER_FORMAT: Final = 2  # 1 was the state itself inside the engine's store
# Below this a new beginning is not worth a new file.
SMALL_BYTES: Final = 1_000_000
POINTERS_BEFORE_FORGETTING: Final = 3
_FRAME: Final = struct.Struct("<Q")


@dataclass(frozen=True)
class Pointer:
    """Where a lane's state is: the first `end` bytes of a file.

    Every record has a checksum of its own; `check`, taken over these, tells two files of one name apart.
    """

    file: str
    end: int
    check: int
    format: int = POINTER_FORMAT

    def to_bytes(self) -> bytes:
        """Return what the engine stores."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Pointer:
        """Read it back; raises `LogPositionError` for anything else."""
        try:
            fields = json.loads(raw)
            found = cls(**fields)
        except (ValueError, TypeError) as exc:
            msg = f"the saved state was written by another version of the stream; {REBUILD}"
            raise LogPositionError(msg) from exc
        if found.format != POINTER_FORMAT:
            msg = f"the saved state has format {found.format}, this code reads {POINTER_FORMAT}; {REBUILD}"
            raise LogPositionError(msg)
        return found


class Journal:
    """Saves one lane's state and reads it back; one writer per lane.

    Parameters
    ----------
    directory
        Holds the files of all lanes; made where it is missing.
    lane
        The lane's number.
    """

    def __init__(self, directory: Path, lane: int) -> None:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._directory, self._prefix = directory, f"lane-{lane:03d}."
        self._kept: list[Path] = []  # the file being written last
        self._generation = 0
        self._descriptor: int | None = None
        self._begin_bytes = self._bytes = self._check = 0
        self._saved = 0  # pointers into the present file
        self.written_bytes = 0  # by the last `save`
        self.whole_bytes = 0  # by the last that wrote the whole state

    def load(self, raw: bytes, rules: Columnar | None = None) -> LaneState:
        """Return the state a pointer stands for; the next `save` begins a new file.

        Raises
        ------
        LogPositionError
            The file is missing, too short, damaged, or of another version: the message says what to do.
        """
        pointer = Pointer.from_bytes(raw)
        path = self._directory / pointer.file
        self._generation = int(pointer.file.rpartition(".")[2])
        try:
            content = path.read_bytes()[: pointer.end]
        except FileNotFoundError as exc:
            msg = f"the saved state in {path} is missing; {REBUILD}"
            raise LogPositionError(msg) from exc
        records, check = _records(memoryview(content))
        if len(content) != pointer.end or not records or check != pointer.check:
            msg = f"the saved state in {path} is not the one that was saved last: cut short or exchanged; {REBUILD}"
            raise LogPositionError(msg)
        self._kept = [path]
        return read_records(records, rules)

    def save(self, state: LaneState) -> bytes:
        """Make the state durable and return the pointer to it.

        Raises
        ------
        StoreRefused
            The disk is full, say. The stream must end then: without a snapshot its position cannot move.
        """
        whole = self._descriptor is None or self._bytes > max(2 * self._begin_bytes, SMALL_BYTES)
        record = write_record(state, whole=whole)
        try:
            if whole:
                self._begin_file()
            self._append(record)
        except OSError as exc:
            msg = (
                f"the stream's state cannot be saved in {self._directory}: {exc.strerror}; nothing was lost, free space"
            )
            raise StoreRefused(msg) from exc
        if whole:
            self._begin_bytes = self.whole_bytes = self._bytes
        self._saved += 1
        if self._saved == POINTERS_BEFORE_FORGETTING:
            self._forget_older()
        return Pointer(self._kept[-1].name, self._bytes, self._check).to_bytes()

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _begin_file(self) -> None:
        self.close()
        for orphan in set(self._directory.glob(f"{self._prefix}*")).difference(self._kept):
            orphan.unlink()  # no pointer the engine has kept names it
        self._generation += 1
        path = self._directory / f"{self._prefix}{self._generation:08d}"
        self._kept.append(path)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        directory = os.open(self._directory, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)
        self._bytes = self._check = self._saved = 0

    def _append(self, record: list[bytes | memoryview]) -> None:
        assert self._descriptor is not None
        size = sum(map(len, record))
        frame = _FRAME.pack(size)
        with os.fdopen(os.dup(self._descriptor), "wb", buffering=1 << 20) as file:
            file.writelines([frame, *record])
        os.fdatasync(self._descriptor)
        self._check = _chained(self._check, frame, record[0])
        self._bytes += len(frame) + size
        self.written_bytes = len(frame) + size

    def _forget_older(self) -> None:
        *older, present = self._kept
        for path in older:
            path.unlink(missing_ok=True)
        self._kept = [present]


def _chained(check: int, frame: bytes, prefix: bytes | memoryview) -> int:
    """Take a record into the check: its length and its prefix, which holds the CRC of its content."""
    return zlib.crc32(prefix, zlib.crc32(frame, check))


def _records(content: memoryview) -> tuple[list[memoryview], int]:
    """Cut a file into its records; what is left over at the end makes `check` another."""
    records: list[memoryview] = []
    at = check = 0
    while at + _FRAME.size <= len(content):
        frame = bytes(content[at : at + _FRAME.size])
        begin, end = at + _FRAME.size, at + _FRAME.size + _FRAME.unpack(frame)[0]
        records.append(content[begin:end])
        check = _chained(check, frame, records[-1][:PREFIX_BYTES])
        at = end
    return records, check
