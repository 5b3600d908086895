"""A log that changes under a running stream is noticed (F9)."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import pytest

from stream.source import LiveLog
from stream.watch import LOOKS, LOOKS_GONE, LogWatch, check_log
from wearables_platform.errors import LogPositionError, StoreUnavailable

LOG = LiveLog("kafka://nowhere:1", {"acceleration": "id-1", "vitals": "id-2"}, 4)


@dataclass
class Broker:
    """Answers like an admin; `asked` is set when it has been asked after a change."""

    counts: dict[str, int] = field(default_factory=lambda: {"acceleration": 4, "vitals": 4})
    ids: dict[str, str] = field(default_factory=lambda: {"acceleration": "id-1", "vitals": "id-2"})
    away: bool = False
    answered: threading.Event = field(default_factory=threading.Event)

    def partitions(self, topic: str) -> int:
        self.answered.set()
        if self.away:
            msg = "not now"
            raise StoreUnavailable(msg)
        return self.counts.get(topic, 0)

    def topic_id(self, topic: str) -> str | None:
        return self.ids[topic]


def test_a_log_that_stays_is_fine() -> None:
    check_log(Broker(), LOG)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"counts": {"acceleration": 4, "vitals": 8}}, "vitals has 8 partitions now, not 4"),
        ({"counts": {"acceleration": 4}}, "vitals has 0 partitions now, not 4"),
        ({"ids": {"acceleration": "id-9", "vitals": "id-2"}}, "acceleration was re-created while it was read"),
    ],
)
def test_another_log_is_named_in_one_line(change: dict, said: str) -> None:
    with pytest.raises(LogPositionError, match=said):
        check_log(Broker(**change), LOG)


def test_the_watch_hands_what_it_finds_to_the_worker_and_forgives_an_absent_broker() -> None:
    broker = Broker(away=True)
    with LogWatch(broker, LOG, every_s=0.001) as watch:
        assert broker.answered.wait(10)
        watch.raise_if_failed()
        broker.away, broker.counts = False, {"acceleration": 8, "vitals": 8}
        watch._thread.join(10)
        with pytest.raises(LogPositionError, match="has 8 partitions now"):
            watch.raise_if_failed()


@dataclass
class Restarting(Broker):
    """Says for some looks that it knows no topic, or another number, then is itself again."""

    says: list[int] = field(default_factory=list)

    def partitions(self, topic: str) -> int:
        if not self.says:
            self.answered.set()
            return 4
        return self.says.pop(0)


@pytest.mark.parametrize("says", [[0] * (LOOKS_GONE - 1), [8] * (LOOKS - 1)])
def test_what_a_broker_says_while_it_starts_stops_nothing(says: list[int]) -> None:
    broker = Restarting(says=says)
    with LogWatch(broker, LOG, every_s=0.001) as watch:
        assert broker.answered.wait(10)
        watch.raise_if_failed()


def test_a_topic_that_stays_away_stops_the_stream() -> None:
    with LogWatch(Broker(counts={}), LOG, every_s=0.001) as watch:
        watch._thread.join(10)
        with pytest.raises(LogPositionError, match="it was deleted"):
            watch.raise_if_failed()
