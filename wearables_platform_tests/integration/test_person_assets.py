"""Daily heart rate, weekly trends and baselines, built by Dagster on a real database, against what was planted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
import numpy as np
import psycopg
import pytest
from scipy import stats

from wearables_platform.batch.person_checks import weekly_trend_faults
from wearables_platform.batch.sensor_checks import days_that_do_not_add_up
from wearables_platform.batch.sensor_readings import aggregate_days
from wearables_platform.sensor_catalogue import sensor_types
from wearables_platform_tests.person_world import PersonWorld

pytestmark = [pytest.mark.integration, pytest.mark.sql]


@pytest.fixture
def world(own_sql_url: str) -> Iterator[PersonWorld]:
    with dg.DagsterInstance.ephemeral() as instance:
        world = PersonWorld(own_sql_url, instance)
        yield world
        world.close()


@pytest.mark.parametrize(
    ("day", "begin", "end", "hours"),
    [
        ("2026-03-29", "2026-03-28T23:00Z", "2026-03-29T22:00Z", 23),
        ("2025-10-26", "2025-10-25T22:00Z", "2025-10-26T23:00Z", 25),
    ],
)
def test_days_of_23_and_25_hours_have_their_zones_and_add_up(
    world: PersonWorld, day: str, begin: str, end: str, hours: int
) -> None:
    born = 1980
    world.enrol("berliner", "Europe/Berlin", born=born, device="hr-1")
    # A 5 minutes' rhythm, half an hour at 110, an hour at 150; one reading each beside the day's ends.
    world.heart("hr-1", begin, end, 300, "CASE WHEN n < 6 THEN 110 WHEN n < 18 THEN 150 ELSE 60 END")
    world.sql.execute(
        "INSERT INTO telemetry.heart_rate VALUES"
        " ('hr-1', %s::timestamptz - interval '1 s', 200, 'x:1', 1, 'batch', 'test'),"
        " ('hr-1', %s, 201, 'x:2', 1, 'batch', 'test')",
        (begin, end),
    )
    result = world.build(day, day)
    assert all(check.passed for check in result.get_asset_check_evaluations())
    before, row, after = world.days("berliner")
    n = hours * 12
    assert (str(row["local_day"]), row["hours_in_day"], row["readings"]) == (day, hours, n)
    assert (row["covered_s"], row["coverage"]) == (hours * 3_600, 1.0)
    assert row["mean_bpm"] == pytest.approx((6 * 110 + 12 * 150 + (n - 18) * 60) / n)
    assert (row["min_bpm"], row["max_bpm"], row["readings_above_predicted_max"]) == (60, 150, 0)
    assert (row["resting_bpm"], row["resting_method"]) == (60, "p05_all_readings")
    # Tanaka; 110 is 0.43 of the reserve, 150 is 0.78.
    assert row["predicted_max_bpm"] == pytest.approx(208 - 0.7 * (int(day[:4]) - born))
    zones = [row[f"{name}_s"] for name in ("very_light", "light", "moderate", "vigorous", "near_maximal")]
    assert zones == [(n - 18) * 300, 0, 6 * 300, 12 * 300, 0]
    assert (row["zone_definition"], row["status"]) == ("acsm-reserve-tanaka", "final")
    # One reading alone stands for no time, and gives no resting heart rate and so no zones.
    for alone, bpm in ((before, 200), (after, 201)):
        assert (alone["readings"], alone["mean_bpm"], alone["covered_s"]) == (1, bpm, 0)
        assert (alone["resting_bpm"], alone["zones_missing_because"]) == (None, "no_resting_heart_rate")
        assert alone["readings_above_predicted_max"] == 1
    (summary,) = world.sql.rows("SELECT * FROM telemetry.daily_summary WHERE local_day = %s", (day,))
    assert (summary["heart_rate_mean_bpm"], summary["resting_heart_rate_bpm"]) == (row["mean_bpm"], row["resting_bpm"])


def test_resting_readings_are_worn_and_still_ones_where_acceleration_tells(world: PersonWorld) -> None:
    world.enrol("sitter", "UTC", born=2014, device="hr-1")
    # 70 on even minutes, when still; 50 on odd ones, moving; after 20:00 the watch lies on the table and reads 40.
    world.heart(
        "hr-1", "2026-03-10T00:00Z", "2026-03-11T00:00Z", 60, "CASE WHEN n >= 1200 THEN 40 ELSE 70 - 20 * mod(n, 2) END"
    )
    world.sql.execute(
        "INSERT INTO telemetry.rolling_features (device_id, window_start, span_s, seconds, n_samples, coverage,"
        " enmo_mg, steps, feature_version, provisional, revision, origin)"
        " SELECT 'hr-1', t, 60, 60, 3000, 1,"
        " CASE WHEN mod(extract(minute FROM t), 2) = 0 OR t >= '2026-03-10T20:00Z' THEN 49.9 ELSE 50 END,"
        " 0, 'v', false, 1, 'batch'"
        " FROM generate_series('2026-03-10T00:00Z'::timestamptz, '2026-03-10T23:59Z', interval '1 minute') AS t"
    )
    world.sql.execute(
        "INSERT INTO telemetry.wear SELECT 'hr-1', t, 'not_worn', 900, 3, 1, 'v', false, 1, 'batch'"
        " FROM generate_series('2026-03-10T20:00Z'::timestamptz, '2026-03-10T23:45Z', interval '15 minutes') AS t"
    )
    world.build("2026-03-10", "2026-03-10")
    (row,) = world.days("sitter")
    assert (row["resting_bpm"], row["resting_method"], row["resting_readings"]) == (70, "p05_worn_still", 600)
    # A child: the formula of the greatest heart rate is for adults, so there are no zones, with a reason.
    assert (row["age_years"], row["predicted_max_bpm"]) == (12, None)
    assert (row["zones_missing_because"], row["moderate_s"]) == ("age_outside_formula", None)


def test_a_gap_is_not_covered_and_a_day_without_wear_has_no_row(world: PersonWorld) -> None:
    world.enrol("sleeper", "Asia/Kolkata", device="hr-1")
    world.heart("hr-1", "2026-03-09T18:30Z", "2026-03-09T19:30Z", 60, "61")
    world.heart("hr-1", "2026-03-10T06:00Z", "2026-03-10T07:00Z", 60, "63")
    world.heart("hr-1", "2026-03-12T06:00Z", "2026-03-12T07:00Z", 60, "65")
    world.build("2026-03-09", "2026-03-13")
    rows = world.days("sleeper")
    assert [(str(row["local_day"]), row["readings"], row["covered_s"]) for row in rows] == [
        ("2026-03-10", 120, 7_200),
        ("2026-03-12", 60, 3_600),
    ]
    assert rows[0]["mean_bpm"] == 62


def test_a_watch_that_changes_hands_and_a_person_who_moves_keep_their_own_days(world: PersonWorld) -> None:
    world.enrol("traveller", "Europe/Berlin")
    world.enrol("heir", "America/New_York")
    world.wear("traveller", "hr-1", "2026-01-01T00:00Z", "2026-03-10T12:00Z")
    world.wear("traveller", "hr-2", "2026-03-10T12:00Z", "infinity")
    world.wear("heir", "hr-1", "2026-03-10T12:00Z", "infinity")
    world.heart("hr-1", "2026-03-10T00:00Z", "2026-03-11T00:00Z", 300, "CASE WHEN n < 144 THEN 60 ELSE 90 END")
    world.heart("hr-2", "2026-03-10T12:00Z", "2026-03-11T00:00Z", 300, "61")
    wanted = "local_day::text, readings, min_bpm, max_bpm"

    def told(who: str) -> list[tuple[object, ...]]:
        return [tuple(row.values()) for row in world.days(who, wanted)]

    world.build("2026-03-10", "2026-03-10")
    assert told("traveller") == [("2026-03-10", 276, 60, 61), ("2026-03-11", 12, 61, 61)]
    assert told("heir") == [("2026-03-10", 144, 90, 90)]
    # The traveller's zone is New York's now: the same readings, cut at 04:00 UTC; the day that is no more is gone.
    world.sql.execute(
        "UPDATE registry.participants SET time_zone = 'America/New_York' WHERE participant_id = 'traveller'"
    )
    world.build("2026-03-10", "2026-03-10")
    assert told("traveller") == [("2026-03-09", 48, 60, 60), ("2026-03-10", 240, 60, 61)]
    assert {row["revision"] for row in world.days("traveller")} == {1, 2}


def people_of_february(world: PersonWorld) -> None:
    """Five women and a man; person i's heart rate is 60 + i in the morning of day 0 and rises by half a beat a day."""
    for number in range(6):
        device = f"hr-{number}"
        world.enrol(f"p-{number}", "Europe/Berlin", sex="male" if number == 5 else "female", device=device)
        world.heart(
            device, "2026-01-31T23:00Z", "2026-02-28T23:00Z", 600, f"60 + {number} + 0.5 * floor(n / 144) + mod(n, 2)"
        )
        world.walk(device, "2026-01-31T23:00Z", "2026-02-28T23:00Z", f"{10 + number}")
    # Not worn for the second week.
    world.sql.execute(
        "DELETE FROM telemetry.heart_rate WHERE device_id = 'hr-0' AND time >= '2026-02-08T23:00Z'"
        " AND time < '2026-02-15T23:00Z'"
    )


def test_trends_and_baselines_are_those_of_the_planted_days_and_a_rerun_changes_no_row(
    world: PersonWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    people_of_february(world)
    result = world.build("2026-02-01", "2026-02-28")
    assert all(check.passed for check in result.get_asset_check_evaluations())
    for asset in ("daily_heart_rate", "weekly_trend", "cohort_baselines"):
        made = result.asset_materializations_for_node(asset)[0]
        assert made.metadata["changed"].value >= made.metadata["rows_in_run"].value > 0
        assert any("data:image/png;base64," in str(value.value) for value in made.metadata.values())

    trend = world.sql.rows(
        "SELECT * FROM telemetry.weekly_trend WHERE participant_id = 'p-0' AND measure = 'mean_heart_rate'"
        " ORDER BY week_start"
    )
    assert [str(row["week_start"]) for row in trend] == ["2026-01-26", "2026-02-02", "2026-02-16", "2026-02-23"]
    assert [row["valid_days"] for row in trend] == [1, 8, 15, 20]
    assert [row["missing_because"] for row in trend] == ["too_few_valid_days"] * 2 + [None] * 2
    days = np.array([day for day in range(1, 28) if not 8 <= day < 15])
    expected = stats.theilslopes(60.5 + 0.5 * days, days / 7)
    last = trend[-1]
    assert last["slope_per_week"] == pytest.approx(3.5)
    assert (last["slope_low_per_week"], last["slope_high_per_week"]) == pytest.approx(tuple(expected[2:]))
    assert last["kendall_tau"] == pytest.approx(1.0)
    assert last["p_value"] < 1e-6
    assert last["week_median"] == pytest.approx(60.5 + 0.5 * np.median(np.arange(22, 28)))
    before = 60.5 + 0.5 * days[days < 22]
    spread = stats.median_abs_deviation(before, scale="normal")
    assert last["week_robust_z"] == pytest.approx((last["week_median"] - np.median(before)) / spread, rel=1e-4)
    (steps,) = world.sql.rows(
        "SELECT * FROM telemetry.weekly_trend WHERE participant_id = 'p-0' AND measure = 'steps'"
        " AND week_start = '2026-02-23'"
    )
    assert (steps["slope_per_week"], steps["kendall_tau"], steps["p_value"]) == (0, 0, 1)
    assert (steps["week_median"], steps["week_robust_z"]) == (960, None)

    rows = {
        (row["dimension"], row["member"]): row
        for row in world.sql.rows("SELECT * FROM telemetry.cohort_baselines WHERE measure = 'mean_heart_rate'")
    }
    day_of = {"p-0": np.array([day for day in range(28) if not 8 <= day < 15])}
    means = [60.5 + n + 0.5 * day_of.get(f"p-{n}", np.arange(28)).mean() for n in range(6)]
    study = rows["study", "study"]
    assert (study["n_people"], study["person_days"], study["status"]) == (6, 161, "final")
    assert study["mean"] == pytest.approx(np.mean(means))
    assert [study[name] for name in ("p05", "p25", "median", "p75", "p95")] == pytest.approx(
        np.percentile(means, (5, 25, 50, 75, 95))
    )
    assert study["mean_low"] < study["mean"] < study["mean_high"]
    assert set(rows) == {
        ("study", "study"), ("age_band", "40-49"), ("sex", "female"), ("sex", "male"), ("device_model", "model-1"),
    }  # fmt: skip
    # One man: he is too few, and the five women beside all six would tell of him.
    assert {key for key, row in rows.items() if row["hidden"]} == {("sex", "male"), ("sex", "female")}
    with psycopg.connect(world.sql_url) as connection:
        connection.execute("SET ROLE analyst")
        seen = connection.execute("SELECT DISTINCT dimension, member FROM analytics.cohort_baselines_v1").fetchall()
    assert sorted(seen) == [("age_band", "40-49"), ("device_model", "model-1"), ("study", "study")]

    written = world.tables()
    assert world.write("2026-02-01", "2026-02-28") == [0, 0, 0, 0]
    again = world.build("2026-02-27", "2026-02-28")
    assert world.tables() == written
    for asset in ("daily_heart_rate", "daily_summary", "weekly_trend", "cohort_baselines"):
        assert again.asset_materializations_for_node(asset)[0].metadata["changed"].value == 0

    # A stricter house: groups of months that are not rebuilt are hidden, too.
    monkeypatch.setenv("WEARABLES_MIN_GROUP_SIZE", "7")
    world.build("2026-01-05", "2026-01-05", ["cohort_baselines"])
    assert world.sql.rows("SELECT FROM analytics.cohort_baselines_v1") == []

    # Somebody's readings turn out not to be theirs: their rows go, the others' baselines follow.
    world.sql.execute("DELETE FROM telemetry.heart_rate WHERE device_id = 'hr-5'")
    world.sql.execute("DELETE FROM telemetry.steps WHERE device_id = 'hr-5'")
    world.write("2026-02-01", "2026-02-28")
    assert world.days("p-5") == []
    assert world.sql.rows("SELECT FROM telemetry.weekly_trend WHERE participant_id = 'p-5'") == []
    left = world.sql.rows(
        "SELECT DISTINCT dimension, member, hidden FROM telemetry.cohort_baselines WHERE dimension = 'sex'"
    )
    assert [(row["member"], row["hidden"]) for row in left] == [("female", False)]


BROKEN = (
    ("daily_heart_rate", "UPDATE telemetry.daily_heart_rate SET vigorous_s = vigorous_s + 60", "zones do not add up"),
    ("daily_heart_rate", "DELETE FROM telemetry.daily_heart_rate WHERE participant_id = 'p-3'", "missing"),
    ("daily_summary", "UPDATE telemetry.daily_summary SET resting_heart_rate_bpm = 44", "summary differs"),
    ("weekly_trend", "UPDATE telemetry.weekly_trend SET week_median = 500", "a median outside"),
    (
        "cohort_baselines",
        "UPDATE telemetry.cohort_baselines SET hidden = false WHERE member = 'female'",
        "gives away those left out",
    ),
)


def test_activity_is_followed_by_the_days_worn_long_enough(world: PersonWorld) -> None:
    world.enrol("p-0", "Europe/Berlin", device="hr-0")
    world.sql.execute(
        "INSERT INTO telemetry.daily_activity (participant_id, local_day, time_zone, begins, ends, hours_in_day,"
        " device_ids, status, windows, coverage, worn_s, not_worn_s, wear_unknown_s, unclassified_s, mvpa_s,"
        " cut_points, definition_version, final, engine, run_id, revision, origin)"
        " SELECT 'p-0', day, 'Europe/Berlin', day, day + interval '1 day', 24, '{hr-0}', 'valid', 86400, 1,"
        " CASE WHEN n = 20 THEN 3600 ELSE 50000 END, 0, 0, 0, 60 * (30 + n), 'c', '1', n < 27, 'duckdb', 'run', 1,"
        " 'batch'"
        " FROM (SELECT day, row_number() OVER (ORDER BY day) - 1 AS n"
        " FROM generate_series('2026-02-01'::timestamptz, '2026-02-28', interval '1 day') AS day) d"
    )
    world.write("2026-02-01", "2026-02-28")
    *_, last = world.sql.rows("SELECT * FROM telemetry.weekly_trend WHERE measure = 'mvpa' ORDER BY week_start")
    # Planted from 2 February on, less the day worn for an hour and the last, not yet final; a minute more each day.
    assert (last["unit"], last["valid_days"], last["slope_per_week"]) == ("minutes", 25, pytest.approx(7.0))
    # The check holds a week's median against the days of its own measure.
    assert weekly_trend_faults(world.sql, ["2026-02-01", "2026-02-28"]) == []


def test_a_broken_row_fails_its_blocking_check_and_is_shown(world: PersonWorld) -> None:
    people_of_february(world)
    world.write("2026-02-01", "2026-02-28")
    for asset, damage, said in BROKEN:
        assert world.sql.execute(damage) > 0
        checks = dg.AssetSelection.checks_for_assets(asset)
        result = world.build("2026-02-27", "2026-02-28", checks, raise_on_error=False)
        failed = [check for check in result.get_asset_check_evaluations() if not check.passed]
        assert any(said in str(check.metadata.get("offending_rows")) for check in failed), asset
    world.write("2026-02-01", "2026-02-28")
    result = world.build("2026-02-27", "2026-02-28")  # written again, all of it is repaired
    assert all(check.passed for check in result.get_asset_check_evaluations())


# What is worn when, in UTC hours of 10 March: `old` given in January; `new` given in February, with data in some hours.
#
#   old  heart rate, steps   0 ................ 12 ................ 24
#   new  heart rate, steps              6 .......... 18
#   patch  given last of all, measures none of these
def two_at_once(world: PersonWorld) -> None:
    world.enrol("both", "UTC")
    world.wear("both", "old", "2026-01-01T00:00Z", "infinity")
    world.wear("both", "new", "2026-02-01T00:00Z", "infinity")
    world.wear("both", "patch", "2026-03-01T00:00Z", "infinity")
    for device, first, last, bpm, steps in (
        ("old", "2026-03-10T00:00Z", "2026-03-11T00:00Z", "60", "10"),
        ("new", "2026-03-10T06:00Z", "2026-03-10T18:00Z", "100", "7"),
    ):
        world.heart(device, first, last, 60, bpm)
        world.walk(device, first, last, steps)
        world.sql.execute(
            "INSERT INTO telemetry.sensor_readings"
            " SELECT 'skin_temperature', 'value', %s, t, 33, 'Cel', 'm', 1, 'batch', 'test' FROM generate_series("
            "%s::timestamptz, %s::timestamptz - interval '1 ms', interval '1 minute') AS t",
            (device, first, last),
        )


def test_of_two_devices_worn_at_once_each_hour_counts_once(world: PersonWorld) -> None:
    two_at_once(world)
    result = world.build("2026-03-10", "2026-03-10")
    assert all(check.passed for check in result.get_asset_check_evaluations())
    (row,) = world.days("both", "readings, covered_s, mean_bpm")
    assert tuple(row.values()) == (24 * 60, 86_400, 80)
    (summary,) = world.sql.rows("SELECT step_count, step_coverage FROM telemetry.daily_summary")
    assert tuple(summary.values()) == (12 * 4 * 10 + 12 * 4 * 7, 1.0)

    (skin,) = sensor_types()
    assert aggregate_days(world.sql, skin, ["2026-03-10"], datetime(2026, 4, 1, tzinfo=UTC)) == 1
    (day,) = world.sql.rows("SELECT readings, coverage FROM telemetry.sensor_days")
    assert tuple(day.values()) == (24 * 60, 1.0)
    assert days_that_do_not_add_up(world.sql, skin, ["2026-03-10"]).faults == []


def test_a_days_total_of_one_device_is_not_added_to_the_hours_of_another(world: PersonWorld) -> None:
    two_at_once(world)
    world.sql.execute("DELETE FROM telemetry.steps WHERE device_id = 'old'")
    world.sql.execute(
        "INSERT INTO telemetry.steps VALUES"
        " ('old', '2026-03-10T00:00Z', '2026-03-11T00:00Z', 9000, 'm', 1, 'batch', 'test')"
    )
    world.build("2026-03-10", "2026-03-10")
    (summary,) = world.sql.rows("SELECT step_count FROM telemetry.daily_summary")
    assert summary["step_count"] == 12 * 4 * 7
    # Where the other has nothing, the total counts, and a day that was made of both is made again.
    world.sql.execute("DELETE FROM telemetry.steps WHERE device_id = 'new'")
    world.build("2026-03-10", "2026-03-10")
    (summary,) = world.sql.rows("SELECT step_count, revision FROM telemetry.daily_summary")
    assert tuple(summary.values()) == (9000, 2)


def test_a_device_of_two_people_counts_for_whom_it_was_given_to_last(world: PersonWorld) -> None:
    world.enrol("first", "UTC", device="hr-1")
    world.enrol("second", "UTC")
    world.wear("second", "hr-1", "2026-03-10T06:00Z", "2026-03-10T18:00Z")
    world.heart("hr-1", "2026-03-10T00:00Z", "2026-03-11T00:00Z", 60, "60")
    world.build("2026-03-10", "2026-03-10")
    assert [row["readings"] for who in ("first", "second") for row in world.days(who)] == [720, 720]
