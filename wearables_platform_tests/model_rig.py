"""A real database, lake and log for models, with the clock of their training runs."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from wearables_platform.clients.kafka import Admin, TopicSpec
from wearables_platform.clients.lake import Lake, open_lake
from wearables_platform.clients.sql import SqlClient
from wearables_platform.models import training_files
from wearables_platform.models.inputs import ACTIVITY_ANOMALY
from wearables_platform.models.publishing import Published, Trained, publish_candidate, train_candidate
from wearables_platform.models.registry import ModelRegistry
from wearables_platform.models.releases import ReleaseLog
from wearables_platform.models.train import ForestParams
from wearables_platform.models.training_set import TrainingSet
from wearables_platform_tests.model_windows import device_ids, person_of

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
    sql_url: str = ""

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


@contextmanager
def opened_place(folder: Path, sql_url: str, kafka_url: str, people: int = 20) -> Iterator[Place]:
    """Everything a model passes through: an own topic and database, and people who wear a watch each."""
    topic = f"models-{uuid.uuid4().hex[:12]}"
    Admin(kafka_url).ensure_topics([TopicSpec(topic, 1)])
    sql = SqlClient(sql_url, "tests")
    enrol(sql, people)
    yield Place(open_lake(folder.as_uri()), sql, ModelRegistry(sql, KEY), ReleaseLog(kafka_url, KEY, topic=topic))
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
