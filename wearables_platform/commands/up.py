"""``wearables up``: start everything and keep it running."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import typer
from rich.console import Console

from wearables_platform.errors import ConfigError
from wearables_platform.local.failures import ExitCode, StartError
from wearables_platform.local.keeper import Keeper
from wearables_platform.local.layout import RunDirectory
from wearables_platform.local.limits import limits_of
from wearables_platform.local.plan import Plan, UpOptions
from wearables_platform.local.running import log_tail
from wearables_platform.settings import default_run_dir

DETACH_TIMEOUT_S = 300.0
POLL_S = 0.1


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("up")(up)


def up(
    detach: bool = typer.Option(False, "--detach", help="Return once everything is up; `wearables down` ends it."),
    servers_only: bool = typer.Option(False, "--servers-only", help="Start the servers and none of our processes."),
    fresh: bool = typer.Option(False, "--fresh", help="Forget everything the embedded servers kept, first."),
    live: bool = typer.Option(False, "--live", help="With a few simulated watches that send in real time."),
    replace: list[str] = typer.Option(
        [], "--replace", hidden=True, help="PROCESS=MODULE: run a module in a process's place (planted faults)."
    ),
) -> None:
    """Start the servers and processes and keep them running until Ctrl-C.

    Exit codes: 0 stopped on request; 3 configuration; 4 a port is in use; 5 disk; 6 no such server; 7 something did
    not become healthy; 8 the in-memory Kafka died; 9 already running.
    """
    run = RunDirectory(default_run_dir())
    options = UpOptions(servers_only, fresh, live, dict(parse_replacement(text) for text in replace))
    if detach:
        start_detached(run, options)
        return
    console = Console(stderr=False, highlight=False)
    keeper = Keeper(run, lambda line: console.print(line, soft_wrap=True))
    keeper.run(options, lambda plan: print_summary(console, run, plan))


def parse_replacement(text: str) -> tuple[str, str]:
    """Read ``PROCESS=MODULE``."""
    name, separator, module = text.partition("=")
    if not (name and separator and module):
        msg = f"--replace wants PROCESS=MODULE, not {text!r}"
        raise ConfigError(msg)
    return name, module


def print_summary(console: Console, run: RunDirectory, plan: Plan) -> None:
    """Say what runs, what it cannot do, and what to open."""
    for server in plan.servers:
        console.print(f"{server.name}: {server.server} {server.version} ({server.chosen})", soft_wrap=True)
        for limit in limits_of(server.server):
            console.print(f"  {limit}", style="dim", soft_wrap=True)
    host = plan.runtime.get("bind_host", "127.0.0.1")
    if plan.processes:
        console.print(f"live page and query API  http://{host}:{plan.runtime['api_port']}/", soft_wrap=True)
        console.print(f"Dagster                  http://{host}:{plan.runtime['dagster_port']}/", soft_wrap=True)
        ingest = plan.runtime.get("ingest_url") or f"http://{host}:{plan.runtime['ingest_port']}"
        console.print(f"HTTP ingest              {ingest}/", soft_wrap=True)
    console.print(f"up; logs in {run.logs}, Ctrl-C or `wearables down` ends it", soft_wrap=True)


def start_detached(run: RunDirectory, options: UpOptions) -> None:
    """Start an instance in the background and return once it is ready."""
    run.root.mkdir(parents=True, exist_ok=True)
    if run.is_held():
        msg = f"an instance is already running in {run.root}: end it with `wearables down`"
        raise StartError(msg, ExitCode.ALREADY_RUNNING)
    words = ["--servers-only"] * options.servers_only + ["--fresh"] * options.fresh
    words += ["--live"] * options.live
    words += [f"--replace={name}={module}" for name, module in options.replaced.items()]
    log_file = run.root / "up.log"
    with log_file.open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "wearables_platform.cli", "up", *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _await_ready(run, child, log_file)
    sys.stdout.write(log_file.read_text())


def _await_ready(run: RunDirectory, child: subprocess.Popen[bytes], log_file: Path) -> None:
    deadline = time.monotonic() + DETACH_TIMEOUT_S
    while (run.read_state() or {}).get("phase") != "ready":
        if child.poll() is not None:
            raise StartError(_last_line(log_file), _known_exit_code(child.returncode))
        if time.monotonic() > deadline:
            child.terminate()
            msg = f"the instance was not ready within {DETACH_TIMEOUT_S:.0f} s: {log_tail(log_file)}"
            raise StartError(msg, ExitCode.UNHEALTHY)
        time.sleep(POLL_S)


def _last_line(log_file: Path) -> str:
    """Return why the background instance ended: its own one line."""
    lines = log_file.read_text(errors="replace").splitlines()
    return lines[-1].removeprefix("wearables: ") if lines else f"it ended at once (see {log_file})"


def _known_exit_code(code: int) -> ExitCode:
    return ExitCode(code) if code in ExitCode.__members__.values() else ExitCode.FAILED
