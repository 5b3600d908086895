"""What the bridge confirms: each accepted message exactly once, in as few ranges as there are runs."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from wearables_platform.bridge.receipts import MAX_RANGES, ReceiptBook
from wearables_platform.domain.identity import MessageIdentity
from wearables_platform.wire.v1 import telemetry_pb2 as pb

Accepted = set[tuple[str, int, int]]


def read(device_id: str, payloads: list[bytes]) -> Accepted:
    return {
        (device_id, covered.boot_id, sequence)
        for payload in payloads
        for covered in pb.Receipt.FromString(payload).accepted
        for sequence in range(covered.first, covered.last + 1)
    }


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(1, 3), st.integers(0, 40)), max_size=120),
    st.integers(1, 50),
)
def test_receipts_cover_what_was_accepted_and_nothing_else(events: list[tuple[str, int, int]], every: int) -> None:
    book, covered = ReceiptBook(), set[tuple[str, int, int]]()
    for number, event in enumerate(events):
        book.accept(MessageIdentity(*event))
        if number % every == 0:
            for device_id in book.devices():
                covered |= read(device_id, book.take(device_id))
    for device_id in book.devices():
        covered |= read(device_id, book.take(device_id))
    assert covered == set(events)
    assert book.devices() == []


def test_a_run_is_one_range() -> None:
    book = ReceiptBook()
    for sequence in [3, 1, 2, 0, 2]:
        book.accept(MessageIdentity("a", 9, sequence))
    (payload,) = book.take("a")
    assert pb.Receipt.FromString(payload) == pb.Receipt(accepted=[pb.SequenceRange(boot_id=9, first=0, last=3)])


def test_many_ranges_are_many_receipts_of_bounded_size() -> None:
    book = ReceiptBook()
    for sequence in range(0, 6 * MAX_RANGES, 2):
        book.accept(MessageIdentity("a", 2**63 - 1, sequence))
    payloads = book.take("a")
    assert len(payloads) == 3
    assert max(map(len, payloads)) < 25_000
    assert len(read("a", payloads)) == 3 * MAX_RANGES


def test_a_refusal_names_the_bytes_and_the_reason() -> None:
    book = ReceiptBook()
    book.refuse("a", b"rubbish", "undecodable")
    (payload,) = book.take("a")
    (refusal,) = pb.Receipt.FromString(payload).refused
    assert (refusal.payload_sha256, refusal.reason) == (hashlib.sha256(b"rubbish").digest(), "undecodable")
