"""``wearables doctor``: is this machine fit, which servers would run, and what can they not do."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import typer
from rich.console import Console

from wearables_platform.local.checkup import check_up
from wearables_platform.local.failures import ExitCode
from wearables_platform.local.layout import RunDirectory
from wearables_platform.settings import load_settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor")(doctor)


def doctor(as_json: bool = typer.Option(False, "--json", help="Print JSON.")) -> None:
    """Check this machine and say which server of each kind runs, or would, and what it cannot do.

    Exit codes: 0 fit; 1 something is missing, marked in the list; 3 configuration.
    """
    settings = load_settings()
    findings = check_up(settings, RunDirectory(settings.run_dir))
    if as_json:
        sys.stdout.write(json.dumps([asdict(finding) for finding in findings], indent=2) + "\n")
    else:
        console = Console(highlight=False)
        for finding in findings:
            mark = "ok  " if finding.ok else "BAD "
            console.print(f"{mark}{finding.name}: {finding.detail}", markup=False, soft_wrap=True)
            for limit in finding.limits:
                console.print(f"      {limit}", markup=False, style="dim", soft_wrap=True)
    if not all(finding.ok for finding in findings):
        raise typer.Exit(ExitCode.FAILED)
