"""`docker-compose.yml` is whole and keeps its own rules; `integration/test_compose_executed.py` runs what it can."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from wearables_platform.deploy.secret_files import NAMES
from wearables_platform.local.mqtt_server import CONFIGURATION
from wearables_platform.local.processes import HEALTH_PATH, HEALTH_PORT
from wearables_platform.settings import FILE_SUFFIX, Settings
from wearables_platform.sql.logins import PROCESS_ROLES
from wearables_platform_tests import compose_file
from wearables_platform_tests.compose_file import PATH, argv_of, env_example, environment_of, is_one_shot, mounts_of
from wearables_platform_tests.compose_proof import EXECUTED, LINES, unproven
from wearables_platform_tests.schema import ROOT

DEPLOY = ROOT / "wearables_platform/deploy"
# compose-spec.json is schema/compose-spec.json of github.com/compose-spec/compose-go v2.16.2 (Apache-2.0).
SCHEMA = json.loads((ROOT / "wearables_platform_tests/golden/compose-spec.json").read_text())
SERVICES = compose_file.services()
SETTINGS = {f"WEARABLES_{name.upper()}" for name in Settings.model_fields}
# Named for Grafana's provisioning, which is no process of ours.
GRAFANA = "WEARABLES_GRAFANA_"
# Posts to receivers, and is asked by nobody outside.
CALLS_OTHERS = "webhooks"
# Ports that people use and the two that devices come to; everything else stays inside.
PUBLISHED = {"balancer": 2, "api": 1, "dagster-webserver": 1, "prometheus": 1, "grafana": 1}

each_service = pytest.mark.parametrize(("name", "service"), SERVICES.items(), ids=SERVICES)


def test_the_file_is_what_the_compose_specification_says() -> None:
    jsonschema.validate(compose_file.compose(), SCHEMA)


def test_a_file_that_is_not_is_noticed() -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"services": {"api": {"image": "x", "comand": []}}}, SCHEMA)


def test_the_services_are_those_of_the_platform() -> None:
    stores = {"kafka", "mosquitto-1", "mosquitto-2", "mongo", "timescale", "redis", "minio"}
    ours = {"bridge-1", "bridge-2", "ingest-1", "ingest-2", "archive", "stream", "api", "webhooks"}
    dagster = {"dagster-code", "dagster-webserver", "dagster-daemon"}
    others = {"balancer", "prometheus", "grafana", "own-volumes", "lake-setup", "prepare", "cli", "fleet", "spark"}
    assert set(SERVICES) == stores | ours | dagster | others
    assert {name: one["profiles"] for name, one in SERVICES.items() if "profiles" in one} == {
        "cli": ["cli"],
        "fleet": ["demo"],
        "spark": ["spark"],
    }


@each_service
def test_a_service_has_a_pinned_image_a_user_limits_and_a_restart_policy(name: str, service: dict[str, Any]) -> None:
    assert re.fullmatch(r"[\w./-]+:v?(RELEASE\.)?\d[\w.-]*", service["image"])
    assert service["restart"] == ("no" if is_one_shot(service) else "unless-stopped")
    assert re.fullmatch(r"\d+:\d+", service["user"])
    assert service["user"] != "0:0" or name == "own-volumes"
    limits = service["deploy"]["resources"]["limits"]
    assert {"cpus", "memory", "pids"} <= set(limits)


@each_service
def test_a_service_has_a_health_check_unless_it_ends(name: str, service: dict[str, Any]) -> None:
    if is_one_shot(service):
        assert "healthcheck" not in service
        return
    check = service["healthcheck"]
    assert check["test"][0] == "CMD"
    assert check["retries"] > 0
    assert {"interval", "timeout", "start_period"} <= set(check)


@each_service
def test_a_service_can_do_no_more_than_it_must(name: str, service: dict[str, Any]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service.get("cap_add", []) == (["CHOWN"] if name == "own-volumes" else [])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert any(mount.startswith("/tmp") for mount in service["tmpfs"])
    assert not service.keys() & {"privileged", "network_mode", "pid", "ipc", "devices"}


@each_service
def test_only_what_people_and_devices_use_is_published_and_on_loopback_alone(
    name: str, service: dict[str, Any]
) -> None:
    ports = service.get("ports", [])
    assert len(ports) == PUBLISHED.get(name, 0)
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in ports)
    assert ("outside" in service.get("networks", [])) == (bool(ports) or name == CALLS_OTHERS)


def test_the_network_of_the_services_has_no_way_out_and_no_port_is_published_twice() -> None:
    assert compose_file.compose()["networks"]["inside"] == {"internal": True}
    ports = [port.split(":")[1] for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) == len(set(ports))


@each_service
def test_a_service_waits_for_health_or_for_the_end_of_a_one_shot(name: str, service: dict[str, Any]) -> None:
    for needed, how in service.get("depends_on", {}).items():
        ends = is_one_shot(SERVICES[needed])
        assert how == {"condition": "service_completed_successfully" if ends else "service_healthy"}


def test_no_service_waits_for_itself() -> None:
    order = compose_file.start_order()
    assert sorted(order) == sorted(SERVICES)
    assert order.index("prepare") < order.index("mosquitto-1") < order.index("balancer")


@each_service
def test_every_variable_of_ours_is_a_setting(name: str, service: dict[str, Any]) -> None:
    ours = {variable for variable in environment_of(service) if variable.startswith("WEARABLES_")}
    if name == "grafana":
        assert all(variable.startswith(GRAFANA) for variable in ours)
        return
    assert {variable for variable in ours if variable.removesuffix(FILE_SUFFIX) not in SETTINGS} == set()


@each_service
def test_a_service_is_given_the_secrets_it_names_and_no_others(name: str, service: dict[str, Any]) -> None:
    given = set(service.get("secrets", []))
    texts = [
        *map(str, environment_of(service).values()),
        *argv_of(service),
        *service.get("healthcheck", {}).get("test", []),
    ]
    folders = [ROOT / source for source, _, _ in mounts_of(service) if source.startswith("./wearables_platform/deploy")]
    files = [file for folder in folders for file in (folder.rglob("*") if folder.is_dir() else [folder])]
    texts += [file.read_text() for file in files if file.is_file()]
    named = {found for text in texts for found in re.findall(r"/run/secrets/(\w+)", text)}
    if name == "prepare":  # reads the directory, by what is in it
        named |= {f"sql_{process}_password" for process in PROCESS_ROLES} | {"mqtt_bridge_password"}
    assert given == named


def test_every_secret_is_a_file_that_make_secrets_makes_and_somebody_reads() -> None:
    declared = compose_file.compose()["secrets"]
    assert {name: one["file"] for name, one in declared.items()} == {name: f"./secrets/{name}" for name in declared}
    used = {name for service in SERVICES.values() for name in service.get("secrets", [])}
    assert used == set(declared)
    assert set(declared) <= set(NAMES)


def test_no_secret_is_in_the_file_or_in_the_example() -> None:
    names = re.compile("PASSWORD|TOKEN|SECRET|SIGNING_KEY|CREDENTIAL")
    for service in SERVICES.values():
        for variable, value in environment_of(service).items():
            if names.search(variable):
                assert "/run/secrets/" in value or value == "", variable
    assert [variable for variable in env_example() if names.search(variable)] == []


def test_every_variable_is_explained_in_the_example_with_its_default() -> None:
    asked, example = compose_file.variables(), env_example()
    assert set(asked) == set(example)
    assert {name: value for name, value in asked.items() if value is not None and value != example[name]} == {}
    explained = re.findall(r"((?:^#.*\n)+)(\w+)=", compose_file.EXAMPLE.read_text(), re.MULTILINE)
    assert {name for _, name in explained} == set(example)


def test_the_defaults_of_settings_are_those_of_the_code() -> None:
    for variable, value in env_example().items():
        if variable.startswith("WEARABLES_"):
            default = Settings.model_fields[variable.removeprefix("WEARABLES_").lower()].default
            assert value == "" if default is None else type(default)(value) == default, variable


@each_service
def test_every_mounted_file_is_there_and_cannot_be_written(name: str, service: dict[str, Any]) -> None:
    for source, target, writable in mounts_of(service):
        if source.startswith("./"):
            assert (ROOT / source).exists(), f"{name} mounts {source} at {target}"
            assert not writable
        else:
            assert source in compose_file.compose()["volumes"]


def test_every_volume_is_used() -> None:
    used = {source for service in SERVICES.values() for source, _, _ in mounts_of(service)}
    assert set(compose_file.compose()["volumes"]) <= used


@pytest.mark.parametrize("script", sorted(DEPLOY.rglob("*.sh")), ids=lambda path: str(path.relative_to(DEPLOY)))
def test_every_script_can_be_parsed_by_the_shell_of_a_small_image(script: Path) -> None:
    shell = shutil.which("dash") or "sh"
    checked = subprocess.run([shell, "-n", str(script)], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


@each_service
def test_every_process_of_ours_is_asked_for_its_health_where_it_listens(name: str, service: dict[str, Any]) -> None:
    argv = argv_of(service)
    if argv[:2] != ["wearables", "run"]:
        return
    setting = f"WEARABLES_{HEALTH_PORT[argv[2]].upper()}"
    asked = service["healthcheck"]["test"]
    assert asked == ["CMD", "wearables-health", environment_of(service)[setting]]
    assert HEALTH_PATH in (ROOT / "wearables_platform/deploy/healthy.py").read_text()


def test_the_brokers_keep_the_rules_of_the_embedded_one() -> None:
    rules = {line for line in CONFIGURATION.splitlines() if "{" not in line and not line.startswith("log_")}
    assert rules <= set((DEPLOY / "mosquitto/mosquitto.conf").read_text().splitlines())


def test_yaml_and_json_that_are_mounted_can_be_parsed() -> None:
    for path in [*DEPLOY.rglob("*.yaml"), *DEPLOY.rglob("*.json")]:
        assert (json.loads if path.suffix == ".json" else yaml.safe_load)(path.read_text())


def test_the_image_holds_what_is_run_and_nothing_secret() -> None:
    dockerfile, ignored = (ROOT / "Dockerfile").read_text(), (ROOT / ".dockerignore").read_text().splitlines()
    assert [line for line in re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE) if ":" in line] == [
        "python:3.12.12-slim-bookworm"
    ] * 2
    assert "--require-hashes" in dockerfile
    assert "stream.warm" in dockerfile
    # Everything is left out but what is copied.
    assert ignored[1] == "*"
    kept = {line[1:] for line in ignored if line.startswith("!")}
    instructions = [shlex.split(line) for line in dockerfile.splitlines() if line.startswith("COPY ")]
    copied = {word for words in instructions if "--from=build" not in words for word in words[1:-1] if word[0] != "-"}
    copied = {word for word in copied if not word.startswith("/")}
    assert copied == kept
    assert all((ROOT / name).exists() for name in copied)
    assert "USER 10001:10001" in dockerfile.split("AS runtime")[1].split("FROM")[0]


def test_the_old_file_is_not_left_beside_the_new_one() -> None:
    assert [path.name for path in ROOT.glob("*compose*.y*ml")] == [PATH.name]


@each_service
def test_every_line_is_executed_or_on_the_list_of_what_is_not_proven(name: str, service: dict[str, Any]) -> None:
    listed = unproven()
    said = listed.get(name, set()) | listed["*"]
    executed = LINES - {"volumes"} if name in EXECUTED and "volumes" not in service else LINES
    proved = executed if name in EXECUTED else set()
    assert "*" in said or set(service) <= proved | said, sorted(set(service) - proved - said)


def test_the_list_of_what_is_not_proven_names_services_and_lines_that_are_there() -> None:
    lines = {line for service in SERVICES.values() for line in service} | {"*"}
    for name, said in unproven().items():
        assert name in {*SERVICES, "*"}
        assert said <= lines
        assert not (name in EXECUTED and "*" in said)


def test_what_is_executed_is_executed_after_what_it_waits_for() -> None:
    for position, name in enumerate(EXECUTED):
        needed = set(SERVICES[name].get("depends_on", {})) & set(EXECUTED)
        assert needed <= set(EXECUTED[:position])
