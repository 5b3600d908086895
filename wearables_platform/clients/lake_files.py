"""A lake in a directory: atomic, durable puts and a conditional put, without a server."""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from wearables_platform.errors import LakeConflict, StoreRefused, StoreUnavailable

_LOCKS = ".locks"
_INCOMING = ".incoming-"
COPY_BYTES = 1_000_000


class FileObjects:
    """Objects as files below a directory; a reader sees a whole object or none, also after a power cut."""

    def __init__(self, directory: Path) -> None:
        self._root = directory
        with _translating("create", str(directory)):
            directory.mkdir(parents=True, exist_ok=True)

    def put(self, key: str, data: bytes) -> None:
        """Write an object whole, replacing what was there."""
        target = self._path(key)
        with _translating("write", key), _temporary(target, io.BytesIO(data)) as temporary:
            os.replace(temporary, target)
            _sync_directory(target.parent)

    def put_file(self, key: str, path: Path) -> None:
        """Write a local file as an object."""
        target = self._path(key)
        with _translating("write", key), path.open("rb") as source, _temporary(target, source) as temporary:
            os.replace(temporary, target)
            _sync_directory(target.parent)

    def put_if(self, key: str, data: bytes, tag: str | None) -> str:
        """Write an object only if it still has `tag` (None: only if it does not exist); returns the new tag.

        Raises
        ------
        LakeConflict
            Somebody else wrote it first.
        """
        target = self._path(key)
        with _translating("write", key), _temporary(target, io.BytesIO(data)) as temporary:
            if tag is None:
                _link(temporary, target)
            else:
                self._replace(temporary, target, key, tag)
            _sync_directory(target.parent)
        return _tag(data)

    def get(self, key: str) -> tuple[bytes, str] | None:
        """Return an object and its tag, None where there is none."""
        try:
            with _translating("read", key):
                data = self._path(key).read_bytes()
        except FileNotFoundError:
            return None
        return data, _tag(data)

    def get_range(self, key: str, first: int, size: int) -> bytes:
        """Return a part of an object."""
        with _translating("read", key), self._path(key).open("rb") as file:
            file.seek(first)
            return file.read(size)

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the names and sizes of the objects directly in a folder."""
        directory = self._path(folder)
        with _translating("list", folder):
            found = directory.glob("[!.]*") if directory.is_dir() else ()
            return {path.name: path.stat().st_size for path in found if path.is_file()}

    def delete_unfinished(self, before: datetime) -> int:
        """Remove what killed writers began before an instant and never finished; returns how many files."""
        with _translating("list", "unfinished files"):
            found = [
                path
                for path in self._root.rglob(f"{_INCOMING}*")
                if datetime.fromtimestamp(path.stat().st_mtime, UTC) < before
            ]
            for path in found:
                path.unlink(missing_ok=True)
        return len(found)

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is fine."""
        with _translating("delete", key):
            self._path(key).unlink(missing_ok=True)

    def address(self, key: str) -> str:
        """Return where a person finds the object."""
        return self._path(key).as_uri()

    def _path(self, key: str) -> Path:
        path = self._root / key
        if not path.resolve().is_relative_to(self._root.resolve()):
            msg = f"{key!r} leads out of the lake"
            raise StoreRefused(msg)
        return path

    def _replace(self, temporary: Path, target: Path, key: str, tag: str) -> None:
        # rename() cannot compare; the lock makes "still the same?" and the rename one step for all writers.
        with self._locked(key):
            current = self.get(key)
            if current is None or current[1] != tag:
                raise LakeConflict(key)
            os.replace(temporary, target)

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        folder = self._root / _LOCKS
        folder.mkdir(exist_ok=True)
        with (folder / hashlib.sha256(key.encode()).hexdigest()[:32]).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _link(temporary: Path, target: Path) -> None:
    try:
        os.link(temporary, target)
    except FileExistsError as exc:
        raise LakeConflict(target.name) from exc


@contextmanager
def _temporary(target: Path, source: BinaryIO) -> Iterator[Path]:
    """Write a file durably beside its target, under a hidden name that is gone at the end."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=_INCOMING)
    try:
        with os.fdopen(handle, "wb") as file:
            shutil.copyfileobj(source, file, COPY_BYTES)
            file.flush()
            os.fsync(file.fileno())
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _tag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@contextmanager
def _translating(verb: str, key: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except PermissionError as exc:
        raise StoreRefused(f"cannot {verb} {key}: {exc.strerror}") from exc  # noqa: EM102 - one line, one place
    except OSError as exc:  # disk full, device gone: may be mended while we retry
        raise StoreUnavailable(f"cannot {verb} {key}: {exc.strerror}") from exc  # noqa: EM102
