"""Windows wait for the releases there were at the start, and for nothing else."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stream.models import LiveModels, ModelFollower
from stream.score_log import HOUR_US, IN_FORCE, ScoreLog
from stream.window_state import WindowState
from wearables_platform.errors import LogPositionError, ModelRefused, StoreUnavailable
from wearables_platform.models.inputs import ACTIVITY_ANOMALY
from wearables_platform.models.releases import ReleaseLog
from wearables_platform.models.signing import SigningKey
from wearables_platform.models.thresholds import DEVICE_THRESHOLDS, ThresholdTable
from wearables_platform.signals.flags import QualityFlag
from wearables_platform.signals.windows import WindowRows
from wearables_platform.wire.v1.telemetry_pb2 import ModelRelease
from wearables_platform_tests.model_windows import draw_windows

PATIENCE_S = 20.0
KEY = SigningKey("a key only tests sign with")
OURS: Any = {"key": KEY, "clock_us": lambda: 0}


def models() -> LiveModels:
    def nothing(*_: Any) -> Any:
        pytest.fail("there is no release")

    return LiveModels(nothing, nothing, **OURS)


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
    found = LiveModels(*(lambda *_: pytest.fail("there is no release"),) * 2, **OURS, patience_s=0.01)
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
    found = LiveModels(lake.load, lambda name, version: lake.told.append(version["version"]), **OURS)
    payloads = [signed(release("1", 9)), signed(release("2", 10))]

    def fetch(*_: Any) -> Any:
        new = SimpleNamespace(payloads=[] if at_end.is_set() else payloads, at_end=True)
        at_end.set()
        return new

    reader = SimpleNamespace(fetch=fetch, close=lambda: None)
    monkeypatch.setattr("stream.models.PartitionReader", lambda *_, **__: reader)
    monkeypatch.setattr("stream.models._FIRST_RETRY_S", 0.01)
    follower = ModelFollower("kafka://nowhere:1", found)
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
    assert lake.told[-1] == "2"  # whichever came first
    assert found.versions == ["1", "2"]


@dataclass(frozen=True)
class Scored:
    """A version that gives every window the same score, or none that is a number."""

    release: ModelRelease
    given: float
    alarm_threshold: float = 0.5

    @property
    def version(self) -> str:
        return self.release.version

    def is_of(self, release: ModelRelease) -> bool:
        return self.version == release.version

    def score(self, rows: WindowRows) -> Any:
        return np.full(len(rows), self.given)


def live(*releases: tuple[ModelRelease, float]) -> LiveModels:
    """The stream's models after some releases, each with the score it gives."""
    score_of = {release.SerializeToString(): score for release, score in releases}
    found = LiveModels(lambda one: Scored(one, score_of[one.SerializeToString()]), lambda *_: None, **OURS)  # type: ignore[arg-type]
    for one, _ in releases:
        found.take(signed(one))
    found.complete.set()
    return found


def release(version: str, from_us: int = 0, **more: Any) -> ModelRelease:
    return ModelRelease(name=ACTIVITY_ANOMALY, version=version, effective_from_us=from_us, **more)


def signed(one: ModelRelease) -> bytes:
    """The record of the topic."""
    return KEY.sealed(one).SerializeToString()


def test_a_shadows_scores_are_counted_and_in_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.models.Scorer", Scored)
    found = live((release("1"), 0.2), (release("2", shadow=True), 0.9))
    rows = draw_windows(1, people=2, per_person=50)
    rows.features["flags"][:5] = int(QualityFlag.PROVISIONAL)  # comes again, final
    scores, versions = found.score(rows)
    assert set(scores.tolist()) == {0.2}
    assert set(versions) == {"1"}
    counted = {(version, role): counts for (_, version, role, *_), counts in found.counted.take_changed().items()}
    assert counted[("1", "in_force")].windows == counted[("2", "shadow")].windows == 95
    assert (counted[("1", "in_force")].alarms, counted[("2", "shadow")].alarms) == (0, 95)
    found.take(signed(release("", shadow=True)))
    found.score(rows)
    assert {role for _, _, role, *_ in found.counted.take_changed()} == {"in_force"}


def test_the_version_before_comes_again_and_none_may_come_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.models.Scorer", Scored)
    rows = draw_windows(1, people=1, per_person=4)
    first, second, third, fourth = rows.start_us.tolist()
    found = live((release("1", first), 0.2), (release("2", second), 0.3), (release("1", third), 0.2))
    found.take(signed(release("", fourth)))
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

    found = LiveModels(load, lambda *_: None, **OURS)
    for one in (release("1"), release("2", shadow=True), release("bad", 9, shadow=shadow)):
        found.take(signed(one))
    assert not found.awaits
    assert found.versions == ["1"]
    assert found._shadow is not None
    assert found._shadow.version == "2"


def test_a_release_of_another_model_is_others_affair() -> None:
    found = LiveModels(lambda _: pytest.fail("nothing is loaded"), lambda *_: pytest.fail("nobody is told"), **OURS)
    found.take(signed(ModelRelease(name="activity_class", version="1")))
    assert found.versions == []


def forged(one: ModelRelease, **changed: Any) -> bytes:
    """A record whose signature was made for another release."""
    sealed = KEY.sealed(one)
    for name, value in changed.items():
        setattr(sealed, name, value)
    return sealed.SerializeToString()


UNSIGNED = {
    "no signature": release("bad", 9).SerializeToString(),
    "another key": SigningKey("another key").sealed(release("bad", 9)).SerializeToString(),
    "another instant": forged(release("bad", 9), effective_from_us=8),
    "another file": forged(release("bad", 9, sha256="0" * 64), sha256="1" * 64),
    "from shadow to in force": forged(release("bad", 9, shadow=True), shadow=False),
    "a rollback": forged(release("1", 9), version=""),
}


@pytest.mark.parametrize("record", UNSIGNED.values(), ids=UNSIGNED)
def test_a_release_nobody_with_the_key_signed_changes_nothing(
    record: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    found = live((release("1"), 0.2))
    found.take(record)
    assert found.versions == ["1"]
    assert not found.awaits
    assert "bad_signature" in capsys.readouterr().out


def test_the_log_signs_and_reads_only_what_it_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [*UNSIGNED.values(), signed(release("1"))]
    monkeypatch.setattr("wearables_platform.models.releases._read_to_end", lambda _: records)
    monkeypatch.setattr(
        "wearables_platform.models.releases.PartitionReader", lambda *_, **__: SimpleNamespace(close=lambda: None)
    )
    assert ReleaseLog("kafka://nowhere:1", "a key only tests sign with").all() == [release("1")]


@dataclass
class Shelf:
    """A lake in which some artefacts cannot be had."""

    away: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def load(self, one: ModelRelease) -> Any:
        self.asked.append(one.version)
        if one.version in self.away:
            msg = "no answer"
            raise StoreUnavailable(msg)
        return ThresholdTable(one, {}) if one.name == DEVICE_THRESHOLDS else Scored(one, 0.2)

    def models(self) -> LiveModels:
        return LiveModels(self.load, lambda name, version: self.told.append(version["version"]), self.load, **OURS)

    told: list[str] = field(default_factory=list)


def test_no_release_waits_behind_one_that_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.models.Scorer", Scored)
    shelf = Shelf({"t1", "2"})
    found = shelf.models()
    for one in (
        release("1"),
        ModelRelease(name=DEVICE_THRESHOLDS, version="t1"),
        release("2", 9),
        release("1", 20),  # the rollback of version 2
        ModelRelease(name=DEVICE_THRESHOLDS, version="t2", effective_from_us=5),
    ):
        found.take(signed(one))
    assert found.versions == ["1", "1"]
    assert found.thresholds.last == ModelRelease(name=DEVICE_THRESHOLDS, version="t2", effective_from_us=5)
    assert found.awaits
    shelf.away = {"t1"}
    for _ in range(2):  # the one still away is asked for once a turn, and keeps nobody waiting
        found.retry()
    assert found.versions == ["1", "2", "1"]  # by their instants, whenever they came
    assert shelf.told == ["1", "1", "t2"]  # what is in force now is not version 2
    shelf.away = set()
    found.retry()
    assert not found.awaits


def test_a_version_already_in_memory_needs_no_lake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.models.Scorer", Scored)
    shelf = Shelf()
    found = shelf.models()
    for one in (release("1"), release("2", shadow=True)):
        found.take(signed(one))
    shelf.away = {"1", "2"}
    for one in (release("2", 9), release("1", 20)):  # promoted, and taken back
        found.take(signed(one))
    assert shelf.asked == ["1", "2"]
    assert found.versions == ["1", "2", "1"]


def test_what_could_not_be_had_gives_way_to_a_later_word_on_the_same_instant() -> None:
    shelf = Shelf({"1"})
    found = shelf.models()
    found.take(signed(release("1", 9)))
    found.take(signed(release("2", 9)))
    assert not found.awaits
    assert found.versions == ["2"]


def test_hours_written_long_ago_are_forgotten_and_counted_on_as_another_part() -> None:
    log, scorer, rows = ScoreLog(most=3), Scored(release("1"), 0.2), draw_windows(1, people=1, per_person=10)
    written: dict[Any, int] = {}
    for hour in (0, 1, 2, 3, 4, 0):  # late data come for the first hour
        shifted = replace(rows, start_us=rows.start_us + hour * HOUR_US)
        log.count(IN_FORCE, scorer, shifted, scorer.score(shifted))  # type: ignore[arg-type]
        written |= {key: counts.windows for key, counts in log.take_changed().items()}
        assert len(log) <= 4
    hours = [hour for _, _, _, hour, _ in written]
    assert sorted(hours.count(hour) for hour in set(hours)) == [1, 1, 1, 1, 2]  # the first hour in two parts
    assert sum(written.values()) == 60


def test_what_could_not_be_written_is_not_forgotten() -> None:
    log, scorer, rows = ScoreLog(most=1), Scored(release("1"), 0.2), draw_windows(1, people=1, per_person=10)
    for hour in range(5):
        shifted = replace(rows, start_us=rows.start_us + hour * HOUR_US)
        log.count(IN_FORCE, scorer, shifted, scorer.score(shifted))  # type: ignore[arg-type]
    log.give_back(log.take_changed())
    assert len(log.take_changed()) == 5
    assert not log.take_changed()
    assert len(log) == 1


def test_a_release_that_comes_after_it_took_effect_is_said_to() -> None:
    now_us = [0]
    shelf = Shelf()
    found = LiveModels(shelf.load, lambda *_: None, key=KEY, clock_us=lambda: now_us[0])
    found.take(signed(release("1", 5)))
    found.complete.set()
    for version, from_us, at_us in (("2", 100, 99), ("3", 200, 201)):
        now_us[0] = at_us
        found.take(signed(release(version, from_us)))
    assert [(one.version, one.in_time) for one in found.delivered.take()] == [("1", True), ("2", True), ("3", False)]
