"""One log, archived as the archive does and streamed as the stream does, into real stores; and the days built of it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import dagster as dg
import numpy as np

from stream.lane import Lane, lane_at_the_beginning
from stream.partition import Harvest, Partition, PartitionRules
from stream.rules import LiveRules
from stream.sinks import write_history
from stream.state import PartitionState
from wearables_platform.archive.documents import sort_fetch
from wearables_platform.archive.sink import ArchiveSink
from wearables_platform.clients.kafka import Fetch
from wearables_platform.clients.lake import Lake, open_lake
from wearables_platform.clients.mongo import DocumentStore
from wearables_platform.clients.sql import SqlClient
from wearables_platform.definitions import ASSET_CHECKS, ASSETS
from wearables_platform.domain.channels import CHANNELS, Channel
from wearables_platform.domain.time_policy import to_us
from wearables_platform.resources import KafkaResource, LakeResource, ModelSigningResource, MongoResource, SqlResource
from wearables_platform.signals.device_rules import DeviceRules
from wearables_platform.wire.codec import decode
from wearables_platform_tests.stream_logs import NoModel

DAY = "2026-03-29"
MIDNIGHT_US = to_us(datetime(2026, 3, 29, tzinfo=UTC))
RETENTION_S = 20 * 365 * 86_400  # the test's log is dated in the past; nothing may expire under it


@dataclass
class Log:
    """Records of one partition of one channel, with when the log took them."""

    channel: Channel
    records: list[tuple[int, str, bytes]] = field(default_factory=list)

    def add(self, at_us: int, device_id: str, payload: bytes) -> None:
        self.records.append((at_us, device_id, payload))

    def fetch(self, begin: int = 0, end: int | None = None, *, at_end: bool = False) -> Fetch:
        part = self.records[begin:end]
        return Fetch(
            self.channel.topic,
            0,
            np.arange(begin, begin + len(part), dtype=np.int64),
            np.array([at_us for at_us, _, _ in part], np.int64),
            [device_id.encode() for _, device_id, _ in part],
            [payload for _, _, payload in part],
            at_end=at_end,
        )


@dataclass
class BatchWorld:
    """The stores, the platform's own writers into them, and Dagster."""

    mongo_url: str
    sql_url: str
    lake_url: str
    instance: dg.DagsterInstance

    def __post_init__(self) -> None:
        self.archive = DocumentStore(self.mongo_url, "tests")
        self.sql = SqlClient(self.sql_url, "tests")
        self.lake: Lake = open_lake(self.lake_url)
        self.sink = ArchiveSink(self.archive, RETENTION_S)
        self.sink.prepare()

    def archived(self, log: Log, begin: int = 0, end: int | None = None) -> None:
        """Archive records of the log."""
        self.sink.write(sort_fetch(log.channel, log.fetch(begin, end), "log-1", decode))

    def streamed(self, log: Log, *, per_fetch: int = 7) -> None:
        """Run the stream over the whole log, to its end and past the idle span."""
        rules = PartitionRules(flush_us=0)
        partition = Partition(PartitionState(log.channel.topic, 0, "log-1", 0), rules, NoModel())
        now_us = log.records[-1][0]
        steps = range(0, len(log.records), per_fetch)
        harvests: list[Harvest | None] = [partition.take(log.fetch(at, at + per_fetch), now_us) for at in steps]
        harvests += [partition.wait(now_us + 60_000_000), partition.flush(now_us + 120_000_000)]
        with self.sql.transaction() as connection:
            for harvest in harvests:
                if harvest is not None:
                    write_history(connection, [harvest])

    def streamed_together(self, *logs: Log, span_us: int = 60_000_000) -> None:
        """Run a lane with its rules over the logs of several topics, as they grew; to their ends."""
        state = replace(lane_at_the_beginning(0, {channel.topic: "log-1" for channel in CHANNELS}), rules=DeviceRules())
        assert isinstance(state.rules, DeviceRules)
        lane = Lane(state, PartitionRules(flush_us=0), NoModel(), LiveRules(state.rules, state.devices))
        done, until_us = dict.fromkeys(range(len(logs)), 0), min(log.records[0][0] for log in logs)
        harvests: list[Harvest] = []
        while any(done[n] < len(log.records) for n, log in enumerate(logs)):
            until_us += span_us
            ends = [sum(at_us <= until_us for at_us, _, _ in log.records) for log in logs]
            fetches = [log.fetch(done[n], ends[n]) for n, log in enumerate(logs) if ends[n] > done[n]]
            done = dict(enumerate(ends))
            harvests += lane.take(fetches, until_us, lane.partitions) if fetches else []
        harvests += lane.wait(list(lane.partitions), until_us + 60_000_000)
        harvests += lane.flush(until_us + 120_000_000)
        with self.sql.transaction() as connection:
            for harvest in harvests:
                write_history(connection, [harvest])

    @property
    def resources(self) -> dict[str, Any]:
        return {
            "lake": LakeResource(url=self.lake_url),
            "sql": SqlResource(url=self.sql_url),
            "mongo": MongoResource(url=self.mongo_url),
            "kafka": KafkaResource(),
            "model_signing": ModelSigningResource(key="a key only tests sign with"),
        }

    def build(
        self,
        *assets: str,
        first: str = DAY,
        last: str = DAY,
        raise_on_error: bool = True,
        definitions: Sequence[Any] = (*ASSETS, *ASSET_CHECKS),
    ) -> dg.ExecuteInProcessResult:
        """Materialize assets, with their checks, for a range of days in one run."""
        tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
        return dg.materialize(
            definitions,
            selection=list(assets),
            resources=self.resources,
            instance=self.instance,
            tags=tags,
            raise_on_error=raise_on_error,
        )

    def windows(self) -> list[dict[str, Any]]:
        return self.sql.rows("SELECT * FROM telemetry.window_features ORDER BY device_id, window_start")

    def close(self) -> None:
        self.archive.close()
        self.sql.close()


def own_database(mongo_url: str) -> str:
    """A MongoDB database of the test's own."""
    return urlunsplit(urlsplit(mongo_url)._replace(path=f"/batch_{uuid.uuid4().hex[:12]}"))
