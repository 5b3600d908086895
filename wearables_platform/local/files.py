"""Small files that must be whole or not there at all, and readable by nobody else."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wearables_platform.local.failures import ExitCode, StartError


def write_atomically(path: Path, content: str, mode: int = 0o600) -> None:
    """Replace a file's content: readers see the old or the new one, also across a crash."""
    try:
        _replace(path, content, mode)
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            msg = f"no space left on the disk that holds {path.parent}"
            raise StartError(msg, ExitCode.DISK) from exc
        if exc.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
            msg = f"cannot write {path}: {exc.strerror}"
            raise StartError(msg, ExitCode.DISK) from exc
        raise


def _replace(path: Path, content: str, mode: int) -> None:
    descriptor, unfinished = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(unfinished, path)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock while a file is read, changed and replaced; the lock ends with the process."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
