"""Dagster's instance files are what Dagster accepts, hold no secret, and keep a place for the day in progress."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.instance.ref import InstanceRef
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_run_for_test, instance_for_test
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon

from wearables_platform.assets.declare import FOLLOWING, POOLS, REBUILDING, TODAY_FIRST, YESTERDAY_NEXT
from wearables_platform.local.dagster_store import INSTANCE_FILE, own_role_url, own_schema_url, with_driver
from wearables_platform.local.plan import dagster_files
from wearables_platform.sensors import begin_pools

NOWHERE = RemoteRepositoryOrigin(GrpcServerCodeLocationOrigin("nowhere", 1, location_name="ours"), "ours")
BACKFILL = {"dagster/backfill": "of a month"}
HOME = INSTANCE_FILE.parent
FILES = ("embedded", "production")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEARABLES_DAGSTER_SQL_URL", "postgresql+psycopg2://dagster:secret@nowhere/dagster")
    monkeypatch.setenv("WEARABLES_DAGSTER_LOG_BUCKET", "logs")
    monkeypatch.setenv("WEARABLES_DAGSTER_LOG_REGION", "eu-central-1")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.usefixtures("environment")
def test_dagster_accepts_the_instance_file(name: str, tmp_path: Path) -> None:
    shutil.copy(HOME / f"{name}.yaml", tmp_path / "dagster.yaml")
    instance = InstanceRef.from_dir(str(tmp_path))  # validates; connects to nothing
    storage = instance.storage_data
    assert storage is not None
    assert storage.class_name == "KeptPostgresStorage"
    assert instance.settings["run_monitoring"]["enabled"] is True
    assert instance.settings["run_retries"]["enabled"] is True
    assert {"schedule", "sensor", "auto_materialize"} <= instance.settings["retention"].keys()
    logs = instance.compute_logs_data.rehydrate(as_type=object)
    assert type(logs).__name__ == {"embedded": "LocalComputeLogManager", "production": "S3ComputeLogManager"}[name]


@pytest.mark.parametrize("name", FILES)
def test_no_instance_file_holds_a_secret(name: str) -> None:
    text = (HOME / f"{name}.yaml").read_text()
    assert yaml.safe_load(text)["storage"]["custom"]["config"]["postgres_url"] == {"env": "WEARABLES_DAGSTER_SQL_URL"}
    assert "password" not in text.replace("its password", "")


def test_what_up_writes_is_the_shipped_file(tmp_path: Path) -> None:
    written = dagster_files(tmp_path, "127.0.0.1", 4000)
    assert written[tmp_path / "dagster.yaml"] == (HOME / "embedded.yaml").read_text()


def test_dagsters_store_is_not_telemetrys() -> None:
    ours = "postgresql://wearables:secret@127.0.0.1:5432/wearables"
    assert "secret" not in own_role_url(ours, "other")
    assert "search_path%3Ddagster" in own_schema_url(ours)
    assert with_driver("postgresql://a@b/c") == "postgresql+psycopg2://a@b/c"
    assert with_driver("postgresql+psycopg2://a@b/c") == "postgresql+psycopg2://a@b/c"


@pytest.mark.parametrize("name", FILES)
def test_backfills_and_rebuilds_together_never_take_the_last_place(name: str) -> None:
    concurrency = yaml.safe_load((HOME / f"{name}.yaml").read_text())["concurrency"]
    limits = {one["key"]: one["limit"] for one in concurrency["runs"]["tag_concurrency_limits"]}
    assert limits.keys() == {*BACKFILL, "wearables/rebuild"}
    assert sum(limits.values()) < concurrency["runs"]["max_concurrent_runs"]
    assert sum(limits.values()) < concurrency["pools"]["default_limit"]


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    settings: dict[str, Any] = yaml.safe_load((HOME / "embedded.yaml").read_text())
    del settings["storage"]
    with instance_for_test(overrides=settings) as instance:
        yield instance


def launched(instance: dg.DagsterInstance) -> list[str]:
    """Ask the queue's own daemon what it would start now, and say that it runs."""
    daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)
    runs = daemon._get_runs_to_dequeue(instance, instance.get_concurrency_config(), fixed_iteration_time=None)
    for run in runs:
        instance.handle_new_event(_started(run.run_id))
    return [run.job_name for run in runs]


def _started(run_id: str) -> Any:
    from dagster._core.events import DagsterEvent, DagsterEventType
    from dagster._core.events.log import EventLogEntry

    event = DagsterEvent(DagsterEventType.RUN_START.value, "any")
    return EventLogEntry(
        error_info=None,
        level=20,
        user_message="",
        run_id=run_id,
        timestamp=0.0,
        job_name="any",
        dagster_event=event,
    )


def test_the_day_in_progress_starts_at_once_whatever_else_waits(instance: dg.DagsterInstance) -> None:
    def queue(name: str, tags: dict[str, str]) -> None:
        create_run_for_test(
            instance,
            job_name=name,
            status=dg.DagsterRunStatus.QUEUED,
            tags=tags,
            remote_job_origin=RemoteJobOrigin(NOWHERE, name),
            job_code_origin=None,
        )

    for n in range(5):
        queue(f"backfill-{n}", BACKFILL)
        queue(f"rebuild-{n}", REBUILDING)
    assert sorted(launched(instance)) == ["backfill-0", "rebuild-0"]
    queue("follower", FOLLOWING)
    queue("yesterday", YESTERDAY_NEXT)
    queue("today", TODAY_FIRST)
    assert launched(instance) == ["today"]
    assert launched(instance) == []


def test_every_pool_has_its_limit_before_a_run_needs_it(instance: dg.DagsterInstance) -> None:
    instance.event_log_storage.initialize_concurrency_limit_to_default("sql")
    begin_pools(instance)
    instance.event_log_storage.set_concurrency_slots("spark", 1)
    begin_pools(instance)
    assert instance.event_log_storage.get_concurrency_keys() == POOLS.keys()
    limits = {pool.name: (pool.limit, pool.from_default) for pool in instance.event_log_storage.get_pool_limits()}
    assert limits == {**dict.fromkeys(POOLS, (3, False)), "spark": (1, False)}
