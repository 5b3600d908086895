"""One courier per receiver that something is to be sent to: whoever is slow or dead holds up only himself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import prometheus_client

from wearables_platform.errors import ConfigError, StoreUnavailable
from wearables_platform.logs import get_logger
from wearables_platform.webhooks.deliveries import Deliveries, Delivery
from wearables_platform.webhooks.receivers import Answer, Sender
from wearables_platform.webhooks.signing import SecretFiles, signed_headers

_log = get_logger(__name__)
_attempts = prometheus_client.Counter(
    "wearables_webhook_attempts", "Attempts to deliver a message by what became of it.", ["outcome"]
)
_attempt_seconds = prometheus_client.Histogram("wearables_webhook_attempt_seconds", "Time a receiver takes to answer.")
_sending = prometheus_client.Gauge("wearables_webhook_couriers", "Receivers that are being sent to now.")


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


def attempt(sender: Sender, secrets: SecretFiles, delivery: Delivery, sent_at: datetime) -> Answer:
    """Sign and send a message once."""
    body = delivery.body.encode()
    try:
        keys = secrets.keys(delivery.secret)
    except ConfigError as exc:
        return Answer(0, str(exc))
    return sender.post(delivery.url, body, signed_headers(delivery.message_id, int(sent_at.timestamp()), body, keys))


@dataclass
class Couriers:
    """Threads that send, one per receiver and only while there is something to send."""

    deliveries: Deliveries
    sender: Sender
    secrets: SecretFiles
    stop: threading.Event
    clock: Callable[[], datetime] = utc_now
    _working: dict[str, threading.Thread] = field(default_factory=dict)
    _failures: list[Exception] = field(default_factory=list)

    def dispatch(self) -> None:
        """Send a courier to every receiver that something is due for and that has none; raises what one failed of."""
        if self._failures:
            raise self._failures[0]
        self._working = {name: thread for name, thread in self._working.items() if thread.is_alive()}
        for webhook in self.deliveries.due(self.clock()):
            if webhook not in self._working:
                # A daemon: who waits for a receiver that never ends its answer must not keep the process.
                thread = threading.Thread(target=partial(self._work, webhook), name="courier", daemon=True)
                self._working[webhook] = thread
                thread.start()
        _sending.set(len(self._working))

    def join(self, timeout_s: float) -> None:
        """Wait for the couriers after `stop`; what one has not settled by then is sent again by the next process."""
        for thread in self._working.values():
            thread.join(timeout_s)

    def _work(self, webhook: str) -> None:
        try:
            while not self.stop.is_set() and self._deliver_one(webhook):
                pass
        except StoreUnavailable as exc:
            # The message stays taken until its time is over, and is sent again then.
            _log.warning("store unavailable, a receiver waits", webhook=webhook, error=str(exc))
        except Exception as exc:  # noqa: BLE001 - raised by the next dispatch, which ends the process
            self._failures.append(exc)

    def _deliver_one(self, webhook: str) -> bool:
        delivery = self.deliveries.take(webhook, self.clock())
        if delivery is None:
            return False
        with _attempt_seconds.time():
            answer = attempt(self.sender, self.secrets, delivery, self.clock())
        outcome = self.deliveries.settle(webhook, delivery, answer, self.clock())
        _attempts.labels(outcome).inc()
        if outcome != "delivered":
            _log.warning(
                "a message was not delivered",
                webhook=webhook,
                message_id=delivery.message_id,
                outcome=outcome,
                attempt=delivery.attempts,
                result=answer.said,
            )
        return True
