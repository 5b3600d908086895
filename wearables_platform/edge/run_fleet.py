"""Plays the simulated fleet with known truth: ``python -m wearables_platform.edge.run_fleet``."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import typer

from wearables_platform.domain.time_policy import to_us
from wearables_platform.edge.client import ClientConfig
from wearables_platform.edge.running import device_mqtt_url, play, read_tokens
from wearables_platform.edge.simulation.fleet import fleet_truth, simulated_fleet
from wearables_platform.edge.sources import fleet_source
from wearables_platform.logs import configure_logging
from wearables_platform.settings import load_settings


def main(
    device: list[str] = typer.Option(help="Device ids, one option each; at least six."),  # noqa: B008
    tokens: Path = typer.Option(help="JSON file: device id to token."),  # noqa: B008
    spool: Path = typer.Option(help="Spool file, kept over restarts."),  # noqa: B008
    seed: int = typer.Option(1, help="Decides everything planted."),
    seconds: int = typer.Option(60, help="How long each device runs."),
    start: str = typer.Option("2026-03-29T10:00:00Z", help="The devices' clock at the first sample."),
    registered_at: str = typer.Option("2026-03-01T00:00:00Z", help="When the devices were enrolled."),
    speed: float = typer.Option(1.0, help="Seconds of device time per second; 0 as fast as possible."),
    truth: Path | None = typer.Option(None, help="Where to write what is planted."),  # noqa: B008
    report: Path | None = typer.Option(None, help="Where to write what became of every message."),  # noqa: B008
) -> None:
    """Play everything; exit code 0 once all is confirmed, 1 if asked to stop before."""
    configure_logging("run-fleet")
    start_us, registered_us = (to_us(datetime.fromisoformat(text)) for text in (start, registered_at))
    fleet = simulated_fleet(seed, device, start_us=start_us, registered_us=registered_us, seconds=seconds)
    if truth is not None:
        fleet_truth(fleet).write(truth)
    configs = [ClientConfig(device_id) for device_id in device]
    url = device_mqtt_url(load_settings())
    sources = [fleet_source(each) for each in fleet]
    done = play(url, spool, sources, configs, read_tokens(tokens), speed=speed, report=report)
    sys.exit(0 if done else 1)


if __name__ == "__main__":
    typer.run(main)
