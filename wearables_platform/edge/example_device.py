"""A device from beginning to end: read a sensor, give the samples to the thin client, let it do the rest.

Run it against a running platform (see docs/device.md)::

    wearables enroll --participant-id me --birth-year 1990 --device-id my-watch --tokens-file tokens.json
    python -m wearables_platform.edge.example_device --device-id my-watch --tokens tokens.json --spool my-watch.sqlite

For a real device replace `read_sensor`; everything else stays.
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import numpy as np
import typer
from numpy.typing import NDArray

from wearables_platform.edge.client import ClientConfig, ThinClient
from wearables_platform.edge.fleet import Fleet
from wearables_platform.edge.messages import HeartRateReading, SensorReading, StepReading, Vitals
from wearables_platform.edge.running import device_mqtt_url, read_tokens
from wearables_platform.settings import load_settings

SENSOR_RATE_HZ = 1_600
READ_EVERY_S = 0.1
STATUS_EVERY_S = 10.0
DRAIN_S = 20.0


def read_sensor(first: int, count: int) -> NDArray[np.float64]:
    """Return the sensor's next samples, (count, 3) g. Here: an arm that swings; yours reads a FIFO."""
    t = (first + np.arange(count)) / SENSOR_RATE_HZ
    swing = 0.3 * np.sin(2 * np.pi * 1.8 * t)
    return np.stack([0.2 * swing, 0.1 * swing, 1.0 + swing], axis=1)


def run(fleet: Fleet, client: ThinClient, seconds: float) -> None:
    """Measure for so long, or until asked to stop."""
    began_s = time.monotonic()
    read = 0
    next_status_s = 0.0
    while (elapsed_s := time.monotonic() - began_s) < seconds and not fleet.interrupted:
        count = int(elapsed_s * SENSOR_RATE_HZ) - read
        if count > 0:
            # Both clocks at the first of these samples: the wall clock may step, the monotonic one does not.
            since_us = count * 1_000_000 // SENSOR_RATE_HZ
            client.record(
                read_sensor(read, count),
                source_rate_hz=SENSOR_RATE_HZ,
                start_us=time.time_ns() // 1_000 - since_us,
                monotonic_us=time.monotonic_ns() // 1_000 - since_us,
            )
            read += count
        if elapsed_s >= next_status_s:
            report(client)
            next_status_s += STATUS_EVERY_S
        fleet.pump()
        fleet.wait(READ_EVERY_S)
    client.interrupt()  # the last, shorter block


def report(client: ThinClient) -> None:
    """Tell how the device is, and what its own heart rate and step sensors say."""
    now_us, monotonic_us = time.time_ns() // 1_000, time.monotonic_ns() // 1_000
    client.report_status(now_us, monotonic_us, battery_percent=87.0, worn=True)
    heart_rate, steps = HeartRateReading(now_us, 64.0), StepReading(now_us - 10_000_000, now_us, 18)
    skin = SensorReading("skin_temperature", now_us, 33.1)
    client.record_vitals(Vitals((heart_rate,), (steps,), readings=(skin,)), monotonic_us)


def main(
    device_id: str = typer.Option(help="The enrolled device."),
    tokens: Path = typer.Option(help="JSON file: device id to token."),  # noqa: B008
    spool: Path = typer.Option(help="Where messages wait for their receipt, over restarts."),  # noqa: B008
    seconds: float = typer.Option(30.0, help="How long to measure."),
) -> None:
    """Measure, send, and wait for the last receipt; exit code 0 if everything is confirmed."""
    with Fleet(device_mqtt_url(load_settings()), spool, durable=True) as fleet:
        signal.signal(signal.SIGTERM, lambda *_: fleet.interrupt())
        client = fleet.add(ClientConfig(device_id, device_model="example"), read_tokens(tokens)[device_id])
        run(fleet, client, seconds)
        confirmed = fleet.drain(DRAIN_S)
        counts = client.counts()
    sys.stdout.write(f"{counts['accepted']} of {counts['produced']} messages confirmed\n")
    sys.exit(0 if confirmed else 1)


if __name__ == "__main__":
    typer.run(main)
