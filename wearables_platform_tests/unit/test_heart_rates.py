"""Heart-rate files beside a recording: both forms, what is no reading, and what `analyze` says of both sensors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from wearables_platform.cli import build_app
from wearables_platform.edge.heart_rates import read_heart_rates
from wearables_platform.errors import ConfigError
from wearables_platform_tests.recordings import shared_path

BEGIN_S = 1_774_778_400  # a whole UTC hour
LYING = ("--axes", "x,y,z", "--unit", "g", "--rate-hz", "10", "--start", "2026-03-29T10:00:00Z", "--json")


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_one_column_is_begin_rate_and_readings(tmp_path: Path) -> None:
    heart = read_heart_rates(written(tmp_path / "HR.csv", f"{BEGIN_S}.000000\n2.000000\n71.00\nx\n\n73.50\n"))
    assert heart.time_us.tolist() == [BEGIN_S * 1_000_000, BEGIN_S * 1_000_000 + 1_000_000]
    assert (heart.bpm.tolist(), heart.skipped) == ([71.0, 73.5], 1)


@pytest.mark.parametrize("header", ["", "time,bpm\n"])
def test_two_columns_are_stamps_and_readings_in_order_of_time(tmp_path: Path, header: str) -> None:
    heart = read_heart_rates(written(tmp_path / "hr.csv", f"{header}{BEGIN_S + 5},80\n{BEGIN_S},70\n{BEGIN_S + 6},\n"))
    assert heart.time_us.tolist() == [BEGIN_S * 1_000_000, (BEGIN_S + 5) * 1_000_000]
    assert (heart.bpm.tolist(), heart.skipped) == ([70.0, 80.0], 1)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("1,2,3\n", "has 3 columns"),
        ("", "cannot read"),
        ("bpm\n70\n", "must begin with seconds"),
        ("5\n", "must begin"),
    ],
)
def test_any_other_form_is_refused_by_name(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=rf"hr\.csv.*{complaint}|{complaint}.*hr\.csv"):
        read_heart_rates(written(tmp_path / "hr.csv", text))


def analyzed(*arguments: str) -> Any:
    done = CliRunner().invoke(build_app("analyze"), ["analyze", *arguments])
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)["recordings"][0]


def lying_still(path: Path, minutes: int) -> Path:
    rng = np.random.default_rng(1)
    accel_g = rng.normal(0, 0.004, (600 * minutes, 3)) + (0, 0, 1)
    np.savetxt(path, accel_g, delimiter=",", header="x,y,z", comments="", fmt="%.5f")
    return path


def test_events_of_both_sensors_are_reported(tmp_path: Path) -> None:
    watch = lying_still(tmp_path / "acc.csv", 15)
    bpm = "\n".join(["103" if 660 <= second < 780 else "74" for second in range(900)])
    heart = written(tmp_path / "HR.csv", f"{BEGIN_S}\n1\n{bpm}\n")
    assert "high_heart_rate_at_rest" not in str(analyzed(str(watch), *LYING))
    found = analyzed(str(watch), *LYING, "--heart-rate", str(heart))
    assert found["heart_rates"] == 900
    assert found["events"] == [
        {
            "kind": "high_heart_rate_at_rest",
            "start_s": 660.0,
            "end_s": 780.0,
            "extreme_value": 103.0,
            "extreme_unit": "/min",
        }
    ]


def test_heart_rates_of_another_day_are_refused(tmp_path: Path) -> None:
    watch, heart = lying_still(tmp_path / "acc.csv", 1), written(tmp_path / "HR.csv", "1644226071\n1\n70\n71\n")
    done = CliRunner().invoke(build_app("analyze"), ["analyze", str(watch), *LYING, "--heart-rate", str(heart)])
    assert isinstance(done.exception, ConfigError)
    assert "2022-02-07" in str(done.exception)
    assert "--start" in str(done.exception)


def test_an_hour_of_induced_stress_says_one_thing() -> None:
    recording, heart = (str(shared_path(f"stress-predict-e4/S10/{name}")) for name in ("ACC.csv.gz", "HR.csv"))
    form = ("--no-header", "--skip-rows", "2", "--axes", "0,1,2", "--unit", "g", "--scale", "0.015625", "--json")
    more = ("--rate-hz", "32", "--range-g", "2", "--start", "2022-02-14T13:14:19Z", "--heart-rate", heart)
    assert [event["kind"] for event in analyzed(recording, *form, *more)["events"]] == ["high_heart_rate_at_rest"]
