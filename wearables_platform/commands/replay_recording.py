"""``wearables replay-recording``: a recording through the thin client, as if a device had just measured it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from wearables_platform.clients.sql import SqlClient
from wearables_platform.commands import recording_options as given
from wearables_platform.commands.enroll import credential_sink
from wearables_platform.domain.time_policy import from_us
from wearables_platform.edge.client import ClientConfig
from wearables_platform.edge.playback import Source
from wearables_platform.edge.recordings import Recording, read_recordings, require_event_time
from wearables_platform.edge.running import device_mqtt_url, play, read_tokens
from wearables_platform.edge.sources import recording_source
from wearables_platform.edge.spool import counts_in
from wearables_platform.errors import ConfigError
from wearables_platform.local.files import write_atomically
from wearables_platform.logs import configure_logging
from wearables_platform.models.labels import LabelBook
from wearables_platform.registry import Enrolment, Participant, Registry
from wearables_platform.settings import Settings, load_settings

GROUP = "{group}"
# Who a device enrolled on the fly belongs to: a person of its own, of whom nothing is known.
STUDY_ID = "replays"
BIRTH_YEAR = 1980


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("replay-recording")(replay_recording)


def replay_recording(
    path: given.RecordingPath,
    axes: given.Axes,
    unit: given.Unit,
    device_id: Annotated[str, typer.Option(help=f"Replay as this device; {GROUP} stands for the group.")],
    time: given.TimeColumn = "",
    time_unit: given.TimeUnit = "s",
    time_format: given.TimeFormat = "",
    time_zone: given.TimeZone = "UTC",
    scale: given.Scale = 1.0,
    group: given.Group = "",
    label: given.Label = "",
    no_header: given.NoHeader = False,
    skip_rows: given.SkipRows = 0,
    rate_hz: given.RateHz = 0.0,
    start: given.Start = "",
    speed: Annotated[float, typer.Option(help="Seconds of recording per second; 0 as fast as possible.")] = 1.0,
    target_rate_hz: Annotated[float, typer.Option(help="Reduce to this rate as a device would; 0 sends all.")] = 0.0,
    blocks_per_message: Annotated[int, typer.Option(help="Blocks of 100 ms in one message.")] = 5,
    enroll: Annotated[bool, typer.Option("--enroll", help="Enrol the device if it is not.")] = False,
    tokens_file: Annotated[Path | None, typer.Option(help="JSON file: device id to token.")] = None,
    mqtt_url: Annotated[str, typer.Option(help="Broker, if not the running instance's.")] = "",
    spool: Annotated[Path | None, typer.Option(help="Spool file; default in the run directory.")] = None,
    as_json: given.AsJson = False,
) -> None:
    """Send a recording through the thin client and wait until the platform has confirmed every message.

    Replaying it again adds nothing: the same samples and options make the same messages. Every sample that is not
    reported as skipped arrives; nothing is reduced unless --target-rate-hz says so. With --label what the file says was
    done is kept as labels of the device (analytics.labels_v1), which models learn from.

    Exit codes: 0 all confirmed; 1 stopped before, or something was refused; 3 the file or an option is wrong;
    11 the registry does not answer.
    """
    options = given.read_options(
        time=time, time_unit=time_unit, time_format=time_format, time_zone=time_zone, axes=axes, unit=unit,
        scale=scale, group=group, label=label, no_header=no_header, skip_rows=skip_rows, rate_hz=rate_hz, start=start,
    )  # fmt: skip
    recordings = _readable(path, read_recordings(path, options))
    devices = _devices(device_id, recordings)
    configure_logging("replay-recording", level="warning")
    settings = load_settings()
    edge = settings.run_dir / "edge"
    tokens = _tokens(settings, tokens_file or edge / "tokens.json", devices, enrolling=enroll)
    sources, configs = _sources(devices, target_rate_hz, blocks_per_message)
    labels = _say_labels(settings, path, devices) if label else 0
    spool_path = spool or edge / "replay.sqlite"
    finished = play(mqtt_url or device_mqtt_url(settings), spool_path, sources, configs, tokens, speed=speed)
    found = _found(devices, counts_in(spool_path, devices)) | {"labels": labels}
    _report(found, as_json=as_json)
    if not finished or any(each["refused"] or each["dropped"] for each in found["devices"]):
        raise typer.Exit(1)


def _readable(path: Path, recordings: list[Recording]) -> list[Recording]:
    usable = [recording for recording in recordings if len(recording) > 1]
    if not usable:
        msg = f"{path.name} holds no usable recording; skipped: {[dict(each.skipped) for each in recordings]}"
        raise ConfigError(msg)
    for recording in usable:
        require_event_time(recording)
    return usable


def _devices(device_id: str, recordings: Sequence[Recording]) -> dict[str, list[Recording]]:
    """Give each recording its device; one device cannot have been in two places at once."""
    devices: dict[str, list[Recording]] = {}
    for recording in sorted(recordings, key=lambda each: int(each.time_us[0])):
        worn = devices.setdefault(device_id.replace(GROUP, recording.group), [])
        if worn and worn[-1].time_us[-1] >= recording.time_us[0]:
            msg = (
                f"groups {worn[-1].group} and {recording.group} overlap in time and cannot be one device;"
                f" write {GROUP} into --device-id"
            )
            raise ConfigError(msg)
        worn.append(recording)
    return devices


def _sources(
    devices: dict[str, list[Recording]], target_rate_hz: float, blocks_per_message: int
) -> tuple[list[Source], list[ClientConfig]]:
    sources, configs = [], []
    for device_id, recordings in devices.items():
        for recording in recordings:
            config = ClientConfig(
                device_id,
                target_rate_hz=target_rate_hz or recording.rate_hz,
                blocks_per_message=blocks_per_message,
                range_g=0.0,  # not known of a recording
            )
            sources.append(recording_source(device_id, recording, config.sampling(recording.rate_hz)))
        configs.append(ClientConfig(device_id))
    return sources, configs


def _tokens(settings: Settings, path: Path, devices: dict[str, list[Recording]], *, enrolling: bool) -> dict[str, str]:
    known = read_tokens(path) if path.exists() else {}
    missing = [device_id for device_id in devices if device_id not in known]
    if not missing:
        return known
    if not enrolling:
        msg = f"there is no token for device {missing[0]} in {path}: enrol it, or give --enroll"
        raise ConfigError(msg)
    known |= _enrol(settings, {device_id: devices[device_id] for device_id in missing})
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(known, indent=1) + "\n")
    return known


def _enrol(settings: Settings, devices: dict[str, list[Recording]]) -> dict[str, str]:
    """Enrol devices as of their first recording; one that is enrolled already gets a new token."""
    client = SqlClient(settings.require("sql_url"), "wearables replay-recording", pool_size=1)
    try:
        registry = Registry(client, credential_sink(settings))
        tokens: dict[str, str] = {}
        for device_id, recordings in devices.items():
            if registry.find_device(device_id) is not None:
                tokens |= registry.rotate([device_id], datetime.now(UTC))
                continue
            person = Participant(device_id, STUDY_ID, BIRTH_YEAR, "unknown", "UTC")
            tokens |= registry.enrol([Enrolment(person, device_id, _began(recordings), "recording")])
        return tokens
    finally:
        client.close()


def _say_labels(settings: Settings, path: Path, devices: dict[str, list[Recording]]) -> int:
    """Keep what the recordings say was done; returns how many statements are new."""
    client = SqlClient(settings.require("sql_url"), "wearables replay-recording", pool_size=1)
    try:
        book = LabelBook(client)
        return sum(
            book.add_spans(device_id, recording.label_spans(), f"recording:{path.name}")
            for device_id, recordings in devices.items()
            for recording in recordings
        )
    finally:
        client.close()


def _began(recordings: Sequence[Recording]) -> datetime:
    return from_us(int(recordings[0].time_us[0])) - timedelta(days=1)


def _found(devices: dict[str, list[Recording]], counts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {
        "devices": [{"device_id": device_id, **counts[device_id]} for device_id in devices],
        "recordings": [
            {
                "group": recording.group,
                "device_id": device_id,
                "samples": len(recording),
                "skipped": sum(recording.skipped.values()),
                "skipped_by_reason": dict(recording.skipped),
                "rate_hz": recording.rate_hz,
            }
            for device_id, recordings in devices.items()
            for recording in recordings
        ],
    }


def _report(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
        return
    console = Console(highlight=False)
    for each in found["recordings"]:
        console.print(
            f"{each['device_id']} {each['group']}: {each['samples']} samples at {each['rate_hz']:.2f} Hz,"
            f" {each['skipped']} rows skipped {each['skipped_by_reason'] or ''}",
            soft_wrap=True,
        )
    if found["labels"]:
        console.print(f"{found['labels']} labels kept", soft_wrap=True)
    for each in found["devices"]:
        console.print(
            f"{each['device_id']}: {each['accepted']} of {each['produced']} messages confirmed,"
            f" {each['refused']} refused {each['refused_by_reason'] or ''}",
            soft_wrap=True,
        )
