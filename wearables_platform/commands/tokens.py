"""``wearables tokens``: who may call the query API, for which studies, until when."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import typer
from rich.console import Console
from rich.table import Table

from wearables_platform.api.tokens import AccessTokens, Role, Scope
from wearables_platform.clients.sql import SqlClient
from wearables_platform.errors import ConfigError
from wearables_platform.settings import load_settings

_JSON = typer.Option(False, "--json", help="Print JSON.")
_NAME = typer.Argument(help="Who or what the token is for; used once.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    tokens = typer.Typer(no_args_is_help=True, help="Issue, list and revoke tokens of the query API.")
    tokens.command("issue")(issue)
    tokens.command("list")(list_tokens)
    tokens.command("revoke")(revoke)
    app.add_typer(tokens, name="tokens")


@contextmanager
def _opened() -> Iterator[AccessTokens]:
    with closing(SqlClient(load_settings().require("sql_url"), "wearables tokens", pool_size=1)) as client:
        yield AccessTokens(client)


def issue(
    name: str = _NAME,
    study: list[str] = typer.Option([], "--study", help="A study it may see; give it again for more."),
    every_study: bool = typer.Option(False, "--every-study", help="Every study, also those added later."),
    role: str = typer.Option("reader", "--role", help="reader; or operator, who sees the platform's counts as well."),
    days: int = typer.Option(90, "--days", min=1, max=3_650, help="Good for so many days."),
    requests_per_minute: int = typer.Option(
        0, "--requests-per-minute", min=0, help="Limit of this token; 0 is WEARABLES_API_REQUESTS_PER_MINUTE."
    ),
    as_json: bool = _JSON,
) -> None:
    """Issue a token. It is printed once and stored nowhere in clear.

    Exit codes: 0 done; 1 the name was used before; 3 configuration, or no such study; 11 the database does not answer.
    """
    if bool(study) == every_study:
        msg = "say either --study, once or more, or --every-study"
        raise ConfigError(msg)
    now = datetime.now(UTC)
    studies = None if every_study else tuple(sorted(set(study)))
    scope = Scope(studies, cast(Role, role), now + timedelta(days=days), requests_per_minute or None)
    with _opened() as tokens:
        token = tokens.issue(name, scope, now)
    shown = {"name": name, "token": token, "expires_at": scope.expires_at.isoformat(timespec="seconds")}
    if as_json:
        sys.stdout.write(json.dumps(shown, indent=2) + "\n")
    else:
        Console(highlight=False).print(f"{token}\n(shown once; good until {shown['expires_at']})", soft_wrap=True)


def list_tokens(as_json: bool = _JSON) -> None:
    """Show every token ever issued, and whether it is good; never the token.

    Exit codes: 0 shown; 3 configuration; 11 the database does not answer.
    """
    now = datetime.now(UTC)
    with _opened() as tokens:
        rows = [_shown(row, now) for row in tokens.all()]
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return
    table = Table(*(rows[0] if rows else ["no tokens"]))
    for row in rows:
        table.add_row(*("-" if value is None else str(value) for value in row.values()))
    Console(highlight=False).print(table)


def revoke(name: str = _NAME) -> None:
    """Refuse a token from the next request on; again changes nothing.

    Exit codes: 0 done; 1 there is none of that name; 3 configuration; 11 the database does not answer.
    """
    with _opened() as tokens:
        tokens.revoke(name, datetime.now(UTC))


def _shown(row: dict[str, Any], now: datetime) -> dict[str, Any]:
    state = "revoked" if row["revoked_at"] else "expired" if row["expires_at"] <= now else "good"
    return {
        "name": row["name"],
        "state": state,
        "studies": "every study" if row["studies"] is None else ", ".join(row["studies"]),
        "role": row["role"],
        "requests_per_minute": row["requests_per_minute"],
        "created_at": row["created_at"].isoformat(timespec="seconds"),
        "expires_at": row["expires_at"].isoformat(timespec="seconds"),
    }
