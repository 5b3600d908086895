"""Tokens in SQL: what they open, when they stop doing so, and how often they may be used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from wearables_platform.api.services import EXTENSION
from wearables_platform.api.tokens import AccessTokens, Scope
from wearables_platform.cli import build_app
from wearables_platform.clients.request_rates import RequestRates
from wearables_platform.clients.sql import SqlClient
from wearables_platform.errors import ConfigError, StoreRefused
from wearables_platform.local.ports import free_ports
from wearables_platform_tests.api_world import NOW, Caller, World

pytestmark = [pytest.mark.sql, pytest.mark.redis, pytest.mark.integration]

SOON = NOW + timedelta(days=1)


@pytest.fixture
def tokens(world: World) -> Iterator[AccessTokens]:
    for study in ("london", "paris"):
        world.study(study)
        world.person(study, study)
    client = SqlClient(world.sql_url, "token tests")
    yield AccessTokens(client)
    client.close()


def seen_by(caller: Caller, token: str) -> list[str]:
    return [item["study_id"] for item in Caller(caller.client, token).json("/v1/devices")["items"]]


def test_a_token_sees_the_studies_it_was_issued_for(caller: Caller, tokens: AccessTokens) -> None:
    reader = tokens.issue("reader", Scope(("paris",), "reader", SOON), NOW)
    everything = tokens.issue("everything", Scope(None, "reader", SOON), NOW)
    assert seen_by(caller, reader) == ["paris"]
    assert seen_by(caller, everything) == ["london", "paris"]
    Caller(caller.client, reader).problem("/v1/participants/london/steps/daily", 404)


def test_only_an_operator_sees_the_platform(caller: Caller, tokens: AccessTokens) -> None:
    reader = tokens.issue("reader", Scope(None, "reader", SOON), NOW)
    operator = tokens.issue("operator", Scope(("paris",), "operator", SOON), NOW)
    Caller(caller.client, reader).problem("/v1/stages", 403)
    Caller(caller.client, operator).json("/v1/stages")


def test_a_token_ends_when_it_expires_or_is_revoked(caller: Caller, tokens: AccessTokens) -> None:
    expired = tokens.issue("short", Scope(None, "reader", NOW), NOW - timedelta(days=1))
    Caller(caller.client, expired).problem("/v1/devices", 401)
    revoked = tokens.issue("revoked", Scope(None, "reader", SOON), NOW)
    Caller(caller.client, revoked).json("/v1/devices")
    tokens.revoke("revoked", NOW)
    tokens.revoke("revoked", NOW)
    Caller(caller.client, revoked).problem("/v1/devices", 401)


def test_a_token_that_asks_too_often_is_told_how_long_to_wait(caller: Caller, tokens: AccessTokens) -> None:
    slow = Caller(caller.client, tokens.issue("slow", Scope(None, "reader", SOON, requests_per_minute=3), NOW))
    quick = Caller(caller.client, tokens.issue("quick", Scope(None, "reader", SOON), NOW))
    answered = [slow.get("/v1/devices").status_code for _ in range(3)]
    assert answered == [200, 200, 200]
    refused = slow.get("/v1/devices")
    assert (refused.status_code, refused.mimetype) == (429, "application/problem+json")
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    quick.json("/v1/devices")


def test_while_nothing_counts_nobody_is_refused(caller: Caller, tokens: AccessTokens) -> None:
    (port,) = free_ports(1)
    away = RequestRates(f"redis://127.0.0.1:{port}/0")
    object.__setattr__(caller.client.application.extensions[EXTENSION], "request_rates", away)
    slow = Caller(caller.client, tokens.issue("slow", Scope(None, "reader", SOON, requests_per_minute=1), NOW))
    assert [slow.get("/v1/devices").status_code for _ in range(3)] == [200, 200, 200]


def test_what_cannot_be_issued_is_said(tokens: AccessTokens) -> None:
    with pytest.raises(ConfigError, match="no study nowhere"):
        tokens.issue("x", Scope(("paris", "nowhere"), "reader", SOON), NOW)
    with pytest.raises(ConfigError, match="not a name"):
        tokens.issue("two words", Scope(None, "reader", SOON), NOW)
    with pytest.raises(ConfigError, match="expires after"):
        tokens.issue("x", Scope(None, "reader", NOW), NOW)
    with pytest.raises(ConfigError, match="none of reader, operator"):
        Scope(None, "owner", SOON)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="at least one study"):
        Scope((), "reader", SOON)
    tokens.issue("x", Scope(None, "reader", SOON), NOW)
    with pytest.raises(StoreRefused, match="used before"):
        tokens.issue("x", Scope(None, "reader", SOON), NOW)
    with pytest.raises(StoreRefused, match="no token 'y'"):
        tokens.revoke("y", NOW)


def test_the_command_issues_lists_and_revokes_and_stores_no_token(
    tokens: AccessTokens, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEARABLES_SQL_URL", world.sql_url)

    def run(*arguments: str) -> Any:
        result = CliRunner().invoke(build_app("tokens"), ["tokens", *arguments], catch_exceptions=False)
        assert result.exit_code == 0
        return json.loads(result.stdout) if "--json" in arguments else result.stdout

    issued = run("issue", "app", "--study", "paris", "--study", "london", "--days", "7", "--json")
    (row,) = run("list", "--json")
    assert (row["name"], row["state"], row["studies"], row["role"]) == ("app", "good", "london, paris", "reader")
    run("revoke", "app")
    assert "revoked" in run("list")
    with psycopg.connect(world.sql_url) as connection:
        stored = connection.execute("SELECT t::text FROM registry.access_tokens t").fetchall()
    assert issued["token"] not in str(stored)
    with pytest.raises(ConfigError, match="either --study"):
        run("issue", "nobody")
