"""Conservation as Dagster sees it: a real archive's collections and a ledger, against a real log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from wearables_platform.assets.quality.conservation import conservation
from wearables_platform.clients.sql import SqlClient
from wearables_platform.domain.channels import ACCELERATION, CHANNELS
from wearables_platform.resources import KafkaResource, MongoResource, SqlResource
from wearables_platform_tests import archive_rig, messages
from wearables_platform_tests.archive_rig import ArchiveRig
from wearables_platform_tests.servers import StartServer

pytestmark = [pytest.mark.integration, pytest.mark.kafka, pytest.mark.mongo, pytest.mark.sql]


@pytest.fixture
def rig(start_server: StartServer, mongo_url: str) -> Iterator[ArchiveRig]:
    built = archive_rig.build(start_server("kafka").url, mongo_url)
    yield built
    built.store.close()


def say(sql: SqlClient, rig: ArchiveRig, *, but_not: int | None = None) -> None:
    """Write the ledger of a stream that has read everything, or everything but one position."""
    for (topic, partition), (low, end) in rig.log().items():
        spans = [(low, end)]
        if but_not is not None and topic == ACCELERATION.topic and low <= but_not < end:
            spans = [(low, but_not), (but_not + 1, end)]
        positions = "{" + ",".join(f"[{first},{last})" for first, last in spans if last > first) + "}"
        sql.execute(
            "INSERT INTO quality.ledger VALUES ('stream', %s, %s, 'stored', %s::int8multirange)"
            " ON CONFLICT (consumer, topic, partition_number, outcome) DO UPDATE SET positions = excluded.positions",
            (topic, partition, positions),
        )


def check(rig: ArchiveRig, sql_url: str) -> tuple[bool, dict[str, Any]]:
    resources = {
        "mongo": MongoResource(url=rig.mongo_url),
        "sql": SqlResource(url=sql_url),
        "kafka": KafkaResource(url=rig.kafka_url),
    }
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([conservation], resources=resources, instance=instance, raise_on_error=False)
        (found,) = result.get_asset_check_evaluations()
        (made,) = result.asset_materializations_for_node("conservation")
    return found.passed, {"faults": found.metadata["faults"].value, "positions": made.metadata["positions"].value}


def test_a_position_nobody_accounts_for_fails_the_check_by_name(rig: ArchiveRig, own_sql_url: str) -> None:
    for channel in CHANNELS:
        for sequence in range(10):
            rig.send(channel, "watch-1", messages.make(channel, "watch-1", sequence))
    rig.send(ACCELERATION, "watch-1", messages.acceleration("watch-1", 3))
    rig.send(ACCELERATION, "watch-1", b"\xff" * 40)
    rig.send(ACCELERATION, "watch-1", messages.acceleration("watch-1", 12, start_us=86_400_000_000))
    rig.producer.flush(30)
    with rig.archiving():
        rig.await_archived()
    sql = SqlClient(own_sql_url, "tests")
    say(sql, rig)
    passed, told = check(rig, own_sql_url)
    assert passed, told
    archived = [line for line in told["positions"].splitlines() if line.startswith(f"| archive | {ACCELERATION.topic}")]
    counts = [sum(int(line.split(" | ")[column]) for line in archived) for column in range(3, 8)]
    assert counts == [10, 1, 1, 1, 0]

    say(sql, rig, but_not=4)
    passed, told = check(rig, own_sql_url)
    assert not passed
    assert f"stream | {ACCELERATION.topic}" in told["faults"]
    assert "| archive" not in told["faults"]
    sql.close()
