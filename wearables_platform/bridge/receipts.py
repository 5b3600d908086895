"""What is to be confirmed to each device, coalesced into ranges until the next receipt."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from wearables_platform.domain.identity import MessageIdentity
from wearables_platform.wire.v1 import telemetry_pb2 as pb

# One receipt stays below 25 kB, which every broker and every watch takes.
MAX_RANGES: Final = 1_000
MAX_REFUSALS: Final = 100


class ReceiptBook:
    """Accepted and refused messages that their devices have not been told of; used by one thread."""

    def __init__(self) -> None:
        self._accepted: dict[str, dict[int, list[int]]] = {}
        self._refused: dict[str, dict[bytes, str]] = {}

    def accept(self, identity: MessageIdentity) -> None:
        """Note that Kafka has a message."""
        boots = self._accepted.setdefault(identity.device_id, {})
        boots.setdefault(identity.boot_id, []).append(identity.sequence)

    def refuse(self, device_id: str, payload: bytes, reason: str) -> None:
        """Note that a message will never be accepted."""
        self._refused.setdefault(device_id, {})[hashlib.sha256(payload).digest()] = reason

    def devices(self) -> list[str]:
        """Return the devices that have news."""
        return list(dict.fromkeys((*self._accepted, *self._refused)))

    def take(self, device_id: str) -> list[bytes]:
        """Return the receipts of one device and forget what they say."""
        accepted = list(_ranges(self._accepted.pop(device_id, {})))
        refused = list(_refusals(self._refused.pop(device_id, {})))
        count = max(-(-len(accepted) // MAX_RANGES), -(-len(refused) // MAX_REFUSALS))
        return [
            pb.Receipt(
                accepted=accepted[i * MAX_RANGES : (i + 1) * MAX_RANGES],
                refused=refused[i * MAX_REFUSALS : (i + 1) * MAX_REFUSALS],
            ).SerializeToString(deterministic=True)
            for i in range(count)
        ]


def coalesce(sequences: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Return the runs (first, last) of some sequence numbers, in order, each number once.

    >>> list(coalesce([3, 1, 2, 2, 7]))
    [(1, 3), (7, 7)]
    """
    ordered = sorted(set(sequences))
    begin = 0
    for i in range(1, len(ordered) + 1):
        if i == len(ordered) or ordered[i] != ordered[i - 1] + 1:
            yield ordered[begin], ordered[i - 1]
            begin = i


def _ranges(boots: Mapping[int, Iterable[int]]) -> Iterator[pb.SequenceRange]:
    for boot_id, sequences in boots.items():
        for first, last in coalesce(sequences):
            yield pb.SequenceRange(boot_id=boot_id, first=first, last=last)


def _refusals(reasons: Mapping[bytes, str]) -> Iterator[pb.Refusal]:
    for digest, reason in reasons.items():
        yield pb.Refusal(payload_sha256=digest, reason=reason)
