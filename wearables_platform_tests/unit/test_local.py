"""Ports, private files, choices and plans of a local instance: what is decided before anything starts."""

from __future__ import annotations

import errno
import json
import os
import socket
from pathlib import Path

import pytest
from dotenv import dotenv_values

from wearables_platform.bridge.process import mqtt_options
from wearables_platform.cli import COMMANDS, build_app, exit_code_of
from wearables_platform.domain.channels import ACCELERATION, VITALS
from wearables_platform.errors import ConfigError, StoreUnavailable, WireError
from wearables_platform.local import binaries, choice, files, privileges
from wearables_platform.local.choice import choose
from wearables_platform.local.descendants import descendants_of
from wearables_platform.local.failures import ExitCode, StartError
from wearables_platform.local.layout import RunDirectory
from wearables_platform.local.limits import LIMITS
from wearables_platform.local.plan import UpOptions, make_plan, render_runtime_file
from wearables_platform.local.ports import check_port_is_free, choose_ports, free_ports
from wearables_platform.local.processes import (
    ENTRY_POINTS,
    NEEDS,
    ProcessSpec,
    live_fleet,
    process_specs,
    stream_standby,
    with_replacements,
)
from wearables_platform.local.servers import SERVER_NAMES
from wearables_platform.local.stages import refusals_of, stages_of
from wearables_platform.local.supervisor import Program, render_configuration
from wearables_platform.settings import Settings


def test_free_ports_are_distinct_and_leave_the_wanted_ones_alone() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        wanted = int(probe.getsockname()[1])
    chosen = choose_ports({"api_port": wanted, **{f"p{n}": None for n in range(20)}})
    assert chosen["api_port"] == wanted
    assert len(set(chosen.values())) == 21


def test_one_port_for_two_purposes_is_refused() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    with pytest.raises(StartError, match="WEARABLES_A_PORT and WEARABLES_B_PORT") as caught:
        choose_ports({"a_port": port, "b_port": port})
    assert caught.value.exit_code is ExitCode.PORT_IN_USE


def test_a_port_that_is_not_ours_to_take_is_named() -> None:
    with pytest.raises(StartError, match="WEARABLES_API_PORT"):
        check_port_is_free(80, "WEARABLES_API_PORT", "192.0.2.1")


def test_a_file_that_cannot_be_written_whole_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "runtime.env"
    files.write_atomically(target, "old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StartError, match="no space left") as caught:
        files.write_atomically(target, "new")
    assert caught.value.exit_code is ExitCode.DISK
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
    assert target.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("value", ["plain", 'a"b\\c', "p#ss word $HOME", "mqtt://u:p-_w@h:1"])
def test_the_runtime_file_reads_back_unchanged(tmp_path: Path, value: str) -> None:
    path = tmp_path / "runtime.env"
    path.write_text(render_runtime_file({"mqtt_url": value}))
    assert dotenv_values(path, interpolate=False)["WEARABLES_MQTT_URL"] == value


@pytest.mark.parametrize("name", SERVER_NAMES)
def test_a_server_that_is_nowhere_is_one_line_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(binaries, "on_path", lambda _: None)
    monkeypatch.setattr(binaries, "wheel_version", lambda _: None)
    with pytest.raises(StartError, match="set WEARABLES_") as caught:
        choose(name, prefer_embedded=False)
    assert caught.value.exit_code is ExitCode.MISSING_SERVER
    assert "\n" not in str(caught.value)


def test_path_comes_before_the_wheel_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mosquitto = tmp_path / "mosquitto"
    mosquitto.write_text("#!/bin/sh\necho mosquitto version 2.0.99\n")
    mosquitto.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert choose("mqtt", prefer_embedded=False) == choice.Choice(
        "mosquitto", "2.0.99", choice.CHOSEN_BY_PATH, mosquitto
    )
    assert choose("mqtt", prefer_embedded=True).server == "amqtt"


def test_every_server_that_may_be_chosen_has_its_limits_stated() -> None:
    servers = {one.wheel_server for one in choice.CANDIDATES.values()}
    servers |= {one.path_server for one in choice.CANDIDATES.values() if one.path_server}
    assert servers <= LIMITS.keys()
    assert all(LIMITS[server] for server in servers)


def test_a_directory_closed_to_others_is_seen_as_such(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert not privileges.reachable_by_others(closed / "inside")
    assert privileges.reachable_by_others(Path("/tmp"))


def test_every_process_has_its_entry_its_needs_and_a_way_to_tell_that_it_is_well(tmp_path: Path) -> None:
    ports = dict.fromkeys(
        (
            "bridge_health_port",
            "ingest_port",
            "archive_health_port",
            "stream_health_port",
            "api_port",
            "webhooks_health_port",
            "dagster_port",
            "dagster_code_port",
        ),
        1,
    )
    extra = [live_fleet("127.0.0.1", ports), stream_standby("127.0.0.1", ports)]
    described = [*process_specs(RunDirectory(tmp_path), "127.0.0.1", ports, "postgresql://x"), *extra]
    specs = {spec.name: spec for spec in described}
    assert specs.keys() == NEEDS.keys()
    assert ENTRY_POINTS.keys() <= specs.keys()
    known = {*SERVER_NAMES, *specs}
    assert all(set(spec.needs) <= known for spec in specs.values())
    # The second stream is the same program: whichever is killed, the other can go on.
    assert specs["stream-standby"].argv == specs["stream"].argv


def given(**changes: object) -> Settings:
    """Settings that name every server by URL, two brokers among them."""
    urls = {
        "kafka_url": "kafka://k:9092",
        "mqtt_url": "mqtt://b:p@one:1883,mqtt://b:p@two:1883",
        "sql_url": "postgresql://me:secret@db:5432/wearables",
        "mongo_url": "mongodb://m:27017/wearables",
        "redis_url": "redis://r:6379/0",
    }
    return Settings(**{**urls, **changes})  # type: ignore[arg-type]


def test_each_broker_has_a_bridge_and_each_further_port_an_ingest(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.create()
    (port,) = free_ports(1)
    settings = given(mqtt_host="balancer", mqtt_port=1884, more_ingest_ports=str(port), ingest_url="http://balancer")
    plan = make_plan(settings, run, UpOptions())
    specs = {spec.name: spec for spec in plan.processes}
    assert plan.servers == ()
    assert {name: specs[name].env["WEARABLES_MQTT_URL"] for name in ("bridge", "bridge-2")} == {
        "bridge": "mqtt://b:p@one:1883",
        "bridge-2": "mqtt://b:p@two:1883",
    }
    assert specs["ingest-2"].env == {"WEARABLES_INGEST_PORT": str(port)}
    assert specs["ingest-2"].needs == specs["ingest"].needs
    addresses = [specs[name].address for name in ("bridge", "bridge-2", "ingest", "ingest-2")]
    assert len(set(addresses)) == 4
    # What other commands read: where devices go, and no setting that is none.
    assert (plan.runtime["mqtt_host"], plan.runtime["ingest_url"]) == ("balancer", "http://balancer")
    assert plan.runtime.keys() <= Settings.model_fields.keys()


def test_ports_that_are_none_are_refused_by_the_name_of_their_setting(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.create()
    with pytest.raises(ConfigError, match="WEARABLES_MORE_INGEST_PORTS must be ports"):
        make_plan(given(more_ingest_ports="8081,many"), run, UpOptions())


def test_a_bridge_reads_one_broker() -> None:
    with pytest.raises(ConfigError, match="run a bridge for each"):
        mqtt_options(given())


def test_a_planted_fault_runs_in_the_place_of_one_process_only(tmp_path: Path) -> None:
    spec = ProcessSpec("archive", ("python", "real"), ("kafka",), ("127.0.0.1", 1))
    other = ProcessSpec("bridge", ("python", "real"), (), ("127.0.0.1", 2))
    replaced, kept = with_replacements([spec, other], {"archive": "some.fault"})
    assert replaced.argv[1:] == ("-m", "some.fault")
    assert (replaced.needs, replaced.address) == (spec.needs, spec.address)
    assert kept == other
    with pytest.raises(ConfigError, match="archiv"):
        with_replacements([spec], {"archiv": "some.fault"})


def test_percent_signs_do_not_reach_the_supervisors_own_expansion(tmp_path: Path) -> None:
    text = render_configuration(RunDirectory(tmp_path), [Program("x", ("echo", "100%"), {"A": "5%s"})], tmp_path)
    assert "100%%" in text
    assert 'A="5%%s"' in text


def test_the_in_memory_kafka_is_never_restarted_and_the_rest_is(tmp_path: Path) -> None:
    programs = [Program("kafka", ("k",), restart=False), Program("redis", ("r",))]
    kafka, redis = render_configuration(RunDirectory(tmp_path), programs, tmp_path).split("[program:")[1:]
    assert "autorestart=false\n" in kafka
    assert "startretries=0\n" in kafka
    assert "autorestart=true\n" in redis


def test_a_socket_path_too_long_for_the_kernel_moves(tmp_path: Path) -> None:
    assert RunDirectory(tmp_path / "x").supervisor_socket.parent == tmp_path / "x"
    moved = RunDirectory(tmp_path / ("x" * 200)).supervisor_socket
    assert len(str(moved)) < 100


def test_a_state_file_of_a_killed_instance_is_not_believed(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    lock = run.hold()
    run.state_file.write_text(json.dumps({"pid": os.getpid() + 1, "phase": "ready"}))
    assert run.read_state() is None
    run.state_file.write_text(json.dumps({"pid": os.getpid(), "phase": "ready"}))
    assert run.read_state() is not None
    os.close(lock)
    assert run.read_state() is None


def test_descendants_are_found_over_generations() -> None:
    assert os.getpid() in descendants_of(os.getppid())
    assert os.getpid() not in descendants_of(os.getpid())


def test_stages_add_up_to_what_was_accepted() -> None:
    ledger = {
        ("archive", ACCELERATION.topic, "stored"): 90,
        ("archive", ACCELERATION.topic, "duplicate"): 4,
        ("archive", ACCELERATION.topic, "quarantined"): 2,
        ("archive", ACCELERATION.topic, "dead_lettered"): 1,
        ("stream", ACCELERATION.topic, "stored"): 80,
        ("archive", VITALS.topic, "stored"): 1_000,
    }
    stages = stages_of(ACCELERATION, 100, ledger, 7)
    assert stages.archived + stages.deduplicated + stages.quarantined + stages.dead_lettered + stages.in_flight == 100
    assert (stages.streamed, stages.stream_in_flight, stages.rejected) == (80, 20, 7)
    assert stages_of(VITALS, 1_000, ledger, 0).stream_in_flight is None


def test_refusals_are_counted_by_the_channel_they_came_in_on() -> None:
    refused = {"mqtt:wearables/v1/w1/vitals": 2, "http:/v1/vitals": 3, "mqtt:wearables/v1/w1/acceleration": 5}
    assert refusals_of(VITALS, refused) == 5


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StartError("x", ExitCode.PORT_IN_USE), 4),
        (ConfigError("x"), 3),
        (StoreUnavailable("x"), 11),
        (WireError("x"), 1),
    ],
)
def test_an_error_has_its_documented_exit_code(error: Exception, code: int) -> None:
    assert exit_code_of(error) == code  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["up", "down", "status", "doctor", "run"])
def test_a_command_is_imported_only_when_asked_for(name: str) -> None:
    app = build_app(name)
    assert [command.name for command in app.registered_commands] == list(COMMANDS)
    (real,) = [command for command in app.registered_commands if command.name == name]
    assert real.callback is not None
    assert real.callback.__module__ == f"wearables_platform.commands.{COMMANDS[name][0]}"
