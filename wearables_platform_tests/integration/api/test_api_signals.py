"""A device's signal at any zoom, from the lake as far as it reaches and from SQL after that; and how complete it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wearables_platform.api.access import Principal, Tokens
from wearables_platform.api.app import create_app
from wearables_platform.batch.messages import export_days
from wearables_platform.batch.zoom import build_zoom
from wearables_platform.clients.lake import Lake
from wearables_platform.clients.lake_files import FileObjects
from wearables_platform.clients.redis_reads import LatestReader
from wearables_platform.domain.channels import ACCELERATION
from wearables_platform.settings import Settings
from wearables_platform.wire.codec import encode_samples_float32
from wearables_platform_tests.api_world import LONDON_TOKEN, NOW, TOKEN, Caller, World
from wearables_platform_tests.lake_rig import DAY, ListedArchive, document

pytestmark = [pytest.mark.sql, pytest.mark.redis, pytest.mark.integration]

MIDNIGHT = datetime(2026, 3, 29, tzinfo=UTC)
RATE_HZ, SECONDS = 800, 100
AXES = [f"{axis}_{end}_g" for axis in "xyz" for end in ("min", "mean", "max")]


@pytest.fixture
def accel_g() -> np.ndarray:
    return np.random.default_rng(3).normal(0, 0.3, (RATE_HZ * SECONDS, 3)).astype(np.float32)


@pytest.fixture
def drawn(world: World, settings: Settings, live_url: str, tmp_path: Path, accel_g: np.ndarray) -> Caller:
    """A watch with a hundred seconds at 800 Hz in the lake, and twenty seconds after that in SQL alone."""
    world.study("london")
    device_id = world.person("one", "london")
    lake = Lake(FileObjects(tmp_path))
    parts = np.split(accel_g, SECONDS)
    messages = [
        document(device_id, n, samples=encode_samples_float32(part), rate_hz=RATE_HZ) for n, part in enumerate(parts)
    ]
    export_days(ListedArchive(messages), lake, ACCELERATION, [DAY])
    build_zoom(lake, DAY)
    world.windows(device_id, MIDNIGHT, SECONDS + 20, vm_g=1.5)
    tokens = Tokens(
        {TOKEN: Principal("operator", None, "operator"), LONDON_TOKEN: Principal("l", frozenset({"london"}))}
    )
    there = settings.model_copy(update={"lake_url": tmp_path.as_uri()})
    return Caller(
        create_app(there, LatestReader(live_url, "api-tests"), clock=lambda: NOW, tokens=tokens).test_client()
    )


def span(begin_s: float, end_s: float, **asked: Any) -> dict[str, Any]:
    begin, end = (MIDNIGHT + timedelta(seconds=second) for second in (begin_s, end_s))
    return {"from": begin.isoformat(), "to": end.isoformat(), **asked}


def test_points_of_a_level_hold_the_least_the_mean_and_the_greatest_sample(drawn: Caller, accel_g: np.ndarray) -> None:
    reply = drawn.json("/v1/devices/one-watch/waveform", **span(0, 100, points=50))
    (part,) = reply["parts"]
    assert (part["source"], part["level"], part["width_us"], reply["points"]) == ("lake", "1 s", 2_000_000, 50)
    assert part["n"] == [2 * RATE_HZ] * 50
    cells = accel_g.reshape(50, -1, 3)
    for axis, name in enumerate("xyz"):
        assert part[f"{name}_min_g"] == pytest.approx(cells[:, :, axis].min(axis=1), abs=1e-6)
        assert part[f"{name}_mean_g"] == pytest.approx(cells[:, :, axis].mean(axis=1), abs=1e-5)
        assert part[f"{name}_max_g"] == pytest.approx(cells[:, :, axis].max(axis=1), abs=1e-6)
    assert part["vm_mean_g"] is None


def test_a_short_span_gives_the_samples_themselves(drawn: Caller, accel_g: np.ndarray) -> None:
    (part,) = drawn.json("/v1/devices/one-watch/waveform", **span(10, 10.5, points=1000))["parts"]
    assert (part["level"], part["width_us"], len(part["time_us"])) == ("samples", 0, 400)
    assert part["x_mean_g"] == pytest.approx(accel_g[8000:8400, 0], abs=1e-6)
    assert part["x_min_g"] == part["x_mean_g"] == part["x_max_g"]


def test_what_the_lake_does_not_hold_yet_is_drawn_from_sql(drawn: Caller) -> None:
    reply = drawn.json("/v1/devices/one-watch/waveform", **span(0, 120, points=60))
    lake, sql = reply["parts"]
    assert (lake["source"], sql["source"], sql["level"]) == ("lake", "sql", "1 s")
    assert reply["points"] == len(lake["time_us"]) + len(sql["time_us"]) <= 60
    assert lake["time_us"][-1] < sql["time_us"][0]
    assert sum(sql["n"]) == 20 * 100
    assert (set(sql["vm_min_g"]), set(sql["vm_mean_g"]), set(sql["vm_max_g"])) == ({1.4}, {1.5}, {1.6})
    assert sql["x_min_g"] is None


@pytest.mark.parametrize("points", [10, 11, 37, 500])
@pytest.mark.parametrize("bounds", [(0, 120), (-50, 90.3), (99.9, 100.2), (95, 20_000), (200, 300), (0.0001, 0.0011)])
def test_there_are_never_more_points_than_asked_for(drawn: Caller, bounds: tuple[float, float], points: int) -> None:
    reply = drawn.json("/v1/devices/one-watch/waveform", **span(*bounds, points=points))
    assert sum(len(part["time_us"]) for part in reply["parts"]) == reply["points"] <= points
    for part in reply["parts"]:
        assert {len(part[name]) for name in AXES if part[name] is not None} == {len(part["time_us"])}


def test_without_a_lake_everything_is_drawn_from_sql(caller: Caller, world: World) -> None:
    world.study("sleep")
    device_id = world.person("one", "sleep")
    world.windows(device_id, MIDNIGHT, 100, vm_g=1.5)
    reply = caller.json(f"/v1/devices/{device_id}/waveform", **span(0, 100, points=10))
    assert [part["source"] for part in reply["parts"]] == ["sql"]
    assert (reply["points"], reply["lake_until"]) == (10, None)


def test_of_a_watch_that_changed_hands_each_study_sees_its_own_time(drawn: Caller, world: World) -> None:
    world.study("paris")
    world.person("two", "paris")
    world.execute("UPDATE registry.participants SET study_id = 'paris' WHERE participant_id = %s", [("one",)])
    world.execute("UPDATE registry.participants SET study_id = 'london' WHERE participant_id = %s", [("two",)])
    world.reassign("one-watch", "two", MIDNIGHT + timedelta(seconds=60))
    world.anomaly("one-watch", "spike", MIDNIGHT, MIDNIGHT)
    world.gap("one-watch", MIDNIGHT)
    londoner = Caller(drawn.client, LONDON_TOKEN)
    parts = londoner.json("/v1/devices/one-watch/waveform", **span(0, 120, points=60))["parts"]
    assert min(part["time_us"][0] for part in parts) >= (MIDNIGHT.timestamp() + 60) * 1e6
    windows = londoner.all_pages("/v1/devices/one-watch/features")
    assert (windows[0]["window_start"], len(windows)) == ("2026-03-29T00:01:00Z", 60)
    assert londoner.all_pages("/v1/devices/one-watch/anomalies") == []
    complete = londoner.json("/v1/devices/one-watch/completeness", **{"from": "2026-03-29", "to": "2026-03-29"})
    assert (complete["items"][0]["windows"], complete["items"][0]["gaps"], complete["gaps"]) == (60, 0, [])
    whole = drawn.json("/v1/devices/one-watch/completeness", **{"from": "2026-03-29", "to": "2026-03-29"})
    assert (whole["items"][0]["windows"], whole["items"][0]["gaps"]) == (120, 1)


def test_completeness_is_the_share_of_each_day_and_names_what_did_not_come(caller: Caller, world: World) -> None:
    world.study("sleep")
    device_id = world.person("one", "sleep")
    world.hour(device_id, MIDNIGHT + timedelta(hours=3), 10)
    world.windows(device_id, MIDNIGHT + timedelta(hours=3), 30)  # in that hour
    world.windows(device_id, MIDNIGHT + timedelta(hours=4), 1800)  # not aggregated yet
    world.windows(device_id, datetime(2026, 3, 31, 6, tzinfo=UTC), 432)
    world.gap(device_id, MIDNIGHT + timedelta(hours=5))
    reply = caller.json(f"/v1/devices/{device_id}/completeness", **{"from": "2026-03-28"})
    assert [(item["day"], item["measured_s"], item["windows"]) for item in reply["items"]] == [
        ("2026-03-28", 0.0, 0),
        ("2026-03-29", 5400.0, 5400),
        ("2026-03-30", 0.0, 0),
        ("2026-03-31", 432.0, 432),
    ]
    assert reply["items"][1]["share"] == pytest.approx(5400 / 86_400)
    assert reply["items"][3]["share"] == pytest.approx(432 / 43_200)  # it is noon
    assert (reply["items"][1]["gaps"], reply["items"][1]["messages_missing"]) == (1, 3)
    assert [(gap["first_sequence"], gap["last_sequence"]) for gap in reply["gaps"]] == [(5, 7)]
    assert reply["gaps_truncated"] is False
