"""What each server we may start cannot do: printed by ``up`` and ``doctor``, read by the tests that skip for it."""

from __future__ import annotations

from collections.abc import Mapping

LIMITS: Mapping[str, tuple[str, ...]] = {
    "tansu": (
        "keeps the log in memory: if it ends, readings not yet archived are gone, and `up` ends with it",
        "reports the base offset of the last batch + 1 as the log's end: count by reading, never by watermark",
        "answers 0 to every offsets_for_times, does not isolate read_committed, applies no retention or compaction",
        "cannot add partitions or delete records; the topic id tells a re-created topic from the old one",
        "has no accounts; its memory only grows until topics are deleted",
    ),
    "amqtt": (
        "speaks MQTT 3.1.1 only, without shared subscriptions: one bridge at a time",
        "keeps nothing for a subscriber that is away: devices resend from their spools",
        "has no queue limit and takes about 2,000 messages a second",
        "lets a stranger who knows a client id end that session before it is refused: loopback only",
        "acknowledges a forbidden or retained publication, and drops the first and un-retains the second",
    ),
    "mosquitto": (
        "may lose up to a second of acknowledged messages when killed: devices keep them until a receipt comes",
        "allows a device a last will on its own topics",
    ),
    "postgresql": (
        "without TimescaleDB: plain partitions instead of hypertables, no compression, roll-ups computed when read",
    ),
    "nx-27017": (
        "has no accounts, so it listens on loopback only",
        "accepts JSON-schema validators and does not enforce them; has no Decimal128",
        "does not say which key a duplicate collided with (error 11000 carries no keyValue); upserts are slow",
        "whether TTL indexes expire documents is unproven",
    ),
    "mongod": ("is started without accounts, on loopback only",),
    "redis": ("syncs once a second: a crash of the machine may lose the last second of latest values",),
    "file lake": ("is one directory on one disk: no other machine can read it",),
}


def limits_of(server: str) -> tuple[str, ...]:
    """Return what a server cannot do; a server named by URL is the operator's, and unknown here."""
    return LIMITS.get(server, ())
