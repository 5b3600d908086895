"""Days built by Dagster from a real archive, beside rows a real stream wrote, on the embedded servers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from wearables_platform.domain.channels import ACCELERATION, STATUS, VITALS
from wearables_platform.wire.v1 import telemetry_pb2 as pb
from wearables_platform_tests.batch_world import DAY, MIDNIGHT_US, BatchWorld, Log, own_database
from wearables_platform_tests.messages import status
from wearables_platform_tests.stream_logs import message

pytestmark = [pytest.mark.integration, pytest.mark.sql, pytest.mark.mongo]

NOON_US = MIDNIGHT_US + 12 * 3_600_000_000
HALF_S_US = 500_000
FEATURES = ("raw_acceleration", "window_features", "spike_events", "hourly_activity", "parity")


@pytest.fixture
def world(tmp_path: Path, mongo_url: str, own_sql_url: str) -> Iterator[BatchWorld]:
    with dg.DagsterInstance.ephemeral() as instance:
        world = BatchWorld(own_database(mongo_url), own_sql_url, (tmp_path / "lake").as_uri(), instance)
        yield world
        world.close()


def walk(log: Log, device_id: str, *, seconds: int = 30, start_us: int = NOON_US, boot: int = 7) -> None:
    """Half-second messages in order, each logged 100 ms after its last sample."""
    for number in range(2 * seconds):
        begin_us = start_us + number * HALF_S_US
        log.add(begin_us + 600_000, device_id, message(device_id, boot, number, begin_us, number * HALF_S_US))


def move(log: Log, position: int, later_by_us: int) -> None:
    """Let one record reach the log later, after everything else."""
    at_us, device_id, payload = log.records.pop(position)
    log.records.append((max(at_us + later_by_us, log.records[-1][0] + later_by_us), device_id, payload))


def vitals_message(
    device_id: str, sequence: int, *, heart_rate: dict[int, float], steps: dict[int, int] | None = None
) -> bytes:
    """Readings by their time; steps are per quarter of an hour."""
    counts = steps or {}
    return pb.VitalsBatch(
        device_id=device_id,
        boot_id=9,
        sequence=sequence,
        start_time_us=min([*heart_rate, *counts]),
        heart_rate=[pb.HeartRate(time_us=time_us, bpm=bpm) for time_us, bpm in heart_rate.items()],
        steps=[
            pb.StepCount(start_time_us=time_us, end_time_us=time_us + 900_000_000, count=count)
            for time_us, count in counts.items()
        ],
        vendor={"firmware_note": "unknown to us"},
    ).SerializeToString(deterministic=True)


def lake_objects(world: BatchWorld) -> dict[str, bytes]:
    root = Path(world.lake_url.removeprefix("file://"))
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def final_rows(world: BatchWorld) -> list[dict[str, Any]]:
    return [row for row in world.windows() if not row["provisional"]]


def parity_run(world: BatchWorld) -> dict[str, Any]:
    return world.sql.rows("SELECT * FROM quality.parity_runs ORDER BY checked_at DESC LIMIT 1")[0]


def test_clean_rows_of_the_stream_are_bit_equal_and_stay_as_they_are(world: BatchWorld) -> None:
    log = Log(ACCELERATION)
    walk(log, "watch-1")
    world.archived(log)
    world.streamed(log)
    before = final_rows(world)
    assert len(before) >= 25
    assert world.build(*FEATURES).success
    assert final_rows(world)[: len(before)] == before
    assert len(final_rows(world)) == 30  # what the stream had to leave provisional is finished
    found = parity_run(world)
    assert found["clean_rows"] >= 25
    assert found["clean_equal"] == found["clean_rows"]
    assert (found["dirty_rows"], found["unexplained"]) == (0, 0)


def test_a_late_message_dirties_rows_and_they_are_equal_after_the_recompute(world: BatchWorld) -> None:
    log = Log(ACCELERATION)
    walk(log, "watch-1", seconds=40)
    walk(log, "watch-2", seconds=40)
    move(log, 40, 30_000_000)
    world.archived(log)
    world.streamed(log)
    before = {row["window_start"]: row for row in world.windows() if row["device_id"] == "watch-1"}
    untouched = [row for row in final_rows(world) if row["device_id"] == "watch-2"]
    assert world.build(*FEATURES).success

    found = parity_run(world)
    assert found["dirty_rows"] > 0
    assert found["dirty_equal_after"] == found["dirty_rows"]
    assert (found["clean_equal"], found["unexplained"]) == (found["clean_rows"], 0)
    assert [row for row in world.windows() if row in untouched] == untouched

    replaced = [row for row in world.windows() if row["origin"] == "batch"]
    assert replaced
    history = world.sql.rows("SELECT * FROM telemetry.window_features_history")
    assert {row["superseded_because"] for row in history} <= {"late", "provisional"}
    kept = {row["window_start"]: row for row in history}
    for row in replaced:
        old = before.get(row["window_start"])
        if old is not None:
            assert row["revision"] == old["revision"] + 1
            assert kept[row["window_start"]]["vm_mean_g"] == old["vm_mean_g"]
    whole = {row["n_samples"] for row in replaced if row["window_start"] == min(kept)}
    assert whole == {50}
    assert world.sql.rows("SELECT * FROM quality.dirty_windows WHERE resolved_revision IS NULL") == []


def test_building_twice_writes_the_same_bytes_and_changes_no_row(world: BatchWorld) -> None:
    log = Log(ACCELERATION)
    walk(log, "watch-1")
    move(log, 20, 30_000_000)
    world.archived(log)
    world.streamed(log)
    assert world.build(*FEATURES).success
    objects, rows, first = lake_objects(world), world.windows(), parity_run(world)
    for data in objects.values():  # nothing pickled: Parquet, JSON, and locks without content
        assert data[:4] == data[-4:] == b"PAR1" or not data or json.loads(data)
    assert world.build(*FEATURES).success
    assert lake_objects(world) == objects
    assert world.windows() == rows
    second = parity_run(world)
    counted = ("clean_rows", "clean_equal", "dirty_rows", "dirty_equal_after", "unexplained")
    assert {name: second[name] for name in counted} == {name: first[name] for name in counted}


def test_a_row_changed_behind_everybodys_back_fails_parity_by_name_and_is_repaired(world: BatchWorld) -> None:
    log = Log(ACCELERATION)
    walk(log, "watch-1")
    world.archived(log)
    world.streamed(log)
    world.sql.execute(
        "UPDATE telemetry.window_features SET enmo_mg = enmo_mg + 1e-9 WHERE window_start = %s", (_instant(10),)
    )
    result = world.build(*FEATURES, raise_on_error=False)
    (check,) = [found for found in result.get_asset_check_evaluations() if found.check_name == "nothing_unexplained"]
    assert not check.passed
    assert f"watch-1 at {_instant(10)}" in str(check.metadata["examples"].value)
    assert parity_run(world)["unexplained"] == 1
    (row,) = world.sql.rows("SELECT * FROM telemetry.window_features WHERE window_start = %s", (_instant(10),))
    assert (row["origin"], row["revision"]) == ("batch", 3)


def test_rows_the_archive_does_not_give_disappear_into_the_history(world: BatchWorld) -> None:
    log = Log(ACCELERATION)
    walk(log, "watch-1")
    world.archived(log)
    world.streamed(log)
    world.sql.execute(
        "UPDATE telemetry.window_features SET window_start = window_start - interval '2 hours' WHERE window_start = %s",
        (_instant(10),),
    )
    world.build(*FEATURES, raise_on_error=False)
    starts = [row["window_start"].isoformat() for row in world.windows()]
    assert starts == [_instant(second) for second in range(30)]
    gone = world.sql.rows("SELECT superseded_because FROM telemetry.window_features_history")
    assert {"vanished"} <= {row["superseded_because"] for row in gone}


def test_rows_are_left_to_a_stream_that_has_not_read_so_far(world: BatchWorld) -> None:
    log, read = Log(ACCELERATION), Log(ACCELERATION)
    walk(log, "watch-1")
    read.records = log.records[:30]
    world.archived(log)
    world.streamed(read)
    before = world.windows()
    assert world.build(*FEATURES).success
    finals = [row for row in before if not row["provisional"]]
    assert [row for row in world.windows() if row in finals] == finals
    assert not [row for row in world.windows() if row["window_start"].isoformat() > _instant(16)]
    found = parity_run(world)
    assert found["unexplained"] == 0
    assert found["detail"]["windows"]["awaited"] > 0


def test_windows_at_midnight_see_both_days(world: BatchWorld) -> None:
    log = Log(ACCELERATION)
    walk(log, "watch-1", seconds=20, start_us=MIDNIGHT_US - 10_250_000)
    world.archived(log)
    world.streamed(log)
    assert world.build(*FEATURES, first="2026-03-28", last="2026-03-29").success
    runs = world.sql.rows("SELECT * FROM quality.parity_runs ORDER BY event_day")
    assert [run["unexplained"] for run in runs] == [0, 0]
    assert sum(run["clean_equal"] for run in runs) >= 17


def test_messages_that_arrive_after_the_day_was_built_are_asked_for_and_land_in_it(world: BatchWorld) -> None:
    from wearables_platform.batch.late_data import days_with_late_data

    log = Log(ACCELERATION)
    walk(log, "watch-1")
    world.archived(log, 0, 50)
    assert world.build("raw_acceleration").success
    assert days_with_late_data(world.sql, world.archive, world.lake, "2026-03-30") == {}
    world.archived(log, 50, 60)
    assert list(days_with_late_data(world.sql, world.archive, world.lake, "2026-03-30")) == [DAY]
    assert world.build("raw_acceleration").success
    assert days_with_late_data(world.sql, world.archive, world.lake, "2026-03-30") == {}
    table = world.lake.read_table("raw/acceleration", [DAY])
    assert table is not None
    assert table.column("sequence").to_pylist() == list(range(60))


def test_messages_below_the_recorded_cut_that_the_lake_lacks_are_named(world: BatchWorld) -> None:
    from wearables_platform.batch.messages import compare_days_with_archive

    log = Log(ACCELERATION)
    walk(log, "watch-1")
    world.archived(log, 0, 40)
    assert world.build("raw_acceleration").success
    world.archived(log, 40)  # after the cut: the next build's work
    found = compare_days_with_archive(world.archive, world.lake, ACCELERATION, [DAY])
    assert (found.only_archive, found.only_lake, found.compared) == ((), (), 40)
    # Archived now, from earlier in the log than what was read: this must never happen, and must not pass unseen.
    world.archived(Log(ACCELERATION, [(log.records[0][0], "watch-3", message("watch-3", 1, 0, NOON_US, 0))]))
    found = compare_days_with_archive(world.archive, world.lake, ACCELERATION, [DAY])
    assert found.only_archive == ("watch-3:0000000000000001:0",)


def test_a_broken_day_is_blocked_before_anything_is_built_on_it_and_repaired_by_building_again(
    world: BatchWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wearables_platform.batch import messages

    log = Log(ACCELERATION)
    walk(log, "watch-1")
    world.archived(log)
    with monkeypatch.context() as broken:
        broken.setattr(messages, "each_identity_once", lambda tables: (table.slice(1) for table in tables))
        result = world.build(*FEATURES, raise_on_error=False)
    evaluated = result.get_asset_check_evaluations()
    (check,) = [found for found in evaluated if not found.passed and found.partition is None]
    assert (check.check_name, check.metadata["offending"].value) == ("holds_what_the_archive_holds", 1)
    assert "| only in the archive | watch-1:0000000000000007:0 |" in check.metadata["offending_rows"].value
    (of_day,) = [found for found in evaluated if not found.passed and found.partition is not None]
    assert (of_day.check_name, of_day.partition) == (check.check_name, DAY)
    assert world.lake.partitions("features/windows") == []
    assert world.build(*FEATURES).success
    assert len(world.windows()) == 30


def test_vitals_become_clean_readings_and_local_days(world: BatchWorld) -> None:
    enrol(world, "p-1", "watch-1", "Europe/Berlin")
    # In Berlin 2026-03-29 has 23 hours: it begins at 23:00 UTC the day before and ends at 22:00.
    first_us, last_us = MIDNIGHT_US - 3_600_000_000, MIDNIGHT_US + 22 * 3_600_000_000
    log = Log(VITALS)
    good = {first_us + 300_000_000 * i: 60.0 + i % 20 for i in range(276)}
    quarters = {first_us + 900_000_000 * i: 10 for i in range(92)}
    log.add(last_us + 1, "watch-1", vitals_message("watch-1", 0, heart_rate=good, steps=quarters))
    bad = {first_us + 1_000_000: 2.0, first_us + 2_000_000: 400.0, last_us + 400 * 86_400_000_000: 70.0}
    repeated = {first_us: 60.0}
    broken_steps = {first_us + 60_000_000: -5, first_us + 120_000_000: 25_710, last_us - 900_000_000: 10}
    log.add(last_us + 2, "watch-1", vitals_message("watch-1", 1, heart_rate=bad | repeated, steps=broken_steps))
    log.add(last_us + 3, "watch-1", vitals_message("watch-1", 2, heart_rate={last_us: 70.0}, steps={last_us: 7}))
    world.archived(log)
    assert world.build(
        "raw_vitals", "heart_rate", "steps", "daily_heart_rate", "daily_summary", first="2026-03-28", last="2026-03-29"
    ).success

    (day, after) = world.sql.rows("SELECT * FROM telemetry.daily_summary ORDER BY local_day")
    assert (str(day["local_day"]), day["hours_in_day"], day["step_count"]) == (DAY, 23.0, 920)
    assert day["step_coverage"] == 1.0
    assert (day["heart_rate_readings"], day["heart_rate_min_bpm"], day["heart_rate_max_bpm"]) == (276, 60.0, 79.0)
    assert day["heart_rate_mean_bpm"] == pytest.approx(sum(good.values()) / 276)
    assert day["final"]
    assert (str(after["local_day"]), after["step_count"]) == ("2026-03-30", 7)

    rejected = world.sql.rows("SELECT quantity, rule, value FROM quality.rejected_readings ORDER BY quantity, value")
    assert [(row["quantity"], row["rule"], row["value"]) for row in rejected] == [
        ("heart_rate", "below_range", 2.0),
        ("heart_rate", "duplicate_reading", 60.0),
        ("heart_rate", "time_in_future", 70.0),
        ("heart_rate", "above_range", 400.0),
        ("steps", "negative_count", -5.0),
        ("steps", "duplicate_reading", 10.0),
        ("steps", "above_range", 25_710.0),
    ]
    raw = world.lake.read_table("raw/vitals", ["2026-03-28", DAY])
    assert raw is not None
    assert raw.column("vendor").to_pylist()[0] == [("firmware_note", "unknown to us")]


def test_cleaning_and_summarizing_again_changes_nothing_in_any_order_of_days(world: BatchWorld) -> None:
    enrol(world, "p-1", "watch-1", "America/New_York")
    log = Log(VITALS)
    shared = {MIDNIGHT_US + 60_000_000: 71.0}
    yesterday = {MIDNIGHT_US - 60_000_000: 70.0} | shared
    log.add(MIDNIGHT_US + 120_000_000, "watch-1", vitals_message("watch-1", 5, heart_rate=yesterday))
    log.add(MIDNIGHT_US + 130_000_000, "watch-1", vitals_message("watch-1", 4, heart_rate={**shared}))
    world.archived(log)
    build = ("raw_vitals", "heart_rate", "steps", "daily_heart_rate", "daily_summary")
    for day in (DAY, "2026-03-28", DAY, "2026-03-28"):
        assert world.build(*build, first=day, last=day).success
    readings = world.sql.rows("SELECT time, bpm, message_id FROM telemetry.heart_rate ORDER BY time")
    assert [(row["bpm"], row["message_id"].rsplit(":", 1)[1]) for row in readings] == [(70.0, "5"), (71.0, "4")]
    before = world.sql.rows("SELECT * FROM telemetry.daily_summary")
    assert world.build(*build, first="2026-03-28", last=DAY).success
    assert world.sql.rows("SELECT * FROM telemetry.daily_summary") == before
    assert world.sql.rows("SELECT * FROM staging.heart_rate") == []


def test_hours_add_up_and_every_materialization_says_what_it_wrote(world: BatchWorld) -> None:
    log = Log(ACCELERATION)
    walk(log, "watch-1", seconds=20, start_us=NOON_US - 10_000_000)
    world.archived(log)
    result = world.build(*FEATURES)
    hours = world.sql.rows("SELECT * FROM telemetry.hourly_activity ORDER BY hour_start")
    assert [row["windows"] for row in hours] == [10, 10]
    assert [row["sedentary_s"] + row["light_s"] + row["moderate_s"] + row["vigorous_s"] for row in hours] == [10, 10]
    (made,) = result.asset_materializations_for_node("raw_acceleration")
    assert made.metadata["dagster/partition_row_count"].value == 40
    assert made.metadata["rows_per_s"].value > 0
    assert "data:image/png;base64," in made.metadata["rows_per_day"].value
    assert {column.name for column in made.metadata["dagster/column_schema"].value.columns} >= {"samples", "message_id"}
    assert all(check.passed for check in result.get_asset_check_evaluations())


def test_readings_that_miss_values_and_days_that_do_not_add_up_are_found_with_their_rows(world: BatchWorld) -> None:
    from wearables_platform.batch.person_checks import summaries_unlike_steps
    from wearables_platform.batch.table_checks import faults_of_table

    enrol(world, "p-1", "watch-1", "Europe/Berlin")
    log = Log(VITALS)
    log.add(NOON_US, "watch-1", vitals_message("watch-1", 0, heart_rate={NOON_US: 71.0}))
    world.archived(log)
    build = ("raw_vitals", "heart_rate", "steps", "daily_heart_rate", "daily_summary")
    result = world.build(*build)
    assert result.success
    (made,) = result.asset_materializations_for_node("heart_rate")
    assert {
        "rows_in_run",
        "bytes_in_run",
        "first_in_run",
        "rows_per_s",
        "dagster/column_schema",
    } <= made.metadata.keys()
    assert faults_of_table("heart_rate", world.sql, [DAY]) == (1, [])
    world.sql.execute("UPDATE telemetry.daily_summary SET step_count = 9")
    world.sql.execute("UPDATE telemetry.heart_rate SET bpm = 'NaN'")
    rows, (fault,) = faults_of_table("heart_rate", world.sql, [DAY])
    assert (rows, fault.count, fault.rows[0]["device_id"]) == (1, 1, "watch-1")
    assert fault.what == "bpm is missing in 1 of 1 rows, at most 0% may be: always there"
    (differing,) = summaries_unlike_steps(world.sql, [DAY])
    assert (differing["participant_id"], differing["step_count"], differing["clean_steps"]) == ("p-1", 9, None)


def test_status_and_quarantine_reach_the_lake(world: BatchWorld) -> None:
    log = Log(STATUS)
    log.add(MIDNIGHT_US + 3_600_000_000, "watch-1", status("watch-1", 0))
    world.archived(log)
    impossible = Log(ACCELERATION)
    impossible.add(NOON_US, "watch-1", message("watch-1", 3, 0, 1_000_000, 0))
    world.archived(impossible)
    assert world.build("raw_status", "quarantined_messages").success
    held = world.lake.read_table("raw/status", [DAY])
    assert held is not None
    assert held.column("worn").to_pylist() == [True]
    quarantined = world.lake.read_table("raw/quarantine", ["quarantine"])
    assert quarantined is not None
    assert quarantined.column("reason").to_pylist() == ["time_too_early"]


def test_levels_and_the_sweep_are_part_of_the_lake(world: BatchWorld) -> None:
    from wearables_platform.batch.waveform import waveform

    log = Log(ACCELERATION)
    walk(log, "watch-1")
    world.archived(log, 0, 40)
    assert world.build("raw_acceleration", "acceleration_zoom").success
    world.archived(log, 40)
    result = world.build("raw_acceleration", "acceleration_zoom", "lake_housekeeping")
    assert result.success
    (made,) = result.asset_materializations_for_node("acceleration_zoom")
    assert made.metadata["dagster/partition_row_count"].value > 0
    (swept,) = result.asset_materializations_for_node("lake_housekeeping")
    assert swept.metadata["files_removed"].value == 0
    assert swept.metadata["files_waiting"].value == 3  # the first raw file, and its levels of 10 s and 60 s
    drawn = waveform(world.lake, "watch-1", NOON_US, NOON_US + 30_000_000, 3)
    assert (drawn.n.tolist(), drawn.level_us) == ([500, 500, 500], 10_000_000)


def _instant(second: int) -> str:
    from wearables_platform.domain.time_policy import from_us

    return from_us(NOON_US + second * 1_000_000).isoformat()


def enrol(world: BatchWorld, participant_id: str, device_id: str, time_zone: str) -> None:
    long_ago = "2026-01-01T00:00:00+00:00"
    world.sql.execute("INSERT INTO registry.studies VALUES ('study', 'Study') ON CONFLICT DO NOTHING")
    world.sql.execute(
        "INSERT INTO registry.participants VALUES (%s, 'study', 1980, 'female', %s, %s)",
        (participant_id, time_zone, long_ago),
    )
    world.sql.execute("INSERT INTO registry.devices (device_id, registered_at) VALUES (%s, %s)", (device_id, long_ago))
    world.sql.execute(
        "INSERT INTO registry.assignments (device_id, participant_id, valid_from) VALUES (%s, %s, %s)",
        (device_id, participant_id, long_ago),
    )
