"""The archive's collections: written by the archive process, observed here."""

import dagster as dg

from wearables_platform.assets.declare import OWNERS
from wearables_platform.assets.ingest.topics import topic_key
from wearables_platform.domain.channels import CHANNELS, DEAD_LETTERS_TOPIC


def collection_key(collection: str) -> dg.AssetKey:
    """Return the asset key of a collection."""
    return dg.AssetKey(["mongodb", collection])


def _collection(name: str, topics: list[str], description: str, received: str = "received_at") -> dg.AssetSpec:
    return dg.AssetSpec(
        collection_key(name),
        deps=[topic_key(topic) for topic in topics],
        group_name="ingest",
        kinds={"mongodb"},
        owners=OWNERS,
        description=description,
        metadata={"collection": name, "received": received},
    )


_EVERY_TOPIC = [channel.topic for channel in CHANNELS]
COLLECTIONS = [
    *(
        _collection(
            channel.collection,
            [channel.topic],
            f"One document per {channel.message}; `_id` is the message's identity, the payload is kept as it came.",
        )
        for channel in CHANNELS
    ),
    _collection("quarantine", _EVERY_TOPIC, "Well-formed messages that must not be believed, each with its reason."),
    _collection("duplicates", _EVERY_TOPIC, "Where in the log a message came again, byte for byte."),
    _collection("dead_letters", [DEAD_LETTERS_TOPIC], "Records nobody could process, with bytes and reason.", "at"),
]
