"""The catalogue of what flows: one channel per message type, the other topics, and every quantity with unit and range.

The data flow as data: bridge, ingest, archive, stream, docs and tests read topics, collections and ranges from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MQTT_ROOT: Final = "wearables/v1"
RECEIPT_LEAF: Final = "receipt"

ANOMALIES_TOPIC: Final = "wearables.anomalies.v1"
MODELS_TOPIC: Final = "wearables.models.v1"  # compacted, key = model name
DEAD_LETTERS_TOPIC: Final = "wearables.dead-letters.v1"  # key = topic:partition:offset:consumer

VERDICT_HEADER: Final = "verdict"  # set by a gateway when the event time is impossible for this device


@dataclass(frozen=True)
class Channel:
    """One message type on its way: MQTT leaf, Kafka topic, MongoDB collection, protobuf message."""

    name: str
    topic: str
    collection: str
    message: str

    def mqtt_topic(self, device_id: str) -> str:
        """Return the MQTT topic on which `device_id` publishes this channel."""
        return f"{MQTT_ROOT}/{device_id}/{self.name}"


ACCELERATION: Final = Channel("acceleration", "wearables.acceleration.v1", "acceleration", "AccelerationBatch")
VITALS: Final = Channel("vitals", "wearables.vitals.v1", "vitals", "VitalsBatch")
STATUS: Final = Channel("status", "wearables.status.v1", "status", "DeviceStatus")
CHANNELS: Final = (ACCELERATION, VITALS, STATUS)
CHANNEL_BY_NAME: Final = {channel.name: channel for channel in CHANNELS}
CHANNEL_BY_TOPIC: Final = {channel.topic: channel for channel in CHANNELS}


def receipt_topic(device_id: str) -> str:
    """Return the MQTT topic on which the bridge answers `device_id`."""
    return f"{MQTT_ROOT}/{device_id}/{RECEIPT_LEAF}"


@dataclass(frozen=True)
class Quantity:
    """Something measured: unit (UCUM), the range a value may have, the channel that carries it."""

    name: str
    unit: str
    low: float
    high: float
    channel: Channel


QUANTITIES: Final = (
    # Wrist sensors reach +-16 g, shock sensors more; beyond 400 g it is not a body.
    Quantity("acceleration", "[g]", -400.0, 400.0, ACCELERATION),
    # Adults: outside 30..220 bpm a wrist sensor is wrong far more often than a heart is.
    Quantity("heart_rate", "/min", 30.0, 220.0, VITALS),
    # Sprinting reaches about 250 steps a minute; stored per reading as steps and span.
    Quantity("step_rate", "{steps}/min", 0.0, 250.0, VITALS),
    Quantity("battery", "%", 0.0, 100.0, STATUS),
)
QUANTITY_BY_NAME: Final = {quantity.name: quantity for quantity in QUANTITIES}
MIN_RATE_HZ: Final = 1.0
MAX_RATE_HZ: Final = 32_000.0
