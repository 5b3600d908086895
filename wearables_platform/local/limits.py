"""What each server we may start cannot do: the one table.

``up`` and ``doctor`` print it, docs/running.md shows it, and a test that cannot hold on a server asks `cannot`.
"""

from __future__ import annotations

from collections.abc import Mapping

LIMITS: Mapping[str, Mapping[str, str]] = {
    "tansu": {
        "log-survives-its-end": (
            "keeps the log in memory: if it ends, readings not yet archived are gone, and `up` ends with it"
        ),
        "watermark-is-the-end": (
            "reports the base offset of the last batch + 1 as the log's end: count by reading, never by watermark"
        ),
        "offsets-by-time": (
            "answers 0 to every offsets_for_times, does not isolate read_committed, applies no retention or compaction"
        ),
        "add-partitions": (
            "cannot add partitions or delete records; the topic id tells a re-created topic from the old one"
        ),
        "accounts": "has no accounts; its memory only grows until topics are deleted",
    },
    "amqtt": {
        "mqtt-5": "speaks MQTT 3.1.1 only, without shared subscriptions: one bridge at a time",
        "keep-sessions": "keeps nothing for a subscriber that is away: devices resend from their spools",
        "queue-limit": "has no queue limit and takes about 2,000 messages a second",
        "refuse-before-takeover": (
            "lets a stranger who knows a client id end that session before it is refused: loopback only"
        ),
        "refuse-publications": (
            "acknowledges a forbidden or retained publication, and drops the first and un-retains the second"
        ),
    },
    "mosquitto": {
        "durable-acknowledgement": (
            "may lose up to a second of acknowledged messages when killed: devices keep them until a receipt comes"
        ),
        "refuse-own-will": "allows a device a last will on its own topics",
    },
    "postgresql": {
        "hypertables": (
            "without TimescaleDB: plain partitions instead of hypertables, no compression, roll-ups computed when read"
        ),
    },
    "nx-27017": {
        "accounts": "has no accounts, so it listens on loopback only",
        "validators": "accepts JSON-schema validators and does not enforce them; has no Decimal128",
        "duplicate-key-named": (
            "does not say which key a duplicate collided with (error 11000 carries no keyValue); upserts are slow"
        ),
        "expiry": "whether TTL indexes expire documents is unproven",
    },
    "mongod": {"accounts": "is started without accounts, on loopback only"},
    "redis": {
        "durable-acknowledgement": (
            "syncs once a second: a crash of the machine may lose the last second of latest values"
        ),
    },
    "file lake": {"shared-by-machines": "is one directory on one disk: no other machine can read it"},
}


def limits_of(server: str) -> tuple[str, ...]:
    """Return what a server cannot do; a server named by URL is the operator's, and unknown here."""
    return tuple(LIMITS.get(server, {}).values())


def cannot(server: str, what: str) -> bool:
    """Tell whether a server is known not to do something, by the name it has in the table."""
    return what in LIMITS.get(server, {})
