"""``wearables enroll``: participants and devices, one from options or many from CSV; tokens are shown once."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import typer
from rich.console import Console
from rich.table import Table

from wearables_platform.clients.sql import SqlClient
from wearables_platform.errors import ConfigError
from wearables_platform.local.files import write_atomically
from wearables_platform.local.mqtt_credentials import credentials_of
from wearables_platform.registry import CredentialSink, Enrolment, Participant, Registry
from wearables_platform.settings import Settings, load_settings

REQUIRED: Final = ("participant_id", "study_id", "birth_year", "sex", "time_zone", "device_id")
OPTIONAL: Final = ("device_model", "registered_at")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("enroll")(enroll)


def enroll(
    participant_id: str = typer.Option("", "--participant-id", help="Pseudonym of the person."),
    study_id: str = typer.Option("default", "--study-id", help="The study the person takes part in."),
    birth_year: str = typer.Option("", "--birth-year", help="Four digits."),
    sex: str = typer.Option("unknown", "--sex", help="female, male, other or unknown."),
    time_zone: str = typer.Option("UTC", "--time-zone", help="IANA name, such as Europe/Berlin."),
    device_id: str = typer.Option("", "--device-id", help="Letters, digits, _ and -; 64 at most."),
    device_model: str = typer.Option("unknown", "--device-model", help="The maker's name of the model."),
    registered_at: str = typer.Option("", "--registered-at", help="ISO 8601 with zone; default now."),
    from_csv: Path | None = typer.Option(
        None, "--csv", help=f"Columns {', '.join(REQUIRED)}; optional {', '.join(OPTIONAL)}."
    ),
    rotate: bool = typer.Option(False, "--rotate", help="Draw new tokens; the ones before stay good until --retire."),
    retire: bool = typer.Option(False, "--retire", help="End the exchange: only the newest token stays good."),
    revoke: bool = typer.Option(False, "--revoke", help="Refuse the device from now on."),
    tokens_file: Path | None = typer.Option(None, "--tokens-file", help="Write the tokens there (mode 0600) instead."),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Enrol participants and devices; enrolling again changes nothing.

    A new device's token is printed once and stored nowhere in clear.

    Exit codes: 0 done; 1 refused, nothing was changed; 3 configuration or wrong particulars; 5 the tokens file cannot
    be written; 11 the database does not answer.
    """
    if sum((rotate, retire, revoke)) > 1:
        msg = "--rotate, --retire and --revoke exclude each other"
        raise ConfigError(msg)
    now = datetime.now(UTC)
    options = {name: value for name, value in locals().items() if name in (*REQUIRED, *OPTIONAL)}
    rows = list(_csv_rows(from_csv)) if from_csv else [options]
    settings = load_settings()
    client = SqlClient(settings.require("sql_url"), "wearables enroll", pool_size=1)
    try:
        registry = Registry(client, credential_sink(settings))
        tokens = _apply(registry, rows, now, rotate=rotate, retire=retire, revoke=revoke)
    finally:
        client.close()
    _report(tokens, [row["device_id"] for row in rows], tokens_file, as_json=as_json)


def credential_sink(settings: Settings) -> CredentialSink | None:
    """Return the brokers' password file where this instance manages one."""
    credentials = credentials_of(settings)
    return credentials if credentials.directory.exists() else None


def _apply(
    registry: Registry, rows: list[dict[str, str]], now: datetime, *, rotate: bool, retire: bool, revoke: bool
) -> dict[str, str]:
    device_ids = [row["device_id"] for row in rows]
    if rotate:
        return registry.rotate(device_ids, now)
    if retire:
        for device_id in device_ids:
            registry.retire(device_id, now)
        return {}
    if revoke:
        registry.revoke(device_ids, now)
        return {}
    return registry.enrol([_enrolment(row, now) for row in rows])


def _csv_rows(path: Path) -> Iterator[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            missing = set(REQUIRED) - set(reader.fieldnames or ())
            unknown = set(reader.fieldnames or ()) - {*REQUIRED, *OPTIONAL}
            if missing or unknown:
                msg = f"{path}: columns missing: {sorted(missing) or 'none'}, unknown: {sorted(unknown) or 'none'}"
                raise ConfigError(msg)
            for row in reader:
                yield {name: (value or "").strip() for name, value in row.items() if name is not None}
    except (OSError, UnicodeDecodeError) as exc:
        msg = f"cannot read {path}: {exc}"
        raise ConfigError(msg) from exc


def _enrolment(row: Mapping[str, str], now: datetime) -> Enrolment:
    if not row["birth_year"].isdecimal():
        msg = f"birth year {row['birth_year']!r} of participant {row['participant_id']!r} is not a number"
        raise ConfigError(msg)
    person = Participant(row["participant_id"], row["study_id"], int(row["birth_year"]), row["sex"], row["time_zone"])
    at = _instant(row.get("registered_at") or "") or now
    return Enrolment(person, row["device_id"], at, row.get("device_model") or "unknown")


def _instant(text: str) -> datetime | None:
    if not text:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError as exc:
        msg = f"registered_at {text!r} is not ISO 8601"
        raise ConfigError(msg) from exc


def _report(tokens: dict[str, str], device_ids: list[str], tokens_file: Path | None, *, as_json: bool) -> None:
    shown: dict[str, Any] = {"devices": device_ids, "new_tokens": len(tokens)}
    if tokens_file is not None:
        # Tokens of an earlier run can be had from nowhere else: they stay in the file.
        earlier = json.loads(tokens_file.read_text()) if tokens_file.exists() else {}
        write_atomically(tokens_file, json.dumps(earlier | tokens, indent=2) + "\n")
        shown["tokens_file"] = str(tokens_file)
    else:
        shown["tokens"] = tokens
    if as_json:
        sys.stdout.write(json.dumps(shown, indent=2) + "\n")
        return
    console = Console(highlight=False)
    if tokens and tokens_file is None:
        table = Table("device", "token (shown once)")
        for device_id, token in tokens.items():
            table.add_row(device_id, token, style=None)
        console.print(table, soft_wrap=True)
    console.print(
        f"{len(device_ids)} devices, {len(tokens)} new tokens" + (f" in {tokens_file}" if tokens_file else "")
    )
