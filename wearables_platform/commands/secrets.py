"""``wearables secrets``: the secrets of a deployment, drawn into files once."""

from __future__ import annotations

from pathlib import Path

import typer

from wearables_platform.deploy.secret_files import NAMES, make_secrets


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("secrets")(secrets)


def secrets(directory: Path = typer.Argument(Path("secrets"), help="Where the files are, or are to be.")) -> None:
    """Draw the secrets docker-compose.yml asks for, a file each; those that are there already stay.

    Exit codes: 0 done; 3 the directory is open to others, or a file in it is empty; 5 it cannot be written.
    """
    drawn = make_secrets(directory)
    typer.echo(f"{directory}: {len(NAMES)} secrets, {len(drawn)} passwords of them drawn now")
