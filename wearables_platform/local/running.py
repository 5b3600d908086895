"""One server as a child of this process: for tests and for whoever needs one server and no supervisor."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from wearables_platform.local.failures import ExitCode, StartError
from wearables_platform.local.spec import ServerSpec

READY_TIMEOUT_S = 60.0  # PostgreSQL recovering on a busy two-core machine takes the longest
STOP_TIMEOUT_S = 15.0
POLL_S = 0.05


@dataclass
class RunningServer:
    """A started server; ends when stopped, or with this process however that ends."""

    spec: ServerSpec
    process: subprocess.Popen[bytes]
    log_file: Path

    @property
    def url(self) -> str:
        """Where clients connect."""
        return self.spec.url

    def kill(self) -> None:
        """End it like a crash would."""
        self.process.kill()
        self.process.wait(STOP_TIMEOUT_S)

    def stop(self) -> None:
        """End it in good order, by force when it does not."""
        self.process.send_signal(self.spec.stop_signal)
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()


def start(spec: ServerSpec, log_dir: Path) -> RunningServer:
    """Start a server and return once it serves; `StartError` with the end of its log when it does not."""
    log_dir.mkdir(parents=True, exist_ok=True)
    log_file = log_dir / f"{spec.name}.log"
    with log_file.open("ab") as log:
        process = subprocess.Popen(
            spec.tethered_argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **spec.env},
            cwd="/" if spec.identity else None,  # whoever it runs as may not be able to enter ours
            start_new_session=True,  # Ctrl-C is for us to act on, not for the server to get as well
        )
    server = RunningServer(spec, process, log_file)
    _await_ready(server)
    return server


def _await_ready(server: RunningServer) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not server.spec.ready():
        if server.process.poll() is not None or time.monotonic() > deadline:
            server.kill()
            raise StartError(_explain(server), ExitCode.UNHEALTHY)
        time.sleep(POLL_S)


def _explain(server: RunningServer) -> str:
    return f"{server.spec.name} ({server.spec.server}) did not become ready: {log_tail(server.log_file)}"


def log_tail(log_file: Path, lines: int = 3) -> str:
    """Return the last lines of a log as one line."""
    if not log_file.exists():
        return "it wrote no log"
    tail = log_file.read_text(errors="replace").splitlines()[-lines:]
    return f"{' | '.join(tail) or 'it wrote nothing'} (see {log_file})"
