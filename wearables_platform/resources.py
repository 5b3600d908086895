"""What assets reach the stores through: one resource per store, each opened for one step and closed after it.

Without an explicit URL (tests give one) a resource reads the platform's settings when it is opened, so loading the
definitions needs no running store, and no secret appears in the Dagster UI.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg

from wearables_platform.settings import load_settings

if TYPE_CHECKING:  # drivers take seconds to import; the definitions must load without them
    from wearables_platform.clients.kafka import Producer
    from wearables_platform.clients.lake import Lake
    from wearables_platform.clients.mongo import DocumentStore
    from wearables_platform.clients.sql import SqlClient

APPLICATION = "wearables-dagster"


class LakeResource(dg.ConfigurableResource["LakeResource"]):
    """The lake."""

    url: str | None = None

    def open(self) -> Lake:
        """Open the lake; nothing to close."""
        from wearables_platform.clients.lake import open_lake

        if self.url is not None:
            return open_lake(self.url)
        settings = load_settings()
        access, secret = settings.lake_access_key, settings.lake_secret_key
        return open_lake(
            settings.require("lake_url"),
            access_key=access.get_secret_value() if access else None,
            secret_key=secret.get_secret_value() if secret else None,
        )


class SqlResource(dg.ConfigurableResource["SqlResource"]):
    """TimescaleDB or PostgreSQL."""

    url: str | None = None

    @contextmanager
    def open(self) -> Iterator[SqlClient]:
        """Lend a client for one step."""
        from wearables_platform.clients.sql import SqlClient

        client = SqlClient(self.url or load_settings().require("sql_url"), APPLICATION, pool_size=2)
        try:
            yield client
        finally:
            client.close()


class MongoResource(dg.ConfigurableResource["MongoResource"]):
    """The archive."""

    url: str | None = None

    @contextmanager
    def open(self) -> Iterator[DocumentStore]:
        """Lend a client for one step."""
        from wearables_platform.clients.mongo import DocumentStore

        store = DocumentStore(self.url or load_settings().require("mongo_url"), APPLICATION)
        try:
            yield store
        finally:
            store.close()


class KafkaResource(dg.ConfigurableResource["KafkaResource"]):
    """The log; read for positions, written for model releases."""

    url: str | None = None

    def require_url(self) -> str:
        """Return the brokers' address."""
        return self.url or load_settings().require("kafka_url")

    def committed(self, group_id: str, topic: str) -> dict[int, int]:
        """Return, per partition, what a consumer group has committed; empty where no log is configured."""
        from wearables_platform.clients.kafka import Admin, committed_positions

        settings = load_settings()
        if self.url is None and settings.kafka_url is None:
            return {}
        url = self.require_url()
        positions = [(topic, number) for number in range(Admin(url).partitions(topic))]
        return {number: offset for (_, number), offset in committed_positions(url, group_id, positions).items()}

    @contextmanager
    def producer(self) -> Iterator[Producer]:
        """Lend a producer; what it was given is delivered, or raises, before the step ends."""
        from wearables_platform.clients.kafka import Producer

        producer = Producer(self.require_url(), APPLICATION)
        yield producer
        producer.flush(30.0)


class ModelSigningResource(dg.ConfigurableResource["ModelSigningResource"]):
    """The key that signs rows of the model registry."""

    key: str | None = None

    def read(self) -> str:
        """Return the key."""
        return self.key or load_settings().require("model_signing_key")


RESOURCES: dict[str, object] = {
    "lake": LakeResource(),
    "sql": SqlResource(),
    "mongo": MongoResource(),
    "kafka": KafkaResource(),
    "model_signing": ModelSigningResource(),
}
