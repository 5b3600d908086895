"""What the database keeps of models: by which version a window was scored, when a release was there, who said what."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from stream.deliveries import DeliveryLog
from stream.models import LiveModels
from stream.score_log import ScoreLog, ScoreWriter
from wearables_platform.batch.said_live import said_live
from wearables_platform.clients.lake import open_lake
from wearables_platform.clients.sql import SqlClient
from wearables_platform.domain.labels import LabelledSpan
from wearables_platform.domain.time_policy import from_us, to_us
from wearables_platform.models.labels import LabelBook, label_windows
from wearables_platform.models.predict import ModelTimeline, Scorer, load_scorer
from wearables_platform.models.registry import ModelRegistry, ModelVersion
from wearables_platform.models.releases import release_of
from wearables_platform.models.signing import SigningKey
from wearables_platform.models.threshold_training import Baselines, register_thresholds
from wearables_platform.models.train import ForestParams, train
from wearables_platform.wire.v1.telemetry_pb2 import ModelRelease
from wearables_platform_tests.model_rig import KEY, enrol
from wearables_platform_tests.model_windows import DAY_US, device_ids, draw_training_set, draw_windows

pytestmark = [pytest.mark.integration, pytest.mark.sql]
S_US = 1_000_000


@pytest.fixture
def sql(own_sql_url: str) -> Iterator[SqlClient]:
    client = SqlClient(own_sql_url, "tests")
    enrol(client, people=3)
    yield client
    client.close()


def two_versions(first_us: int, second_us: int) -> list[Scorer]:
    found = []
    for seed, from_us_ in ((1, first_us), (2, second_us)):
        candidate = train(draw_training_set(seed), ForestParams(n_trees=10))
        found.append(load_scorer(release_of(candidate, from_us_), lambda _, data=candidate.artifact: data))  # type: ignore[misc]
    return found


def stored(sql: SqlClient, table: str, device: str, start_us: int, **more: Any) -> None:
    row = {
        "device_id": device, "window_start": from_us(start_us), "n_samples": 100, "rate_hz": 100.0, "coverage": 1.0,
        "glitches": 0, "clipped": 0, "flags": 0, "feature_version": "2", "provisional": False, "revision": 1,
        "origin": "stream", "model_version": None, **more,
    }  # fmt: skip
    names = ", ".join(row)
    sql.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join(f'%({name})s' for name in row)})", row)


def test_what_a_device_ahead_of_us_was_scored_by_live_batch_scores_it_by(sql: SqlClient) -> None:
    # windows   |0.....................|100 ....................|199
    # in force  |first                 |second
    # the device of the second row is ahead: all it sent was scored before the second version was out
    first, second = two_versions(DAY_US, DAY_US + 100 * S_US)
    by_release = {one.version: one for one in (first, second)}
    live = LiveModels(lambda one: by_release[one.version], lambda *_: None, key=SigningKey(KEY), clock_us=lambda: 0)
    live.complete.set()
    rows, ids = draw_windows(3, people=2, per_person=200), device_ids(2)
    said = np.full(len(rows), np.nan), [""] * len(rows)
    for release, chosen in ((first.release, rows.device == 1), (second.release, rows.device == 0)):
        live.take(SigningKey(KEY).sealed(release).SerializeToString())
        scores, versions = live.score(rows.take(np.flatnonzero(chosen)))
        for place, score, version in zip(np.flatnonzero(chosen).tolist(), scores, versions, strict=True):
            said[0][place], said[1][place] = score, str(version)
    for n, version in enumerate(said[1]):
        stored(sql, "telemetry.window_features", ids[rows.device[n]], int(rows.start_us[n]), model_version=version)
    timeline = ModelTimeline.of([first, second])
    with sql.transaction() as connection:
        recorded = said_live(connection, timeline, rows, ids)
    scores, versions = timeline.score(rows, recorded)
    assert versions == said[1]
    assert scores.tolist() == said[0].tolist()
    assert timeline.score(rows)[1] != said[1]  # by the instants alone they would differ
    assert [one is not None for one in recorded] == [False] * 300 + [True] * 100  # only what differs is asked for


def test_what_the_stream_said_counts_also_once_batch_has_replaced_it(sql: SqlClient) -> None:
    first, second = two_versions(DAY_US, DAY_US + S_US)
    rows = draw_windows(3, people=1, per_person=4)
    start_us = rows.start_us.tolist()
    put = lambda table, n, **more: stored(sql, table, "watch-00", start_us[n], **more)  # noqa: E731
    history = {"superseded_at": datetime(2026, 1, 1, tzinfo=UTC), "superseded_because": "late"}
    put("telemetry.window_features_history", 1, model_version=first.version, **history)
    put("telemetry.window_features", 1, model_version=second.version, origin="batch", revision=2)
    put("telemetry.window_features", 2, model_version=None)  # no model was there: the one in force scores
    put("telemetry.window_features", 3, model_version=second.version)
    with sql.transaction() as connection:
        recorded = said_live(connection, ModelTimeline.of([first, second]), rows, ["watch-00"])
    assert list(recorded) == [None, first.version, None, None]


def test_it_is_recorded_whether_every_process_had_a_release_in_time(sql: SqlClient, own_sql_url: str) -> None:
    now = datetime(2026, 5, 1, 12, tzinfo=UTC)
    clock = {"us": to_us(now)}
    release = ModelRelease(name="activity_anomaly", effective_from_us=to_us(now) + 10 * S_US)

    def process(number: int, *, at_s: int, started: bool) -> None:
        models = LiveModels(lambda _: None, lambda *_: None, key=SigningKey(KEY), clock_us=lambda: clock["us"])  # type: ignore[arg-type, return-value]
        earlier = ModelRelease(name="activity_anomaly", effective_from_us=to_us(now) - 10 * S_US)
        models.take(SigningKey(KEY).sealed(earlier).SerializeToString())
        if started:
            models.complete.set()
        clock["us"] = to_us(now) + at_s * S_US
        models.take(SigningKey(KEY).sealed(release).SerializeToString())
        writer = ScoreWriter(own_sql_url, models.counted, models.delivered, (number, 2))
        writer.write()
        writer.write()  # nothing new

    def told() -> tuple[int, bool]:
        row = sql.rows(
            "SELECT loaded, in_time FROM analytics.model_deliveries_v1 WHERE effective_from > %(now)s", {"now": now}
        )[0]
        return row["loaded"], row["in_time"]

    process(0, at_s=2, started=True)
    assert told() == (1, False)  # the other has not got it
    process(1, at_s=60, started=False)  # started later: it has scored nothing by the version before
    assert told() == (2, True)
    sql.execute("DELETE FROM ml.model_deliveries WHERE process = 1")
    process(1, at_s=60, started=True)
    assert told() == (2, False)


def test_an_hour_counted_in_parts_is_one_hour(sql: SqlClient, own_sql_url: str) -> None:
    (scorer, _), rows, log = two_versions(0, 1), draw_windows(1, people=1, per_person=30), ScoreLog(most=0)
    writer = ScoreWriter(own_sql_url, log, DeliveryLog())
    for _ in range(2):
        log.count("in_force", scorer, rows, scorer.score(rows))
        writer.write()
        writer.write()
        assert not len(log)
    assert sql.rows("SELECT windows FROM analytics.model_live_scores_v1") == [{"windows": 60}]


def test_the_last_word_counts_also_where_it_was_said_before(sql: SqlClient) -> None:
    def say(label: str) -> None:
        sql.execute(
            "INSERT INTO ml.labels (participant_id, started_at, ended_at, label, said_by) VALUES "
            "('person-00', '2026-01-01 00:00:00Z', '2026-01-01 00:00:10Z', %(label)s, 'Kim')",
            {"label": label},
        )

    book = LabelBook(sql)
    for label in ("walking", "running", "walking"):
        say(label)
        (start_us,) = {one.start_us for one in book.read()}
        seen = label_windows(np.array(["watch-00"]), np.array(["person-00"]), np.array([start_us]), book.read())
        assert seen[0].tolist() == [label]


def test_a_recording_sent_again_says_nothing_new_and_overrules_nobody(sql: SqlClient) -> None:
    book = LabelBook(sql)
    spans = [
        LabelledSpan("walking", DAY_US, DAY_US + 10 * S_US),
        LabelledSpan("running", DAY_US + 10 * S_US, DAY_US + 20 * S_US),
    ]
    other = [LabelledSpan("sitting", DAY_US, DAY_US + 10 * S_US)]
    assert [book.add_spans("watch-00", spans, "recording:a") for _ in range(2)] == [2, 0]
    assert book.add_spans("watch-00", other, "a nurse") == 1
    assert book.add_spans("watch-00", spans, "recording:a") == 0  # the nurse has the last word
    assert book.add_spans("watch-00", other, "recording:a") == 1  # it was labelled anew
    assert book.add_spans("watch-00", spans, "recording:a") == 1  # and back


FIGURES = {
    "by_person": {"people": 2, "alarm_rate_by_person": {"person-00": 0.2, "person-01": 0.1}},
    "gate": {"people": ["person-00", "person-01"], "slices": {"age 40": {"accuracy_by_person": {"person-01": 0.5}}}},
    "curve": [[0.1, 1.0], {"people": ["person-02"]}],
    "params": {"alarm_rate": 0.01, "none": None},
}


def test_analysts_see_figures_of_models_and_no_persons(sql: SqlClient) -> None:
    row = ModelVersion(
        name="m", version="1", state="candidate", sha256="0" * 64, lake_path="p", feature_version="2", code_version="1",
        trained_at=datetime(2026, 1, 1, tzinfo=UTC), training_days="-", training_people=("person-00",), metrics=FIGURES,
    )  # fmt: skip
    ModelRegistry(sql, KEY).add(row)
    with sql.transaction() as connection:
        connection.execute("SET LOCAL ROLE analyst")
        (metrics,) = connection.execute("SELECT metrics FROM analytics.models_v1").fetchone() or ({},)
    assert "person-" not in json.dumps(metrics)
    assert metrics == {
        "by_person": {"people": 2, "alarm_rate_by_person": [0.1, 0.2]},
        "gate": {"people": 2, "slices": {"age 40": {"accuracy_by_person": [0.5]}}},
        "curve": [[0.1, 1.0], {"people": 1}],
        "params": {"alarm_rate": 0.01, "none": None},
    }


def test_labels_and_insights_name_the_study(sql: SqlClient) -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    names = {"begin": begin, "end": begin + timedelta(seconds=9)}
    sql.execute(
        "INSERT INTO ml.labels (participant_id, device_id, started_at, ended_at, label, said_by) VALUES "
        "('person-00', NULL, %(begin)s, %(end)s, 'walking', 'a'), "
        "(NULL, 'watch-01', %(begin)s, %(end)s, 'walking', 'a')",
        names,
    )
    sql.execute(
        "INSERT INTO telemetry.activity_segments VALUES ('watch-00', %(begin)s, %(end)s, 'person-00', '2026-01-01', "
        "'walking', 9, 0.5, '1', '2', 1, 'batch')",
        names,
    )
    sql.execute(
        "INSERT INTO telemetry.unusual_periods VALUES ('watch-00', %(begin)s, %(end)s, 'person-00', '2026-01-01', 9, "
        "%(begin)s, 0.9, 0.8, 0.7, 0.99, 'own', 300, '{enmo_mg}', '{1}', '{2}', '{3}', '1', '2', 1, 'batch')",
        names,
    )
    for view in ("labels_v1", "activity_segments_v1", "unusual_periods_v1", "unusual_period_features_v1"):
        assert {row["study_id"] for row in sql.rows(f"SELECT study_id FROM analytics.{view}")} == {"study"}


def registered(sql: SqlClient) -> tuple[ModelRegistry, ModelVersion]:
    row = ModelVersion(
        name="m", version="1", state="candidate", sha256="0" * 64, lake_path="p", feature_version="2", code_version="1",
        trained_at=datetime(2026, 1, 1, tzinfo=UTC), training_days="-", training_people=(), metrics={},
    )  # fmt: skip
    registry = ModelRegistry(sql, KEY)
    registry.add(row)
    return registry, row


def test_now_is_looked_at_once_nobody_can_come_between(sql: SqlClient, own_sql_url: str) -> None:
    registry, row = registered(sql)
    now = datetime(2026, 5, 1, 12, tzinfo=UTC)

    def clock() -> datetime:
        with psycopg.connect(own_sql_url) as other, pytest.raises(psycopg.errors.LockNotAvailable):
            other.execute("SELECT FROM ml.model_versions FOR UPDATE NOWAIT")
        return now

    assert registry.put_in_force(row, clock, {}, "a test says so").effective_from == now
    registry.roll_back("m", lambda: clock() + timedelta(hours=1), "a test says so", "1")


def test_thresholds_that_say_the_same_are_no_new_version(sql: SqlClient, tmp_path: Path) -> None:
    registry, lake = ModelRegistry(sql, KEY), open_lake(tmp_path.as_uri())

    def computed(day: int, threshold_g: float) -> tuple[ModelVersion, bool]:
        found = Baselines({"watch-01": (threshold_g, 25.0, float("nan"))}, ("person-01",), {})
        at = datetime(2026, 4, day, tzinfo=UTC)
        return register_thresholds(lake, registry, found, [f"2026-04-{day:02d}"], at)

    first, added = computed(1, 3.1)
    assert added
    assert computed(2, 3.1) == (first, False)  # waits for its publication
    registry.put_in_force(first, lambda: datetime(2026, 4, 2, tzinfo=UTC), first.metrics, "a test says so")
    again, added = computed(3, 3.1)
    assert (again.version, again.state, added) == (first.version, "in_force", False)
    other, added = computed(4, 3.2)
    assert added
    back, added = computed(5, 3.1)  # in force, but no longer what the newest says
    assert added
    assert len({first.version, other.version, back.version}) == 3
