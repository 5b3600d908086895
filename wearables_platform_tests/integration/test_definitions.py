"""What a Dagster engineer would look for: groups, owners, checks, schedules; and conservation on a real log."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.partitions.context import partition_loading_context

from wearables_platform.definitions import defs
from wearables_platform.domain.channels import ACCELERATION, CHANNELS
from wearables_platform.partitions import DAYS, FIRST_DAY
from wearables_platform.resources import KafkaResource, LakeResource, MongoResource, SqlResource
from wearables_platform.schedules import daily_settled, daily_yesterday, days_job, hourly_day_in_progress
from wearables_platform.sensors import days_to_rebuild, observe_ingest
from wearables_platform_tests.batch_world import DAY, BatchWorld, Log, own_database
from wearables_platform_tests.integration.test_build_days import walk

pytestmark = pytest.mark.integration
GROUPS = ["ingest", "lake", "clean", "features", "serving", "ml", "quality"]


@pytest.fixture(scope="module")
def graph() -> Any:
    return defs.resolve_asset_graph()


def test_every_group_is_there_and_every_asset_says_whose_and_of_what_it_is(graph: Any) -> None:
    nodes = list(graph.asset_nodes)
    assert {node.group_name for node in nodes} == set(GROUPS)
    for node in nodes:
        assert node.owners, node.key
        assert node.description, node.key
        assert node.kinds, node.key
        assert node.is_external or node.code_version, node.key


def test_nothing_points_back_to_an_earlier_group(graph: Any) -> None:
    rank = {group: place for place, group in enumerate(GROUPS)}
    for node in graph.asset_nodes:
        for parent in node.parent_keys:
            assert rank[graph.get(parent).group_name] <= rank[node.group_name], (parent, node.key)


def test_every_group_that_makes_something_has_a_blocking_check(graph: Any) -> None:
    checks = [key for key in graph.asset_check_keys if graph.get_check_spec(key).blocking]
    blocking = {graph.get(key.asset_key).group_name for key in checks}
    assert blocking == set(GROUPS) - {"ingest"}


def test_every_day_the_time_policy_accepts_has_a_partition() -> None:
    assert FIRST_DAY == "2010-01-01"
    with partition_loading_context(effective_dt=datetime(2026, 3, 29, 12, tzinfo=UTC)):
        assert DAYS.get_last_partition_key() == "2026-03-29"  # the day in progress is a partition too


def test_loading_the_definitions_imports_no_driver() -> None:
    script = (
        "import sys, wearables_platform.definitions;"
        "heavy = {'pyarrow', 'confluent_kafka', 'pymongo', 'psycopg', 'boto3', 'matplotlib', 'sklearn', 'duckdb'};"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    ended = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert ended.stdout.strip() == "[]"


def test_schedules_build_today_each_hour_yesterday_and_once_more_when_its_local_days_are_final() -> None:
    at = datetime(2026, 3, 30, 1, 30, tzinfo=UTC)
    days = (hourly_day_in_progress, "2026-03-30"), (daily_yesterday, "2026-03-29"), (daily_settled, "2026-03-28")
    for schedule, day in days:
        assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
        request = schedule(dg.build_schedule_context(scheduled_execution_time=at))
        assert isinstance(request, dg.RunRequest)
        assert request.partition_key == day
    assert days_job.name == "build_days"


@pytest.mark.sql
@pytest.mark.mongo
@pytest.mark.kafka
def test_the_sensor_asks_for_exactly_the_days_that_changed_and_once(
    tmp_path: Path, mongo_url: str, own_sql_url: str, kafka_url: str
) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        world = BatchWorld(own_database(mongo_url), own_sql_url, (tmp_path / "lake").as_uri(), instance)
        resources = {
            "sql": SqlResource(url=world.sql_url),
            "mongo": MongoResource(url=world.mongo_url),
            "lake": LakeResource(url=world.lake_url),
        }
        log = Log(ACCELERATION)
        walk(log, "watch-1")
        world.archived(log, 0, 50)
        world.build("raw_acceleration", first="2026-03-28", last="2026-03-30")

        cursor: str | None = None

        def asked() -> list[dg.RunRequest]:
            nonlocal cursor
            with dg.build_sensor_context(instance=instance, resources=resources, cursor=cursor) as context:
                found = days_to_rebuild.evaluate_tick(context)
            cursor = found.cursor
            return list(found.run_requests or [])

        assert asked() == []
        world.archived(log, 50, 55)
        assert asked() == []  # it may still be arriving
        world.archived(log, 55, 60)
        assert asked() == []
        (request,) = asked()
        span = [request.tags[f"dagster/asset_partition_range_{end}"] for end in ("start", "end")]
        assert span == [DAY, DAY]
        # Asked for again an hour later, should that run have failed; within the hour Dagster knows the key.
        state, _, hour = str(request.run_key).rpartition("@")
        assert hour[:4].isdigit()
        assert [str(again.run_key).rpartition("@")[0] for again in asked()] == [state]

        with dg.build_sensor_context(
            instance=instance,
            resources={**resources, "kafka": KafkaResource(url=kafka_url)},
        ) as context:
            observed = observe_ingest.evaluate_tick(context).asset_events
        by_key = {event.asset_key.to_user_string(): event.metadata for event in observed}
        assert by_key["mongodb/acceleration"]["documents"].value == 60
        assert by_key["mongodb/acceleration"]["newest_received"].value.startswith(DAY)
        assert {"beginning_offset", "end_offset", "archive_lag_records", "archive_lag_s", "stream_lag_s"} <= by_key[
            "kafka/acceleration_v1"
        ].keys()
        assert {f"kafka/{channel.name}_v1" for channel in CHANNELS} <= by_key.keys()
        world.close()
