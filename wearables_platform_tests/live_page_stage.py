"""The live page on servers of its own, with people, signals and events made up: to draw it and to measure it."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wearables_platform.clients.redis import LatestWriter
from wearables_platform.local.ports import free_ports
from wearables_platform.sql.migrate import migrate
from wearables_platform_tests.api_process import ApiProcess
from wearables_platform_tests.api_world import World
from wearables_platform_tests.large_fleet import LargeFleet
from wearables_platform_tests.servers import TestServers, fresh_database, open_directory

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# Without these Chromium looks for its maker's hosts, which a test machine need not reach; root has no sandbox.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
MODEL_VERSION = "2026-03-28-1"
STUDIES = (("cardiac", "Watch 2"), ("falls", "Band 5"), ("sleep", "Watch 2"))


@dataclass(frozen=True)
class Stage:
    """The API process and what it shows."""

    api: ApiProcess
    world: World
    writer: LatestWriter
    device_ids: list[str]


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start the machine's Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


@contextmanager
def open_stage(devices: int) -> Iterator[Stage]:
    """Start servers and the API, enrol so many devices, and keep all of them sending."""
    with open_directory() as directory, closing_servers(directory) as servers:
        redis_url = servers.url("redis")
        with (
            contextmanager(fresh_database)(servers.url("postgres")) as sql_url,
            closing(LatestWriter(redis_url, "live-page-stage")) as writer,
        ):
            migrate(sql_url)
            world = World(sql_url)
            names = enrol(world, devices)
            api = ApiProcess(sql_url, redis_url, free_ports(1)[0], directory)
            with sending(LargeFleet(writer, names, MODEL_VERSION)):
                api.start()
                try:
                    yield Stage(api, world, writer, names)
                finally:
                    api.close()


@contextmanager
def closing_servers(directory: Path) -> Iterator[TestServers]:
    """Start servers as they are asked for, and end them."""
    servers = TestServers(directory)
    try:
        yield servers
    finally:
        servers.stop_all()


@contextmanager
def sending(fleet: LargeFleet) -> Iterator[None]:
    """Let a fleet send once, and then on until the end."""
    fleet.write_once(round(datetime.now(UTC).timestamp() * 1e6))
    thread = threading.Thread(target=fleet.run)
    thread.start()
    try:
        yield
    finally:
        fleet.stopping.set()
        thread.join()


def enrol(world: World, devices: int) -> list[str]:
    """Enrol people in three studies, each wearing one device."""
    names: list[str] = []
    for place, (study, model) in enumerate(STUDIES):
        world.study(study)
        people = [f"{study}-{number:05d}" for number in range(place, devices, len(STUDIES))]
        names += world.people(people, study, model)
    return sorted(names)


def measured(world: World, device_id: str, now: datetime, *, minutes: int = 70) -> None:
    """Write features per second of a walk with rests, the newest provisional."""
    begin = now.replace(microsecond=0) - timedelta(minutes=minutes)
    at_s = np.arange(minutes * 60 - 2)
    walking = np.clip(3 * np.sin(at_s / 140) + 1, 0, 1) * (0.9 + 0.1 * np.sin(at_s / 11))
    random = np.random.default_rng(3)
    enmo_mg = 8 + 190 * walking * random.uniform(0.8, 1.2, len(at_s))
    rows = [
        (
            device_id, begin + timedelta(seconds=int(at_s[i])), enmo, 0.8 * enmo, 1 - 0.0025 * enmo, 1 + 0.0005 * enmo,
            1 + 0.004 * enmo, int(random.random() < 0.85 * walking[i]) * 2, 0.3 + enmo / 900, MODEL_VERSION,
            bool(i > len(at_s) - 40),
        )
        for i, enmo in enumerate(enmo_mg.tolist())
    ]  # fmt: skip
    world.execute(
        "INSERT INTO telemetry.window_features (device_id, window_start, n_samples, rate_hz, coverage, enmo_mg, mad_mg,"
        " vm_min_g, vm_mean_g, vm_max_g, x_mean_g, y_mean_g, z_mean_g, steps, anomaly_score, model_version,"
        " angle_z_deg, dominant_hz, glitches, clipped, flags, feature_version, provisional, revision, origin)"
        " VALUES (%s, %s, 100, 100, 1, %s, %s, %s, %s, %s, 0.1, 0.2, 0.97, %s, %s, %s, 71, 1.9, 0, 0, 0, '2', %s, 1,"
        " 'stream')",
        rows,
    )


def found(stage: Stage, now: datetime) -> None:
    """Announce events of a few devices, and store those of the first."""
    now_us = round(now.timestamp() * 1e6)
    kinds = [
        {"kind": "spike", "peak_g": 8.4, "severity": "warning", "duration_ms": 40.0},
        {"kind": "high_heart_rate_at_rest", "extreme_value": 112.5, "extreme_unit": "/min", "severity": "warning",
         "provisional": True, "duration_ms": 180e3},
        {"kind": "unusual_enmo", "extreme_value": 214.0, "extreme_unit": "m[g]", "severity": "info",
         "duration_ms": 120e3},
        {"kind": "not_worn", "extreme_value": 3.1, "extreme_unit": "m[g]", "severity": "info", "duration_ms": 900e3},
    ]  # fmt: skip
    events = {}
    for number in reversed(range(24)):  # the newest is announced last
        start_us = now_us - 41_000_000 * number - 2_500_000
        event = {"device_id": stage.device_ids[0 if number % 6 == 0 else 37 * number % len(stage.device_ids)]}
        event |= {"start_us": start_us, "end_us": start_us + 180_000_000, **kinds[number % len(kinds)]}
        events[f"stage:{number}"] = event
    stage.writer.add_anomalies(events)
    for minutes in (31, 12, 4):
        at = now - timedelta(minutes=minutes)
        stage.world.anomaly(stage.device_ids[0], "spike", at.replace(microsecond=0), at)


def lived(world: World, person: str, today: datetime) -> None:
    """Write two weeks of days, the last of them provisional, one missing."""
    for back in range(14):
        day = (today - timedelta(days=back)).date()
        if back == 5:
            continue
        world.day(person, day, 5200 + 731 * back % 6000, zone="UTC", final=back > 1, bpm=61 + back % 5)
        world.activity(person, day, mvpa_s=60 * (18 + 7 * back % 40), steps=5000, final=back > 1)


def scored(world: World, now: datetime) -> None:
    """Register a model in force, one in shadow and one refused, and what the stream has read."""
    rows = [
        (MODEL_VERSION, "in_force", now - timedelta(days=2), None),
        ("2026-03-30-1", "shadow", None, None),
        ("2026-03-29-1", "refused", None, "worse in two slices"),
    ]
    world.execute(
        "INSERT INTO ml.model_versions (name, version, state, sha256, lake_path, feature_version, code_version,"
        " trained_at, effective_from, training_days, training_people, metrics, refusal, signature)"
        " VALUES ('activity_anomaly', %s, %s, %s, 'm', '2', '1', %s, %s, '28 days', '{a,b,c,d}',"
        " '{\"alarm_threshold\": 0.55}', %s, 'unsigned')",
        [(version, state, "0" * 64, now - timedelta(days=3), since, why) for version, state, since, why in rows],
    )
    counts = {"stored": (0, 184_000), "duplicate": (184_000, 184_310), "quarantined": (184_310, 184_352)}
    world.execute(
        "INSERT INTO quality.ledger (consumer, topic, partition_number, outcome, positions)"
        " VALUES ('stream', 'wearables.acceleration.v1', 0, %s, int8multirange(int8range(%s, %s)))",
        [(outcome, *span) for outcome, span in counts.items()],
    )
