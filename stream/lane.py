"""A lane: the partitions of one number, one per telemetry topic. Everything a device says arrives in its own lane.

The topics have equally many partitions and one key, so what rules need of two sensors meets here without an exchange
between workers. Nothing in here knows the engine: fetches in, harvests out, `state` stands exactly behind the last one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from stream.devices import Devices
from stream.order import OrderState
from stream.partition import END_OF_LOG_MARGIN_US, Harvest, Partition, PartitionRules, Scoring
from stream.state import LaneState, PartitionState
from wearables_platform.clients.kafka import Fetch


class LaneRules(Protocol):
    """Rules over what the topics of a lane say together; what they remember is part of the lane's state.

    `step` gets the harvests of one step: closed rows (`Harvest.rows`) of acceleration, the messages in log order
    (`Harvest.messages`), those of acceleration without their samples. It returns what follows from them, as one more
    harvest, or None.
    """

    def step(
        self, harvests: Sequence[Harvest], clocks: Mapping[str, int], partition: int, read: Mapping[str, int]
    ) -> Harvest | None:
        """Take the harvests of one step; `clocks` says by topic how far it has been read, in log time."""


def lane_at_the_beginning(number: int, topic_ids: Mapping[str, str | None]) -> LaneState:
    """Return the state of a lane of which nothing has been read."""
    devices = Devices()
    partitions = {
        topic: PartitionState(topic, number, topic_id, 0, order=OrderState(devices))
        for topic, topic_id in topic_ids.items()
    }
    return LaneState(number, devices, partitions)


@dataclass
class Lane:
    """Turns fetches of a lane's partitions into harvests, one topic after the other, always in the same order."""

    state: LaneState
    how: PartitionRules
    scoring: Scoring
    rules: LaneRules | None = None  # takes its own part of `state`
    partitions: dict[str, Partition] = field(init=False)

    def __post_init__(self) -> None:
        """Take the states up."""
        self.partitions = {
            topic: Partition(state, self.how, self.scoring) for topic, state in self.state.partitions.items()
        }

    def take(self, fetches: Sequence[Fetch], now_us: int, at_end: Collection[str] = ()) -> list[Harvest]:
        """Take the next fetches, which leave the topics `at_end` at the end of their logs.

        `now_us` decides only when rows leave, never what is in them.
        """
        return self._concluded([self.partitions[fetch.topic].take(fetch, now_us) for fetch in fetches], now_us, at_end)

    def wait(self, topics: Sequence[str], now_us: int) -> list[Harvest]:
        """Let time pass for the topics that are at the end of their log."""
        found = [self.partitions[topic].wait(now_us) for topic in topics]
        return self._concluded([harvest for harvest in found if harvest is not None], now_us, topics)

    def flush(self, now_us: int) -> list[Harvest]:
        """Hand out everything that may leave now."""
        harvests = [partition.flush(now_us) for partition in self.partitions.values()]
        return [harvest for harvest in self._concluded(harvests, now_us, self.partitions) if harvest.has_history]

    def _concluded(self, harvests: list[Harvest], now_us: int, at_end: Collection[str]) -> list[Harvest]:
        if self.rules is None:
            return harvests
        waited_us = now_us - END_OF_LOG_MARGIN_US
        clocks = {
            topic: max(partition.state.log_us, waited_us) if topic in at_end else partition.state.log_us
            for topic, partition in self.partitions.items()
        }
        read = {topic: partition.state.next_offset for topic, partition in self.partitions.items()}
        together = self.rules.step(harvests, clocks, self.state.number, read)
        return harvests if together is None else [*harvests, together]


def part_name(number: int) -> str:
    """Return the name under which the engine knows a lane.

    >>> part_name(3)
    'live/003'
    """
    return f"live/{number:03d}"  # sorted by name is sorted by number: the engine deals them out in that order


def part_number(name: str) -> int:
    """Return the number in a lane's name."""
    return int(name.rpartition("/")[2])
