"""Activity per hour and local day, against loops over rows; and what the rows then say."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wearables_platform.batch.activity import definition
from wearables_platform.batch.activity.agreement import differences
from wearables_platform.batch.activity.compute import chosen_cut_points
from wearables_platform.batch.activity.engines import Computed, compute_all, duckdb_engine
from wearables_platform.batch.activity.plan import Plan, planned_spans
from wearables_platform.batch.activity.results import day_rows, hour_rows
from wearables_platform.domain.groups import CUT_POINTS, DEFAULT_CUT_POINTS
from wearables_platform.errors import ConfigError
from wearables_platform.settings import Settings
from wearables_platform.signals.wear import QUARTER_US
from wearables_platform_tests import reference_activity as reference
from wearables_platform_tests.activity_rig import Rig, Worn, rig, several_people, window_rows

LATER = datetime(2027, 1, 1, tzinfo=UTC)


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def computed(made: Rig, memory_mb: int = 256) -> Computed:
    with duckdb_engine(made.lake, made.plan, memory_mb=memory_mb) as engine:
        return compute_all(engine, made.plan)


def some_days(directory: Path, midnight: str) -> Rig:
    worn, windows, wear = several_people(datetime.fromisoformat(midnight).replace(tzinfo=UTC))
    return rig(directory, worn, windows, wear)


@pytest.mark.parametrize(("midnight", "hours_in_berlin"), [("2026-03-29T00:00", 23.0), ("2026-10-25T00:00", 25.0)])
def test_hours_and_days_equal_loops_over_the_rows(tmp_path: Path, midnight: str, hours_in_berlin: float) -> None:
    made = some_days(tmp_path, midnight)
    found = computed(made)
    rows = reference.judged(made.windows, made.wear, made.plan)
    assert found.hours.to_pylist() == [
        _ordered(row, found.hours.column_names) for row in reference.hours(rows, made.plan)
    ]
    assert found.days is not None
    expected = reference.days(rows, made.plan)
    assert found.days.to_pylist() == [_ordered(row, found.days.column_names) for row in expected]
    # The data are such that each part of the definition has something to decide.
    assert sum(row["m10_minute"] is not None and row["l5_minute"] is not None for row in expected) >= 1
    assert all(sum(row[f"mvpa_bout_{n}min_s"] or 0 for row in expected) > 0 for n in (1, 5, 10))

    rows = day_rows(found.days, made.plan, LATER)
    (berlin,) = [row for row in rows if row["device_ids"] == ["watch-a", "watch-b"]]
    assert (berlin["participant_id"], str(berlin["local_day"])) == ("berliner", midnight[:10])
    assert (berlin["hours_in_day"], berlin["final"]) == (hours_in_berlin, True)
    assert berlin["begins"] <= berlin["m10_start"] <= berlin["ends"] - timedelta(hours=10)
    assert not [row for row in rows if row["participant_id"] == "without-data"]  # missing, not zero


def test_a_row_in_which_engines_differ_is_named_with_both_values(tmp_path: Path) -> None:
    base = at("2026-04-01T00:00")
    windows = window_rows(np.random.default_rng(3), "w", np.arange(base, base + 7_200))
    made = rig(tmp_path, [Worn("p-1", "UTC", "w")], windows, [])
    plan = Plan.from_json(made.plan.to_json())
    assert plan == made.plan
    ours = computed(made)
    assert differences(ours, computed(made)) == []
    fewer = differences(ours, Computed("other", ours.hours.slice(1), ours.days))
    assert [(one.table, one.key, one.column, one.second) for one in fewer] == [("hours", ("w", base), "(row)", None)]
    days = _days(ours)
    off = days.set_column(days.column_names.index("steps"), "steps", [[days.column("steps")[0].as_py() + 1]])
    (one,) = differences(ours, Computed("other", ours.hours, off))
    assert (one.table, one.column, one.second - one.first) == ("days", "steps", 1)


def test_files_that_lie_in_no_directory_are_read_by_ranges_with_the_same_answers(tmp_path: Path) -> None:
    base = at("2026-04-01T00:00")
    windows = window_rows(np.random.default_rng(3), "w", np.arange(base, base + 7_200))
    wear = [{"device_id": "w", "second": base + 900 * n, "still_axes": n % 3, "sd_mg": 1.0} for n in range(8)]
    made = rig(tmp_path, [Worn("p-1", "UTC", "w")], windows, wear)
    far = {
        name: tuple(replace(file, address=f"s3://bucket/{file.path}") for file in getattr(made.plan, name))
        for name in ("windows", "wear")
    }
    assert differences(computed(made), computed(replace(made, plan=replace(made.plan, **far)))) == []


def test_a_day_in_which_the_device_was_never_worn_says_so_and_has_no_activity(tmp_path: Path) -> None:
    base = at("2026-04-01T00:00")
    windows = window_rows(np.random.default_rng(3), "watch-a", np.arange(base, base + 3_600))
    wear = [{"device_id": "watch-a", "second": base + 900 * n, "still_axes": 3, "sd_mg": 1.0} for n in range(4)]
    made = rig(tmp_path, [Worn("p-1", "UTC", "watch-a")], windows, wear)
    (day,) = day_rows(_days(computed(made)), made.plan, LATER)
    assert (day["status"], day["windows"], day["not_worn_s"], day["worn_s"]) == ("not_worn", 3_600, 3_600, 0)
    for name in ("steps", "sedentary_s", "mvpa_s", "mvpa_bout_10min_s", "enmo_histogram_s", "m10_mg", "l5_start"):
        assert day[name] is None, name


def test_a_day_is_valid_from_ten_hours_worn(tmp_path: Path) -> None:
    base = at("2026-04-01T00:00")
    for worn_s, status in ((36_000, "valid"), (35_999, "short")):
        windows = [
            {"device_id": "w", "second": base + n, "coverage": 1.0, "enmo_mg": 20.0, "mad_mg": 1.0, "steps": 0}
            for n in range(worn_s)
        ]
        wear = [{"device_id": "w", "second": base + 900 * n, "still_axes": 0, "sd_mg": 50.0} for n in range(40)]
        made = rig(tmp_path / status, [Worn("p-1", "UTC", "w")], windows, wear)
        (day,) = day_rows(_days(computed(made)), made.plan, LATER)
        assert (day["status"], day["sedentary_s"], day["m10_mg"], day["l5_mg"]) == (status, worn_s, 20.0, 20.0)


def test_a_brisk_walk_of_twelve_minutes_is_a_bout_and_thirty_steps_to_the_door_are_none(tmp_path: Path) -> None:
    base = at("2026-04-01T09:00")
    brisk = {*range(720), *range(3_000, 3_040)} - set(range(100, 130))
    windows = [
        {
            "device_id": "w",
            "second": base + n,
            "coverage": 1.0,
            "enmo_mg": 150.0 if n in brisk else 10.0,
            "mad_mg": 1.0,
            "steps": 1,
        }
        for n in range(4_000)
    ]
    made = rig(tmp_path, [Worn("p-1", "UTC", "w")], windows, [])
    (day,) = day_rows(_days(computed(made)), made.plan, LATER)
    assert day["mvpa_s"] == 730
    assert [day[f"mvpa_bout_{n}min_s"] for n in (1, 5, 10)] == [690, 690, 690]


def test_other_cut_points_move_time_between_intensities_and_are_named(tmp_path: Path) -> None:
    base = at("2026-04-01T09:00")
    windows = [
        {"device_id": "w", "second": base + n, "coverage": 1.0, "enmo_mg": 47.0, "mad_mg": 1.0, "steps": 0}
        for n in range(60)
    ]
    seconds = {}
    for name, cut_points in CUT_POINTS.items():
        made = rig(tmp_path / name, [], windows, [], cut_points=cut_points)
        (hour,) = hour_rows(computed(made).hours, made.plan.cut_points)
        seconds[hour["cut_points"]] = (hour["sedentary_s"], hour["light_s"])
    assert seconds == {
        "migueles-wrist-adult": (60, 0),
        "hildebrand-actigraph-wrist-adult": (0, 60),
        "hildebrand-geneactiv-wrist-adult": (0, 60),
    }


def test_unknown_cut_points_are_refused_by_name() -> None:
    assert chosen_cut_points(Settings()) is DEFAULT_CUT_POINTS
    with pytest.raises(ConfigError, match="WEARABLES_CUT_POINTS.*'hips'.*migueles-wrist-adult"):
        chosen_cut_points(Settings(cut_points="hips"))


def test_a_traveller_has_a_day_as_long_as_it_was(tmp_path: Path) -> None:
    # From Tokyo to Los Angeles: the day begins in one zone and ends in the other, 40 hours later.
    base = at("2026-03-31T15:00")
    row = {
        "participant_id": "traveller",
        "time_zone": "America/Los_Angeles",
        "local_day": "2026-04-01",
        "begins": datetime.fromtimestamp(base, UTC),
        "ends": datetime.fromtimestamp(base + 40 * 3_600, UTC),
        "device_id": "w",
        "from_time": datetime.fromtimestamp(base, UTC),
        "to_time": datetime.fromtimestamp(base + 40 * 3_600, UTC),
    }
    days, spans = planned_spans([row])
    windows = [
        {"device_id": "w", "second": second, "coverage": 1.0, "enmo_mg": 30.0 + (second >= base + 29 * 3_600)}
        | {"mad_mg": 1.0, "steps": 0}
        for second in range(base, base + 40 * 3_600, 1)
    ]
    made = rig(tmp_path, [], windows, [])
    plan = replace(made.plan, days=days, spans=spans)
    (day,) = day_rows(_days(computed(Rig(made.lake, windows, [], plan))), plan, LATER)
    assert (day["hours_in_day"], day["windows"], day["m10_mg"]) == (40.0, 144_000, 31.0)
    assert day["m10_start"] == datetime.fromtimestamp(base + 29 * 3_600, UTC)


def test_the_constants_are_those_of_the_signals() -> None:
    assert definition.QUARTER_S * 1_000_000 == QUARTER_US


def _ordered(row: dict[str, Any], names: list[str]) -> dict[str, Any]:
    assert set(row) == set(names)
    return {name: row[name] for name in names}


def _days(found: Computed) -> Any:
    assert found.days is not None
    return found.days
