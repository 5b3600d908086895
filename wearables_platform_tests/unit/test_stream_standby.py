"""One stream per run directory; the next one takes over when the last process of the one before has ended."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from stream.standby import only_stream

PATIENCE_S = 20.0


class Waiting:
    """A stream that wants to work in a directory: what became of it."""

    def __init__(self, directory: Path) -> None:
        self.stopping, self.prepared, self.ended = threading.Event(), threading.Event(), threading.Event()
        self.may_work: bool | None = None
        self._directory = directory
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with only_stream(self._directory, self.stopping, self.prepared.set) as lock:
            self.may_work = lock is not None
        self.ended.set()


@contextmanager
def child_that_holds(lock: int) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock,))
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        assert child.stdin is not None
        child.stdin.close()


def test_the_first_works_at_once_and_prepares_nothing(tmp_path: Path) -> None:
    with only_stream(tmp_path / "stream", threading.Event(), pytest.fail) as lock:
        assert lock is not None


def test_the_second_is_prepared_and_works_when_the_first_has_ended(tmp_path: Path) -> None:
    with only_stream(tmp_path, threading.Event(), pytest.fail):
        second = Waiting(tmp_path)
        assert second.prepared.wait(PATIENCE_S)
        assert not second.ended.wait(0.1)
    assert second.ended.wait(PATIENCE_S)
    assert second.may_work is True


def test_who_waits_can_be_stopped(tmp_path: Path) -> None:
    with only_stream(tmp_path, threading.Event(), pytest.fail):
        second = Waiting(tmp_path)
        second.stopping.set()
        assert second.ended.wait(PATIENCE_S)
    assert second.may_work is False


def test_a_child_that_outlives_its_parent_keeps_the_next_one_out(tmp_path: Path) -> None:
    with ExitStack() as child_alive:
        with only_stream(tmp_path, threading.Event(), pytest.fail) as lock:
            assert lock is not None
            child_alive.enter_context(child_that_holds(lock))
        second = Waiting(tmp_path)  # ours is closed, the child's is not
        assert second.prepared.wait(PATIENCE_S)
        assert not second.ended.wait(0.1)
    assert second.ended.wait(PATIENCE_S)
    assert second.may_work is True


def test_pyarrow_makes_arrays_without_pandas() -> None:
    program = (
        "import importlib.util, sys; from stream.imports import leave_pandas_out; leave_pandas_out();"
        "import pyarrow as pa, numpy as np; pa.array(np.arange(3)); pa.array([1]).to_numpy();"
        "pa.array([True]).to_numpy(zero_copy_only=False); assert 'pandas' not in sys.modules;"
        "assert importlib.util.find_spec('pandas')"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
