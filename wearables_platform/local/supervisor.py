"""supervisord as our child: its configuration, and a client for its XML-RPC over a unix socket."""

from __future__ import annotations

import http.client
import os
import shlex
import signal
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from wearables_platform.local import tether
from wearables_platform.local.failures import ExitCode, StartError
from wearables_platform.local.files import write_atomically
from wearables_platform.local.layout import RunDirectory
from wearables_platform.local.running import log_tail

START_TIMEOUT_S = 20.0
END_PREVIOUS_S = 40.0
POLL_S = 0.05
ALREADY_STARTED = 60  # supervisor.xmlrpc.Faults
NOT_RUNNING = 70

HEADER = """\
[supervisord]
nodaemon=true
logfile={logs}/supervisord.log
pidfile={root}/supervisord.pid
childlogdir={logs}
strip_ansi=true

[unix_http_server]
file={socket}
chmod=0700

[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
"""

# Nothing starts by itself: the keeper starts each part when what it needs is well. A part that ends within ten
# seconds (long enough for the slowest import to fail) is tried again after 1, 2 and 3 s and is then FATAL: that fails a
# start early; once everything runs, the keeper begins again with FATAL parts.
PROGRAM = """
[program:{name}]
command={command}
environment={environment}
directory={directory}
autostart=false
autorestart={autorestart}
startsecs=10
startretries={startretries}
stopsignal={stopsignal}
stopwaitsecs=10
stopasgroup=false
killasgroup=true
redirect_stderr=true
stdout_logfile={logs}/{name}.log
stdout_logfile_maxbytes=20MB
stdout_logfile_backups=1
"""


@dataclass(frozen=True)
class Program:
    """What supervisord has to know of one part."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    restart: bool = True
    stop_signal: signal.Signals = signal.SIGTERM
    directory: Path | None = None  # None: where the platform was started


@dataclass(frozen=True)
class ProgramState:
    """How a part is doing."""

    name: str
    state: str
    pid: int
    exit_code: int
    was_started: bool

    @property
    def alive(self) -> bool:
        """Tell whether a process of it exists or is about to."""
        return self.state in ("STARTING", "RUNNING", "STOPPING")


def render_configuration(run: RunDirectory, programs: Iterable[Program], directory: Path) -> str:
    """Return supervisord's configuration file."""
    root = run.root.resolve()
    header = HEADER.format(
        root=_escape(str(root)), logs=_escape(f"{root}/logs"), socket=_escape(str(run.supervisor_socket))
    )
    return header + "".join(_render_program(program, root, directory) for program in programs)


def _render_program(program: Program, root: Path, directory: Path) -> str:
    environment = ",".join(f'{key}="{_escape(value)}"' for key, value in sorted(program.env.items()))
    return PROGRAM.format(
        name=program.name,
        command=_escape(shlex.join(program.argv)),
        environment=environment,
        directory=_escape(str((program.directory or directory).resolve())),
        autorestart="true" if program.restart else "false",
        startretries=3 if program.restart else 0,
        stopsignal=program.stop_signal.name.removeprefix("SIG"),
        logs=_escape(f"{root}/logs"),
    )


def _escape(text: str) -> str:
    """Double the percent signs: supervisord expands ``%(name)s`` everywhere."""
    return text.replace("%", "%%")


def connect(run: RunDirectory) -> Any:
    """Return a proxy for one call: after a failed call a connection is of no use any more."""
    transport = SupervisorTransport(None, None, f"unix://{run.supervisor_socket}")
    return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor


def read_states(run: RunDirectory) -> dict[str, ProgramState]:
    """Return how every part of a running instance is doing; empty when its supervisor does not answer."""
    try:
        return _states(connect(run).getAllProcessInfo())
    except (OSError, http.client.HTTPException):
        return {}


def _states(infos: Any) -> dict[str, ProgramState]:
    states = (
        ProgramState(one["name"], one["statename"], one["pid"], one["exitstatus"], one["start"] > 0) for one in infos
    )
    return {state.name: state for state in states}


class Supervisor:
    """A running supervisord. It ends in good order when this process ends, and its programs with it."""

    def __init__(self, run: RunDirectory, process: subprocess.Popen[bytes]) -> None:
        self._run = run
        self._process = process

    @classmethod
    def launch(cls, run: RunDirectory, programs: Iterable[Program], directory: Path) -> Supervisor:
        """Write the configuration and start supervisord on it; no program runs yet."""
        write_atomically(run.supervisor_file, render_configuration(run, programs, directory))
        run.supervisor_socket.unlink(missing_ok=True)
        boot_log = run.logs / "supervisord.boot.log"
        with boot_log.open("wb") as output:
            process = subprocess.Popen(
                _supervisord_argv(run), stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        supervisor = cls(run, process)
        supervisor._await_answer(boot_log)
        return supervisor

    def _await_answer(self, boot_log: Path) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            if not self.alive or time.monotonic() > deadline:
                msg = f"the supervisor did not start: {log_tail(boot_log)}"
                raise StartError(msg, ExitCode.UNHEALTHY)
            time.sleep(POLL_S)

    def _answers(self) -> bool:
        try:
            connect(self._run).getPID()
        except (OSError, http.client.HTTPException):
            return False
        return True

    @property
    def alive(self) -> bool:
        """Tell whether supervisord still runs."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def states(self) -> dict[str, ProgramState]:
        """Return how every part is doing."""
        return _states(self._call("getAllProcessInfo"))

    def start(self, name: str) -> None:
        """Start a part without waiting for it."""
        self._call("startProcess", name, False, tolerate=ALREADY_STARTED)  # noqa: FBT003 - XML-RPC has no keywords

    def stop(self, name: str) -> None:
        """Ask a part to end without waiting for it."""
        self._call("stopProcess", name, False, tolerate=NOT_RUNNING)  # noqa: FBT003

    def _call(self, method: str, *arguments: Any, tolerate: int | None = None) -> Any:
        try:
            return getattr(connect(self._run), method)(*arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != tolerate:
                raise
        except (OSError, http.client.HTTPException) as exc:
            msg = f"the supervisor (pid {self.pid}) does not answer: everything it ran was stopped"
            raise StartError(msg, ExitCode.UNHEALTHY) from exc
        return None

    def shut_down(self, timeout_s: float) -> None:
        """End supervisord and what it still runs; by force when that takes too long."""
        self._process.terminate()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._run.supervisor_socket.unlink(missing_ok=True)


def end_previous(run: RunDirectory) -> None:
    """End a supervisord whose keeper was killed: it is on its way out, and holds the ports and data until it is."""
    pid_file = run.root / "supervisord.pid"
    pid = int(pid_file.read_text().strip() or 0) if pid_file.exists() else 0
    deadline = time.monotonic() + END_PREVIOUS_S
    while pid and _is_supervisord_of(pid, run):
        os.kill(pid, signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL)
        time.sleep(POLL_S)


def _is_supervisord_of(pid: int, run: RunDirectory) -> bool:
    """Tell whether a pid read from a file is still that process (pids are used again)."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return str(run.supervisor_file.resolve()).encode() in arguments


def _supervisord_argv(run: RunDirectory) -> tuple[str, ...]:
    # SIGTERM, not SIGKILL: when the keeper is killed, supervisord still stops the databases in good order.
    tie = (sys.executable, "-I", "-S", str(Path(tether.__file__)), "--signal", str(int(signal.SIGTERM)), "--")
    return (*tie, sys.executable, "-m", "supervisor.supervisord", "-c", str(run.supervisor_file.resolve()))
