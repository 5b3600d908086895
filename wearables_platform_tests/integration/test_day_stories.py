"""What happens to days, told by Dagster's own record: a month twice, a broken day, a run that dies before it tells."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from wearables_platform.batch import derived_tables, device_groups, messages
from wearables_platform.domain.channels import ACCELERATION, VITALS
from wearables_platform_tests.batch_world import DAY, MIDNIGHT_US, BatchWorld, Log, own_database
from wearables_platform_tests.integration.test_build_days import lake_objects, move, parity_run, vitals_message, walk

pytestmark = [pytest.mark.integration, pytest.mark.sql, pytest.mark.mongo]

DAY_US = 86_400_000_000
CHAIN = ("raw_acceleration", "window_features", "spike_events", "parity")
MONTH = ("raw_acceleration", "raw_vitals", "window_features", "spike_events", "rule_events", "wear", "rolling_features")
DERIVED = ("window_features", "window_features_history", "anomalies", "wear", "rolling_features", "heart_rate", "steps")


@pytest.fixture
def world(tmp_path: Path, mongo_url: str, own_sql_url: str) -> Iterator[BatchWorld]:
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        world = BatchWorld(own_database(mongo_url), own_sql_url, (tmp_path / "lake").as_uri(), instance)
        yield world
        world.close()


def rows_of_every_table(world: BatchWorld) -> dict[str, list[str]]:
    """Every row of the derived tables as text, by table."""
    return {
        name: sorted(str(row) for row in world.sql.rows(f"SELECT t.*, t.xmin::text FROM telemetry.{name} t"))
        for name in DERIVED
    }


def materialized(world: BatchWorld, asset: str) -> list[str]:
    """The runs that materialized the day of an asset, in the order of the event log."""
    records = world.instance.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=[DAY]), limit=100, ascending=True
    ).records
    return [record.event_log_entry.run_id for record in records]


def checked(world: BatchWorld, asset: str, check: str) -> list[tuple[str, bool]]:
    """The runs that evaluated a check, with its verdict, in the order of the event log."""
    kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION
    entries = [
        entry
        for run in reversed(world.instance.get_runs())
        for entry in world.instance.all_logs(run.run_id, of_type=kind)
    ]
    found = [(entry.run_id, entry.dagster_event.asset_check_evaluation_data) for entry in entries]
    wanted = [(run, e.passed) for run, e in found if (e.asset_key.to_user_string(), e.check_name) == (asset, check)]
    return list(dict.fromkeys(wanted))  # once of the run, once of each of its days


def test_a_month_built_twice_in_one_run_each_has_equal_bytes_and_no_row_changes(world: BatchWorld) -> None:
    motion, vitals = Log(ACCELERATION), Log(VITALS)
    for number, before in enumerate((20, 3, 2)):  # two days apart, and two whose movement meets at midnight
        start_us = MIDNIGHT_US - before * DAY_US + (86_390_000_000 if number == 1 else 0)
        walk(motion, "watch-1", seconds=20, start_us=start_us, boot=7 + number)
        vitals.add(
            start_us + 700_000_000,
            "watch-1",
            vitals_message("watch-1", number, heart_rate={start_us + 1_000_000: 60.0 + number}, steps={start_us: 9}),
        )
    move(motion, 20, 5_000_000)
    world.archived(motion)
    world.archived(vitals)
    world.streamed(motion)
    month = {"first": "2026-03-01", "last": "2026-03-31"}
    assert world.build(*MONTH, "heart_rate", "steps", **month).success
    objects, rows = lake_objects(world), rows_of_every_table(world)
    assert sum(name.endswith(".parquet") for name in objects) >= 15
    assert all(rows[name] for name in DERIVED if name not in ("anomalies",))
    assert world.build(*MONTH, "heart_rate", "steps", **month).success
    assert lake_objects(world) == objects
    assert rows_of_every_table(world) == rows
    assert len(world.instance.get_runs()) == 2


def test_devices_repaired_and_compared_one_at_a_time_come_to_the_same(
    world: BatchWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log(ACCELERATION)
    for device_id in ("watch-1", "watch-2", "watch-3"):
        walk(log, device_id)
    move(log, 70, 30_000_000)
    world.archived(log)
    world.streamed(log)
    with monkeypatch.context() as few:
        for module in (derived_tables, device_groups):
            few.setattr(module, "ROWS_AT_ONCE", 1)
        assert world.build(*CHAIN).success
    rows, found = rows_of_every_table(world), parity_run(world)
    assert {row["device_id"] for row in world.windows() if row["origin"] == "batch"} >= {"watch-2"}
    assert found["dirty_rows"] > 0
    assert world.build(*CHAIN).success
    assert rows_of_every_table(world) == rows
    again = parity_run(world)
    assert again["detail"] == found["detail"]


def test_a_broken_day_is_told_by_the_event_log_from_the_fault_to_the_repair(
    world: BatchWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log(ACCELERATION)
    walk(log, "watch-1")
    world.archived(log)
    with monkeypatch.context() as broken:
        broken.setattr(messages, "each_identity_once", lambda tables: (table.slice(1) for table in tables))
        failed = world.build(*CHAIN, raise_on_error=False)
    (evaluation,) = [
        found
        for found in failed.get_asset_check_evaluations()
        if found.check_name == "holds_what_the_archive_holds" and "run" not in found.metadata
    ]
    assert "watch-1:0000000000000007:0" in evaluation.metadata["offending_rows"].value
    repaired = world.build(*CHAIN)
    assert checked(world, "raw_acceleration", "holds_what_the_archive_holds") == [
        (failed.run_id, False),
        (repaired.run_id, True),
    ]
    assert materialized(world, "raw_acceleration") == [failed.run_id, repaired.run_id]
    for asset in CHAIN[1:]:
        assert materialized(world, asset) == [repaired.run_id], asset
    assert len(world.windows()) == 30


def test_an_object_cut_short_stops_what_reads_it_and_building_again_makes_it_whole(world: BatchWorld) -> None:
    log = Log(ACCELERATION)
    walk(log, "watch-1")
    world.archived(log)
    assert world.build(*CHAIN).success
    whole = lake_objects(world)
    (name,) = (name for name in whole if name.startswith("raw/acceleration"))
    path = Path(world.lake_url.removeprefix("file://")) / name
    path.write_bytes(whole[name][:-1_000])
    failed = world.build("window_features", "spike_events", "parity", raise_on_error=False)
    assert not failed.success
    assert materialized(world, "parity") == materialized(world, "window_features")
    assert failed.run_id not in materialized(world, "window_features")
    assert world.build(*CHAIN).success
    assert lake_objects(world) == whole


# A run of Dagster that is killed when the lake and the database are written and nothing has been told yet.
KILLED_RUN = """
import os, signal, sys
import dagster as dg
from wearables_platform.assets.features import window_features
from wearables_platform.assets.lake import raw_messages
from wearables_platform_tests.batch_world import BatchWorld

mongo_url, sql_url, lake_url, directory, dies_in = sys.argv[1:]
module = {"raw_acceleration": raw_messages, "window_features": window_features}[dies_in]
module.report_partitions = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
with dg.DagsterInstance.local_temp(directory) as instance:
    BatchWorld(mongo_url, sql_url, lake_url, instance).build("raw_acceleration", "window_features", "spike_events")
"""


@pytest.mark.parametrize("dies_in", ["raw_acceleration", "window_features"])
def test_a_run_killed_between_its_write_and_its_event_converges_when_run_again(
    world: BatchWorld, tmp_path: Path, dies_in: str
) -> None:
    log = Log(ACCELERATION)
    walk(log, "watch-1")
    world.archived(log)
    world.streamed(log)
    arguments = [world.mongo_url, world.sql_url, world.lake_url, str(tmp_path), dies_in]
    killed: Any = subprocess.run([sys.executable, "-c", KILLED_RUN, *arguments], capture_output=True, check=False)
    assert killed.returncode == -9, killed.stderr
    written = lake_objects(world)
    dataset = {"raw_acceleration": "raw/acceleration", "window_features": "features/windows"}[dies_in]
    assert world.lake.manifest(dataset, DAY) is not None
    assert materialized(world, dies_in) == []
    assert [run.status for run in world.instance.get_runs()] == [dg.DagsterRunStatus.STARTED]
    before = world.windows()
    result = world.build(*CHAIN)
    assert result.success
    assert materialized(world, dies_in) == [result.run_id]
    assert {name: data for name, data in lake_objects(world).items() if name in written} == written
    assert len(world.windows()) == 30
    if dies_in == "window_features":
        assert world.windows() == before
