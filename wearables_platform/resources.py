"""What assets reach the stores through: one resource per store, each opened for one step and closed after it.

Without an explicit URL (tests give one) a resource reads the platform's settings when it is opened, so loading the
definitions needs no running store, and no secret appears in the Dagster UI.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg

from wearables_platform.errors import TerminalError
from wearables_platform.settings import load_settings

if TYPE_CHECKING:  # drivers take seconds to import; the definitions must load without them
    from wearables_platform.clients.kafka import Producer
    from wearables_platform.clients.lake import Lake
    from wearables_platform.clients.log import Position
    from wearables_platform.clients.mongo import DocumentStore
    from wearables_platform.clients.sql import SqlClient

APPLICATION = "wearables-dagster"
RECORD_PATIENCE_S = 5.0


class LakeResource(dg.ConfigurableResource["LakeResource"]):
    """The lake."""

    url: str | None = None

    def open(self) -> Lake:
        """Open the lake; nothing to close."""
        from wearables_platform.clients.lake import configured_lake, open_lake

        return open_lake(self.url) if self.url is not None else configured_lake(load_settings())


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

    def is_configured(self) -> bool:
        """Tell whether there is a log to look at."""
        return self.url is not None or load_settings().kafka_url is not None

    def ends(self, topics: Sequence[str]) -> dict[Position, tuple[int, int]]:
        """Return (oldest offset, next offset) per partition of some topics; those that do not exist have none."""
        from wearables_platform.clients.kafka import Admin, bounds

        url = self.require_url()
        admin = Admin(url)
        return bounds(url, [(topic, number) for topic in topics for number in range(admin.partitions(topic))])

    def positions_of(self, group_id: str, positions: Sequence[Position]) -> dict[Position, int]:
        """Return the next offset a consumer group will read of each partition it has begun."""
        from wearables_platform.clients.kafka import committed_positions

        return committed_positions(self.require_url(), group_id, positions)

    def append_time_us(self, position: Position, offset: int) -> int:
        """Return when the log took a record that it holds."""
        from wearables_platform.clients.kafka import PartitionReader
        from wearables_platform.clients.log import LogUnavailable

        reader = PartitionReader(self.require_url(), *position, offset, checked=True)
        try:
            fetched = reader.fetch(1, RECORD_PATIENCE_S)
        finally:
            reader.close()
        if fetched is None:
            msg = f"{position} did not give its record {offset} within {RECORD_PATIENCE_S:g} s"
            raise LogUnavailable(msg)
        return int(fetched.append_us[0])

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


class NothingIsPickled(dg.IOManager):
    """Refuses what Dagster would pickle: assets write their stores themselves and return `MaterializeResult`."""

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Refuse to store."""
        msg = f"{context.step_key} returned a {type(obj).__name__} for Dagster to keep; return a MaterializeResult"
        raise TerminalError(msg)

    def load_input(self, context: dg.InputContext) -> object:
        """Refuse to load."""
        msg = f"{context.asset_key} was never handed to Dagster; read it from its store"
        raise TerminalError(msg)


RESOURCES: dict[str, object] = {
    "io_manager": NothingIsPickled(),
    "lake": LakeResource(),
    "sql": SqlResource(),
    "mongo": MongoResource(),
    "kafka": KafkaResource(),
    "model_signing": ModelSigningResource(),
}
