"""A model's way from a training set to a release, on a real database, lake and log."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from wearables_platform.clients.kafka import Admin, TopicSpec
from wearables_platform.clients.lake import Lake, open_lake
from wearables_platform.clients.sql import SqlClient
from wearables_platform.domain.time_policy import from_us, to_us
from wearables_platform.errors import ModelRefused, StoreUnavailable
from wearables_platform.models import training_files
from wearables_platform.models.in_force import load_timeline
from wearables_platform.models.inputs import ACTIVITY_ANOMALY
from wearables_platform.models.predict import ModelTimeline, load_scorer
from wearables_platform.models.publishing import Published, Trained, publish_candidate, train_candidate
from wearables_platform.models.registry import ModelRegistry
from wearables_platform.models.releases import ReleaseLog
from wearables_platform.models.train import ForestParams
from wearables_platform.models.training_set import TrainingSet
from wearables_platform_tests.model_windows import device_ids, draw_training_set, draw_windows, person_of

pytestmark = [pytest.mark.integration, pytest.mark.sql, pytest.mark.kafka]

TRAINED_AT = datetime(2025, 4, 1, 3, tzinfo=UTC)
KEY = "a key only tests sign with"
QUICK = ForestParams(n_trees=30)


@dataclass
class Place:
    """Everything a model passes through, with the clock of its training runs."""

    lake: Lake
    sql: SqlClient
    registry: ModelRegistry
    log: ReleaseLog
    now: datetime = TRAINED_AT

    def train(self, training_set: TrainingSet, params: ForestParams | None = None) -> Trained:
        self.now += timedelta(days=7)
        training_files.store(self.lake, ACTIVITY_ANOMALY, training_set)
        return train_candidate(
            self.lake,
            self.registry,
            training_set,
            name=ACTIVITY_ANOMALY,
            params=params or QUICK,
            trained_at=self.now,
        )

    def publish(self, effective_from: datetime | None = None) -> Published:
        return publish_candidate(
            self.lake, self.registry, self.log, name=ACTIVITY_ANOMALY, effective_from=effective_from
        )


@pytest.fixture
def place(tmp_path: Path, own_sql_url: str, kafka_url: str) -> Iterator[Place]:
    topic = f"models-{uuid.uuid4().hex[:12]}"
    Admin(kafka_url).ensure_topics([TopicSpec(topic, 1)])
    sql = SqlClient(own_sql_url, "tests")
    enrol(sql, people=20)
    yield Place(open_lake(tmp_path.as_uri()), sql, ModelRegistry(sql, KEY), ReleaseLog(kafka_url, topic=topic))
    sql.close()


def enrol(sql: SqlClient, people: int) -> None:
    sql.execute("INSERT INTO registry.studies VALUES ('study', 'Study')")
    for device in device_ids(people):
        names = {"device": device, "person": person_of(device)}
        sql.execute(
            "INSERT INTO registry.participants VALUES (%(person)s, 'study', 1980, 'female', 'Europe/Berlin', now())",
            names,
        )
        sql.execute("INSERT INTO registry.devices (device_id, registered_at) VALUES (%(device)s, now())", names)
        sql.execute(
            "INSERT INTO registry.assignments (device_id, participant_id, valid_from) "
            "VALUES (%(device)s, %(person)s, '-infinity')",
            names,
        )


WEAK = ForestParams(n_trees=3, max_samples=16)
"""Ranks events far better than chance, and far worse than thirty trees."""


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
    assert (trained.added, published.action, published.announced) == (True, "published", True)
    row = place.registry.published(ACTIVITY_ANOMALY)
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
    assert (again.added, again.row.version, again.row.state) == (False, first.row.version, "published")
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
    assert place.registry.published(ACTIVITY_ANOMALY) == incumbent
    assert incumbent is not None
    assert place.log.all() == [incumbent.release]


def test_a_first_model_that_ranks_events_no_better_than_chance_is_refused(place: Place) -> None:
    place.train(learning_from_events_alone(draw_training_set(1)))
    refused = place.publish()
    assert refused.row is not None
    assert str(refused.row.refusal).startswith("average_precision")
    assert place.registry.published(ACTIVITY_ANOMALY) is None
    assert place.log.all() == []


def test_a_better_model_takes_over_from_its_own_instant(place: Place) -> None:
    place.train(draw_training_set(1), WEAK)
    first = place.publish().row
    place.train(draw_training_set(1))
    second = place.publish()
    assert second.action == "published"
    assert first is not None
    assert first.effective_from is not None
    assert second.row is not None
    assert second.row.effective_from == first.effective_from + timedelta(seconds=1)
    releases = place.registry.releases(ACTIVITY_ANOMALY)
    assert [release.version for release in releases] == [first.version, second.row.version]
    assert place.log.all() == releases
    states = {one.version: one.state for one in place.registry.versions(ACTIVITY_ANOMALY)}
    assert states == {first.version: "retired", second.row.version: "published"}


def test_batch_scores_by_every_version_it_can_load_and_names_the_others(place: Place) -> None:
    place.train(draw_training_set(1), WEAK)
    first = place.publish().row
    place.train(draw_training_set(1))
    second = place.publish().row
    assert first is not None
    assert second is not None
    timeline, refusals = load_timeline(place.lake, place.registry, ACTIVITY_ANOMALY)
    assert ([scorer.version for scorer in timeline.scorers], refusals) == ([first.version, second.version], {})
    place.lake.put(first.lake_path, b"damaged")
    timeline, refusals = load_timeline(place.lake, place.registry, ACTIVITY_ANOMALY)
    assert [scorer.version for scorer in timeline.scorers] == [second.version]
    assert refusals[first.version].startswith("wrong_sha256")


def test_an_effective_instant_may_be_asked_for(place: Place) -> None:
    place.train(draw_training_set(1))
    instant = datetime(2026, 1, 1, tzinfo=UTC)
    published = place.publish(effective_from=instant)
    assert published.row is not None
    assert published.row.release.effective_from_us == to_us(instant)


def test_a_run_that_died_before_announcing_is_mended_by_the_next(place: Place) -> None:
    place.train(draw_training_set(1))
    dead = ReleaseLog("kafka://127.0.0.1:1")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ReleaseLog, "ensure", died)
        with pytest.raises(StoreUnavailable):
            publish_candidate(place.lake, place.registry, dead, name=ACTIVITY_ANOMALY)
    row = place.registry.published(ACTIVITY_ANOMALY)
    assert row is not None
    assert place.log.all() == []
    assert place.publish() == Published("unchanged", row, announced=True)
    assert place.log.all() == [row.release]


def died(_log: ReleaseLog, _release: object) -> bool:
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
    assert place.registry.published(ACTIVITY_ANOMALY) == good


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
        "state = 'published', effective_from = now()",
        "training_people = '{}'",
        "metrics = metrics || '{\"alarm_threshold\": 0}'",
        "lake_path = 'models/other.skops'",
    ],
)
def test_a_row_changed_behind_the_registrys_back_is_refused(place: Place, change: str) -> None:
    place.train(draw_training_set(1))
    place.sql.execute(f"UPDATE ml.model_versions SET {change}")
    with pytest.raises(ModelRefused, match="^bad_signature"):
        place.publish()


def test_a_row_signed_with_another_key_is_refused(place: Place) -> None:
    place.train(draw_training_set(1))
    with pytest.raises(ModelRefused, match="^bad_signature"):
        ModelRegistry(place.sql, "another key").published(ACTIVITY_ANOMALY)
