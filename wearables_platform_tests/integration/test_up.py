"""``wearables up``: in order, restarted when killed, loud when the log is lost, and never anything left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from wearables_platform.local.descendants import descendants_of, parents
from wearables_platform.local.failures import ExitCode, StartError
from wearables_platform.local.layout import RunDirectory
from wearables_platform.local.processes import ProcessSpec
from wearables_platform.local.starting import start_in_order
from wearables_platform.local.supervisor import Program, Supervisor
from wearables_platform.settings import Settings, load_settings

pytestmark = [pytest.mark.integration, pytest.mark.embedded, pytest.mark.kafka, pytest.mark.sql]

DEADLINE_S = 60.0


def eventually(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


class Instance:
    """``wearables up --servers-only`` in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.run = RunDirectory(directory / ".wearables")
        self.process: subprocess.Popen[str] | None = None
        self.seen: set[int] = set()

    def command(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "wearables_platform.cli", *arguments],
            cwd=self.directory,
            env={**_environment(), "WEARABLES_PREFER_EMBEDDED": "1", **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def up(self, *arguments: str, **env: str) -> Instance:
        self.process = self.command("up", "--servers-only", *arguments, **env)
        eventually(lambda: self.phase == "ready" or self.ended, "never ready")
        assert not self.ended, self.process.communicate()[1]
        self.seen.update(descendants_of(self.process.pid))
        return self

    @property
    def ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    @property
    def phase(self) -> str | None:
        return (self.run.read_state() or {}).get("phase")

    @property
    def supervisor_pid(self) -> int:
        state = self.run.read_state()
        assert state is not None
        return int(state["supervisor_pid"])

    @property
    def settings(self) -> Settings:
        return load_settings(run_dir=self.run.root)

    def pid_of(self, word: str) -> int | None:
        """Return the process directly below the supervisor whose command line holds a word."""
        for pid, parent in parents().items():
            if parent == self.supervisor_pid and word in _command_line(pid):
                return pid
        return None

    def left(self) -> list[str]:
        return [f"{pid}: {_command_line(pid)}" for pid in self.seen if pid in parents()]

    def finish(self) -> tuple[int, str, str]:
        assert self.process is not None
        out, err = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, out, err


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("WEARABLES_")}


def _command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.fixture
def instance(open_tmp_path: Path) -> Iterator[Instance]:
    made = Instance(open_tmp_path)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.terminate()
        made.process.communicate(timeout=DEADLINE_S)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_nothing_is_left_when_it_is_asked_to_stop(instance: Instance, number: signal.Signals) -> None:
    instance.up()
    assert instance.process is not None
    assert len(instance.seen) >= 6, "a supervisor and five servers"
    instance.process.send_signal(number)
    code, out, err = instance.finish()
    assert (code, err) == (ExitCode.OK, "")
    assert instance.left() == []
    assert not instance.run.runtime_file.exists()
    assert "keeps the log in memory" in out


def test_other_commands_find_the_instance_and_only_its_owner_can_read_how(instance: Instance) -> None:
    instance.up()
    assert instance.run.runtime_file.stat().st_mode & 0o077 == 0
    with psycopg.connect(instance.settings.require("sql_url")) as connection:
        assert connection.execute("SELECT count(*) FROM quality.ledger").fetchone() == (0,)


@pytest.mark.parametrize("word", ["postgres", "redis", "nx_27017", "mqtt_broker"])
def test_a_killed_server_is_started_again(instance: Instance, word: str) -> None:
    instance.up()
    first = instance.pid_of(word)
    assert first is not None
    os.kill(first, signal.SIGKILL)
    eventually(lambda: instance.pid_of(word) not in (None, first), f"{word} did not come back")
    assert instance.phase == "ready"


def test_the_death_of_the_in_memory_kafka_ends_everything_with_one_line(instance: Instance) -> None:
    instance.up()
    kafka = instance.pid_of("tansu")
    assert kafka is not None
    os.kill(kafka, signal.SIGKILL)
    code, _, err = instance.finish()
    assert code == ExitCode.KAFKA_DIED
    assert err.count("\n") == 1
    assert "in-memory Kafka ended" in err
    assert instance.left() == []


def test_nothing_is_left_when_the_supervisor_is_killed(instance: Instance) -> None:
    instance.up()
    os.kill(instance.supervisor_pid, signal.SIGKILL)
    code, _, err = instance.finish()
    assert code == ExitCode.UNHEALTHY
    assert "supervisor" in err
    assert instance.left() == []


def test_nothing_is_left_when_the_keeper_itself_is_killed_and_the_next_one_starts(instance: Instance) -> None:
    instance.up()
    assert instance.process is not None
    instance.process.kill()
    instance.finish()
    before = set(instance.seen)
    instance.up()  # it waits for the old supervisor's orderly end: the data directories are its until then
    assert [pid for pid in before if pid in parents()] == []


def test_a_port_in_use_is_one_line_that_names_the_setting(instance: Instance) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        instance.process = instance.command("up", "--servers-only", WEARABLES_REDIS_PORT=port)
        code, _, err = instance.finish()
    assert code == ExitCode.PORT_IN_USE
    assert err.count("\n") == 1
    assert port in err
    assert "WEARABLES_REDIS_PORT" in err


def test_a_second_instance_in_the_same_directory_is_refused(instance: Instance) -> None:
    instance.up()
    second = instance.command("up", "--servers-only")
    _, err = second.communicate(timeout=DEADLINE_S)
    assert second.returncode == ExitCode.ALREADY_RUNNING
    assert "wearables down" in err
    assert instance.phase == "ready"


def test_detach_and_down(instance: Instance) -> None:
    up = instance.command("up", "--servers-only", "--detach")
    up.communicate(timeout=DEADLINE_S)
    assert up.returncode == ExitCode.OK
    state = instance.run.read_state()
    assert state is not None
    instance.seen = {state["pid"], *descendants_of(state["pid"])}
    assert len(instance.seen) >= 7
    down = instance.command("down")
    down.communicate(timeout=DEADLINE_S)
    assert down.returncode == ExitCode.OK
    eventually(lambda: instance.left() == [], "something is left")
    again = instance.command("down")
    again.communicate(timeout=DEADLINE_S)
    assert again.returncode == ExitCode.NOT_RUNNING


def test_passwords_and_databases_stay_over_a_restart_and_positions_do_not(instance: Instance) -> None:
    instance.up()
    with psycopg.connect(instance.settings.require("sql_url")) as connection:
        connection.execute("CREATE TABLE kept (n int)")
        connection.execute(
            "INSERT INTO quality.ledger VALUES ('archive', 'wearables.vitals.v1', 0, 'stored', '{[0,10)}')"
        )
    stale = instance.run.stream / "part-0.sqlite3"
    stale.write_text("positions in a log that is gone")
    assert instance.process is not None
    instance.process.terminate()
    instance.finish()
    instance.up()
    with psycopg.connect(instance.settings.require("sql_url")) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM quality.ledger").fetchone() == (0,)
    assert not stale.exists()


def test_a_given_url_starts_no_server_of_that_kind(instance: Instance, redis_url: str) -> None:
    instance.up(WEARABLES_REDIS_URL=redis_url)
    assert instance.settings.require("redis_url") == redis_url
    assert instance.pid_of("redis") is None
    servers = json.loads(instance.run.state_file.read_text())["servers"]
    assert {"name": "redis", "server": "given", "version": "", "chosen": "URL in the settings"} in servers


def test_no_space_left_is_one_line(tmp_path: Path) -> None:
    program = (
        "import shutil, sys; from collections import namedtuple; "
        "shutil.disk_usage = lambda path: namedtuple('usage', 'total used free')(10**9, 10**9, 1000); "
        "sys.argv = ['wearables', 'up', '--servers-only']; from wearables_platform.cli import main; main()"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=_environment(), capture_output=True, text=True, check=False
    )
    assert outcome.returncode == ExitCode.DISK
    assert outcome.stderr.count("\n") == 1
    assert "MB are free" in outcome.stderr


def test_a_part_that_ends_again_and_again_fails_the_start_early_with_its_last_words(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.create()
    part = ProcessSpec("broken", (sys.executable, "-c", "import sys; sys.exit('no such thing')"), (), ("127.0.0.1", 1))
    supervisor = Supervisor.launch(run, [Program(part.name, part.argv)], tmp_path)
    try:
        with pytest.raises(StartError, match="broken did not become healthy: no such thing") as caught:
            start_in_order(supervisor, [part], ready=[], run=run, report=print, timeout_s=DEADLINE_S)
    finally:
        supervisor.shut_down(DEADLINE_S)
    assert caught.value.exit_code is ExitCode.UNHEALTHY


def test_a_part_waits_for_what_it_needs(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    run.create()
    go = tmp_path / "go"

    def sleeper(name: str, needs: tuple[str, ...], well: Callable[[], bool]) -> ProcessSpec:
        argv = (sys.executable, "-c", "import signal; signal.pause()")
        return ProcessSpec(name, argv, needs, ("127.0.0.1", 1), lambda _: well())

    seen: list[str] = []
    parts = [
        sleeper("second", ("first",), lambda: True),
        sleeper("first", ("given",), lambda: go.exists() or bool(seen.append("asked")) or bool(go.touch())),
    ]
    supervisor = Supervisor.launch(run, [Program(part.name, part.argv) for part in parts], tmp_path)
    try:
        reports: list[str] = []
        start_in_order(supervisor, parts, ready=["given"], run=run, report=reports.append, timeout_s=DEADLINE_S)
    finally:
        supervisor.shut_down(DEADLINE_S)
    assert [line.split()[0] for line in reports] == ["first", "second"]
    assert seen == ["asked"]
