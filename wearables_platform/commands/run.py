"""``wearables run``: one process of the platform, in the foreground."""

from __future__ import annotations

import importlib

import typer

from wearables_platform.errors import ConfigError
from wearables_platform.local.processes import ENTRY_POINTS
from wearables_platform.settings import load_settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run")(run)


def run(process: str = typer.Argument(help=f"One of {', '.join(ENTRY_POINTS)}.")) -> None:
    """Run one process of the platform in the foreground, against the running instance or the URLs in the settings.

    Exit codes: 0 it was asked to stop; 1 it failed; 3 configuration; 11 a store does not answer.
    """
    if process not in ENTRY_POINTS:
        msg = f"no process called {process!r}: one of {', '.join(ENTRY_POINTS)}"
        raise ConfigError(msg)
    module, _, function = ENTRY_POINTS[process].partition(":")
    getattr(importlib.import_module(module), function)(load_settings())
