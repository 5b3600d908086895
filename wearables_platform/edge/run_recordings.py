"""Plays the smartwatch recordings of 10 people through thin clients: ``python -m ...edge.run_recordings``."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Final

import typer

from wearables_platform.edge.client import ClientConfig
from wearables_platform.edge.running import device_mqtt_url, play, read_tokens
from wearables_platform.edge.sources import recording_source
from wearables_platform.edge.watch_recordings import recordings_of
from wearables_platform.logs import configure_logging
from wearables_platform.settings import load_settings

BLOCKS_PER_MESSAGE: Final = 10  # one message a second


def main(
    device: list[str] = typer.Option(help="Device of person 1, then of person 2, ...: one option each."),  # noqa: B008
    tokens: Path = typer.Option(help="JSON file: device id to token."),  # noqa: B008
    spool: Path = typer.Option(help="Spool file, kept over restarts."),  # noqa: B008
    start: str = typer.Option("2026-03-29T12:00:00Z", help="When the first recordings began."),
    speed: float = typer.Option(10.0, help="Seconds of recording per second; 0 as fast as possible."),
    blocks_per_message: int = typer.Option(BLOCKS_PER_MESSAGE, help="Blocks of 100 ms in one message."),
    report: Path | None = typer.Option(None, help="Where to write what became of every message."),  # noqa: B008
) -> None:
    """Play everything; exit code 0 once all is confirmed, 1 if asked to stop before."""
    configure_logging("run-recordings")
    configs = {d: ClientConfig(d, target_rate_hz=50.0, blocks_per_message=blocks_per_message) for d in device}
    sources = [
        recording_source(device_id, recording, configs[device_id].sampling(recording.rate_hz))
        for device_id, recording in recordings_of(device, datetime.fromisoformat(start))
    ]
    url = device_mqtt_url(load_settings())
    done = play(url, spool, sources, configs.values(), read_tokens(tokens), speed=speed, report=report)
    sys.exit(0 if done else 1)


if __name__ == "__main__":
    typer.run(main)
