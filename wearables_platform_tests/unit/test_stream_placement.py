"""Lanes are dealt out evenly by the real engine: no worker has two more than another."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

import pytest
from bytewax.inputs import StatefulSourcePartition
from bytewax.testing import TestingSink, cluster_main

from stream.dataflow import Sinks, build_flow
from stream.partition import PartitionRules
from stream.source import Control, LiveLog, LiveSource
from wearables_platform_tests.stream_logs import NoModel


class Ended(StatefulSourcePartition[Any, bytes]):
    """A part that has nothing."""

    def next_batch(self) -> list[Any]:
        raise StopIteration

    def snapshot(self) -> bytes:
        return b""


class Placed(LiveSource):
    """The stream's source, noting which worker builds which lane instead of reading it."""

    def __init__(self, partitions: int) -> None:
        control = Control(threading.Event(), lambda: None, lambda: 0)
        super().__init__(LiveLog("kafka://nowhere:1", {}, partitions), PartitionRules(), NoModel(), control)
        self.worker_of: dict[str, int] = {}

    def build_part(self, step_id: str, for_part: str, resume_state: bytes | None) -> Any:
        self.worker_of[for_part] = threading.get_ident()
        return Ended()


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("partitions", [4, 8, 16])
def test_lanes_per_worker_differ_by_at_most_one(partitions: int, workers: int) -> None:
    source = Placed(partitions)
    flow = build_flow(source, Sinks(*(TestingSink([]) for _ in range(4))))
    cluster_main(flow, [], 0, worker_count_per_proc=workers)
    assert len(source.worker_of) == partitions
    per_worker = Counter(source.worker_of.values())
    assert len(per_worker) == min(workers, partitions)
    assert max(per_worker.values()) - min(per_worker.values()) <= 1
