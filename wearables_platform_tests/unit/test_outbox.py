"""Sending from the spool: order, resending, receipts; with a transport that a test can block."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.domain.identity import MessageIdentity
from wearables_platform.edge.messages import EncodedMessage
from wearables_platform.edge.outbox import Outbox, OutboxTiming
from wearables_platform.edge.spool import Spool, SpoolDatabase
from wearables_platform.errors import TransientError
from wearables_platform.wire.v1 import telemetry_pb2 as pb


class Wire:
    """A transport that remembers, and takes only so much."""

    def __init__(self) -> None:
        self.ready = True
        self.session = 1
        self.room = 10**6
        self.sent: list[int] = []

    def publish(self, topic: str, payload: bytes) -> None:
        if self.room == 0:
            msg = "full"
            raise TransientError(msg)
        self.room -= 1
        assert topic == "wearables/v1/watch/acceleration"
        self.sent.append(int(payload))

    def taken(self) -> list[int]:
        sent, self.sent = self.sent, []
        return sent


def message(sequence: int, boot_id: int = 5) -> EncodedMessage:
    return EncodedMessage(ACCELERATION, MessageIdentity("watch", boot_id, sequence), str(sequence).encode(), sequence)


def receipt(*ranges: tuple[int, int], boot_id: int = 5) -> bytes:
    return pb.Receipt(
        accepted=[pb.SequenceRange(boot_id=boot_id, first=first, last=last) for first, last in ranges]
    ).SerializeToString()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    database = SpoolDatabase(tmp_path / "spool.sqlite")
    yield database.spool("watch")
    database.close()


@pytest.fixture
def wire() -> Wire:
    return Wire()


def outbox(spool: Spool, wire: Wire, **timing: float) -> Outbox:
    return Outbox(spool, wire, OutboxTiming(**{"receipt_timeout_s": 10.0, **timing}))  # type: ignore[arg-type]


def test_messages_go_out_in_order_once_and_wait_for_their_receipt(spool: Spool, wire: Wire) -> None:
    box = outbox(spool, wire)
    spool.append([message(i) for i in range(5)])
    box.pump(0.0)
    box.pump(9.9)
    assert wire.taken() == [0, 1, 2, 3, 4]
    assert not box.empty
    box.on_receipt(receipt((0, 4)))
    box.pump(10.0)
    assert box.empty
    assert wire.taken() == []
    assert spool.counts()["accepted"] == 5


def test_what_no_receipt_covers_goes_out_again_ever_more_slowly(spool: Spool, wire: Wire) -> None:
    box = outbox(spool, wire)
    spool.append([message(i) for i in range(3)])
    box.pump(0.0)
    box.on_receipt(receipt((0, 0), (2, 2)))
    box.pump(1.0)
    assert wire.taken() == [0, 1, 2]
    times = [t for t in range(400) if (box.pump(float(t)), wire.taken() == [1])[1]]
    assert times == [10, 30, 70, 150, 230, 310, 390]
    assert box.resent == 7


def test_a_receipt_for_another_boot_or_other_numbers_forgets_nothing(spool: Spool, wire: Wire) -> None:
    box = outbox(spool, wire)
    spool.append([message(3)])
    box.pump(0.0)
    for unrelated in (receipt((3, 3), boot_id=6), receipt((0, 2), (4, 10**9)), b"\xff\xff no receipt"):
        box.on_receipt(unrelated)
    box.pump(1.0)
    assert len(spool) == 1


def test_a_refused_message_is_dropped_and_counted_with_its_reason(spool: Spool, wire: Wire) -> None:
    box = outbox(spool, wire)
    spool.append([message(0), message(1)])
    box.pump(0.0)
    refusal = pb.Refusal(payload_sha256=hashlib.sha256(b"1").digest(), reason="forged_id")
    box.on_receipt(pb.Receipt(refused=[refusal]).SerializeToString())
    box.pump(1.0)
    assert [each.message.identity.sequence for each in spool.after(0, 9)] == [0]
    assert spool.counts()["refused_by_reason"] == {"forged_id": 1}


def test_a_full_transport_stops_the_sending_where_it_was(spool: Spool, wire: Wire) -> None:
    box = outbox(spool, wire)
    spool.append([message(i) for i in range(5)])
    wire.room = 2
    box.pump(0.0)
    wire.room = 10
    box.pump(0.1)
    assert wire.taken() == [0, 1, 2, 3, 4]


def test_no_more_than_the_window_is_unconfirmed(spool: Spool, wire: Wire) -> None:
    box = outbox(spool, wire, max_unconfirmed=3)
    spool.append([message(i) for i in range(7)])
    box.pump(0.0)
    assert wire.taken() == [0, 1, 2]
    box.on_receipt(receipt((0, 1)))
    box.pump(0.1)
    assert wire.taken() == [3, 4]


def test_nothing_goes_out_without_a_session_and_all_of_it_after(spool: Spool, wire: Wire) -> None:
    box = outbox(spool, wire)
    spool.append([message(0)])
    wire.ready = False
    box.pump(0.0)
    assert wire.taken() == []
    wire.ready = True
    box.pump(0.1)
    assert wire.taken() == [0]


def test_a_new_session_begins_with_the_oldest_message_nothing_confirmed(spool: Spool, wire: Wire) -> None:
    box = outbox(spool, wire)
    spool.append([message(i) for i in range(4)])
    box.pump(0.0)
    box.on_receipt(receipt((0, 0), (2, 2)))
    wire.taken()
    spool.append([message(4)])
    wire.session = 2
    box.pump(0.1)
    assert wire.taken() == [1, 3, 4]
    assert box.resent == 2
    box.pump(9.9)
    assert wire.taken() == []


def test_a_client_that_starts_again_sends_all_that_was_not_confirmed(spool: Spool, wire: Wire) -> None:
    box = outbox(spool, wire)
    spool.append([message(i) for i in range(3)])
    box.pump(0.0)
    box.on_receipt(receipt((1, 1)))
    box.pump(0.1)
    wire.taken()
    outbox(spool, wire).pump(0.0)
    assert wire.taken() == [0, 2]


def test_what_the_spool_dropped_is_not_sent_again(tmp_path: Path, wire: Wire) -> None:
    database = SpoolDatabase(tmp_path / "small.sqlite")
    spool = database.spool("watch", max_bytes=3)
    box = outbox(spool, wire)
    spool.append([message(i) for i in range(3)])
    box.pump(0.0)
    spool.append([message(3)])
    box.pump(10.0)
    assert wire.taken() == [0, 1, 2, 1, 2, 3]
    assert spool.counts()["dropped_by_reason"] == {"spool_full": 1}
    box.pump(20.0)
    assert box.unconfirmed == 3
    database.close()
