"""``wearables sql``: logins for people who write SQL."""

from __future__ import annotations

import json
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from wearables_platform.clients.sql import SqlClient
from wearables_platform.errors import ConfigError
from wearables_platform.settings import load_settings
from wearables_platform.sql import logins

_NAME = typer.Argument(help="Name of the login: lower case letters, digits and _.")
_DEFAULT = logins.Limits()


def register(app: typer.Typer) -> None:
    """Add the commands."""
    sql = typer.Typer(no_args_is_help=True, help="Make, list and end logins for people who write SQL.")
    sql.command("grant")(grant)
    sql.command("revoke")(revoke)
    sql.command("logins")(list_logins)
    app.add_typer(sql, name="sql")


def _client() -> closing[SqlClient]:
    return closing(SqlClient(load_settings().require("sql_url"), "wearables sql", pool_size=1))


def grant(
    name: str = _NAME,
    role: str = typer.Option("analyst", "--role", help="analyst (reads the views) or labeller (adds labels)."),
    password_file: Path | None = typer.Option(
        None, "--password-file", help="First line is the password; default: ask for it."
    ),
    connections: int = typer.Option(_DEFAULT.connections, "--connections", help="Connections at one time."),
    statement_timeout_s: int = typer.Option(
        _DEFAULT.statement_timeout_s, "--statement-timeout-s", help="A longer statement is cancelled."
    ),
    valid_until: datetime | None = typer.Option(
        None, "--valid-until", formats=["%Y-%m-%d"], help="First day (UTC) on which the password is no longer good."
    ),
) -> None:
    """Make a login for a person; again: a new password, role and limits.

    Exit codes: 0 done; 1 refused, nothing was changed; 3 configuration or no password; 11 the database does not
    answer.
    """
    password = _password(password_file)
    limits = logins.Limits(connections=connections, statement_timeout_s=statement_timeout_s)
    with _client() as client:
        logins.grant(client, name, role, password, limits, valid_until and valid_until.replace(tzinfo=UTC))
    sys.stdout.write(f"{name} may connect as {role}\n")


def revoke(name: str = _NAME) -> None:
    """End a login and its sessions.

    Exit codes: 0 done; 1 there is none of that name; 3 configuration; 11 the database does not answer.
    """
    with _client() as client:
        logins.revoke(client, name)
    sys.stdout.write(f"{name} may no longer connect\n")


def list_logins(as_json: bool = typer.Option(False, "--json", help="Print JSON.")) -> None:
    """Show the logins made here.

    Exit codes: 0 shown; 3 configuration; 11 the database does not answer.
    """
    with _client() as client:
        found = logins.logins(client)
    if as_json:
        sys.stdout.write(json.dumps(found, indent=2, default=datetime.isoformat) + "\n")
        return
    table = Table("name", "role", "connections", "valid_until")
    for one in found:
        table.add_row(*(str(one[column] or "-") for column in ("name", "role", "connections", "valid_until")))
    Console(highlight=False).print(table)


def _password(file: Path | None) -> str:
    if file is None:
        return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    try:
        return file.read_text().splitlines()[0]
    except (OSError, IndexError, UnicodeDecodeError) as exc:
        msg = f"{file} holds no password: {exc}"
        raise ConfigError(msg) from exc
