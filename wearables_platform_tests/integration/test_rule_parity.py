"""What the stream's rules say of two sensors is what batch says of the day, or has a recorded cause."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.compute as pc
import pytest

from wearables_platform.domain.channels import ACCELERATION, VITALS
from wearables_platform.wire.v1 import telemetry_pb2 as pb
from wearables_platform_tests.batch_world import MIDNIGHT_US, BatchWorld, Log, own_database
from wearables_platform_tests.stream_logs import message

pytestmark = [pytest.mark.integration, pytest.mark.sql, pytest.mark.mongo]

S_US = 1_000_000
MINUTE_US = 60 * S_US
BEGIN_US = MIDNIGHT_US + 11 * 3_600 * S_US + 40 * MINUTE_US  # twenty minutes of one hour, forty of the next
MINUTES = 60
ASSETS = (
    "raw_acceleration", "raw_vitals", "window_features", "spike_events", "rule_events", "wear", "rolling_features",
    "parity",
)  # fmt: skip


@pytest.fixture
def world(tmp_path: Path, mongo_url: str, own_sql_url: str) -> Iterator[BatchWorld]:
    with dg.DagsterInstance.ephemeral() as instance:
        world = BatchWorld(own_database(mongo_url), own_sql_url, (tmp_path / "lake").as_uri(), instance)
        yield world
        world.close()


def lying_still(minutes: int) -> Log:
    log = Log(ACCELERATION)
    for n in range(6 * minutes):
        at_us = n * 10 * S_US
        payload = message("watch-1", 7, n, BEGIN_US + at_us, at_us, n=100, rate_hz=10.0, noise_g=0.004)
        log.add(BEGIN_US + at_us + 11 * S_US, "watch-1", payload)
    return log


def movement(*, late: int, hole: range) -> Log:
    """Ten-second messages; one comes minutes late, some never."""
    log, at_us = Log(ACCELERATION), 0
    for n in range(6 * MINUTES):
        if n not in hole:
            start_us = BEGIN_US + n * 10 * S_US
            payload = message("watch-1", 7, n, start_us, n * 10 * S_US, n=100, rate_hz=10.0)
            log.add(start_us + 11 * S_US, "watch-1", payload)
    at_us, device_id, payload = log.records.pop(late)
    place = late + 18
    log.records.insert(place, (log.records[place][0], device_id, payload))
    return log


def pulses(implausible: set[int], *, late: int | None = None, minutes: int = MINUTES) -> Log:
    """A message per minute, ten seconds after it; one comes a quarter of an hour late."""
    log = Log(VITALS)
    for minute in range(minutes):
        times = [BEGIN_US + minute * MINUTE_US + second * S_US for second in range(0, 60, 5)]
        payload = pb.VitalsBatch(
            device_id="watch-1",
            boot_id=9,
            sequence=minute,
            start_time_us=times[0],
            heart_rate=[pb.HeartRate(time_us=at, bpm=240.0 if minute in implausible else 72.5) for at in times],
        ).SerializeToString(deterministic=True)
        log.add(times[0] + 70 * S_US, "watch-1", payload)
    if late is not None:
        _, device_id, payload = log.records.pop(late)
        log.records.insert(late + 14, (log.records[late + 14][0], device_id, payload))
    return log


def events(world: BatchWorld, kind: str) -> list[tuple[Any, ...]]:
    """Return minutes after the begin, value, unit, origin, whether provisional."""
    found = world.sql.rows("SELECT * FROM telemetry.anomalies WHERE kind = %s ORDER BY started_at", (kind,))
    return [
        (
            *(round(row[name].timestamp() / 60 - BEGIN_US / MINUTE_US) for name in ("started_at", "ended_at")),
            row["extreme_value"],
            row["extreme_unit"],
            row["origin"],
            row["provisional"],
        )
        for row in found
    ]


def test_events_wear_and_rolling_rows_are_equal_or_have_a_cause(world: BatchWorld) -> None:
    steps = movement(late=12 * 6, hole=range(240, 252))  # the late message falls into minute 12
    hearts = pulses({5, 6, 30, 45}, late=30)
    for log in (steps, hearts):
        world.archived(log)
    world.streamed_together(steps, hearts)
    said = events(world, "implausible_heart_rate")
    assert said == [
        (5, 7, 240.0, "/min", "stream", False),
        (45, 46, 240.0, "/min", "stream", False),
    ]
    silences = [event[:3] for event in events(world, "silent_sensor")]
    assert silences == [(40, 42, 130.0), (60, 61, pytest.approx(60, abs=30))]
    late = world.sql.rows("SELECT minute_start, read_until FROM quality.dirty_minutes WHERE NOT resolved")
    assert [round(row["minute_start"].timestamp() / 60 - BEGIN_US / MINUTE_US) for row in late] == [30]

    result = world.build(*ASSETS)
    assert result.success
    checked = {
        (found.asset_key.to_user_string(), found.metadata["rows"].value > 2)
        for found in result.get_asset_check_evaluations()
        if found.check_name == "keys_schema_and_ranges" and "rows" in found.metadata  # the run's; the days' refer to it
    }
    assert checked >= {("rule_events", True), ("wear", True), ("rolling_features", True)}
    (run,) = world.sql.rows("SELECT * FROM quality.parity_runs")
    rules = run["detail"]["rules"]
    assert run["unexplained"] == 0
    assert world.sql.rows("SELECT topic, read_until, resolved FROM quality.dirty_minutes") == [
        {"topic": VITALS.topic, "read_until": late[0]["read_until"], "resolved": True}
    ]
    assert rules["clean"] > 300
    assert rules["clean_equal"] == rules["clean"]
    assert rules["dirty"] > 10
    assert rules["dirty_equal_after"] == rules["dirty"]
    assert events(world, "implausible_heart_rate") == [said[0], (30, 31, 240.0, "/min", "batch", False), said[1]]
    assert world.sql.rows("SELECT DISTINCT provisional FROM telemetry.anomalies") == [{"provisional": False}]

    before = world.sql.rows("SELECT * FROM telemetry.rolling_features ORDER BY 1, 2, 3")
    assert world.build(*ASSETS).success
    assert world.sql.rows("SELECT * FROM telemetry.rolling_features ORDER BY 1, 2, 3") == before


def test_a_rolling_row_changed_behind_everybodys_back_is_named(world: BatchWorld) -> None:
    steps = movement(late=12 * 6, hole=range(0))
    world.archived(steps)
    world.streamed_together(steps)
    world.sql.execute(
        "UPDATE telemetry.rolling_features SET enmo_mg = enmo_mg + 1e-9 WHERE span_s = 60"
        " AND window_start = timestamptz '2026-03-29 12:20:10+00'"
    )
    result = world.build(*(name for name in ASSETS if name != "raw_vitals"), raise_on_error=False)
    (check,) = [found for found in result.get_asset_check_evaluations() if found.check_name == "nothing_unexplained"]
    assert not check.passed
    assert "watch-1 at 2026-03-29T12:20:10+00:00 (span_s = 60)" in str(check.metadata["examples"].value)


def test_what_vanishes_from_the_last_hour_is_named_and_not_worn_is_equal_by_value(world: BatchWorld) -> None:
    still, hearts = lying_still(110), pulses({85, 100}, minutes=110)
    for log in (still, hearts):
        world.archived(log)
    world.streamed_together(still, hearts)
    off = events(world, "not_worn")
    # The quarter that begins after 95 minutes is not over: nothing came after it.
    assert [(*event[:2], *event[3:]) for event in off] == [
        (50, 80, "m[g]", "stream", False),
        (80, 95, "m[g]", "stream", True),
    ]
    assert [event[2] for event in off] == [pytest.approx(4.0, rel=0.05)] * 2
    assert [event[0] for event in events(world, "implausible_heart_rate")] == [85, 100]
    deleted = "DELETE FROM telemetry.anomalies WHERE kind = 'implausible_heart_rate' AND started_at = "
    world.sql.execute(deleted + "timestamptz '2026-03-29 13:20:00+00'")

    result = world.build(*ASSETS, raise_on_error=False)
    (run,) = world.sql.rows("SELECT * FROM quality.parity_runs")
    assert run["unexplained"] == 1
    (check,) = [found for found in result.get_asset_check_evaluations() if found.check_name == "nothing_unexplained"]
    assert not check.passed
    named = str(check.metadata["examples"].value)
    assert "watch-1 at 2026-03-29T13:20:00+00:00 (kind = 'implausible_heart_rate')" in named
    batch = world.lake.read_table("features/rules", ["2026-03-29"]).filter(pc.field("kind") == "not_worn")
    assert batch.column("extreme_value").to_pylist() == [off[0][2], events(world, "not_worn")[1][2]]
    assert events(world, "not_worn")[0] == off[0]
