"""Plays the simulated fleet through thin clients: ``python -m wearables_platform.edge.run_fleet --help``."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import typer

from wearables_platform.domain.time_policy import to_us
from wearables_platform.edge.client import ClientConfig
from wearables_platform.edge.running import device_mqtt_url, play, read_tokens
from wearables_platform.edge.simulation.fleet import simulated_fleet
from wearables_platform.edge.sources import fleet_source
from wearables_platform.logs import configure_logging
from wearables_platform.settings import load_settings


def main(
    device: list[str] = typer.Option(help="A device of the fleet; one option each."),  # noqa: B008
    tokens: Path = typer.Option(help="JSON file: device id to token."),  # noqa: B008
    spool: Path = typer.Option(help="Spool file, kept over restarts."),  # noqa: B008
    seed: int = typer.Option(help="What everything planted is drawn from."),
    start: str = typer.Option(help="Event time at which the run begins, such as 2026-03-29T00:59:30Z."),
    registered: str = typer.Option(help="When the devices were registered."),
    seconds: int = typer.Option(60, help="Length of the run in the devices' time."),
    speed: float = typer.Option(10.0, help="Seconds of the devices' time per second; 0 as fast as possible."),
    report: Path | None = typer.Option(None, help="Where to write what became of every message."),  # noqa: B008
) -> None:
    """Play everything; exit code 0 once all is confirmed, 1 if asked to stop before."""
    configure_logging("run-fleet")
    fleet = simulated_fleet(
        seed, device, start_us=_instant_us(start), registered_us=_instant_us(registered), seconds=seconds
    )
    configs = [ClientConfig(device_id, device_model="simulated-16k") for device_id in device]
    url = device_mqtt_url(load_settings())
    sources = [fleet_source(each) for each in fleet]
    done = play(url, spool, sources, configs, read_tokens(tokens), speed=speed, report=report)
    sys.exit(0 if done else 1)


def _instant_us(text: str) -> int:
    return to_us(datetime.fromisoformat(text))


if __name__ == "__main__":
    typer.run(main)
