"""One stream at a time per run directory; a second one waits, warm, and goes on where the first was killed.

The lock is the kernel's: it is free the moment the last process that holds it has ended, however it ended, and a
process that was merely stopped keeps it. Starting costs seconds of imports and of loading compiled code; whoever waits
has them behind it.
"""

from __future__ import annotations

import fcntl
import importlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from wearables_platform.errors import StoreRefused
from wearables_platform.logs import get_logger

LOOK_EVERY_S: Final = 0.02
_LOCK: Final = "stream.lock"
_log = get_logger(__name__)


@contextmanager
def only_stream(run_dir: Path, stopping: threading.Event, prepare: Callable[[], object]) -> Iterator[int | None]:
    """Wait until no other stream works in this run directory; yields the lock's descriptor, None if told to stop.

    `prepare` is called once if there is something to wait for. A child that inherits the descriptor holds the lock,
    too: what outlives this process still keeps the next one out.

    Raises
    ------
    StoreRefused
        The run directory cannot be locked.
    """
    run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Not in the stream's own directory: that may be removed, and with it a lock that somebody waits for.
    descriptor = os.open(run_dir / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor if _acquired(descriptor, run_dir, stopping, prepare) else None
    finally:
        os.close(descriptor)


def prepare_to_work() -> None:
    """Do what needs no store and takes seconds: load what is compiled, import what reads models."""
    from stream.warm import warm

    warm()
    importlib.import_module("wearables_platform.models.artifacts")
    importlib.import_module("sqlalchemy.dialects.postgresql.psycopg")


def _acquired(descriptor: int, run_dir: Path, stopping: threading.Event, prepare: Callable[[], object]) -> bool:
    if _locked(descriptor, run_dir):
        return True
    _log.info("another stream works here", run_dir=str(run_dir))
    prepare()
    _log.info("waiting to take over", run_dir=str(run_dir))
    while not stopping.wait(LOOK_EVERY_S):
        if _locked(descriptor, run_dir):
            _log.info("the other stream has ended, taking over", run_dir=str(run_dir))
            return True
    return False


def _locked(descriptor: int, run_dir: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as exc:
        msg = f"{run_dir} cannot be locked ({exc.strerror}): it must be on a local disk"
        raise StoreRefused(msg) from exc
    return True
