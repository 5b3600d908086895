"""Activity per hour and person's day through Dagster into the database: once, again, after a change, on Spark."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from wearables_platform.batch.activity import engines
from wearables_platform.batch.activity.engines import Computed, compute_all, duckdb_engine, spark_is_missing
from wearables_platform.batch.activity.plan import Plan
from wearables_platform.wire.lake_schemas import WEAR_DATASET, WINDOWS_DATASET
from wearables_platform_tests.activity_rig import Worn, publish, several_people, window_rows
from wearables_platform_tests.batch_world import BatchWorld, own_database
from wearables_platform_tests.integration.test_build_days import enrol

pytestmark = [pytest.mark.integration, pytest.mark.sql, pytest.mark.mongo]

SPAN = {"first": "2026-03-28", "last": "2026-03-29"}
ACTIVITY = ("hourly_activity", "daily_activity")


@pytest.fixture
def world(tmp_path: Path, mongo_url: str, own_sql_url: str) -> Iterator[BatchWorld]:
    with dg.DagsterInstance.ephemeral() as instance:
        world = BatchWorld(own_database(mongo_url), own_sql_url, (tmp_path / "lake").as_uri(), instance)
        yield world
        world.close()


def an_evening(world: BatchWorld, *, hours: float = 4.0) -> None:
    """A watch of somebody in Berlin from 21:00 UTC, into the next local day; its third hour was not worn."""
    begin = int(datetime(2026, 3, 28, 21, tzinfo=UTC).timestamp())
    windows = window_rows(np.random.default_rng(5), "watch-1", np.arange(begin, begin + 4 * 3_600))
    wear = [
        {"device_id": "watch-1", "second": begin + 900 * n, "still_axes": 3 if 8 <= n < 12 else 0, "sd_mg": 30.0}
        for n in range(int(hours * 4))
    ]
    publish(world.lake, WINDOWS_DATASET, windows[: int(hours * 3_600)])
    publish(world.lake, WEAR_DATASET, wear)


def rows_of(world: BatchWorld, table: str) -> list[dict[str, Any]]:
    return world.sql.rows(f"SELECT * FROM telemetry.{table} ORDER BY 1, 2")


def test_days_add_up_and_building_again_changes_no_row(world: BatchWorld) -> None:
    enrol(world, "p-1", "watch-1", "Europe/Berlin")
    an_evening(world)
    result = world.build(*ACTIVITY, **SPAN)
    assert all(check.passed for check in result.get_asset_check_evaluations())
    assert {check.check_name for check in result.get_asset_check_evaluations()} == {
        "hours_add_up_to_windows",
        "days_add_up_to_hours",
    }
    hours, days = rows_of(world, "hourly_activity"), rows_of(world, "daily_activity")
    assert [hour["not_worn_s"] for hour in hours] == [0, 0, 3_600, 0]
    assert [(str(day["local_day"]), day["hours_in_day"], day["status"]) for day in days] == [
        ("2026-03-28", 24.0, "short"),
        ("2026-03-29", 23.0, "short"),
    ]
    assert [day["windows"] for day in days] == [7_200, 7_200]
    assert [sum(day["enmo_histogram_s"]) for day in days] == [
        sum(day[f"{name}_s"] for name in ("sedentary", "light", "moderate", "vigorous")) for day in days
    ]
    assert days[0]["engine"].startswith("duckdb ")
    made = result.asset_materializations_for_node("daily_activity")[0]
    assert "data:image/png;base64," in made.metadata["worn_per_local_day"].value

    assert world.build(*ACTIVITY, **SPAN).success
    assert world.build(*ACTIVITY, first="2026-03-29", last="2026-03-29").success
    assert (rows_of(world, "hourly_activity"), rows_of(world, "daily_activity")) == (hours, days)
    assert rows_of(world, "daily_activity_history") == []


def test_of_two_devices_worn_at_once_each_hour_counts_once(world: BatchWorld) -> None:
    begin = int(datetime(2026, 3, 28, 12, tzinfo=UTC).timestamp())
    rng, hour = np.random.default_rng(5), 3_600
    old = window_rows(rng, "old", np.arange(begin, begin + 4 * hour))
    new = window_rows(rng, "new", np.arange(begin + hour, begin + 2 * hour))
    for device, since in (("old", datetime(2026, 1, 1, tzinfo=UTC)), ("new", datetime(2026, 2, 1, tzinfo=UTC))):
        assign(world, Worn("p-1", "UTC", device, valid_from=since))
    publish(world.lake, WINDOWS_DATASET, [*new, *old])
    publish(world.lake, WEAR_DATASET, [])
    result = world.build(*ACTIVITY, **SPAN)
    assert all(check.passed for check in result.get_asset_check_evaluations())
    (day,) = rows_of(world, "daily_activity")
    assert (day["windows"], day["device_ids"]) == (4 * hour, ["new", "old"])
    counted = [row for row in old if not begin + hour <= row["second"] < begin + 2 * hour] + new
    assert day["steps"] == sum(row["steps"] or 0 for row in counted)


def test_what_changed_is_kept_and_what_is_gone_is_removed_and_may_come_back(world: BatchWorld) -> None:
    enrol(world, "p-1", "watch-1", "Europe/Berlin")
    an_evening(world, hours=3.0)
    world.build(*ACTIVITY, **SPAN)
    an_evening(world)  # an hour more has come in
    world.build(*ACTIVITY, **SPAN)
    revisions = [(str(row["local_day"]), row["revision"]) for row in rows_of(world, "daily_activity")]
    assert revisions == [("2026-03-28", 1), ("2026-03-29", 2)]
    (kept,) = rows_of(world, "daily_activity_history")
    assert (kept["windows"], kept["revision"], kept["superseded_because"]) == (3_600, 1, "recomputed")
    assert kept["status"] == "not_worn"
    assert kept["steps"] is None

    world.sql.execute("UPDATE registry.assignments SET valid_from = '2026-03-29 00:30+00'")
    world.build(*ACTIVITY, **SPAN)
    (day,) = rows_of(world, "daily_activity")
    assert (str(day["local_day"]), day["windows"], day["revision"]) == ("2026-03-29", 1_800, 3)
    world.sql.execute("UPDATE registry.assignments SET valid_from = '2026-01-01'")
    world.build(*ACTIVITY, **SPAN)
    back = [(str(row["local_day"]), row["revision"]) for row in rows_of(world, "daily_activity")]
    assert back == [("2026-03-28", 2), ("2026-03-29", 4)]


def test_hours_that_do_not_add_up_block_the_days_and_are_named(world: BatchWorld) -> None:
    enrol(world, "p-1", "watch-1", "Europe/Berlin")
    an_evening(world)
    world.build(*ACTIVITY, **SPAN)
    world.sql.execute("UPDATE telemetry.daily_activity SET steps = steps + 1 WHERE local_day = '2026-03-29'")
    from wearables_platform.batch.activity.checks import days_that_do_not_add_up, hours_that_do_not_add_up

    (wrong,) = days_that_do_not_add_up(world.sql, world.lake, list(SPAN.values()))
    assert (wrong["participant_id"], wrong["local_day"], wrong["windows"]) == ("p-1", "2026-03-29", 7_200)
    assert wrong["steps"] == wrong["most_steps"] + 1
    world.sql.execute(
        "UPDATE telemetry.hourly_activity SET light_s = light_s + 1 WHERE hour_start = '2026-03-28 21:00+00'"
    )
    found = hours_that_do_not_add_up(world.sql, world.lake, ["2026-03-28"])
    assert {(row["device_id"], row["hour_start"].hour) for row in found} == {("watch-1", 21)}
    assert [row["fault"].split()[1] for row in found] == ["parts", "histogram"]
    world.sql.execute("DELETE FROM telemetry.hourly_activity WHERE hour_start = '2026-03-28 21:00+00'")
    world.sql.execute("UPDATE telemetry.hourly_activity SET windows = windows - 1, unclassified_s = unclassified_s - 1")
    *others, gone = hours_that_do_not_add_up(world.sql, world.lake, ["2026-03-28"])
    assert [(row["fault"], row["hour_start"].hour) for row in others] == [
        ("other windows or steps than the lake's", hour) for hour in (22, 23)
    ]
    assert all(row["windows"] == row["windows_in_lake"] - 1 for row in others)
    assert (gone["fault"], gone["hour_start"].hour, gone["windows_in_lake"]) == ("no such hour", 21, 3_600)


def test_spark_agrees_through_pipes_or_says_why_it_was_not_asked(world: BatchWorld) -> None:
    worn, windows, wear = several_people(datetime(2026, 3, 29, tzinfo=UTC))
    for one in worn:
        assign(world, one)
    publish(world.lake, WINDOWS_DATASET, windows)
    publish(world.lake, WEAR_DATASET, wear)
    result = world.build("activity_on_spark", first="2026-03-29", last="2026-03-29")
    (check,) = result.get_asset_check_evaluations()
    (made,) = result.asset_materializations_for_node("activity_on_spark")
    assert check.passed
    missing = spark_is_missing()
    if missing is not None:
        assert made.metadata["not_compared"].value == missing
        assert check.description == f"not compared: {missing}"
    else:
        assert check.metadata["rows_compared"].value > 25
        assert made.metadata["engine"].value.startswith("spark ")


def test_a_row_in_which_spark_differs_fails_the_check_and_is_shown(
    world: BatchWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(world, "p-1", "watch-1", "Europe/Berlin")
    an_evening(world, hours=1.0)

    def one_hour_less(context: Any, plan: Plan, directory: Path) -> tuple[Computed, dict[str, Any]]:
        with duckdb_engine(world.lake, plan, memory_mb=256) as engine:
            right = compute_all(engine, plan)
        return replace(right, hours=right.hours.slice(1)), {"engine": "broken", "start_s": 1.0, "compute_s": 2.0}

    monkeypatch.setattr(engines, "spark_is_missing", lambda: None)
    monkeypatch.setattr(asset_module(), "_by_spark", one_hour_less)
    result = world.build("activity_on_spark", **SPAN, raise_on_error=False)
    (check,) = result.get_asset_check_evaluations()
    assert (check.passed, check.blocking) == (False, True)
    assert check.metadata["differing"].value == 1
    assert "watch-1" in check.metadata["offending"].value


def asset_module() -> Any:
    import importlib

    return importlib.import_module("wearables_platform.assets.quality.activity_on_spark")


def assign(world: BatchWorld, worn: Worn) -> None:
    """Put part of an assignment into the registry."""
    at = "2026-01-01T00:00:00+00:00"
    world.sql.execute("INSERT INTO registry.studies VALUES ('study', 'Study') ON CONFLICT DO NOTHING")
    world.sql.execute(
        "INSERT INTO registry.participants VALUES (%s, 'study', 1980, 'female', %s, %s) ON CONFLICT DO NOTHING",
        (worn.participant_id, worn.time_zone, at),
    )
    world.sql.execute("INSERT INTO registry.devices (device_id, registered_at) VALUES (%s, %s)", (worn.device_id, at))
    world.sql.execute(
        "INSERT INTO registry.assignments VALUES (%s, %s, %s, %s)",
        (worn.device_id, worn.participant_id, worn.valid_from, worn.valid_to),
    )
