"""The bridge's work: take what devices published, write it to Kafka, acknowledge, confirm.

Order of promises, per message: Kafka's delivery report, then the acknowledgement to the broker, then the receipt to the
device. Nothing is kept that cannot be lost: what is unacknowledged comes again from the broker or from the device.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Final, Protocol

from prometheus_client import Counter, Gauge

from wearables_platform.bridge.judgement import Accepted, FindDevice, Judged, Refused, judge
from wearables_platform.bridge.receipts import ReceiptBook
from wearables_platform.clients.kafka import Producer, QueueFull
from wearables_platform.clients.mqtt_session import Delivery
from wearables_platform.clients.topics import dead_letter
from wearables_platform.domain.channels import CHANNEL_BY_NAME, VERDICT_HEADER, receipt_topic
from wearables_platform.errors import StoreUnavailable, TransientError
from wearables_platform.logs import get_logger

CONSUMER: Final = "bridge"
BATCH: Final = 2_000
# The registry may be away this long before the bridge gives up: the devices it knows are served meanwhile.
REGISTRY_PATIENCE_S: Final = 60.0
_POLL_S: Final = 0.02

_log = get_logger(__name__)
_messages = Counter("wearables_bridge_messages", "Messages by what became of them.", ["channel", "outcome"])
_receipts = Counter("wearables_bridge_receipts", "Receipts sent to devices.")
_waiting = Gauge("wearables_bridge_waiting", "Deliveries taken from the broker and not acknowledged.")


@cache  # looking a label up costs as much as everything else done per message
def _counted(channel: str, outcome: str) -> Counter:
    return _messages.labels(channel, outcome)


class Broker(Protocol):
    """What the gateway needs of the MQTT connection."""

    @property
    def ready(self) -> bool:
        """Whether there is a session."""

    @property
    def unacknowledged(self) -> int:
        """Deliveries not acknowledged yet."""

    def done(self, deliveries: Sequence[Delivery]) -> None:
        """Let deliveries be acknowledged."""

    def publish(self, topic: str, payload: bytes, *, qos: int) -> None:
        """Publish, or raise a `TransientError`."""


class HandOver:
    """Deliveries between the network thread and the gateway.

    Bounded by the connection, which stops reading at its limit of unacknowledged deliveries.
    """

    def __init__(self) -> None:
        self._waiting: deque[Delivery] = deque()
        self._arrived = threading.Event()

    def put(self, delivery: Delivery) -> None:
        """Take one, in the network thread."""
        self._waiting.append(delivery)
        self._arrived.set()

    def take(self, limit: int) -> list[Delivery]:
        """Return what has arrived, oldest first, perhaps nothing."""
        self._arrived.clear()
        return [self._waiting.popleft() for _ in range(min(limit, len(self._waiting)))]

    def wait(self, timeout_s: float) -> None:
        """Wait until something arrives."""
        if not self._waiting:
            self._arrived.wait(timeout_s)


class Gateway:
    """Moves deliveries to Kafka; `step` is called in a loop by one thread and takes the time as an argument."""

    def __init__(
        self,
        broker: Broker,
        producer: Producer,
        find_device: FindDevice,
        inbox: HandOver,
        *,
        max_payload_bytes: int,
        receipt_interval_s: float,
    ) -> None:
        self._broker = broker
        self._producer = producer
        self._find_device = find_device
        self._inbox = inbox
        self._max_payload_bytes = max_payload_bytes
        self._receipt_interval_s = receipt_interval_s
        self._book = ReceiptBook()
        self._unjudged: list[Delivery] = []
        self._registry_lost_s: float | None = None
        self._delivered: list[Delivery] = []
        self._failure: Exception | None = None
        self._receipts_due_s = 0.0

    @property
    def trouble(self) -> str | None:
        """Why nothing moves now, None while it does."""
        return "the registry does not answer" if self._registry_lost_s is not None else None

    def step(self, now_s: float) -> None:
        """Do one round: judge and send what arrived, acknowledge what is delivered, send receipts that are due.

        Raises
        ------
        WearablesError
            A record could not be delivered: the process must end, loudly; nothing undelivered was acknowledged.
        """
        for verdict in self._judged(now_s):
            self._forward(verdict)
        self._settle(0.0)
        if now_s >= self._receipts_due_s:
            self._receipts_due_s = now_s + self._receipt_interval_s
            self._send_receipts()
        _waiting.set(self._broker.unacknowledged)

    def wait(self, timeout_s: float) -> None:
        """Wait for deliveries or delivery reports."""
        if self._producer.queued():
            self._settle(_POLL_S)
        else:
            self._inbox.wait(timeout_s)

    def finish(self, timeout_s: float) -> None:
        """Deliver, acknowledge and confirm what is on its way; no more is taken."""
        self._producer.flush(timeout_s)
        self._settle(0.0)
        self._send_receipts()

    def _judged(self, now_s: float) -> list[Judged]:
        batch = self._unjudged or self._inbox.take(BATCH)
        try:
            judged = judge(batch, self._find_device, self._max_payload_bytes) if batch else []
        except StoreUnavailable:
            self._unjudged = batch
            if self._registry_lost_s is None:
                self._registry_lost_s = now_s
            if now_s - self._registry_lost_s > REGISTRY_PATIENCE_S:
                raise
            return []
        self._unjudged, self._registry_lost_s = [], None
        return judged

    def _forward(self, verdict: Judged) -> None:
        send = self._record if isinstance(verdict, Accepted) else self._dead_letter
        while True:
            try:
                return send(verdict)  # type: ignore[arg-type]
            except QueueFull:
                self._settle(_POLL_S)

    def _record(self, accepted: Accepted) -> None:
        headers = [(VERDICT_HEADER, accepted.verdict.encode())] if accepted.verdict else None
        self._producer.send(
            accepted.channel.topic,
            accepted.identity.device_id.encode(),
            accepted.delivery.payload,
            on_delivery=partial(self._reported, lambda: self._confirm(accepted), accepted.delivery),
            headers=headers,
        )

    def _dead_letter(self, refused: Refused) -> None:
        dead_letter(
            self._producer,
            source_topic=f"mqtt:{refused.delivery.topic}",
            consumer=CONSUMER,
            stage="validate",
            reason=refused.reason,
            detail=refused.detail,
            payload=refused.delivery.payload,
            on_delivery=partial(self._reported, lambda: self._refuse(refused), refused.delivery),
        )

    def _reported(self, then: Callable[[], None], delivery: Delivery, error: Exception | None) -> None:
        if error is not None:
            self._failure = self._failure or error
            return
        then()
        self._delivered.append(delivery)

    def _confirm(self, accepted: Accepted) -> None:
        self._book.accept(accepted.identity)
        _counted(accepted.channel.name, "quarantine" if accepted.verdict else "accepted").inc()

    def _refuse(self, refused: Refused) -> None:
        if refused.device_id is not None:
            self._book.refuse(refused.device_id, refused.delivery.payload, refused.reason)
        leaf = refused.delivery.topic.rpartition("/")[2]
        _counted(leaf if leaf in CHANNEL_BY_NAME else "other", refused.reason).inc()
        _log.warning("message refused", topic=refused.delivery.topic, reason=refused.reason, detail=refused.detail)

    def _settle(self, timeout_s: float) -> None:
        self._producer.poll(timeout_s)
        if self._delivered:
            delivered, self._delivered = self._delivered, []
            self._broker.done(delivered)
        if self._failure is not None:
            raise self._failure

    def _send_receipts(self) -> None:
        for device_id in self._book.devices() if self._broker.ready else ():
            for receipt in self._book.take(device_id):
                try:
                    self._broker.publish(receipt_topic(device_id), receipt, qos=0)
                except TransientError:
                    # Lost like any other QoS 0 message: the device sends again and gets another.
                    return
                _receipts.inc()
