"""``wearables demo``: a known world through the whole platform, and the scorecard."""

from __future__ import annotations

import secrets
import signal
import sys

import typer
from rich.console import Console

from wearables_platform.demo.run import SABOTAGES, Demo, DemoOptions
from wearables_platform.local.layout import RunDirectory
from wearables_platform.settings import default_run_dir

REPORT_WIDTH = 170  # into a file or a log, every name and rule whole


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    seed: int = typer.Option(0, "--seed", min=0, help="What is planted is drawn from it; 0 draws one and says which."),
    sabotage: str = typer.Option("", "--sabotage", help=f"Break something on purpose: {', '.join(SABOTAGES)}."),
    keep: bool | None = typer.Option(
        None, "--keep/--no-keep", help="Leave it running until Ctrl-C; the default if this is a terminal."
    ),
) -> None:
    """Play recordings, a planted fleet and weeks of vitals through the platform and print the scorecard.

    Forgets what an earlier run left in the run directory. Everything ends with the command.

    Exit codes: 0 every line holds; 1 at least one does not; 3 to 9 as for `wearables up`; 130 Ctrl-C.
    """
    if sabotage and sabotage not in SABOTAGES:
        msg = f"no sabotage called {sabotage!r}: one of {', '.join(SABOTAGES)}"
        raise typer.BadParameter(msg, param_hint="--sabotage")
    options = DemoOptions(seed or 1 + secrets.randbelow(99_999), sabotage or None, _stays(keep))
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=max(console.width, REPORT_WIDTH))
    console.print(f"[bold]wearables demo[/], seed {options.seed}" + (f", sabotage {sabotage}" if sabotage else ""))
    # Asked to end in any way, take everything down in good order; a shell's background job starts with SIGINT ignored.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    raise typer.Exit(Demo(RunDirectory(default_run_dir()), options, console).run())


def _stays(keep: bool | None) -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty() if keep is None else keep
