"""``wearables webhooks``: who is told of events by HTTP, and what could not be delivered."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import typer
from rich.console import Console
from rich.table import Table

from wearables_platform.clients.sql import SqlClient
from wearables_platform.domain.severity import Severity
from wearables_platform.errors import ConfigError
from wearables_platform.local.failures import ExitCode
from wearables_platform.settings import Settings, load_settings
from wearables_platform.webhooks.couriers import attempt
from wearables_platform.webhooks.deliveries import Delivery
from wearables_platform.webhooks.messages import trial_body
from wearables_platform.webhooks.receivers import Sender, networks_of
from wearables_platform.webhooks.signing import SecretFiles
from wearables_platform.webhooks.subscriptions import Subscription, Subscriptions

_JSON = typer.Option(False, "--json", help="Print JSON.")
_NAME = typer.Argument(help="The receiver's name; used once.")
_SECRET = typer.Argument(help="The secret's name, as `list` shows it.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    webhooks = typer.Typer(no_args_is_help=True, help="Tell receivers of events by signed HTTP.")
    webhooks.command("add")(add)
    webhooks.command("list")(list_webhooks)
    webhooks.command("remove")(remove)
    webhooks.command("test")(send_test)
    webhooks.command("rotate")(rotate)
    webhooks.command("dead")(dead)
    webhooks.command("resend")(resend)
    app.add_typer(webhooks, name="webhooks")


@contextmanager
def _opened(settings: Settings) -> Iterator[Subscriptions]:
    with closing(SqlClient(settings.require("sql_url"), "wearables webhooks", pool_size=1)) as client:
        yield Subscriptions(client)


def add(
    name: str = _NAME,
    url: str = typer.Option(..., "--url", help="Where messages are posted: http or https."),
    study: list[str] = typer.Option([], "--study", help="A study it is told of; give it again for more."),
    every_study: bool = typer.Option(False, "--every-study", help="Every study, also those added later."),
    kind: list[str] = typer.Option([], "--kind", help="A kind of event; give it again for more. None: every kind."),
    severity: str = typer.Option("info", "--severity", help="Least severity: info, warning or critical."),
    secret: str = typer.Option("", "--secret", help="Name of its secret; by default the receiver's name."),
    as_json: bool = _JSON,
) -> None:
    """Add a receiver: it is told of what is announced from now on. A new secret is drawn and shown once.

    Exit codes: 0 done; 1 the name was used before, or too many; 3 configuration, or no such study; 11 the database does
    not answer.
    """
    if bool(study) == every_study:
        msg = "say either --study, once or more, or --every-study"
        raise ConfigError(msg)
    settings = load_settings()
    studies = None if every_study else tuple(study)
    secret = secret or name.translate(str.maketrans(".@", "__"))
    subscription = Subscription(name, url, secret, studies, tuple(kind) or None, cast(Severity, severity))
    with _opened(settings) as subscriptions:
        files = SecretFiles.of(settings)
        with files.drawn_unless_there(secret) as drawn:
            files.keys(secret)  # one that was there must be good
            subscriptions.add(subscription, datetime.now(UTC))
    _say({"name": name, "secret": secret, "drawn": drawn}, as_json)


def list_webhooks(as_json: bool = _JSON) -> None:
    """Show every receiver, and how many messages wait, were delivered in the past weeks, were given up.

    Exit codes: 0 shown; 3 configuration; 11 the database does not answer.
    """
    with _opened(load_settings()) as subscriptions:
        rows = [_shown(row) for row in subscriptions.all()]
    _tell(rows, "no receivers", as_json)


def remove(name: str = _NAME) -> None:
    """Send a receiver nothing more, also not what waits for it.

    Exit codes: 0 done; 1 there is none of that name; 3 configuration; 11 the database does not answer.
    """
    with _opened(load_settings()) as subscriptions:
        subscriptions.remove(name, datetime.now(UTC))


def send_test(name: str = _NAME) -> None:
    """Send a receiver one message of type `webhook.test` from here, and say what it answered.

    Exit codes: 0 it has it; 1 it has not, or there is no such receiver; 3 configuration; 11 no database answers.
    """
    settings = load_settings()
    with _opened(settings) as subscriptions:
        found = subscriptions.find(name)
    now = datetime.now(UTC)
    body = trial_body(name, now)
    delivery = Delivery(f"msg_{uuid.uuid4().hex}", body, 1, now, found["url"], found["secret"])
    sender = Sender(settings.webhook_timeout_s, networks_of(settings.webhook_private_networks))
    answer = attempt(sender, SecretFiles.of(settings), delivery, now)
    Console(highlight=False).print(answer.said, soft_wrap=True)
    if not answer.delivered:
        raise typer.Exit(ExitCode.FAILED)


def rotate(
    secret: str = _SECRET,
    drop_old: bool = typer.Option(False, "--drop-old", help="End a rotation: sign with the newest secret alone."),
    as_json: bool = _JSON,
) -> None:
    """Draw a new secret, printed once; messages are signed with the new and the last one until `--drop-old`.

    Exit codes: 0 done; 3 configuration, or no such secret.
    """
    files = SecretFiles.of(load_settings())
    if drop_old:
        files.drop_old(secret)
        return
    _say({"secret": secret, "drawn": files.rotate(secret)}, as_json)


def dead(
    name: str = typer.Argument("", help="A receiver; by default all."),
    as_json: bool = _JSON,
) -> None:
    """Show the messages that were given up, and what the last attempt met with.

    Exit codes: 0 shown; 3 configuration; 11 the database does not answer.
    """
    with _opened(load_settings()) as subscriptions:
        rows = [
            row | {key: row[key].isoformat(timespec="seconds") for key in ("created_at", "ended_at")}
            for row in subscriptions.dead(name or None)
        ]
    _tell(rows, "no dead messages", as_json)


def resend(name: str = _NAME) -> None:
    """Try again what was given up of a receiver, under the same ids; also brings back one that said it was gone.

    Exit codes: 0 done; 1 there is none of that name; 3 configuration; 11 the database does not answer.
    """
    settings = load_settings()
    now = datetime.now(UTC)
    with _opened(settings) as subscriptions:
        revived = subscriptions.revive(name, now, now + timedelta(days=settings.webhook_retry_days))
    Console(highlight=False).print(f"{revived} messages are sent again")


def _say(added: dict[str, Any], as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(added, indent=2) + "\n")
    elif added["drawn"]:
        Console(highlight=False).print(f"{added['drawn']}\n(shown once; secret {added['secret']})", soft_wrap=True)
    else:
        Console(highlight=False).print(f"signed with the secret {added['secret']} that was there")


def _tell(rows: Sequence[dict[str, Any]], nothing: str, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return
    table = Table(*(rows[0] if rows else [nothing]))
    for row in rows:
        table.add_row(*("-" if value is None else str(value) for value in row.values()))
    Console(highlight=False).print(table)


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": row["name"],
        "url": row["url"],
        "state": "gone" if row["disabled_at"] else "good",
        "secret": row["secret"],
        "studies": "every study" if row["studies"] is None else ", ".join(row["studies"]),
        "kinds": "every kind" if row["kinds"] is None else ", ".join(row["kinds"]),
        "severity": row["least_severity"],
        "waiting": row["waiting"],
        "delivered": row["delivered"],
        "dead": row["dead"],
        "created_at": row["created_at"].isoformat(timespec="seconds"),
    }
