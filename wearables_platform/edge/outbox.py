"""From the spool to the platform: send in order, resend until a receipt covers, forget what is refused.

A new session begins with the oldest message that nothing has confirmed: the broker that took the others may be gone,
and the receipts for them go to a session that is over. So the first copies of a boot's messages reach the log in order,
whichever of several brokers each session is with.

`pump` does everything and never waits; it is called again and again by whoever drives the devices. Only `on_receipt`
may be called from another thread.
"""

from __future__ import annotations

import hashlib
import math
import queue
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from google.protobuf.message import DecodeError

from wearables_platform.edge.messages import EncodedMessage
from wearables_platform.edge.spool import ACCEPTED, REFUSED, Spool, SpooledMessage
from wearables_platform.errors import TransientError
from wearables_platform.logs import get_logger
from wearables_platform.wire.v1 import telemetry_pb2 as pb

_MAX_RESEND_FACTOR: Final = 8  # a platform that is down for an hour gets each message every 80 s, not every 10

_log = get_logger(__name__)


class Transport(Protocol):
    """How messages leave the device."""

    @property
    def ready(self) -> bool:
        """Whether a message can be handed over now."""

    @property
    def session(self) -> int:
        """Which session stands: with another number, what the one before had taken may be lost."""

    def publish(self, topic: str, payload: bytes) -> None:
        """Hand one message over; raises a `TransientError` if it was not taken."""


@dataclass(frozen=True)
class OutboxTiming:
    """When to send again, and how much may be unconfirmed.

    Attributes
    ----------
    receipt_timeout_s
        A message is sent again when no receipt covered it for so long; the wait doubles each time, up to eight-fold.
    max_unconfirmed
        Messages sent and not yet covered; sending goes on when receipts come. Bounds what a crash of the platform
        has to be sent again, and the memory of the client.
    """

    receipt_timeout_s: float = 10.0
    max_unconfirmed: int = 4_096


class _Sent(NamedTuple):
    due_s: float
    wait_s: float


class Outbox:
    """One device's messages on their way."""

    def __init__(self, spool: Spool, transport: Transport, timing: OutboxTiming) -> None:
        self._spool = spool
        self._transport = transport
        self._timing = timing
        self._session = 0
        self._last_row = 0
        self._newest_row = 0  # ever sent
        self._sent: dict[int, _Sent] = {}  # row -> when to send it again
        self._earliest_due_s = math.inf
        self._receipts: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.resent = 0

    @property
    def empty(self) -> bool:
        """Whether everything spooled is confirmed or refused."""
        return len(self._spool) == 0

    @property
    def unconfirmed(self) -> int:
        """Messages sent and not covered yet."""
        return len(self._sent)

    def on_receipt(self, payload: bytes) -> None:
        """Take a receipt, from any thread; the next `pump` acts on it."""
        self._receipts.put(payload)

    def pump(self, now_s: float) -> None:
        """Do what is due: take receipts, send again what waited too long, send what is new."""
        self._take_receipts()
        if self._transport.ready:
            self._notice_session(self._transport.session)
            self._send_again(now_s)
            self._send_new(now_s)

    def _notice_session(self, session: int) -> None:
        if session != self._session:
            self._session, self._last_row = session, 0
            self._sent.clear()
            self._earliest_due_s = math.inf

    def _take_receipts(self) -> None:
        while not self._receipts.empty():
            self._apply(self._receipts.get())

    def _apply(self, payload: bytes) -> None:
        try:
            receipt = pb.Receipt.FromString(payload)
        except DecodeError:
            _log.warning("receipt cannot be read", device=self._spool.device_id, bytes=len(payload))
            return
        for covered in receipt.accepted:
            self._forget(self._spool.remove_range(covered.boot_id, covered.first, covered.last, ACCEPTED))
        if receipt.refused:
            self._drop_refused({refusal.payload_sha256: refusal.reason for refusal in receipt.refused})

    def _drop_refused(self, reasons: dict[bytes, str]) -> None:
        for row, message in self._spool.get(list(self._sent)):
            reason = reasons.get(hashlib.sha256(message.payload).digest())
            if reason is not None:
                self._forget(self._spool.remove_rows([row], REFUSED, reason))
                _log.warning("message refused", message=str(message.identity), reason=reason)

    def _forget(self, rows: Iterable[int]) -> None:
        for row in rows:
            self._sent.pop(row, None)

    def _send_again(self, now_s: float) -> None:
        if now_s < self._earliest_due_s:
            return
        due = [row for row, sent in self._sent.items() if sent.due_s <= now_s]
        for spooled in self._spool.get(due) if due else ():
            wait_s = min(self._sent[spooled.row].wait_s * 2, self._timing.receipt_timeout_s * _MAX_RESEND_FACTOR)
            if not self._send(spooled, now_s, wait_s):
                return
            self.resent += 1
        self._forget_dropped(due)
        self._earliest_due_s = min((sent.due_s for sent in self._sent.values()), default=math.inf)

    def _forget_dropped(self, rows: list[int]) -> None:
        if rows:
            held = {row for row, _ in self._spool.get(rows)}
            self._forget(row for row in rows if row not in held)

    def _send_new(self, now_s: float) -> None:
        room = self._timing.max_unconfirmed - len(self._sent)
        for spooled in self._spool.after(self._last_row, room) if room > 0 else ():
            if not self._send(spooled, now_s, self._timing.receipt_timeout_s):
                return
            self.resent += spooled.row <= self._newest_row
            self._last_row = spooled.row
            self._newest_row = max(self._newest_row, spooled.row)

    def _send(self, spooled: SpooledMessage, now_s: float, wait_s: float) -> bool:
        message: EncodedMessage = spooled.message
        try:
            self._transport.publish(message.topic, message.payload)
        except TransientError:
            return False
        self._sent[spooled.row] = _Sent(now_s + wait_s, wait_s)
        self._earliest_due_s = min(self._earliest_due_s, now_s + wait_s)
        return True
