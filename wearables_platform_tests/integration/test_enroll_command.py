"""``wearables enroll`` on a real database."""

from __future__ import annotations

import json
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from wearables_platform.cli import build_app
from wearables_platform.clients.sql import SqlClient
from wearables_platform.errors import ConfigError, StoreRefused
from wearables_platform.local.mqtt_credentials import MqttCredentials, password_matches
from wearables_platform.registry import Registry

pytestmark = [pytest.mark.integration, pytest.mark.sql]


@pytest.fixture
def registry(sql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    monkeypatch.setenv("WEARABLES_SQL_URL", sql_url)
    monkeypatch.setenv("WEARABLES_RUN_DIR", str(tmp_path / "run"))
    client = SqlClient(sql_url, "enroll tests")
    yield Registry(client)
    client.close()


def enroll(*arguments: str) -> Any:
    result = CliRunner().invoke(build_app("enroll"), ["enroll", "--json", *arguments])
    if result.exception is not None:
        raise result.exception
    return json.loads(result.stdout)


def one_person(device_id: str) -> list[str]:
    person = ["--participant-id", f"p-{device_id}", "--birth-year", "1980", "--time-zone", "Europe/Berlin"]
    return [*person, "--device-id", device_id]


def new_id() -> str:
    return f"watch-{uuid.uuid4().hex[:8]}"


def works(registry: Registry, device_id: str, token: str) -> bool:
    device = registry.find_device(device_id)
    return device is not None and device.accepts(token)


def write_csv(path: Path, device_ids: list[str], extra: str = "") -> Path:
    lines = [f"participant_id,study_id,birth_year,sex,time_zone,device_id{',' + extra if extra else ''}"]
    lines += [f"p-{device_id},s1,1970,male,America/New_York,{device_id}" for device_id in device_ids]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_one_device_gets_a_working_token_once(registry: Registry) -> None:
    device_id = new_id()
    token = enroll(*one_person(device_id))["tokens"][device_id]
    assert works(registry, device_id, token)
    assert enroll(*one_person(device_id))["tokens"] == {}
    assert works(registry, device_id, token)


def test_many_come_from_csv_and_their_tokens_go_to_a_private_file(registry: Registry, tmp_path: Path) -> None:
    device_ids = [new_id() for _ in range(40)]
    tokens_file = tmp_path / "tokens.json"
    arguments = ("--csv", str(write_csv(tmp_path / "people.csv", device_ids)), "--tokens-file", str(tokens_file))
    shown = enroll(*arguments)
    assert shown == {"devices": device_ids, "new_tokens": 40, "tokens_file": str(tokens_file)}
    assert stat.S_IMODE(tokens_file.stat().st_mode) == 0o600
    tokens = json.loads(tokens_file.read_text())
    assert all(works(registry, device_id, tokens[device_id]) for device_id in device_ids)
    write_csv(tmp_path / "people.csv", [*device_ids, new_id()])
    assert enroll(*arguments)["new_tokens"] == 1
    kept = json.loads(tokens_file.read_text())
    assert len(kept) == 41
    assert tokens.items() < kept.items()


def test_a_csv_with_one_bad_row_enrols_nobody(registry: Registry, tmp_path: Path) -> None:
    device_ids = [new_id(), new_id(), "no/good"]
    with pytest.raises(ConfigError, match="no/good"):
        enroll("--csv", str(write_csv(tmp_path / "people.csv", device_ids)))
    assert registry.find_device(device_ids[0]) is None


def test_a_misspelt_column_is_named(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown: \\['timezone'\\]"):
        enroll("--csv", str(write_csv(tmp_path / "people.csv", [new_id()], extra="timezone")))


def test_a_token_is_rotated_retired_and_revoked(registry: Registry) -> None:
    device_id = new_id()
    first = enroll(*one_person(device_id))["tokens"][device_id]
    second = enroll("--device-id", device_id, "--rotate")["tokens"][device_id]
    assert works(registry, device_id, first)
    enroll("--device-id", device_id, "--retire")
    assert not works(registry, device_id, first)
    assert works(registry, device_id, second)
    enroll("--device-id", device_id, "--revoke")
    assert not works(registry, device_id, second)


def test_the_embedded_broker_learns_the_token(registry: Registry, tmp_path: Path) -> None:
    credentials = MqttCredentials(tmp_path / "run" / "data" / "mqtt")
    credentials.create("bridge")
    device_id = new_id()
    token = enroll(*one_person(device_id))["tokens"][device_id]
    assert password_matches(token, credentials.entries()[device_id])


def test_a_person_with_other_particulars_is_refused(registry: Registry) -> None:
    device_id = new_id()
    enroll(*one_person(device_id))
    changed = [argument if argument != "1980" else "1981" for argument in one_person(device_id)]
    with pytest.raises(StoreRefused, match="other particulars"):
        enroll(*changed)
