"""A build killed anywhere between its writes converges when it is run again (F30, F31)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from wearables_platform.clients.lake_files import FileObjects
from wearables_platform.clients.lake_writer import manifest_key
from wearables_platform.domain.channels import ACCELERATION
from wearables_platform_tests.batch_world import DAY, BatchWorld, own_database
from wearables_platform_tests.integration.test_build_days import Log, lake_objects, move, walk

pytestmark = [pytest.mark.integration, pytest.mark.sql, pytest.mark.mongo]

BUILT = ("raw_acceleration", "window_features", "spike_events")

# One process that imports once and forks a build per place to die; it opens no connection itself.
BUILDS = """
import os, signal, sys
from datetime import UTC, datetime
from wearables_platform.batch import repair
from wearables_platform.batch.days import recompute_day
from wearables_platform.batch.messages import export_days
from wearables_platform.clients import lake_files
from wearables_platform.clients.lake import open_lake
from wearables_platform.clients.mongo import DocumentStore
from wearables_platform.clients.sql import SqlClient
from wearables_platform.clients.lake_files import FileObjects
from wearables_platform.clients.lake_writer import manifest_key
from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.models.predict import ModelTimeline

mongo_url, sql_url, lake_url, day = sys.argv[1:]

def build(dies_at):
    writes = 0
    def counted(write):
        def dying(*args, **kwargs):
            nonlocal writes
            writes += 1
            if writes == dies_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return write(*args, **kwargs)
        return dying
    lake_files.os.replace = counted(os.replace)
    lake_files.os.link = counted(os.link)
    repair.upsert = counted(repair.upsert)
    lake, sql = open_lake(lake_url), SqlClient(sql_url, "killed")
    export_days(DocumentStore(mongo_url, "killed"), lake, ACCELERATION, [day])
    recompute_day(sql, lake, day, repair.Load("killed", datetime.now(UTC)), ModelTimeline())

for dies_at in range(1, 20):
    child = os.fork()
    if child == 0:
        try:
            build(dies_at)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print(status, flush=True)
    if status != -signal.SIGKILL:
        break
"""


@pytest.fixture
def world(tmp_path: Path, mongo_url: str, own_sql_url: str) -> Iterator[BatchWorld]:
    with dg.DagsterInstance.ephemeral() as instance:
        world = BatchWorld(own_database(mongo_url), own_sql_url, (tmp_path / "lake").as_uri(), instance)
        yield world
        world.close()


def killed_builds(world: BatchWorld) -> list[int]:
    """Exit codes of builds that die before their first write, their second ..., up to the one that ends by itself."""
    argv = [sys.executable, "-c", BUILDS, world.mongo_url, world.sql_url, world.lake_url, DAY]
    ended = subprocess.run(argv, check=True, capture_output=True, text=True)
    assert not ended.stderr, ended.stderr
    return [int(line) for line in ended.stdout.split()]


def rows_of(world: BatchWorld) -> list[dict[str, Any]]:
    return [{**row, "revision": None} for row in world.windows()]


def test_a_build_killed_before_any_of_its_writes_converges_when_run_again(world: BatchWorld) -> None:
    log = Log(ACCELERATION)
    walk(log, "watch-1")
    move(log, 20, 30_000_000)
    world.archived(log)
    world.streamed(log)
    codes = killed_builds(world)
    # Object and manifest of raw, windows and spikes, then the history and the rows in SQL: each has been died before.
    assert len(codes) >= 5
    assert codes == [-9] * (len(codes) - 1) + [0]
    undisturbed = rows_of(world)
    assert world.build("raw_acceleration", "window_features", "spike_events", "parity").success
    assert rows_of(world) == undisturbed
    assert len(undisturbed) == 30
    history = world.sql.rows("SELECT device_id, window_start, revision FROM telemetry.window_features_history")
    assert len(history) == len({tuple(row.values()) for row in history})
    assert all(row["revision"] <= 3 for row in world.windows())


def test_a_backfill_that_reaches_the_live_day_gives_way_to_the_days_own_run(
    world: BatchWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The day's own run begins and ends between the backfill's reading of the archive and its swap of the manifest."""
    log = Log(ACCELERATION)
    walk(log, "watch-1")
    world.archived(log, 0, 30)
    put_if, live = FileObjects.put_if, []

    def after_the_days_own_run(store: FileObjects, key: str, data: bytes, tag: str | None) -> str:
        if key == manifest_key("raw/acceleration", DAY) and not live:
            live.append("running")
            world.archived(log, 30)
            with dg.DagsterInstance.ephemeral() as instance:
                assert replace(world, instance=instance).build(*BUILT).success
            live.append("done")
        return put_if(store, key, data, tag)

    monkeypatch.setattr(FileObjects, "put_if", after_the_days_own_run)
    result = world.build(*BUILT, first="2026-03-28")
    assert live == ["running", "done"]
    assert result.success
    again = [event.step_key for event in result.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"]
    assert again == ["raw_acceleration"], "what was read before the other run's swap is read again, never written"
    manifest = world.lake.manifest("raw/acceleration", DAY)
    assert manifest is not None
    assert manifest.rows == len(log.records)
    assert all(check.passed for check in result.get_asset_check_evaluations())
    rows, objects = world.windows(), lake_objects(world)
    assert len(rows) == 30
    assert world.build(*BUILT, first="2026-03-28").success
    assert (world.windows(), lake_objects(world)) == (rows, objects)
