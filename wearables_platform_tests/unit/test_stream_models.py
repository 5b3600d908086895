"""Windows wait for the releases there were at the start, and for nothing else."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stream.models import LiveModels, ModelFollower
from stream.window_state import WindowState
from wearables_platform.errors import LogPositionError, ModelRefused, StoreUnavailable
from wearables_platform.models.inputs import ACTIVITY_ANOMALY
from wearables_platform.signals.flags import QualityFlag
from wearables_platform.signals.windows import WindowRows
from wearables_platform.wire.v1.telemetry_pb2 import ModelRelease
from wearables_platform_tests.model_windows import draw_windows

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
    payloads = [
        ModelRelease(name="activity_anomaly", version=v, effective_from_us=9).SerializeToString() for v in ("1", "2")
    ]

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
    assert found.versions == ["1", "2"]


class Scored:
    """A version that gives every window the same score, or none that is a number."""

    alarm_threshold = 0.5

    def __init__(self, release: ModelRelease, score: float) -> None:
        self.release, self.version, self._score = release, release.version, score

    def score(self, rows: WindowRows) -> Any:
        return np.full(len(rows), self._score)


def live(*releases: tuple[ModelRelease, float]) -> LiveModels:
    """The stream's models after some releases, each with the score it gives."""
    score_of = {release.SerializeToString(): score for release, score in releases}
    found = LiveModels(lambda one: Scored(one, score_of[one.SerializeToString()]), lambda *_: None)  # type: ignore[arg-type]
    for payload in score_of:
        found.take(payload, 0)
    found.complete.set()
    return found


def release(version: str, from_us: int = 0, **more: Any) -> ModelRelease:
    return ModelRelease(name=ACTIVITY_ANOMALY, version=version, effective_from_us=from_us, **more)


def test_a_shadows_scores_are_counted_and_in_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.models.Scorer", Scored)
    found = live((release("1"), 0.2), (release("2", shadow=True), 0.9))
    rows = draw_windows(1, people=2, per_person=50)
    rows.features["flags"][:5] = int(QualityFlag.PROVISIONAL)  # comes again, final
    scores, versions = found.score(rows)
    assert set(scores.tolist()) == {0.2}
    assert set(versions) == {"1"}
    counted = {(version, role): counts for (_, version, role, _), counts in found.counted.take_changed().items()}
    assert counted[("1", "in_force")].windows == counted[("2", "shadow")].windows == 95
    assert (counted[("1", "in_force")].alarms, counted[("2", "shadow")].alarms) == (0, 95)
    found.take(release("", shadow=True).SerializeToString(), 0)
    found.score(rows)
    assert {role for _, _, role, _ in found.counted.take_changed()} == {"in_force"}


def test_the_version_before_comes_again_and_none_may_come_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.models.Scorer", Scored)
    rows = draw_windows(1, people=1, per_person=4)
    first, second, third, fourth = rows.start_us.tolist()
    found = live((release("1", first), 0.2), (release("2", second), 0.3), (release("1", third), 0.2))
    found.take(release("", fourth).SerializeToString(), 0)
    scores, versions = found.score(rows)
    assert versions == ["1", "2", "1", None]
    assert scores.tolist()[:3] == [0.2, 0.3, 0.2]
    assert np.isnan(scores[3])


def test_scores_that_are_no_numbers_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.models.Scorer", Scored)
    found = live((release("1"), float("nan")))
    found.score(draw_windows(1, people=1, per_person=30))
    (counted,) = found.counted.take_changed().values()
    assert (counted.windows, counted.not_a_number, counted.alarms) == (30, 30, 0)


REASONS = ("corrupt", "foreign_schema", "other_sklearn", "foreign_types", "nan_output", "too_slow", "wrong_sha256")


@pytest.mark.parametrize("reason", REASONS)
@pytest.mark.parametrize("shadow", [False, True])
def test_what_is_refused_leaves_the_last_good_one(reason: str, shadow: bool) -> None:  # F32, F33
    def load(one: ModelRelease) -> Any:
        if one.version == "bad":
            msg = f"{reason}: as the loader says it"
            raise ModelRefused(msg)
        return Scored(one, 0.2)

    found = LiveModels(load, lambda *_: None)
    for one in (release("1"), release("2", shadow=True), release("bad", 9, shadow=shadow)):
        found.take(one.SerializeToString(), 0)
    assert not found.awaits
    assert found.versions == ["1"]
    assert found._shadow is not None
    assert found._shadow.version == "2"


def test_a_release_of_another_model_is_others_affair() -> None:
    found = LiveModels(lambda _: pytest.fail("nothing is loaded"), lambda *_: pytest.fail("nobody is told"))
    found.take(ModelRelease(name="activity_class", version="1").SerializeToString(), 0)
    assert found.versions == []
