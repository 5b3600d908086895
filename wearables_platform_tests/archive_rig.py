"""A whole archive on real servers: Kafka of its own, a database of its own, and the account of what it did."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

from wearables_platform.archive.conservation import PartitionAccount, account
from wearables_platform.archive.process import archive_until
from wearables_platform.clients.kafka import Admin, Position, Producer, bounds
from wearables_platform.clients.mongo import DocumentStore
from wearables_platform.clients.topics import ensure_platform_topics
from wearables_platform.domain.channels import CHANNELS, Channel
from wearables_platform.health import Health
from wearables_platform.settings import Settings

DEADLINE_S = 120.0
POLL_S = 0.3  # counting costs the embedded store tens of microseconds per document
PARTITIONS = 2


def await_true(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(POLL_S)


@dataclass
class ArchiveRig:
    settings: Settings
    kafka_url: str
    mongo_url: str
    database: str
    producer: Producer
    store: DocumentStore
    admin: Admin

    def send(
        self, channel: Channel, device_id: str, payload: bytes, *, key: bytes | None = None, verdict: str | None = None
    ) -> None:
        headers = [("verdict", verdict.encode())] if verdict else None
        self.producer.send(channel.topic, device_id.encode() if key is None else key, payload, headers=headers)

    def log(self) -> dict[Position, tuple[int, int]]:
        """Every telemetry partition's first and next offset, by reading."""
        return bounds(self.kafka_url, [(channel.topic, p) for channel in CHANNELS for p in range(PARTITIONS)])

    def log_ids(self) -> dict[str, str | None]:
        return {channel.topic: self.admin.topic_id(channel.topic) for channel in CHANNELS}

    def account(self) -> Mapping[Position, PartitionAccount]:
        return account(self.store, self.log_ids())

    def unaccounted(self) -> dict[Position, int]:
        """Positions of the log that ended nowhere, per partition, where there are any."""
        accounts = self.account()
        left = {
            position: len(accounts.get(position, PartitionAccount(*position)).missing(low, end))
            for position, (low, end) in self.log().items()
        }
        return {position: count for position, count in left.items() if count}

    def await_archived(self, while_waiting: Callable[[], None] = lambda: None) -> None:
        """Wait until every position of the log is accounted for, the archive's own dead letters included."""

        def archived() -> bool:
            while_waiting()
            return self._enough_documents() and not self.unaccounted()

        await_true(archived)

    def _enough_documents(self) -> bool:
        """Cheap to ask, and necessary: one document per position."""
        collections = [*(channel.collection for channel in CHANNELS), "duplicates", "quarantine", "dead_letters"]
        return sum(map(self.store.count, collections)) >= sum(end - low for low, end in self.log().values())

    def await_letters(self, count: int) -> None:
        await_true(lambda: self.store.count("dead_letters") >= count)

    def check_conservation(self) -> None:
        assert self.unaccounted() == {}
        assert {position: entry.counted_twice() for position, entry in self.account().items()} == {
            position: set() for position in self.account()
        }

    def positions_by_outcome(self) -> dict[str, int]:
        totals: dict[str, int] = {}
        for entry in self.account().values():
            for outcome, positions in entry.positions.items():
                totals[outcome] = totals.get(outcome, 0) + len(positions)
        return totals

    @contextmanager
    def archiving(self) -> Iterator[None]:
        """Run the archive in a thread; its failure fails the test."""
        stop, failures = threading.Event(), list[BaseException]()

        def work() -> None:
            try:
                archive_until(self.settings, stop, Health("archive"))
            except Exception as exc:  # noqa: BLE001 - handed to the test below
                failures.append(exc)

        thread = threading.Thread(target=work, name="archive")
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(DEADLINE_S)
            assert not thread.is_alive()
            if failures:
                raise failures[0]


def build(kafka_url: str, mongo_url: str, *, database: str | None = None) -> ArchiveRig:
    database = database or f"archive_{uuid.uuid4().hex[:12]}"
    own_mongo_url = urlunsplit(urlsplit(mongo_url)._replace(path=f"/{database}"))
    settings = Settings(
        kafka_url=kafka_url, mongo_url=own_mongo_url, topic_partitions=PARTITIONS, archive_instance=database
    )
    admin = Admin(kafka_url)
    ensure_platform_topics(admin, settings)
    store = DocumentStore(own_mongo_url, "archive tests")
    return ArchiveRig(settings, kafka_url, own_mongo_url, database, Producer(kafka_url, "tests"), store, admin)
