"""The log's topics, as the graph's left edge: made by devices and gateways, observed here."""

import dagster as dg

from wearables_platform.assets.declare import OWNERS
from wearables_platform.domain.channels import CHANNELS, DEAD_LETTERS_TOPIC, Channel


def topic_key(topic: str) -> dg.AssetKey:
    """Return the asset key of a topic."""
    return dg.AssetKey(["kafka", topic.removeprefix("wearables.").replace(".", "_").replace("-", "_")])


def _topic(channel: Channel) -> dg.AssetSpec:
    return dg.AssetSpec(
        topic_key(channel.topic),
        group_name="ingest",
        kinds={"kafka"},
        owners=OWNERS,
        description=f"Topic `{channel.topic}`: every accepted {channel.message}, keyed by device, as it was sent.",
        metadata={"topic": channel.topic, "message": channel.message},
    )


DEAD_LETTERS = dg.AssetSpec(
    topic_key(DEAD_LETTERS_TOPIC),
    group_name="ingest",
    kinds={"kafka"},
    owners=OWNERS,
    description=f"Topic `{DEAD_LETTERS_TOPIC}`: records no consumer can process, each with bytes, reason and position.",
    metadata={"topic": DEAD_LETTERS_TOPIC},
)
TOPICS = [*(_topic(channel) for channel in CHANNELS), DEAD_LETTERS]
