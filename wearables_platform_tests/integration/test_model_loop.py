"""Shadow, promotion and rollback on a real database, lake and log; what the stream scores, and what batch scores."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from stream.models import LiveModels
from stream.score_log import ScoreWriter
from wearables_platform.domain.time_policy import from_us, to_us
from wearables_platform.errors import ModelRefused, StoreRefused
from wearables_platform.models.in_force import load_threshold_timeline, load_timeline
from wearables_platform.models.inputs import ACTIVITY_ANOMALY
from wearables_platform.models.live_scores import Patience, read_live_scores
from wearables_platform.models.predict import load_scorer
from wearables_platform.models.promotion import (
    LEAD,
    THRESHOLD_LEAD,
    broken_in_force,
    is_ready,
    promote,
    promote_when_ready,
    publish_thresholds,
    roll_back,
)
from wearables_platform.models.signing import SigningKey
from wearables_platform.models.threshold_training import Baselines, register_thresholds
from wearables_platform.models.thresholds import DEVICE_THRESHOLDS, load_thresholds
from wearables_platform.signals.windows import WindowRows
from wearables_platform_tests.model_rig import KEY, WEAK, Place, opened_place
from wearables_platform_tests.model_windows import draw_training_set, draw_windows

pytestmark = [pytest.mark.integration, pytest.mark.sql, pytest.mark.kafka]

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
QUICK = Patience(windows=500, hours=1)


@dataclass
class Stream:
    """What the stream has of models: taken from the topic, scoring rows, counting what it scores."""

    place: Place
    models: LiveModels
    read: int = 0

    def follow(self) -> None:
        """Take every record of the topic not taken yet."""
        releases = self.place.log.all()
        for release in releases[self.read :]:
            self.models.take(SigningKey(KEY).sealed(release).SerializeToString())
        self.read = len(releases)
        self.models.complete.set()

    def score(self, rows: WindowRows) -> tuple[list[float], list[str | None]]:
        scores, versions = self.models.score(rows)
        writer = ScoreWriter(self.place.sql_url, self.models.counted, self.models.delivered)
        writer.write()
        return scores.tolist(), versions


@pytest.fixture
def place(tmp_path: Path, own_sql_url: str, kafka_url: str) -> Iterator[Place]:
    with opened_place(tmp_path, own_sql_url, kafka_url) as found:
        found.sql_url = own_sql_url
        yield found


@pytest.fixture
def stream(place: Place) -> Stream:
    models = LiveModels(
        lambda release: load_scorer(release, place.lake.get),
        lambda *_: None,
        lambda release: load_thresholds(release, place.lake.get),
        key=SigningKey(KEY),
        clock_us=lambda: 0,
    )
    return Stream(place, models)


def rows_from(instant: datetime, seed: int = 5) -> WindowRows:
    """2,400 windows of twelve devices that start at an instant."""
    rows = draw_windows(seed)
    return replace(rows, start_us=rows.start_us - rows.start_us.min() + to_us(instant))


def changed_to(place: Place) -> list[tuple[str, str]]:
    return [(one.version, one.to_state) for one in place.registry.changes(ACTIVITY_ANOMALY)]


def test_a_version_goes_all_the_way_and_back_and_stream_and_batch_agree(place: Place, stream: Stream) -> None:
    place.train(draw_training_set(1), WEAK)
    first = place.publish().row
    place.train(draw_training_set(1))
    second = place.publish().row
    assert first is not None
    assert second is not None
    stream.follow()
    assert set(stream.score(rows_from(NOW))[1]) == {first.version}  # the shadow is in no row
    shadow = read_live_scores(place.sql, ACTIVITY_ANOMALY, second.version, "shadow")
    assert (
        shadow.total.windows == read_live_scores(place.sql, ACTIVITY_ANOMALY, first.version, "in_force").total.windows
    )
    assert shadow.total.windows > QUICK.windows
    assert is_ready(place.registry, second, QUICK)

    ask: Any = {"clock": lambda: NOW, "patience": QUICK}
    promoted = promote_when_ready(place.lake, place.registry, place.log, ACTIVITY_ANOMALY, **ask)
    assert promoted.action == "promoted"
    taken_at = NOW + LEAD
    taken, release = roll_back(
        place.lake,
        place.registry,
        place.log,
        ACTIVITY_ANOMALY,
        clock=lambda: NOW + timedelta(hours=1),
        because="a test says so",
        version=second.version,
    )
    assert (taken.version, release.version) == (second.version, first.version)
    assert from_us(release.effective_from_us) == NOW + timedelta(hours=1) + LEAD
    stream.follow()
    assert place.log.latest(ACTIVITY_ANOMALY) == release

    spans = {NOW: first.version, taken_at: second.version, NOW + timedelta(hours=1) + LEAD: first.version}
    timeline, refusals = load_timeline(place.lake, place.registry, ACTIVITY_ANOMALY)
    assert refusals == {}
    for instant, version in spans.items():
        rows = rows_from(instant).take(np.arange(9))
        scores, versions = stream.score(rows)
        batch_scores, batch_versions = timeline.score(rows)
        assert set(versions) == {version}
        assert (scores, versions) == (batch_scores.tolist(), batch_versions)
    assert changed_to(place) == [
        (first.version, "candidate"),
        (first.version, "in_force"),
        (second.version, "candidate"),
        (second.version, "shadow"),
        (first.version, "retired"),
        (second.version, "in_force"),
        (second.version, "rolled_back"),
        (first.version, "in_force"),
    ]
    assert place.registry.changes(ACTIVITY_ANOMALY)[-2].because == "a test says so"


def test_deciding_twice_on_a_version_decides_once(place: Place) -> None:
    place.train(draw_training_set(1), WEAK)
    first = place.publish().row
    place.train(draw_training_set(1))
    shadow = place.publish().row
    assert first is not None
    assert shadow is not None
    put = place.registry.put_in_force(shadow, lambda: NOW, shadow.metrics, "one of two callers")
    with pytest.raises(ModelRefused, match="^decided_meanwhile"):
        place.registry.put_in_force(shadow, lambda: NOW + timedelta(minutes=1), shadow.metrics, "the other")
    assert place.registry.in_force(ACTIVITY_ANOMALY) == put
    ask: Any = {"clock": lambda: NOW + timedelta(hours=1), "because": "asked twice", "version": put.version}
    roll_back(place.lake, place.registry, place.log, ACTIVITY_ANOMALY, **ask)
    with pytest.raises(ModelRefused, match="^decided_meanwhile"):
        roll_back(place.lake, place.registry, place.log, ACTIVITY_ANOMALY, **ask)
    still = place.registry.in_force(ACTIVITY_ANOMALY)
    assert still is not None
    assert still.version == first.version


def test_a_stream_that_starts_anew_learns_the_same_timeline(place: Place, stream: Stream) -> None:
    place.train(draw_training_set(1), WEAK)
    first = place.publish().row
    assert first is not None
    ask: Any = {"clock": lambda: NOW, "because": "nothing was before it", "version": first.version}
    roll_back(place.lake, place.registry, place.log, ACTIVITY_ANOMALY, **ask)
    stream.follow()
    after = rows_from(NOW + LEAD).take(np.arange(5))
    assert stream.score(after)[1] == [None] * 5
    assert stream.score(rows_from(NOW).take(np.arange(5)))[1] != [None] * 5
    assert load_timeline(place.lake, place.registry, ACTIVITY_ANOMALY)[0].score(after)[1] == [None] * 5
    with pytest.raises(ModelRefused, match="^nothing_in_force"):
        roll_back(place.lake, place.registry, place.log, ACTIVITY_ANOMALY, **ask)


def test_a_shadow_waits_for_live_traffic_and_is_refused_for_what_it_scores(place: Place, stream: Stream) -> None:
    place.train(draw_training_set(1), WEAK)
    place.publish()
    place.train(draw_training_set(1))
    place.publish()
    ask: Any = {"clock": lambda: NOW, "patience": QUICK}
    waiting = promote_when_ready(place.lake, place.registry, place.log, ACTIVITY_ANOMALY, **ask)
    assert (waiting.action, waiting.why) == ("waiting", "0 of 500 live windows over 0 of 1 h")
    stream.follow()
    wild = rows_from(NOW)
    for name in ("vm_max_g", "vm_std_g", "enmo_mg", "mad_mg", "jerk_rms_g_s"):
        wild.features[name] *= 8  # as if every device had changed its unit
    stream.score(wild)
    refused = promote_when_ready(place.lake, place.registry, place.log, ACTIVITY_ANOMALY, **ask)
    assert refused.action == "refused"
    assert "live_alarm_rate" in refused.why
    assert place.registry.shadow(ACTIVITY_ANOMALY) is None
    assert place.log.latest(ACTIVITY_ANOMALY, shadow=True).version == ""  # type: ignore[union-attr]
    assert broken_in_force(place.registry, ACTIVITY_ANOMALY, QUICK)  # the one in force scores no better


def test_a_person_may_promote_early_but_only_what_runs_in_shadow(place: Place) -> None:
    place.train(draw_training_set(1), WEAK)
    first = place.publish().row
    place.train(draw_training_set(1))
    shadow = place.publish().row
    assert first is not None
    assert shadow is not None
    say: Any = {"clock": lambda: NOW, "because": "seen enough"}
    with pytest.raises(ModelRefused, match="^not_a_shadow"):
        promote(place.lake, place.registry, place.log, ACTIVITY_ANOMALY, version=first.version, **say)
    place.lake.put(shadow.lake_path, b"swapped meanwhile")
    with pytest.raises(ModelRefused, match="^wrong_sha256"):
        promote(place.lake, place.registry, place.log, ACTIVITY_ANOMALY, **say)
    assert place.registry.in_force(ACTIVITY_ANOMALY) == first


FORBIDDEN = {
    "UPDATE ml.model_versions SET state = 'retired', effective_from = now()": "cannot become retired",
    "UPDATE ml.model_versions SET sha256 = repeat('0', 64)": "cannot change",
    "UPDATE ml.model_state_changes SET because = 'nobody knows'": "keeps history",
    "DELETE FROM ml.model_state_changes": "keeps history",
}


def test_the_database_holds_the_rules(place: Place) -> None:
    place.train(draw_training_set(1), WEAK)
    for change, says in FORBIDDEN.items():
        with pytest.raises(StoreRefused, match=says):
            place.sql.execute(change)


def test_thresholds_are_told_to_stream_and_batch_and_taken_back(place: Place, stream: Stream) -> None:
    found = Baselines({"watch-01": (3.1, 25.0, float("nan"))}, ("person-01",), {"spike_threshold_g": 1})
    row, added = register_thresholds(place.lake, place.registry, found, ["2026-04-30"], NOW)
    assert added
    assert publish_thresholds(place.lake, place.registry, place.log, clock=lambda: NOW) == (
        place.registry.in_force(DEVICE_THRESHOLDS),
        "in_force",
    )
    later = NOW + timedelta(hours=1)
    ask: Any = {"clock": lambda: later, "because": "test", "version": row.version}
    roll_back(place.lake, place.registry, place.log, DEVICE_THRESHOLDS, **ask)
    stream.follow()
    batch, _ = load_threshold_timeline(place.lake, place.registry)
    shifts = (LEAD, THRESHOLD_LEAD, timedelta(hours=1) + THRESHOLD_LEAD)
    instants = np.array([to_us(NOW + shift) for shift in shifts], np.int64)
    for timeline in (stream.models.thresholds, batch):
        assert timeline.versions(instants) == [None, row.version, None]
        limits = timeline.limits(["watch-00", "watch-01"])
        assert limits is not None
        assert limits.spike_threshold_g(np.array([1, 1, 1], np.int32), instants).tolist() == [2.5, 3.1, 2.5]
        assert limits.spike_threshold_g(np.array([0, 0, 0], np.int32), instants).tolist() == [2.5, 2.5, 2.5]
        rest_enmo_mg, rest_high_bpm = limits.rest(np.array([1, 1, 1], np.int32), instants)
        assert (rest_enmo_mg.tolist(), rest_high_bpm.tolist()) == ([20.0, 25.0, 20.0], [100.0, 100.0, 100.0])


def test_thresholds_of_a_person_erased_since_are_refused(place: Place) -> None:
    found = Baselines({"watch-01": (3.1, 25.0, 95.0)}, ("person-01",), {})
    register_thresholds(place.lake, place.registry, found, ["2026-04-30"], NOW)
    place.sql.execute("DELETE FROM registry.assignments WHERE participant_id = 'person-01'")
    row, outcome = publish_thresholds(place.lake, place.registry, place.log, clock=lambda: NOW)
    assert outcome == "refused"
    assert row is not None
    assert str(row.refusal).startswith("erased_people")


def test_the_command_line_lists_promotes_and_takes_back(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from wearables_platform.commands import models as command

    place.train(draw_training_set(1), WEAK)
    place.publish()
    place.train(draw_training_set(1))
    shadow = place.publish().row
    assert shadow is not None
    opened = command.Place(place.registry, place.sql, lambda: place.lake, lambda: place.log)
    monkeypatch.setattr(command, "open_place", lambda: opened)
    monkeypatch.setattr(place.sql, "close", lambda: None)
    command.promote(ACTIVITY_ANOMALY, because="looks good", version="", as_json=True)
    assert json.loads(capsys.readouterr().out)[0]["state"] == "in_force"
    with pytest.raises(typer.BadParameter, match=f"{shadow.version} is in force"):
        command.rollback(ACTIVITY_ANOMALY, because="does not", version="", as_json=True)
    command.rollback(ACTIVITY_ANOMALY, because="does not", version=shadow.version, as_json=True)
    taken, back = json.loads(capsys.readouterr().out)
    with pytest.raises(ModelRefused, match="^decided_meanwhile"):  # given twice, it takes one version back
        command.rollback(ACTIVITY_ANOMALY, because="does not", version=shadow.version, as_json=True)
    assert (taken["version"], taken["state"], taken["because"]) == (shadow.version, "rolled_back", "does not")
    command.list_versions("", as_json=True)
    assert {one["state"] for one in json.loads(capsys.readouterr().out)} == {"rolled_back", "in_force"}
    assert back["state"] == "in_force"
    command.list_changes(ACTIVITY_ANOMALY, as_json=True)
    assert json.loads(capsys.readouterr().out)[-1]["to"] == "in_force"
    monkeypatch.setenv("COLUMNS", "90")  # narrow: what is typed into the next command is still there whole
    for show in (command.list_versions, command.list_changes):
        show(ACTIVITY_ANOMALY, as_json=False)
        table = capsys.readouterr().out
        assert shadow.version in table
        assert "rolled_back" in table
        assert "does not" in table
