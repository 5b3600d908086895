"""From a posted body to a record in Kafka: judged, written, waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import prometheus_client

from wearables_platform.clients.kafka import Producer, QueueFull
from wearables_platform.clients.topics import dead_letter
from wearables_platform.domain.channels import VERDICT_HEADER, Channel
from wearables_platform.domain.identity import MessageIdentity
from wearables_platform.domain.reasons import DeadLetterReason
from wearables_platform.domain.time_policy import registration_verdict
from wearables_platform.errors import StoreUnavailable, TransientError, WireError
from wearables_platform.ingest.json_form import payload_from_json
from wearables_platform.logs import get_logger
from wearables_platform.registry import Device
from wearables_platform.wire import codec

CONSUMER: Final = "ingest"
DELIVERY_WAIT_S: Final = 20.0
POLL_S: Final = 0.05

_log = get_logger(__name__)
_bodies = prometheus_client.Counter(
    "wearables_ingest_bodies", "Posted bodies by channel and by what became of them.", ["channel", "outcome"]
)


@dataclass(frozen=True)
class Posted:
    """One body as it came in."""

    device: Device
    channel: Channel
    body: bytes
    is_json: bool

    @property
    def source(self) -> str:
        """Where it came in, for the dead letter."""
        return f"/v1/devices/{self.device.device_id}/{self.channel.name}"


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
    """Accepts bodies of devices that proved who they are; safe among threads."""

    def __init__(self, producer: Producer, *, max_payload_bytes: int) -> None:
        self._producer = producer
        self.max_payload_bytes = max_payload_bytes

    def accept(self, posted: Posted) -> MessageIdentity:
        """Judge a body, write it, and return its identity once Kafka holds it.

        Raises
        ------
        WireError
            It will never be accepted; the dead letter that says so is in Kafka.
        StoreUnavailable
            Kafka did not take it in time: nothing was promised, post it again.
        """
        try:
            payload, identity, start_us = self._judge(posted)
        except WireError as exc:
            self._give_up(posted, exc)
            raise
        verdict = registration_verdict(start_us, posted.device.registered_us)
        headers = [(VERDICT_HEADER, str(verdict).encode())] if verdict else None
        self._write(
            lambda report: self._producer.send(
                posted.channel.topic, identity.device_id.encode(), payload, on_delivery=report, headers=headers
            )
        )
        _bodies.labels(posted.channel.name, "accepted").inc()
        return identity

    def _judge(self, posted: Posted) -> tuple[bytes, MessageIdentity, int]:
        payload = payload_from_json(posted.channel, posted.body) if posted.is_json else posted.body
        message = codec.decode_one(posted.channel, payload, max_payload_bytes=self.max_payload_bytes)
        if message.device_id != posted.device.device_id:
            detail = f"payload says {message.device_id}, path and token say {posted.device.device_id}"
            raise WireError(DeadLetterReason.FORGED_ID, detail)
        identity = MessageIdentity(message.device_id, message.boot_id, message.sequence)
        return payload, identity, message.start_time_us

    def _give_up(self, posted: Posted, problem: WireError) -> None:
        self._write(
            lambda report: dead_letter(
                self._producer,
                source_topic=posted.source,
                consumer=CONSUMER,
                stage="ingest",
                reason=problem.reason,
                detail=problem.detail,
                payload=posted.body,
                on_delivery=report,
            )
        )
        _bodies.labels(posted.channel.name, "refused").inc()

    def _write(self, send: Callable[[Callable[[Exception | None], None]], object]) -> None:
        """Send one record and wait for its delivery report."""
        reported = threading.Event()
        failures: list[Exception] = []

        def report(error: Exception | None) -> None:
            if error is not None:
                failures.append(error)
            reported.set()

        try:
            send(report)
        except QueueFull as exc:
            msg = "too much is waiting for Kafka"
            raise StoreUnavailable(msg) from exc
        if not reported.wait(DELIVERY_WAIT_S):
            msg = f"Kafka did not confirm within {DELIVERY_WAIT_S:.0f} s"
            raise StoreUnavailable(msg)
        if failures:
            if isinstance(failures[0], TransientError):
                raise StoreUnavailable(str(failures[0])) from failures[0]
            raise failures[0]
