"""``wearables simulate``: a simulated fleet with known truth, through thin clients."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from wearables_platform.clients.sql import SqlClient
from wearables_platform.commands import recording_options as given
from wearables_platform.commands.enroll import credential_sink
from wearables_platform.domain.time_policy import to_us
from wearables_platform.edge.client import ClientConfig
from wearables_platform.edge.running import device_mqtt_url, play, read_tokens
from wearables_platform.edge.simulation.fleet import MIN_DEVICES, SimulatedDevice, fleet_truth, simulated_fleet
from wearables_platform.edge.sources import fleet_source
from wearables_platform.edge.spool import counts_in
from wearables_platform.local.files import write_atomically
from wearables_platform.logs import configure_logging
from wearables_platform.registry import Enrolment, Participant, Registry
from wearables_platform.settings import Settings, load_settings

STUDY_ID = "simulated"
BIRTH_YEAR = 1980
# Enrolled so long before the first sample, so that only what is planted to be too early is.
ENROLLED_BEFORE = timedelta(days=1)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("simulate")(simulate)


def simulate(
    devices: Annotated[int, typer.Option(help=f"Size of the fleet, at least {MIN_DEVICES}.")] = MIN_DEVICES,
    seconds: Annotated[int, typer.Option(help="How long each device runs, at least 50.")] = 60,
    seed: Annotated[int, typer.Option(help="Decides everything planted; the same seed adds nothing new.")] = 1,
    start: Annotated[str, typer.Option(help="The devices' clock at the first sample, or now.")] = "now",
    speed: Annotated[float, typer.Option(help="Seconds of device time per second; 0 as fast as possible.")] = 1.0,
    faults: Annotated[bool, typer.Option(help="Do what devices do wrong; otherwise everything is well.")] = True,
    truth: Annotated[Path | None, typer.Option(help="Where to write what is planted.")] = None,
    mqtt_url: Annotated[str, typer.Option(help="Broker, if not the running instance's.")] = "",
    as_json: given.AsJson = False,
) -> None:
    """Enrol a fleet, send what it measures, and wait until the platform has answered every message.

    Exit codes: 0 every message confirmed, or refused as planted; 1 stopped before, or answered otherwise;
    3 configuration; 11 the registry does not answer.
    """
    configure_logging("simulate", level="warning")
    settings = load_settings()
    began = given.parse_instant("--start", start).replace(microsecond=0)
    device_ids = [f"sim-{seed}-{to_us(began) // 1_000_000}-{number:04d}" for number in range(devices)]
    fleet = _fleet(seed, device_ids, began, seconds, faults=faults)
    planted = fleet_truth(fleet)
    if truth is not None:
        planted.write(truth)
    edge = settings.run_dir / "edge"
    tokens = _tokens(settings, edge / "tokens.json", device_ids, began - ENROLLED_BEFORE)
    spool = edge / "simulated.sqlite"
    configs = [ClientConfig(device_id) for device_id in device_ids]
    sources = [fleet_source(device) for device in fleet]
    finished = play(mqtt_url or device_mqtt_url(settings), spool, sources, configs, tokens, speed=speed)
    counts = counts_in(spool, device_ids)
    refused = sum(each["refused"] for each in counts.values())
    _report(counts, refused, len(planted.dead_letters), as_json=as_json)
    if not finished or refused != len(planted.dead_letters):
        raise typer.Exit(1)


def _fleet(seed: int, device_ids: list[str], began: datetime, seconds: int, *, faults: bool) -> list[SimulatedDevice]:
    registered_us = to_us(began - ENROLLED_BEFORE)
    try:
        fleet = simulated_fleet(seed, device_ids, start_us=to_us(began), registered_us=registered_us, seconds=seconds)
    except ValueError as exc:
        raise typer.BadParameter(str(exc)) from exc
    return [replace(device, faulty=faults) for device in fleet]


def _tokens(settings: Settings, path: Path, device_ids: list[str], registered_at: datetime) -> dict[str, str]:
    known = read_tokens(path) if path.exists() else {}
    missing = [device_id for device_id in device_ids if device_id not in known]
    if not missing:
        return known
    client = SqlClient(settings.require("sql_url"), "wearables simulate", pool_size=1)
    try:
        known |= Registry(client, credential_sink(settings)).enrol(
            Enrolment(Participant(device_id, STUDY_ID, BIRTH_YEAR, "unknown", "UTC"), device_id, registered_at, "sim")
            for device_id in missing
        )
    finally:
        client.close()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(known, indent=1) + "\n")
    return known


def _report(counts: dict[str, dict[str, Any]], refused: int, planted: int, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps({"devices": counts}, indent=1) + "\n")
        return
    accepted, produced = (sum(each[name] for each in counts.values()) for name in ("accepted", "produced"))
    Console(highlight=False).print(
        f"{len(counts)} devices: {accepted} of {produced} messages confirmed, {refused} refused ({planted} planted)"
    )
