"""``wearables down``: end the running instance."""

from __future__ import annotations

import os
import signal
import time

import typer
from rich.console import Console

from wearables_platform.local.failures import ExitCode, StartError
from wearables_platform.local.layout import RunDirectory
from wearables_platform.settings import default_run_dir

TIMEOUT_S = 90.0
POLL_S = 0.1


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("down")(down)


def down() -> None:
    """End the running instance and everything it started.

    Exit codes: 0 it ended; 7 it did not end in time; 10 none was running.
    """
    run = RunDirectory(default_run_dir())
    pid = run.holder()
    if not pid:
        msg = f"no instance is running in {run.root}"
        raise StartError(msg, ExitCode.NOT_RUNNING)
    stop(run, pid)
    Console(highlight=False).print("down", soft_wrap=True)


def stop(run: RunDirectory, pid: int) -> None:
    """Ask the keeper to end and wait until it has."""
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + TIMEOUT_S
    while run.is_held():
        if time.monotonic() > deadline:
            msg = f"the instance (pid {pid}) did not end within {TIMEOUT_S:.0f} s"
            raise StartError(msg, ExitCode.UNHEALTHY)
        time.sleep(POLL_S)
