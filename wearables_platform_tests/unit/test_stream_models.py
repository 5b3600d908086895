"""Windows wait for the releases there were at the start, and for nothing else."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from stream.models import LiveModels
from stream.window_state import WindowState
from wearables_platform.errors import LogPositionError

PATIENCE_S = 20.0


def models() -> LiveModels:
    def nothing(*_: Any) -> Any:
        pytest.fail("there is no release")

    return LiveModels(nothing, nothing)


def test_the_first_rows_wait_until_all_releases_were_read() -> None:
    found = models()
    scored = threading.Event()

    def score() -> None:
        found.score(WindowState().rows)
        scored.set()

    threading.Thread(target=score, daemon=True).start()
    assert not scored.wait(0.1)
    found.complete.set()
    assert scored.wait(PATIENCE_S)


def test_what_ended_the_following_ends_the_scoring() -> None:
    found = models()
    found.failure = LogPositionError("the topic is gone")
    found.complete.set()
    with pytest.raises(LogPositionError, match="gone"):
        found.score(WindowState().rows)
