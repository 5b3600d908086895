"""What a device publishes beside its spool: duplicates, contradictions, rubbish. Repeated until the platform answered.

A spool would not do: it holds a message once, and only messages. So each of these is sent as it is, and the receipts
are read for the answer: a range that covers its identity, or a refusal of its hash.
"""

from __future__ import annotations

import hashlib
import queue
from collections.abc import Callable
from typing import Final, NamedTuple

from wearables_platform.domain.identity import MessageIdentity
from wearables_platform.errors import TransientError
from wearables_platform.wire.v1 import telemetry_pb2 as pb

RESEND_S: Final = 6.0


class Beside(NamedTuple):
    """Bytes to publish; `identity` is None for what must be refused."""

    topic: str
    payload: bytes
    identity: MessageIdentity | None


class BesidePublisher:
    """One device's publishes beside its spool."""

    def __init__(self, publish: Callable[[str, bytes], None], items: list[Beside]) -> None:
        self._publish = publish
        self._waiting: dict[bytes, tuple[Beside, float | None]] = {
            hashlib.sha256(item.payload).digest(): (item, None) for item in items
        }
        self._receipts: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    @property
    def done(self) -> bool:
        """Whether everything was answered."""
        return not self._waiting

    def on_receipt(self, payload: bytes) -> None:
        """Take a receipt, from any thread."""
        self._receipts.put(payload)

    def pump(self, now_s: float) -> None:
        """Read what was answered, publish what is due."""
        while not self._receipts.empty():
            self._read(pb.Receipt.FromString(self._receipts.get()))
        for digest, (item, due_s) in list(self._waiting.items()):
            if due_s is None or now_s >= due_s:
                try:
                    self._publish(item.topic, item.payload)
                except TransientError:
                    return
                self._waiting[digest] = (item, now_s + RESEND_S)

    def _read(self, receipt: pb.Receipt) -> None:
        for refusal in receipt.refused:
            self._waiting.pop(refusal.payload_sha256, None)
        for digest, (item, due_s) in list(self._waiting.items()):
            if due_s is not None and item.identity is not None and _covers(receipt, item.identity):
                del self._waiting[digest]


def _covers(receipt: pb.Receipt, identity: MessageIdentity) -> bool:
    return any(
        each.boot_id == identity.boot_id and each.first <= identity.sequence <= each.last for each in receipt.accepted
    )
