"""What the processes that play devices share: tokens, the broker's address, stopping, and the report."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterable
from pathlib import Path

from wearables_platform.edge.client import ClientConfig
from wearables_platform.edge.fleet import Fleet
from wearables_platform.edge.playback import Player, Source
from wearables_platform.errors import ConfigError
from wearables_platform.logs import get_logger
from wearables_platform.settings import Settings
from wearables_platform.store_urls import with_ca

_log = get_logger(__name__)


def read_tokens(path: Path) -> dict[str, str]:
    """Read device tokens: a JSON object, device id to token, as ``wearables enroll --tokens-file`` writes it."""
    try:
        tokens = json.loads(path.read_text())
    except (OSError, ValueError) as exc:
        msg = f"cannot read the tokens in {path}: {exc}"
        raise ConfigError(msg) from exc
    if not isinstance(tokens, dict):
        msg = f"{path} must hold a JSON object: device id to token"
        raise ConfigError(msg)
    return {str(device_id): str(token) for device_id, token in tokens.items()}


def device_mqtt_url(settings: Settings) -> str:
    """Return where devices connect; user and token are each device's own."""
    scheme = "mqtts" if settings.mqtt_tls else "mqtt"
    url = f"{scheme}://{settings.mqtt_host}:{settings.require('mqtt_port')}"
    return with_ca("mqtt_url", url, settings.ca_file)


def play(
    mqtt_url: str,
    spool_path: Path,
    sources: Iterable[Source],
    configs: Iterable[ClientConfig],
    tokens: dict[str, str],
    *,
    speed: float,
    report: Path | None = None,
) -> bool:
    """Play sources until everything is confirmed, or SIGTERM; True if all is confirmed.

    Killed at any point and started again with the same arguments it goes on, and what is stored in the end is the same.
    """
    with Fleet(mqtt_url, spool_path) as fleet:
        for config in configs:
            if config.device_id not in tokens:
                msg = f"there is no token for device {config.device_id}; enrol it first"
                raise ConfigError(msg)
            fleet.add(config, tokens[config.device_id])
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: fleet.interrupt())
        finished = Player(fleet, list(sources), speed).play()
        counts = fleet.counts()
        if report is not None:
            write_report(report, finished=finished, counts=counts)
        _log.info("played", finished=finished, devices=len(counts), pending=fleet.pending())
        return finished


def write_report(path: Path, *, finished: bool, counts: dict[str, dict[str, object]]) -> None:
    """Write what became of every message, all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps({"finished": finished, "devices": counts}, indent=1) + "\n")
    os.replace(draft, path)
