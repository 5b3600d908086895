"""Many devices in one process: one connection each, one network thread, one spool file, one thread that pumps them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from wearables_platform.clients.mqtt import (
    Delivery,
    MqttConnection,
    MqttListener,
    MqttLoop,
    MqttOptions,
    MqttRefused,
    parse_mqtt_url,
)
from wearables_platform.domain.channels import receipt_topic
from wearables_platform.domain.identity import new_boot_id
from wearables_platform.edge.client import ClientConfig, ThinClient
from wearables_platform.edge.spool import DEFAULT_MAX_BYTES, SpoolDatabase

# A token just enrolled reaches the broker within a second or two; what is refused for longer stays refused.
REFUSED_PATIENCE_S = 20.0
PUMP_INTERVAL_S = 0.05  # a block is 100 ms long: pumping faster sends little earlier


class MqttTransport:
    """A device's own connection: publishes its messages with QoS 1 and hears its receipts."""

    def __init__(self, loop: MqttLoop, options: MqttOptions, device_id: str) -> None:
        self._on_receipt: Callable[[bytes], None] | None = None
        listener = MqttListener(message=self._heard)
        self.connection = MqttConnection(loop, options, listener, [receipt_topic(device_id)])

    @property
    def ready(self) -> bool:
        """Whether the session stands and receipts are heard."""
        return self.connection.ready

    @property
    def session(self) -> int:
        """How many sessions there were so far."""
        return self.connection.connections

    def publish(self, topic: str, payload: bytes) -> None:
        """Publish with QoS 1."""
        self.connection.publish(topic, payload)

    def listen(self, on_receipt: Callable[[bytes], None]) -> None:
        """Give receipts to this function from now on, in the network thread."""
        self._on_receipt = on_receipt

    def _heard(self, delivery: Delivery) -> None:
        self.connection.done([delivery])
        if self._on_receipt is not None:
            self._on_receipt(delivery.payload)


class Fleet:
    """The devices of one process. One thread calls all methods; `interrupt` may come from anywhere.

    Raises
    ------
    MqttRefused
        From `pump`, when the broker has refused a device for `REFUSED_PATIENCE_S`.
    """

    def __init__(self, mqtt_url: str, spool_path: Path, *, durable: bool = False) -> None:
        self._options = parse_mqtt_url(mqtt_url)
        self._database = SpoolDatabase(spool_path, durable=durable)
        self._loop = MqttLoop("edge").start()
        self._interrupted = threading.Event()
        self._refused_since_s: float | None = None
        self._connections: dict[str, MqttConnection] = {}
        self.transports: dict[str, MqttTransport] = {}
        self.clients: dict[str, ThinClient] = {}

    def add(
        self,
        config: ClientConfig,
        token: str,
        *,
        max_spool_bytes: int = DEFAULT_MAX_BYTES,
        draw_boot_id: Callable[[], int] = new_boot_id,
    ) -> ThinClient:
        """Connect one more device, with its id as user and client id and its token as password."""
        device_id = config.device_id
        options = replace(self._options, client_id=device_id, username=device_id, password=token)
        transport = MqttTransport(self._loop, options, device_id)
        spool = self._database.spool(device_id, max_bytes=max_spool_bytes)
        client = ThinClient(config, transport, spool, draw_boot_id=draw_boot_id)
        transport.listen(client.outbox.on_receipt)
        self.clients[device_id] = client
        self.transports[device_id] = transport
        self._connections[device_id] = transport.connection
        transport.connection.open()
        return client

    def transaction(self) -> AbstractContextManager[object]:
        """Write what follows to the spool together."""
        return self._database.transaction()

    def pump(self) -> None:
        """Let every device send and hear what is due."""
        self._loop.raise_if_failed()
        now_s = time.monotonic()
        self._raise_if_refused(now_s)
        with self._database.transaction():
            for client in self.clients.values():
                client.pump(now_s)

    def wait(self, timeout_s: float = PUMP_INTERVAL_S) -> None:
        """Wait until the next pump is due, or `interrupt` was called."""
        self._interrupted.wait(timeout_s)

    def interrupt(self) -> None:
        """End every wait at once, from now on: the process is asked to stop."""
        self._interrupted.set()

    @property
    def interrupted(self) -> bool:
        """Whether the process is asked to stop."""
        return self._interrupted.is_set()

    def pending(self) -> int:
        """Return how many messages of all devices nothing has confirmed yet."""
        return sum(client.pending for client in self.clients.values())

    def _raise_if_refused(self, now_s: float) -> None:
        refused = [connection.refusal for connection in self._connections.values() if connection.refusal]
        self._refused_since_s = (self._refused_since_s or now_s) if refused else None
        if self._refused_since_s is not None and now_s - self._refused_since_s > REFUSED_PATIENCE_S:
            raise MqttRefused("; ".join(refused[:3]))

    def drain(self, timeout_s: float) -> bool:
        """Pump until everything is confirmed; tells whether it is."""
        deadline_s = time.monotonic() + timeout_s
        while self.pending() and time.monotonic() < deadline_s and not self.interrupted:
            self.pump()
            self.wait()
        return self.pending() == 0

    def counts(self) -> dict[str, dict[str, object]]:
        """Return per device what became of every message."""
        return {device_id: client.counts() for device_id, client in self.clients.items()}

    def close(self) -> None:
        """End the connections; what is unconfirmed stays on disk."""
        self._loop.stop()
        self._database.close()

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
