"""The archive's account of the log: which positions are stored, duplicate, quarantined or dead-lettered.

Evaluated from the collections alone. The four sets are disjoint, and together they are every position read: that is
the conservation equation, and whoever holds the log's end can check it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final

from wearables_platform.archive.documents import CONSUMER, DEAD_LETTERS, DUPLICATES, QUARANTINE
from wearables_platform.clients.mongo import DocumentStore
from wearables_platform.domain.channels import CHANNELS

OUTCOMES: Final = ("stored", "duplicate", "quarantined", "dead_lettered")


@dataclass(frozen=True)
class PartitionAccount:
    """One partition's positions by outcome."""

    topic: str
    partition: int
    positions: dict[str, set[int]] = field(default_factory=lambda: {outcome: set() for outcome in OUTCOMES})

    def counted_twice(self) -> set[int]:
        """Return the positions that are in more than one set; empty if the archive keeps its word."""
        pairs = combinations(self.positions.values(), 2)
        return {position for first, second in pairs for position in first & second}

    def missing(self, low: int, end: int) -> set[int]:
        """Return the positions from `low` to before `end` that are in no set."""
        return set(range(low, end)).difference(*self.positions.values())

    def count(self, outcome: str) -> int:
        """Return how many positions ended so."""
        return len(self.positions[outcome])


def account(store: DocumentStore, log_ids: Mapping[str, str | None]) -> dict[tuple[str, int], PartitionAccount]:
    """Read every position the archive holds of the telemetry topics.

    Parameters
    ----------
    log_ids
        Topic -> its id in the broker now; positions of an earlier topic of the same name are left out.
    """
    accounts: dict[tuple[str, int], PartitionAccount] = {}
    for topic, partition, outcome, offset in _positions(store, log_ids):
        key = (topic, partition)
        accounts.setdefault(key, PartitionAccount(topic, partition)).positions[outcome].add(offset)
    return accounts


def totals(accounts: Iterable[PartitionAccount]) -> dict[str, dict[str, int]]:
    """Return topic -> outcome -> count."""
    counts: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(OUTCOMES, 0))
    for entry in accounts:
        for outcome in OUTCOMES:
            counts[entry.topic][outcome] += entry.count(outcome)
    return dict(counts)


def _positions(store: DocumentStore, log_ids: Mapping[str, str | None]) -> Iterable[tuple[str, int, str, int]]:
    sources = [(channel.collection, "stored", "topic") for channel in CHANNELS]
    sources += [(DUPLICATES, "duplicate", "topic"), (QUARANTINE, "quarantined", "topic")]
    for collection, outcome, topic_field in [*sources, (DEAD_LETTERS, "dead_lettered", "source_topic")]:
        query = {"consumer": CONSUMER} if collection == DEAD_LETTERS else {}
        fields = [topic_field, "partition", "offset", "log_id"]
        for batch in store.stream_documents(collection, query, fields, batch=10_000):
            for document in batch:
                topic = document[topic_field]
                if topic in log_ids and document["log_id"] == log_ids[topic]:
                    yield topic, document["partition"], outcome, document["offset"]
