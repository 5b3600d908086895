"""From posted messages to records in Kafka: judged, written, waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

import prometheus_client

from wearables_platform.clients.kafka import DeliveryReport, Producer, QueueFull
from wearables_platform.clients.topics import dead_letter
from wearables_platform.domain.channels import VERDICT_HEADER, Channel
from wearables_platform.domain.identity import MessageIdentity
from wearables_platform.domain.reasons import DeadLetterReason
from wearables_platform.domain.time_policy import registration_verdict
from wearables_platform.errors import StoreUnavailable, TransientError, WireError
from wearables_platform.ingest.framing import Item
from wearables_platform.logs import get_logger
from wearables_platform.registry import Device
from wearables_platform.wire import codec

CONSUMER: Final = "ingest"
DELIVERY_WAIT_S: Final = 20.0
POLL_S: Final = 0.05

_log = get_logger(__name__)
_messages = prometheus_client.Counter(
    "wearables_ingest_messages", "Posted messages by channel and by what became of them.", ["channel", "outcome"]
)
_accept_seconds = prometheus_client.Histogram(
    "wearables_ingest_accept_seconds", "From a request's messages, read, to Kafka holding all of them."
)


class Refusal(NamedTuple):
    """A message that will never be accepted: its position in the request, and why."""

    position: int
    reason: str
    detail: str


class Answer(NamedTuple):
    """What became of a request's messages; all of it is in Kafka, the dead letters of the refused too."""

    accepted: list[MessageIdentity]
    refused: list[Refusal]


class Deliveries:
    """The delivery reports of one request, waited for together."""

    def __init__(self) -> None:
        self._open = 0
        self._failures: list[Exception] = []
        self._changed = threading.Condition()

    def send(self, send: Callable[[DeliveryReport], object]) -> None:
        """Queue one record; a full queue means that nothing of the request is promised."""
        with self._changed:
            self._open += 1
        try:
            send(self._report)
        except QueueFull as exc:
            self._report(exc)
            msg = "too much is waiting for Kafka"
            raise StoreUnavailable(msg) from exc

    def wait(self, timeout_s: float) -> None:
        """Return once Kafka holds every record; raises `StoreUnavailable` if it did not take one in time."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._open == 0, timeout_s):
                msg = f"Kafka did not confirm within {timeout_s:.0f} s"
                raise StoreUnavailable(msg)
        for failure in self._failures:
            if isinstance(failure, TransientError):
                raise StoreUnavailable(str(failure)) from failure
            raise failure

    def _report(self, error: Exception | None) -> None:
        with self._changed:
            self._open -= 1
            if error is not None:
                self._failures.append(error)
            self._changed.notify_all()


class Message(NamedTuple):
    """A valid message of the device that posted it."""

    identity: MessageIdentity
    start_us: int


Judged = Message | WireError
_JUDGED_BY: Final = ("device_id", "boot_id", "sequence", "start_time_us")


class DeliveryPoller:
    """Serves the producer's delivery reports from a thread of its own, while requests wait for theirs."""

    def __init__(self, producer: Producer, on_failure: Callable[[Exception], None]) -> None:
        self._producer = producer
        self._on_failure = on_failure
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="delivery", daemon=True)

    def start(self) -> DeliveryPoller:
        """Start the thread."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._producer.poll(POLL_S)
        except Exception as exc:  # noqa: BLE001  # handed on: nothing can be confirmed any more
            _log.exception("delivery reports ended")
            self._on_failure(exc)


class Gate:
    """Accepts messages of devices that proved who they are; safe among threads."""

    def __init__(self, producer: Producer, *, max_payload_bytes: int, wait_s: float = DELIVERY_WAIT_S) -> None:
        self._producer = producer
        self._wait_s = wait_s
        self.max_payload_bytes = max_payload_bytes

    @_accept_seconds.time()
    def accept(self, device: Device, channel: Channel, items: Sequence[Item]) -> Answer:
        """Judge messages, write them or their dead letters, and return once Kafka holds all of it.

        Raises
        ------
        StoreUnavailable
            Kafka did not take everything in time: nothing was promised, post it all again; what did arrive is
            recognised by its identity.
        """
        judged = self._judge(device, channel, items)
        deliveries = Deliveries()
        for position, verdict in enumerate(judged):
            if isinstance(verdict, WireError):
                deliveries.send(partial(self._give_up, device, channel, items[position].body, verdict))
            else:
                deliveries.send(partial(self._record, device, channel, items[position].payload, verdict))
        deliveries.wait(self._wait_s)
        return _answer(channel, judged)

    def give_up(self, device: Device, channel: Channel, body: bytes, problem: WireError) -> None:
        """Write the dead letter of a body as a whole, and return once Kafka holds it."""
        deliveries = Deliveries()
        deliveries.send(partial(self._give_up, device, channel, body, problem))
        deliveries.wait(self._wait_s)
        _messages.labels(channel.name, "refused").inc()

    def _judge(self, device: Device, channel: Channel, items: Sequence[Item]) -> list[Judged]:
        judged: dict[int, Judged] = {i: item.problem for i, item in enumerate(items) if item.problem is not None}
        places = [i for i in range(len(items)) if i not in judged]
        decoded = codec.decode(channel, [items[i].payload for i in places], max_payload_bytes=self.max_payload_bytes)
        judged |= {places[bad.position]: WireError(bad.reason, bad.detail) for bad in decoded.rejected}
        columns = [decoded.rows.column(name).to_pylist() for name in _JUDGED_BY]
        for i, device_id, boot_id, sequence, start_us in zip(decoded.index.tolist(), *columns, strict=True):
            message = Message(MessageIdentity(device_id, boot_id, sequence), start_us)
            judged[places[i]] = message if device_id == device.device_id else _forged(device_id, device)
        return [judged[i] for i in range(len(items))]

    def _record(
        self, device: Device, channel: Channel, payload: bytes, message: Message, report: DeliveryReport
    ) -> None:
        verdict = registration_verdict(message.start_us, device.registered_us)
        headers = [(VERDICT_HEADER, str(verdict).encode())] if verdict else None
        key = device.device_id.encode()
        self._producer.send(channel.topic, key, payload, on_delivery=report, headers=headers)

    def _give_up(
        self, device: Device, channel: Channel, body: bytes, problem: WireError, report: DeliveryReport
    ) -> None:
        dead_letter(
            self._producer,
            source_topic=f"/v1/devices/{device.device_id}/{channel.name}",
            consumer=CONSUMER,
            stage="ingest",
            reason=problem.reason,
            detail=problem.detail,
            payload=body,
            on_delivery=report,
        )


def _forged(device_id: str, device: Device) -> WireError:
    detail = f"payload says {device_id}, path and token say {device.device_id}"
    return WireError(DeadLetterReason.FORGED_ID, detail)


def _answer(channel: Channel, judged: Sequence[Judged]) -> Answer:
    accepted = [verdict.identity for verdict in judged if isinstance(verdict, Message)]
    refused = [
        Refusal(position, str(verdict.reason), verdict.detail)
        for position, verdict in enumerate(judged)
        if isinstance(verdict, WireError)
    ]
    _messages.labels(channel.name, "accepted").inc(len(accepted))
    _messages.labels(channel.name, "refused").inc(len(refused))
    return Answer(accepted, refused)
