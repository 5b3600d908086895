"""How far the messages of each topic have come, counted in the stores themselves (metrics are indicators only)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from wearables_platform.archive.documents import CONSUMER as ARCHIVE
from wearables_platform.archive.documents import DEAD_LETTERS, DUPLICATES, QUARANTINE
from wearables_platform.clients.kafka import Admin, bounds
from wearables_platform.clients.mongo import DocumentStore
from wearables_platform.clients.sql import SqlClient
from wearables_platform.domain.channels import CHANNELS, Channel
from wearables_platform.settings import Settings

STREAM = "stream"

LEDGER_QUERY = "SELECT consumer, topic, outcome, messages FROM analytics.stage_counts_v1"

# A gateway refuses before there is a log position: only such dead letters have none.
REFUSED_PIPELINE: list[Mapping[str, Any]] = [
    {"$match": {"offset": {"$lt": 0}}},
    {"$group": {"_id": "$source_topic", "messages": {"$sum": 1}}},
]


@dataclass(frozen=True)
class TopicStages:
    """Counts of one topic, in messages.

    ``rejected`` never reached the topic. ``in_flight`` is accepted and not yet read by the archive, which reads every
    topic; ``stream_in_flight`` the same for the stream, which reads only some.
    """

    topic: str
    accepted: int
    archived: int
    streamed: int
    deduplicated: int
    quarantined: int
    rejected: int
    dead_lettered: int
    in_flight: int
    stream_in_flight: int | None


Ledger = Mapping[tuple[str, str, str], int]


def stages_of(channel: Channel, accepted: int, ledger: Ledger, rejected: int) -> TopicStages:
    """Put one topic's counts together from the log's length, the ledger and the refusals."""

    def count(consumer: str, outcome: str) -> int:
        return ledger.get((consumer, channel.topic, outcome), 0)

    def read(consumer: str) -> int:
        return sum(number for (who, topic, _), number in ledger.items() if (who, topic) == (consumer, channel.topic))

    streamed = read(STREAM)
    return TopicStages(
        topic=channel.topic,
        accepted=accepted,
        archived=count(ARCHIVE, "stored"),
        streamed=count(STREAM, "stored"),
        deduplicated=count(ARCHIVE, "duplicate"),
        quarantined=count(ARCHIVE, "quarantined"),
        rejected=rejected,
        dead_lettered=count(ARCHIVE, "dead_lettered"),
        in_flight=accepted - read(ARCHIVE),
        stream_in_flight=accepted - streamed if streamed else None,
    )


def read_stages(settings: Settings) -> list[TopicStages]:
    """Count every topic's messages per stage; the stores are read one after another, while messages move on."""
    refused = _refused(settings)
    ledger = _ledger(settings) | archived_counts(settings)
    accepted = _accepted(settings)  # last: what is read late can only make more "in flight", never less than none
    return [stages_of(channel, accepted[channel.topic], ledger, refusals_of(channel, refused)) for channel in CHANNELS]


def refusals_of(channel: Channel, refused: Mapping[str, int]) -> int:
    """Sum the refusals whose source (an MQTT topic or an HTTP path) ends in the channel's name."""
    return sum(number for source, number in refused.items() if source.rstrip("/").rpartition("/")[2] == channel.name)


def _accepted(settings: Settings) -> dict[str, int]:
    """Return how many records each topic was ever given: retention shortens a log and not its offsets."""
    url = settings.require("kafka_url")
    admin = Admin(url, "wearables-status")
    topics = [channel.topic for channel in CHANNELS]
    positions = [(topic, number) for topic in topics for number in range(admin.partitions(topic))]
    ends = bounds(url, positions)
    return {topic: sum(end for (name, _), (_, end) in ends.items() if name == topic) for topic in topics}


def _ledger(settings: Settings) -> dict[tuple[str, str, str], int]:
    with closing(SqlClient(settings.require("sql_url"), "wearables status", pool_size=1)) as client:
        rows = client.rows(LEDGER_QUERY)
    return {(row["consumer"], row["topic"], row["outcome"]): int(row["messages"]) for row in rows}


def archived_counts(settings: Settings) -> dict[tuple[str, str, str], int]:
    """Count the archive's documents of the log that is there now; those of an earlier log are left out."""
    admin = Admin(settings.require("kafka_url"), "wearables-status")
    log_ids = {channel.topic: admin.topic_id(channel.topic) for channel in CHANNELS}
    counts: dict[tuple[str, str, str], int] = {}
    with closing(DocumentStore(settings.require("mongo_url"), "wearables-status")) as store:
        for channel in CHANNELS:
            for collection, outcome, query in archive_account(channel):
                # Grouped by one plain field: not every server that speaks the protocol groups by a document.
                groups = store.aggregate(
                    collection, [{"$match": query}, {"$group": {"_id": "$log_id", "messages": {"$sum": 1}}}]
                )
                found = {group["_id"]: int(group["messages"]) for group in groups}
                counts[ARCHIVE, channel.topic, outcome] = found.get(log_ids[channel.topic], 0)
    return counts


def archive_account(channel: Channel) -> list[tuple[str, str, dict[str, Any]]]:
    """Return where the archive keeps account of a channel: (collection, outcome, which documents)."""
    of_topic = {"topic": channel.topic}
    return [
        (channel.collection, "stored", of_topic),
        (DUPLICATES, "duplicate", of_topic),
        (QUARANTINE, "quarantined", of_topic),
        (DEAD_LETTERS, "dead_lettered", {"source_topic": channel.topic, "consumer": ARCHIVE}),
    ]


def _refused(settings: Settings) -> dict[str, int]:
    with closing(DocumentStore(settings.require("mongo_url"), "wearables-status")) as store:
        groups = store.aggregate(DEAD_LETTERS, REFUSED_PIPELINE)
    return {str(group["_id"]): int(group["messages"]) for group in groups}
