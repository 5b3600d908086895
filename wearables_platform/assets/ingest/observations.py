"""What keeps the live half of the graph alive: ends and readers of each topic, counts of each collection.

Nothing is scanned: ends come from the brokers, counts from the store's own figures, times from an index.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import dagster as dg

from wearables_platform.assets.ingest.collections import COLLECTIONS
from wearables_platform.assets.ingest.topics import topic_key
from wearables_platform.domain.channels import CHANNELS, DEAD_LETTERS_TOPIC

if TYPE_CHECKING:
    from wearables_platform.clients.log import Position
    from wearables_platform.clients.mongo import DocumentStore
    from wearables_platform.clients.sql import SqlClient
    from wearables_platform.resources import KafkaResource

    Ends = Mapping[Position, tuple[int, int]]
    Reads = Mapping[Position, int]

# What stays the same is said again this often, so that the graph shows that somebody looked.
REPEAT_S: Final = 900

_STREAMED = """
SELECT topic, partition_number, max(upper(span)) AS next_position
FROM quality.ledger, unnest(positions) AS span
WHERE consumer = 'stream' GROUP BY topic, partition_number
"""
_DEAD = [{"$group": {"_id": "$source_topic", "records": {"$sum": 1}}}]


def topic_observations(
    sql: SqlClient, kafka: KafkaResource, archive: DocumentStore, now_us: int
) -> list[dg.AssetObservation]:
    """Return one observation per topic: its ends, and how far behind them archive and stream are.

    Empty where no log is configured; a topic that is not there yet has no partitions and no records.
    """
    from wearables_platform.archive.process import GROUP

    if not kafka.is_configured():
        return []
    topics = [*(channel.topic for channel in CHANNELS), DEAD_LETTERS_TOPIC]
    ends = kafka.ends(topics)
    dead = {row["_id"]: row["records"] for row in archive.aggregate("dead_letters", _DEAD)}
    readers: dict[str, Reads] = {
        "archive": kafka.positions_of(GROUP, list(ends)),
        "stream": {(row["topic"], row["partition_number"]): row["next_position"] for row in sql.rows(_STREAMED)},
    }
    return [
        dg.AssetObservation(topic_key(topic), metadata=_of_topic(kafka, topic, ends, readers, now_us, dead))
        for topic in topics
    ]


def _of_topic(
    kafka: KafkaResource, topic: str, ends: Ends, readers: Mapping[str, Reads], now_us: int, dead: Mapping[str, int]
) -> dict[str, Any]:
    own = {position: found for position, found in ends.items() if position[0] == topic}
    metadata: dict[str, Any] = {
        "beginning_offset": sum(low for low, _ in own.values()),
        "end_offset": sum(end for _, end in own.values()),
        "records": sum(end - low for low, end in own.values()),
        "partitions": len(own),
    }
    if topic == DEAD_LETTERS_TOPIC:
        return metadata | lag("archive", own, readers["archive"], kafka, now_us)
    for name, read in readers.items():
        metadata |= lag(name, own, read, kafka, now_us)
    return metadata | {"dead_letters": dead.get(topic, 0)}


def lag(reader: str, ends: Ends, read: Reads, kafka: KafkaResource, now_us: int) -> dict[str, Any]:
    """Return how many records a reader has not read, and how old the oldest of them is."""
    waiting = {
        position: max(low, read.get(position, low))
        for position, (low, end) in ends.items()
        if max(low, read.get(position, low)) < end
    }
    oldest_us = min((kafka.append_time_us(position, offset) for position, offset in waiting.items()), default=now_us)
    return {
        f"{reader}_lag_records": sum(ends[position][1] - offset for position, offset in waiting.items()),
        f"{reader}_lag_s": round(max(0, now_us - oldest_us) / 1e6, 1),
    }


def collection_observations(archive: DocumentStore) -> list[dg.AssetObservation]:
    """Return one observation per collection: how many documents, and when the newest was received."""
    found = []
    for spec in COLLECTIONS:
        collection = str(spec.metadata["collection"])
        newest = archive.newest(collection, str(spec.metadata["received"]))
        metadata: dict[str, Any] = {"documents": archive.estimated_count(collection)}
        if newest is not None:
            metadata["newest_received"] = newest.isoformat()
        found.append(dg.AssetObservation(spec.key, metadata=metadata))
    return found


def worth_saying(
    observations: Iterable[dg.AssetObservation], cursor: str | None, now_s: float
) -> tuple[list[dg.AssetObservation], str]:
    """Return the observations that say something new, or that were last made long ago, and the new cursor."""
    said: dict[str, list[Any]] = json.loads(cursor or "{}")
    kept = []
    for observation in observations:
        name = observation.asset_key.to_user_string()
        words = {key: value.value for key, value in observation.metadata.items()}
        before, at_s = said.get(name, [None, 0.0])
        if words != before or now_s - at_s >= REPEAT_S:
            kept.append(observation)
            said[name] = [words, now_s]
    return kept, json.dumps(said)
