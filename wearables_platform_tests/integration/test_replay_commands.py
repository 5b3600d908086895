"""`replay-recording`, `simulate` and `analyze` as a person runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from wearables_platform.domain.channels import ACCELERATION, STATUS, VITALS
from wearables_platform.wire.codec import accel_values_g, decode, decode_one
from wearables_platform_tests.bridge_rig import BridgeRig, bridge_rig, new_device_id
from wearables_platform_tests.recordings import shared_path
from wearables_platform_tests.servers import MqttDevices

pytestmark = [pytest.mark.integration, pytest.mark.kafka, pytest.mark.mqtt, pytest.mark.sql]
ROWS = 1_230


@pytest.fixture
def rig(kafka_url: str, mqtt_url: str, sql_url: str, mqtt_devices: MqttDevices, tmp_path: Path) -> Iterator[BridgeRig]:
    yield from bridge_rig(kafka_url, mqtt_url, sql_url, mqtt_devices.credentials, tmp_path)


def wearables(
    *arguments: str, rig: BridgeRig | None = None, module: str = "wearables_platform.cli"
) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WEARABLES_")}
    if rig is not None:
        broker = urlsplit(rig.mqtt_url)
        environment |= {
            "WEARABLES_RUN_DIR": str(rig.directory / "run"),
            "WEARABLES_SQL_URL": rig.sql_url,
            "WEARABLES_MQTT_HOST": str(broker.hostname),
            "WEARABLES_MQTT_PORT": str(broker.port),
        }
        # Where `up` keeps the broker's files, a link to those of the test's broker: enrolling reaches it the same way.
        (rig.directory / "run" / "data").mkdir(parents=True, exist_ok=True)
        link = rig.directory / "run" / "data" / "mqtt"
        if not link.exists():
            link.symlink_to(rig.credentials.directory)
    argv = [sys.executable, "-m", module, *arguments]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=120, check=False)


def write_recording(path: Path, device_seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(device_seed)
    accel_g = rng.normal(0, 0.3, (ROWS, 3)) + [0, 0, 1]
    stamps_ms = 1_774_742_400_000 + np.arange(ROWS) * 20
    lines = [f"{t},{x:.6f},{y:.6f},{z:.6f}" for t, (x, y, z) in zip(stamps_ms, accel_g, strict=True)]
    lines[7] = f"{stamps_ms[7]},nan,0,0"
    path.write_text("t,ax,ay,az\n" + "\n".join(lines) + "\n")
    return np.round(np.delete(accel_g, 7, axis=0), 6)


def test_a_recording_arrives_whole_and_a_rerun_adds_nothing(rig: BridgeRig) -> None:
    device_id = new_device_id("replay")
    path = rig.directory / "walk.csv"
    accel_g = write_recording(path)
    rig.start()
    command = ["replay-recording", str(path), "--time", "t", "--time-unit", "ms", "--axes", "ax,ay,az", "--unit", "g"]
    command += ["--device-id", device_id, "--speed", "0", "--enroll", "--json"]
    first = wearables(*command, rig=rig)
    assert first.returncode == 0, first.stderr
    report = json.loads(first.stdout)
    assert report["recordings"][0]["samples"] == ROWS - 1
    assert report["recordings"][0]["skipped_by_reason"] == {"non_finite": 1}
    assert report["devices"][0]["accepted"] == report["devices"][0]["produced"] > 0

    stored = rig.stored(device_id)
    decoded = decode(ACCELERATION, [record.payload for record in stored])
    samples_g, _ = accel_values_g(decoded.rows)
    np.testing.assert_allclose(samples_g, accel_g, atol=1e-6)

    (rig.directory / "run" / "edge" / "replay.sqlite").unlink()  # even with no memory of the first run
    again = wearables(*command, rig=rig)
    assert again.returncode == 0, again.stderr
    assert {(r.identity(), r.payload) for r in rig.stored(device_id)} == {(r.identity(), r.payload) for r in stored}


def test_a_device_that_is_not_enrolled_is_named(rig: BridgeRig) -> None:
    path = rig.directory / "walk.csv"
    write_recording(path)
    command = ["replay-recording", str(path), "--time", "t", "--time-unit", "ms", "--axes", "ax,ay,az", "--unit", "g"]
    found = wearables(*command, "--device-id", "stranger", rig=rig)
    assert found.returncode == 3
    assert "stranger" in found.stderr
    assert "--enroll" in found.stderr


def test_a_simulated_fleet_is_confirmed_and_its_rubbish_refused(rig: BridgeRig) -> None:
    rig.start()
    truth = rig.directory / "truth.json"
    found = wearables(
        "simulate", "--seconds", "50", "--seed", "11", "--speed", "0", "--truth", str(truth), "--json", rig=rig
    )
    assert found.returncode == 0, found.stderr
    devices = json.loads(found.stdout)["devices"]
    planted = json.loads(truth.read_text())
    assert sum(each["refused"] for each in devices.values()) == len(planted["dead_letters"]) == 2
    assert sum(each["repeated"] for each in devices.values()) == len(planted["duplicates"]) + 1  # and one contradiction
    assert all(each["pending"] == each["dropped"] == 0 for each in devices.values())


def analyzed(*arguments: str) -> list[dict[str, Any]]:
    found = wearables("analyze", *arguments, "--json")
    assert found.returncode == 0, found.stderr
    recordings: list[dict[str, Any]] = json.loads(found.stdout)["recordings"]
    return recordings


def test_analyze_needs_no_server_and_prints_what_it_promises(tmp_path: Path) -> None:
    path = tmp_path / "walk.csv"
    write_recording(path)
    options = ["--time", "t", "--time-unit", "ms", "--axes", "ax,ay,az", "--unit", "g"]
    (found,) = analyzed(str(path), *options)
    assert (found["samples"], found["skipped"], found["skipped_by_reason"]) == (ROWS - 1, 1, {"non_finite": 1})
    assert found["rate_hz"] == pytest.approx(50.0, rel=1e-3)
    promised = {"group", "samples", "skipped", "seconds", "rate_hz", "steps", "enmo_mg", "mad_mg", "glitches", "spikes"}
    assert promised <= found.keys()
    assert "windows" not in found
    (found,) = analyzed(str(path), *options, "--windows")
    assert len(found["windows"]) == 25
    table = wearables("analyze", str(path), *options)
    assert table.returncode == 0
    assert "non_finite" in table.stdout


def test_analyze_says_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    path.write_text("t,x,y,z\nsoon,1,2,3\n")
    nothing = wearables("analyze", str(path), "--time", "t", "--axes", "x,y,z", "--unit", "g")
    assert nothing.returncode == 1
    wrong = wearables("analyze", str(path), "--time", "when", "--axes", "x,y,z", "--unit", "g")
    assert (wrong.returncode, "'when'" in wrong.stderr) == (3, True)


def test_analyze_gives_the_published_values_of_a_real_wristband() -> None:
    path = shared_path("stress-predict-e4/S10/ACC.csv.gz")
    options = ["--no-header", "--skip-rows", "2", "--axes", "0,1,2", "--unit", "g", "--scale", "0.015625"]
    (found,) = analyzed(str(path), *options, "--rate-hz", "32")
    assert found["samples"] == 97_200
    assert round(found["enmo_mg"], 2) == 5.74


def test_the_example_device_measures_and_everything_it_says_is_confirmed(rig: BridgeRig) -> None:
    device_id = new_device_id("example")
    tokens = rig.directory / "tokens.json"
    tokens.write_text(json.dumps(rig.enrol(device_id)))
    rig.start()
    options = ["--device-id", device_id, "--tokens", str(tokens), "--spool", str(rig.directory / "e.sqlite")]
    found = wearables(*options, "--seconds", "3", rig=rig, module="wearables_platform.edge.example_device")
    assert found.returncode == 0, found.stderr
    samples = [decode_one(ACCELERATION, record.payload) for record in rig.stored(device_id)]
    assert {message.rate_hz for message in samples} == {100.0}
    assert len(samples) >= 29
    assert len(rig.stored(device_id, VITALS.topic)) == len(rig.stored(device_id, STATUS.topic)) == 1
