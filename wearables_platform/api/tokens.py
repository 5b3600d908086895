"""Tokens kept in SQL: issued, listed and revoked by the operator; only their digests are stored."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from wearables_platform.clients.sql import Connection, SqlClient, load_queries
from wearables_platform.errors import ConfigError, StoreRefused
from wearables_platform.registry import token_digest

Role = Literal["reader", "operator"]
ROLES: tuple[Role, ...] = ("reader", "operator")
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_queries = load_queries(Path(__file__).parents[1] / "sql" / "access")


@dataclass(frozen=True)
class Scope:
    """What a token is good for. `studies` None is every study; `requests_per_minute` None the platform's own limit."""

    studies: tuple[str, ...] | None
    role: Role
    expires_at: datetime
    requests_per_minute: int | None = None

    def __post_init__(self) -> None:
        if self.studies is not None and not self.studies:
            msg = "name at least one study, or every study"
            raise ConfigError(msg)
        if self.role not in ROLES:
            msg = f"role {self.role!r} is none of {', '.join(ROLES)}"
            raise ConfigError(msg)
        if self.requests_per_minute is not None and self.requests_per_minute < 1:
            msg = f"{self.requests_per_minute} requests per minute is less than one"
            raise ConfigError(msg)


def missing_studies(connection: Connection, studies: tuple[str, ...] | None) -> list[str]:
    """Return which of the named studies do not exist."""
    return [study for (study,) in _queries.list_missing_studies(connection, studies=list(studies or ()))]


class AccessTokens:
    """The tokens in SQL. Who reads them for a request is `access.authenticate`."""

    def __init__(self, client: SqlClient) -> None:
        self._client = client

    def issue(self, name: str, scope: Scope, at: datetime) -> str:
        """Add a token and return it; it is stored nowhere, so this is the only time it is seen.

        Raises
        ------
        ConfigError
            The name is malformed, or a study does not exist.
        StoreRefused
            The name was used before.
        """
        if not _NAME.fullmatch(name):
            msg = f"{name!r} is not a name: letters, digits, . _ @ and -, 64 at most"
            raise ConfigError(msg)
        if scope.expires_at <= at:
            msg = "a token expires after it is issued"
            raise ConfigError(msg)
        studies = None if scope.studies is None else list(scope.studies)
        token = secrets.token_urlsafe(32)
        with self._client.transaction() as connection:
            missing = missing_studies(connection, scope.studies)
            if missing:
                msg = f"there is no study {', '.join(missing)}"
                raise ConfigError(msg)
            added = _queries.add_access_token(
                connection,
                name=name,
                token_sha256=token_digest(token),
                studies=studies,
                role=scope.role,
                requests_per_minute=scope.requests_per_minute,
                created_at=at,
                expires_at=scope.expires_at,
            )
        if not added:
            msg = f"the name {name!r} was used before; a name is used once"
            raise StoreRefused(msg)
        return token

    def revoke(self, name: str, at: datetime) -> None:
        """Refuse a token from now on; again changes nothing."""
        with self._client.transaction() as connection:
            known = _queries.revoke_access_token(connection, name=name, revoked_at=at)
        if not known:
            msg = f"there is no token {name!r}"
            raise StoreRefused(msg)

    def all(self) -> list[dict[str, Any]]:
        """Return every token's name, scope and dates, oldest first."""
        return self._client.rows(_queries.list_access_tokens.sql)
