"""``wearables models``: which versions there are, and who put which in force when; promote one, or take one back."""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import typer
from rich.console import Console
from rich.table import Column, Table

from wearables_platform.clients.lake import Lake, configured_lake
from wearables_platform.clients.sql import SqlClient
from wearables_platform.models.live_scores import read_live_scores
from wearables_platform.models.registry import ModelRegistry, ModelVersion
from wearables_platform.models.releases import ReleaseLog
from wearables_platform.settings import load_settings

_JSON = typer.Option(False, "--json", help="Print JSON.")
_NAME = typer.Argument(help="Name of the model, such as activity_anomaly or device_thresholds.")
_BECAUSE = typer.Option(..., "--because", help="Why; kept in the model's history.")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    models = typer.Typer(no_args_is_help=True, help="List model versions; promote the one in shadow; roll one back.")
    models.command("list")(list_versions)
    models.command("changes")(list_changes)
    models.command("promote")(promote)
    models.command("rollback")(rollback)
    app.add_typer(models, name="models")


@dataclass(frozen=True)
class Place:
    """What the commands work on; lake and log are opened by those that need them."""

    registry: ModelRegistry
    sql: SqlClient
    lake: Callable[[], Lake]
    log: Callable[[], ReleaseLog]


def open_place() -> Place:
    """Open what the settings name."""
    settings = load_settings()
    sql = SqlClient(settings.require("sql_url"), "wearables models", pool_size=1)
    who = f"{getpass.getuser()}, wearables models"
    key = settings.require("model_signing_key")
    registry = ModelRegistry(sql, key, who)
    return Place(
        registry, sql, lambda: configured_lake(settings), lambda: ReleaseLog(settings.require("kafka_url"), key)
    )


@contextmanager
def _opened() -> Iterator[Place]:
    place = open_place()
    try:
        yield place
    finally:
        place.sql.close()


def list_versions(name: str = typer.Argument("", help="One model; default all."), as_json: bool = _JSON) -> None:
    """Show every version, its state and what it scored live.

    Exit codes: 0 shown; 1 a row's signature is wrong; 3 configuration; 11 a store does not answer.
    """
    with _opened() as place:
        versions = [
            one for each in ([name] if name else place.registry.names()) for one in place.registry.versions(each)
        ]
        shown = [_shown(place.sql, one) for one in versions]
    _print(shown, as_json=as_json)


def list_changes(name: str = _NAME, as_json: bool = _JSON) -> None:
    """Show every change of state of a model's versions: when, by whom and why.

    Exit codes: 0 shown; 3 configuration; 11 a store does not answer.
    """
    with _opened() as place:
        changes = place.registry.changes(name)
    shown = [
        {
            "changed_at": one.changed_at.isoformat(),
            "version": one.version,
            "from": one.from_state,
            "to": one.to_state,
            "by": one.changed_by,
            "because": one.because,
        }
        for one in changes
    ]
    _print(shown, as_json=as_json)


def promote(
    name: str = _NAME,
    because: str = _BECAUSE,
    version: str = typer.Option("", "--version", help="The version meant; refused where another runs in shadow."),
    as_json: bool = _JSON,
) -> None:
    """Put the version in shadow in force now, without waiting for more live traffic.

    Exit codes: 0 done; 1 nothing, or another version, runs in shadow, or its file is refused; 3 configuration; 11 a
    store does not answer.
    """
    from wearables_platform.models import promotion  # scikit-learn takes a second to import

    with _opened() as place:
        done = promotion.promote(
            place.lake(),
            place.registry,
            place.log(),
            name,
            clock=partial(datetime.now, UTC),
            because=because,
            version=version or None,
        )
        assert done.row is not None, "promoted"
        shown = _shown(place.sql, done.row)
    _print([shown], as_json=as_json)


def rollback(
    name: str = _NAME,
    because: str = _BECAUSE,
    version: str = typer.Option("", "--version", help="The version in force, which is taken back; must be said."),
    as_json: bool = _JSON,
) -> None:
    """Take the version in force back; the one it replaced is in force again shortly (thresholds: in an hour).

    The version must be named, so that the command given twice takes one version back, not two.

    Exit codes: 0 done; 1 none is in force, or another than the version meant; 2 no version named; 3 configuration; 11 a
    store does not answer.
    """
    from wearables_platform.models import promotion

    with _opened() as place:
        if not version:
            current = place.registry.in_force(name)
            msg = f"say which is taken back: {current.version if current else 'none'} is in force"
            raise typer.BadParameter(msg, param_hint="--version")
        taken, _ = promotion.roll_back(
            place.lake(),
            place.registry,
            place.log(),
            name,
            clock=partial(datetime.now, UTC),
            because=because,
            version=version,
        )
        now = place.registry.in_force(name)
        shown = [_shown(place.sql, one) for one in (taken, now) if one is not None]
    _print(shown, as_json=as_json)


def _shown(sql: SqlClient, one: ModelVersion) -> dict[str, Any]:
    role = "shadow" if one.state in ("candidate", "shadow") else "in_force"
    live = read_live_scores(sql, one.name, one.version, role).total
    return {
        "name": one.name,
        "version": one.version,
        "state": one.state,
        "trained_at": one.trained_at.isoformat(),
        "effective_from": one.effective_from.isoformat() if one.effective_from else None,
        "people": len(one.training_people),
        "live_windows": live.windows,
        "live_alarm_rate": round(live.alarm_rate, 6),
        "because": one.refusal,
    }


def _print(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return
    one_model = len({row.get("name") for row in rows}) == 1
    shown = [_for_people(row, one_model=one_model) for row in rows] or [{"nothing": ""}]
    table = Table(*map(_column, shown[0]))
    for row in shown if rows else ():
        table.add_row(*row.values())
    Console(highlight=False).print(table)


def _column(name: str) -> Column:
    """Return a column; what is typed into the next command stays whole in a narrow window."""
    return Column(name.replace("_", " "), no_wrap=name in ("version", "state", "to"), overflow="fold")


def _for_people(row: dict[str, Any], *, one_model: bool) -> dict[str, str]:
    """Return what a person looks for in a row: instants to the minute, the first reason of several."""
    hidden = {"trained_at", "people", *(("name",) if one_model else ())}
    shown = {name: value for name, value in row.items() if name not in hidden}
    for name in shown.keys() & {"changed_at", "effective_from"}:
        shown[name] = str(shown[name])[:16].replace("T", " ") if shown[name] else None
    if shown.get("because"):
        first, _, others = str(shown["because"]).partition("; ")
        shown["because"] = f"{first} ..." if others else first
    return {name: "-" if value is None else str(value) for name, value in shown.items()}
