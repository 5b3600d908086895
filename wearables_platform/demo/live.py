"""A few made-up people wearing simulated watches now, in real time: what `make up` leaves running to look at.

Each watch measures acceleration at 16 kHz, heart rate and steps, and goes through the thin client like a real one.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from wearables_platform.clients.sql import SqlClient
from wearables_platform.domain.time_policy import US_PER_S
from wearables_platform.edge.client import ClientConfig, ThinClient
from wearables_platform.edge.fleet import Fleet
from wearables_platform.edge.messages import HeartRateReading, StepReading, Vitals
from wearables_platform.edge.running import device_mqtt_url
from wearables_platform.edge.simulation.motion import SENSOR_RATE_HZ, Motion, draw_pulse, unit_vector
from wearables_platform.local.mqtt_credentials import credentials_of
from wearables_platform.logs import configure_logging, get_logger
from wearables_platform.registry import Enrolment, Participant, Registry
from wearables_platform.settings import Settings, load_settings

WATCHES: Final = 6
STUDY: Final = "live"
VITALS_EVERY_S: Final = 5
STATUS_EVERY_S: Final = 60
PULSE_EVERY_S: Final = 45  # now and then somebody bumps into something
CHUNK: Final = SENSOR_RATE_HZ // 10

_log = get_logger(__name__)


@dataclass
class Watch:
    """One watch: what its wearer does, and its client."""

    client: ThinClient
    motion: Motion
    resting_bpm: float
    cadence_hz: float
    began_us: int
    chunks: int = 0

    def tick(self, monotonic_us: int) -> None:
        """Measure the next tenth of a second; seconds are made whole and handed out in tenths."""
        number, tenth = divmod(self.chunks, 10)
        if tenth == 0:
            self._second = self.motion.second(number)
        start_us = self.began_us + self.chunks * US_PER_S // 10
        piece = self._second[tenth * CHUNK : (tenth + 1) * CHUNK]
        self.client.record(piece, source_rate_hz=SENSOR_RATE_HZ, start_us=start_us, monotonic_us=monotonic_us)
        self.chunks += 1
        if tenth == 0:
            self._report(number, start_us, monotonic_us)

    def _report(self, second: int, now_us: int, monotonic_us: int) -> None:
        if second % VITALS_EVERY_S == 0:
            bpm = round(2 * (self.resting_bpm + 18 + 6 * np.sin(second / 40.0))) / 2
            begin_us = now_us - VITALS_EVERY_S * US_PER_S
            steps = StepReading(begin_us, now_us, round(VITALS_EVERY_S * self.cadence_hz))
            self.client.record_vitals(Vitals((HeartRateReading(now_us, bpm),), (steps,)), monotonic_us)
        if second % STATUS_EVERY_S == 0:
            self.client.report_status(now_us, monotonic_us, battery_percent=max(5.0, 95.0 - second / 600.0))


def enrol(settings: Settings, device_ids: list[str], now: datetime) -> dict[str, str]:
    """Enrol the watches and draw each a new token."""
    registered = now - timedelta(days=1)
    enrolments = [
        Enrolment(Participant(f"p-{device_id}", STUDY, 1990, "unknown", "UTC"), device_id, registered, "simulated-16k")
        for device_id in device_ids
    ]
    with closing(SqlClient(settings.require("sql_url"), "wearables live", pool_size=1)) as sql:
        registry = Registry(sql, credentials_of(settings))
        fresh = registry.enrol(enrolments)
        return fresh | registry.rotate([device_id for device_id in device_ids if device_id not in fresh], now)


def wear(
    fleet: Fleet, tokens: dict[str, str], now: Callable[[], datetime], stopped: Callable[[], bool] | None = None
) -> None:
    """Wear the watches until `stopped`, by default until the fleet is asked to stop."""
    stopped = stopped or (lambda: fleet.interrupted)
    rng = np.random.default_rng()
    began = now()
    watches = [_watch(fleet, device_id, token, rng, began) for device_id, token in tokens.items()]
    started_s = time.monotonic()
    ticks = 0
    while not stopped():
        due = int((time.monotonic() - started_s) * 10)
        while ticks < due:
            for watch in watches:
                watch.tick(ticks * US_PER_S // 10)
            ticks += 1
        fleet.pump()
        fleet.wait()


def _watch(fleet: Fleet, device_id: str, token: str, rng: np.random.Generator, began: datetime) -> Watch:
    cadence_hz = float(rng.uniform(1.6, 2.1))
    hour = range(int(rng.integers(5, PULSE_EVERY_S)), 24 * 3_600, PULSE_EVERY_S)
    pulses = tuple(draw_pulse(rng, second) for second in hour)
    motion = Motion(int(rng.integers(2**62)), unit_vector(rng), cadence_hz, pulses)
    client = fleet.add(ClientConfig(device_id, device_model="simulated-16k"), token)
    began_us = int(began.timestamp()) * US_PER_S
    return Watch(client, motion, float(rng.integers(56, 72)), cadence_hz, began_us)


def main() -> int:
    """Wear the watches of the running instance until SIGTERM."""
    configure_logging("live-fleet")
    settings = load_settings()
    tokens = enrol(settings, [f"live-{n:02d}" for n in range(1, WATCHES + 1)], datetime.now(UTC))
    spool = settings.run_dir / "edge" / "live.sqlite"
    with Fleet(device_mqtt_url(settings), spool) as fleet:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: fleet.interrupt())
        _log.info("wearing", watches=len(tokens))
        wear(fleet, tokens, lambda: datetime.now(UTC))
    return 0


if __name__ == "__main__":
    sys.exit(main())
