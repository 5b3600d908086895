"""`docker-compose.yml` keeps its own rules; that its images work is not proven here."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from wearables_platform.local.mqtt_credentials import ACCESS_LIST, BRIDGE_USER
from wearables_platform.settings import Settings

TEXT = (Path(__file__).parents[2] / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
EXPORTS = dict(re.findall(r"(WEARABLES_\w+)=(\"[^\"]+\"|\S+)", TEXT.split("name: wearables")[0]))

each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


@each_service
def test_a_service_has_a_pinned_image_and_a_health_check(service: dict[str, Any]) -> None:
    assert re.fullmatch(r"[\w./-]+:(RELEASE\.)?\d[\w.-]*", service["image"])
    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert service["healthcheck"]["retries"] > 0


@each_service
def test_a_service_listens_on_loopback_only_and_keeps_its_data_in_a_named_volume(service: dict[str, Any]) -> None:
    assert service["ports"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert {volume.partition(":")[0] for volume in service["volumes"]} <= set(COMPOSE["volumes"])


def test_no_password_has_a_default() -> None:
    assert set(re.findall(r"(?<!\$)\$\{([^}]+)\}", TEXT)) == {"WEARABLES_STORE_PASSWORD:?set a password for the stores"}


def test_the_broker_lets_devices_reach_what_the_embedded_one_lets_them() -> None:
    assert COMPOSE["configs"]["mosquitto-access"]["content"] == ACCESS_LIST


def test_the_addresses_in_the_header_are_settings_and_those_of_the_services() -> None:
    known = {f"WEARABLES_{name.upper()}" for name in Settings.model_fields} | {"WEARABLES_STORE_PASSWORD"}
    assert set(EXPORTS) <= known
    published = {int(port.split(":")[1]) for service in SERVICES.values() for port in service["ports"]}
    named = {
        urlsplit(url).port for name, url in EXPORTS.items() if name.endswith("_URL") and "lake" not in name.lower()
    }
    lake = re.search(r"endpoint_url=http://127.0.0.1:(\d+)", TEXT)
    assert lake
    assert named | {int(lake[1])} == published
    assert f"mqtt://{BRIDGE_USER}:" in EXPORTS["WEARABLES_MQTT_URL"]
