"""``wearables status``: what runs, and how far the messages of each topic have come."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields

import typer
from rich.console import Console
from rich.table import Table

from wearables_platform.local.failures import ExitCode, StartError
from wearables_platform.local.layout import RunDirectory
from wearables_platform.local.running import log_tail
from wearables_platform.local.stages import TopicStages, read_stages
from wearables_platform.local.supervisor import ProgramState, read_states
from wearables_platform.settings import default_run_dir, load_settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status")(status)


def status(as_json: bool = typer.Option(False, "--json", help="Print JSON.")) -> None:
    """Show what runs and, per topic, the counts of every stage.

    Exit codes: 0 shown; 3 no instance was ever started here and no URLs are set; 10 the instance that was started
    here has ended; 11 a store does not answer.
    """
    run = RunDirectory(default_run_dir())
    if not run.is_held() and (ended := how_it_ended(run)) is not None:
        raise StartError(ended, ExitCode.NOT_RUNNING)
    settings = load_settings()
    programs = read_states(run) if run.is_held() else {}
    stages = read_stages(settings)
    if not as_json:
        print_tables(programs, stages)
        return
    running = {name: {"state": one.state, "pid": one.pid} for name, one in programs.items()}
    topics = [asdict(one) for one in stages]
    sys.stdout.write(json.dumps({"programs": running, "topics": topics}, indent=2) + "\n")


def how_it_ended(run: RunDirectory) -> str | None:
    """Say how the instance that `up --detach` started here ended by itself; None where none did."""
    if run.runtime_file.exists():
        return f"the instance in {run.root} was killed: start another with `wearables up`"
    log_file = run.root / "up.log"
    last = log_tail(log_file, 1) if log_file.exists() else ""
    return f"no instance is running; the last one said: {last}" if last.startswith("wearables: ") else None


def print_tables(programs: Mapping[str, ProgramState], stages: Sequence[TopicStages]) -> None:
    """Print both tables."""
    console = Console(highlight=False)
    running = Table("program", "state", "pid")
    for name, program in programs.items():
        running.add_row(name, program.state.lower(), str(program.pid or ""))
    if programs:
        console.print(running)
    console.print(stage_table(stages))


def stage_table(stages: Sequence[TopicStages]) -> Table:
    """Lay the counts out with a column per topic."""
    table = Table("messages")
    for one in stages:
        table.add_column(one.topic.removeprefix("wearables."), justify="right")
    for field in fields(TopicStages)[1:]:
        values = (getattr(one, field.name) for one in stages)
        table.add_row(field.name.replace("_", " "), *("-" if value is None else str(value) for value in values))
    return table
