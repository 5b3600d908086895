"""Windows wait for the releases there were at the start, and for nothing else."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from stream.models import LiveModels, ModelFollower
from stream.window_state import WindowState
from wearables_platform.errors import LogPositionError, StoreUnavailable
from wearables_platform.wire.v1.telemetry_pb2 import ModelRelease

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


def test_a_topic_that_cannot_be_read_does_not_hold_windows_back_for_ever() -> None:
    found = LiveModels(*(lambda *_: pytest.fail("there is no release"),) * 2, patience_s=0.01)
    assert found.score(WindowState().rows)[1] == []


class Lake:
    """Loads releases, in the order they are put in force, while it is not away."""

    def __init__(self) -> None:
        self.away, self.asked, self.told = True, 0, []

    def load(self, release: ModelRelease) -> Any:
        self.asked += 1
        if self.away:
            msg = "connection refused"
            raise StoreUnavailable(msg)
        return SimpleNamespace(release=release, version=release.version)


def test_a_lake_that_is_away_stops_nothing_and_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    lake, at_end = Lake(), threading.Event()
    found = LiveModels(lake.load, lambda name, version: lake.told.append(version["version"]))
    payloads = [ModelRelease(name="m", version=v, effective_from_us=9).SerializeToString() for v in ("1", "2")]

    def fetch(*_: Any) -> Any:
        new = SimpleNamespace(payloads=[] if at_end.is_set() else payloads, at_end=True)
        at_end.set()
        return new

    reader = SimpleNamespace(fetch=fetch, close=lambda: None)
    monkeypatch.setattr("stream.models.PartitionReader", lambda *_, **__: reader)
    monkeypatch.setattr("stream.models._FIRST_RETRY_S", 0.01)
    follower = ModelFollower("kafka://nowhere:1", found, lambda: 0)
    follower.start()
    try:
        assert found.score(WindowState().rows)[1] == []  # at once, with what is in force
        asked = lake.asked
        deadline = time.monotonic() + PATIENCE_S
        while lake.asked < asked + 2:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        lake.away = False
        while found.awaits:
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        follower.stop()
    assert found.failure is None
    assert lake.told == ["1", "2"]
    assert [one.version for one in found._timeline.scorers] == ["1", "2"]
