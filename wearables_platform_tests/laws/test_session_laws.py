"""However a device goes from broker to broker, the first copies of its messages reach the log in order.

device --session 1--> broker: 3 4 5      killed with 5; 3 4 may still come to the log, at any time
       --session 2--> broker: 3 4 5 6    every session begins with the oldest message no receipt covers
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.domain.identity import MessageIdentity
from wearables_platform.edge.messages import EncodedMessage
from wearables_platform.edge.outbox import Outbox, OutboxTiming
from wearables_platform.edge.spool import SpoolDatabase
from wearables_platform.errors import TransientError
from wearables_platform.wire.v1 import telemetry_pb2 as pb

BOOT = 5
EVENTS = st.one_of(
    st.tuples(st.just("make"), st.integers(1, 4)),
    st.tuples(st.just("pump"), st.integers(0, 6)),
    st.tuples(st.just("forward"), st.integers(0, 9)),
    st.tuples(st.just("kill"), st.integers(0, 9)),
    st.tuples(st.just("reconnect"), st.just(0)),
    st.tuples(st.just("receipt"), st.booleans()),
    st.tuples(st.just("wait"), st.integers(1, 30)),
)


class Brokers:
    """One broker per session, each with a queue for its bridge; a killed one loses its queue and takes nothing more."""

    def __init__(self) -> None:
        self.ready = True
        self.session = 1
        self.room = 0
        self.queues: dict[int, list[int]] = {1: []}
        self.dead: set[int] = set()
        self.log: list[int] = []
        self.unreceipted: list[int] = []

    def publish(self, topic: str, payload: bytes) -> None:
        del topic
        if self.room == 0:
            msg = "full"
            raise TransientError(msg)
        self.room -= 1
        if self.session not in self.dead:
            self.queues[self.session].append(int(payload))

    def chosen(self, number: int) -> int:
        return 1 + number % self.session

    def forward(self, session: int, count: int) -> None:
        moved, self.queues[session] = self.queues[session][:count], self.queues[session][count:]
        self.log += moved
        self.unreceipted += moved

    def kill(self, session: int) -> None:
        self.dead.add(session)
        self.queues[session].clear()

    def reconnect(self) -> None:
        self.session += 1
        self.queues[self.session] = []

    def receipt(self) -> bytes:
        taken, self.unreceipted = self.unreceipted, []
        ranges = [pb.SequenceRange(boot_id=BOOT, first=each, last=each) for each in taken]
        return pb.Receipt(accepted=ranges).SerializeToString()


def message(sequence: int) -> EncodedMessage:
    return EncodedMessage(ACCELERATION, MessageIdentity("watch", BOOT, sequence), str(sequence).encode(), sequence)


@settings(max_examples=200)
@given(st.lists(EVENTS, max_size=40))
def test_first_copies_reach_the_log_in_order_and_all_of_them_do(events: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        database = SpoolDatabase(Path(directory) / "spool.sqlite")
        spool, brokers, made, now_s = database.spool("watch"), Brokers(), 0, 0.0
        box = Outbox(spool, brokers, OutboxTiming(receipt_timeout_s=10.0))
        for event, number in events:
            match event:
                case "make":
                    spool.append([message(made + i) for i in range(number)])
                    made += number
                case "pump":
                    brokers.room = number
                    box.pump(now_s)
                case "forward":
                    brokers.forward(brokers.chosen(number), number)
                case "kill":
                    brokers.kill(brokers.chosen(number))
                case "reconnect":
                    brokers.reconnect()
                case "receipt":
                    receipt = brokers.receipt()  # or lost, with the session it was sent on
                    if number:
                        box.on_receipt(receipt)
                case "wait":
                    now_s += number
            first_copies = list(dict.fromkeys(brokers.log))
            assert first_copies == list(range(len(first_copies)))
        brokers.reconnect()
        brokers.room = 10**6
        box.pump(now_s)
        brokers.forward(brokers.session, 10**6)
        box.on_receipt(brokers.receipt())
        box.pump(now_s)
        database.close()
    assert list(dict.fromkeys(brokers.log)) == list(range(made))
    assert box.unconfirmed == 0
