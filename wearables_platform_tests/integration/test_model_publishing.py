"""A model's way from a training set to a release, on a real database, lake and log."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wearables_platform.domain.time_policy import from_us, to_us
from wearables_platform.errors import ModelRefused, StoreUnavailable
from wearables_platform.models.inputs import ACTIVITY_ANOMALY, Matrix
from wearables_platform.models.predict import ModelTimeline, Scorer, load_scorer
from wearables_platform.models.publishing import Published, publish_candidate
from wearables_platform.models.registry import ModelRegistry
from wearables_platform.models.releases import ReleaseLog
from wearables_platform.models.training_set import TrainingSet
from wearables_platform_tests.model_rig import KEY, WEAK, Place, opened_place
from wearables_platform_tests.model_windows import draw_training_set, draw_windows

pytestmark = [pytest.mark.integration, pytest.mark.sql, pytest.mark.kafka]


@pytest.fixture
def place(tmp_path: Path, own_sql_url: str, kafka_url: str) -> Iterator[Place]:
    with opened_place(tmp_path, own_sql_url, kafka_url) as found:
        yield found


def learning_from_events_alone(training_set: TrainingSet) -> TrainingSet:
    """The same people, but all that is learnt from are spikes: what is usual then looks unusual."""
    learnt = ~training_set.held_out
    spikes = training_set.matrix[training_set.is_event & learnt]
    matrix = training_set.matrix.copy()
    matrix[learnt] = spikes[np.arange(int(learnt.sum())) % len(spikes)]
    return replace(training_set, matrix=matrix)


def test_a_first_good_model_is_published_and_announced(place: Place) -> None:
    training_set = draw_training_set(1)
    trained = place.train(training_set)
    published = place.publish()
    assert (trained.added, published.action, published.announced) == (True, "in_force", True)
    row = place.registry.in_force(ACTIVITY_ANOMALY)
    assert row == published.row
    assert row is not None
    assert row.effective_from == from_us(training_set.end_us)
    assert place.log.latest(ACTIVITY_ANOMALY) == row.release
    scores, versions = ModelTimeline.of([load_scorer(row.release, place.lake.get)]).score(draw_windows(3, 1, 400))
    assert versions[:200] == [None] * 200
    assert versions[200:] == [row.version] * 200
    assert np.isfinite(scores[200:]).all()


def test_nobody_judged_on_was_trained_on(place: Place) -> None:
    place.train(draw_training_set(1))
    published = place.publish()
    assert published.row is not None
    assert published.verdict is not None
    assert published.verdict.people
    assert not set(published.verdict.people) & set(published.row.training_people)


def test_the_same_data_again_publishes_nothing_and_says_so(place: Place) -> None:
    first = place.train(draw_training_set(1))
    place.publish()
    again = place.train(draw_training_set(1))
    assert (again.added, again.row.version, again.row.state) == (False, first.row.version, "in_force")
    assert place.publish() == Published("unchanged", again.row, announced=False)
    assert len(place.log.all()) == 1


def test_a_worse_model_is_refused_with_both_figures_and_the_incumbent_stays(place: Place) -> None:
    place.train(draw_training_set(1))
    incumbent = place.publish().row
    worse = place.train(draw_training_set(1), WEAK)
    refused = place.publish()
    assert refused.action == "refused"
    assert refused.row is not None
    assert refused.row.refusal is not None
    assert "worse_average_precision" in refused.row.refusal
    found = place.registry.find(ACTIVITY_ANOMALY, worse.row.version)
    assert found is not None
    assert (found.state, found.refusal) == ("refused", refused.row.refusal)
    gate = found.metrics["gate"]
    assert gate["candidate"]["average_precision"] < gate["incumbent"]["average_precision"]
    assert place.registry.in_force(ACTIVITY_ANOMALY) == incumbent
    assert incumbent is not None
    assert place.log.all() == [incumbent.release]


def test_a_first_model_that_ranks_events_no_better_than_chance_is_refused(place: Place) -> None:
    place.train(learning_from_events_alone(draw_training_set(1)))
    refused = place.publish()
    assert refused.row is not None
    assert str(refused.row.refusal).startswith("average_precision")
    assert place.registry.in_force(ACTIVITY_ANOMALY) is None
    assert place.log.all() == []


def test_a_better_model_runs_in_shadow_and_what_is_in_force_stays(place: Place) -> None:
    place.train(draw_training_set(1), WEAK)
    first = place.publish().row
    place.train(draw_training_set(1))
    second = place.publish()
    assert (second.action, second.announced) == ("shadow", True)
    assert second.row is not None
    assert place.registry.in_force(ACTIVITY_ANOMALY) == first
    assert place.registry.shadow(ACTIVITY_ANOMALY) == second.row
    assert first is not None
    assert place.log.latest(ACTIVITY_ANOMALY) == first.release
    assert place.log.latest(ACTIVITY_ANOMALY, shadow=True) == second.row.shadow_release()


def test_an_effective_instant_may_be_asked_for(place: Place) -> None:
    place.train(draw_training_set(1))
    instant = datetime(2026, 1, 1, tzinfo=UTC)
    published = place.publish(effective_from=instant)
    assert published.row is not None
    assert published.row.release.effective_from_us == to_us(instant)


def test_a_run_that_died_before_announcing_is_mended_by_the_next(place: Place) -> None:
    place.train(draw_training_set(1))
    dead = ReleaseLog("kafka://127.0.0.1:1", KEY)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ReleaseLog, "align", died)
        with pytest.raises(StoreUnavailable):
            publish_candidate(place.lake, place.registry, dead, name=ACTIVITY_ANOMALY)
    row = place.registry.in_force(ACTIVITY_ANOMALY)
    assert row is not None
    assert place.log.all() == []
    assert place.publish() == Published("unchanged", row, announced=True)
    assert place.log.all() == [row.release]


def died(*_: object) -> bool:
    msg = "killed here"
    raise StoreUnavailable(msg)


def test_a_damaged_artefact_is_refused_and_the_last_good_one_stays(place: Place) -> None:
    place.train(draw_training_set(1))
    good = place.publish().row
    trained = place.train(draw_training_set(2))
    place.lake.put(trained.row.lake_path, b"not what was trained")
    refused = place.publish()
    assert refused.row is not None
    assert refused.row.refusal is not None
    assert refused.row.refusal.startswith("wrong_sha256")
    assert place.registry.in_force(ACTIVITY_ANOMALY) == good


def test_a_model_that_scores_people_no_probe_shows_as_no_number_is_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.train(draw_training_set(1))
    real = Scorer._scores

    def broken(self: Scorer, matrix: Matrix) -> Any:
        return real(self, matrix) if len(matrix) <= 1_000 else np.full(len(matrix), np.nan)

    monkeypatch.setattr(Scorer, "_scores", broken)
    refused = place.publish()
    assert refused.action == "refused"
    assert refused.row is not None
    assert str(refused.row.refusal).startswith("nan_output")
    assert place.registry.candidates(ACTIVITY_ANOMALY) == []


def test_a_model_that_saw_an_erased_person_is_refused(place: Place) -> None:
    trained = place.train(draw_training_set(1))
    erased = trained.row.training_people[0]
    place.sql.execute("DELETE FROM registry.assignments WHERE participant_id = %(person)s", {"person": erased})
    refused = place.publish()
    assert refused.action == "refused"
    assert refused.row is not None
    assert str(refused.row.refusal).startswith("erased_people: 1 ")


def test_only_the_newest_candidate_is_judged(place: Place) -> None:
    older, newer = place.train(draw_training_set(1)), place.train(draw_training_set(2))
    assert place.publish().row == place.registry.find(ACTIVITY_ANOMALY, newer.row.version)
    found = place.registry.find(ACTIVITY_ANOMALY, older.row.version)
    assert found is not None
    assert (found.state, str(found.refusal).split(":")[0]) == ("refused", "superseded")


@pytest.mark.parametrize(
    "change",
    [
        "sha256 = repeat('0', 64)",
        "state = 'in_force', effective_from = now()",
        "training_people = '{}'",
        "metrics = metrics || '{\"alarm_threshold\": 0}'",
        "lake_path = 'models/other.skops'",
    ],
)
def test_a_row_changed_behind_the_registrys_back_is_refused(place: Place, change: str) -> None:
    place.train(draw_training_set(1))
    place.sql.execute("ALTER TABLE ml.model_versions DISABLE TRIGGER USER")  # whoever owns the table can
    place.sql.execute(f"UPDATE ml.model_versions SET {change}")
    with pytest.raises(ModelRefused, match="^bad_signature"):
        place.publish()


def test_a_row_signed_with_another_key_is_refused(place: Place) -> None:
    place.train(draw_training_set(1))
    with pytest.raises(ModelRefused, match="^bad_signature"):
        ModelRegistry(place.sql, "another key").in_force(ACTIVITY_ANOMALY)
