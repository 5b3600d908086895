"""Who asks, and what they may see: the one place that decides either."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

from flask import g, request

from wearables_platform.api.reads import Reads
from wearables_platform.api.services import services
from wearables_platform.api.tokens import Role
from wearables_platform.domain.time_policy import to_us
from wearables_platform.registry import token_digest
from wearables_platform.web.problems import RequestRefused, refuse_unknown


@dataclass(frozen=True)
class Principal:
    """Who a request acts for. `studies` are those it may see, None is every study; operators see the platform as well.

    `requests_per_minute` None is no limit.
    """

    name: str
    studies: frozenset[str] | None
    role: Role = "reader"
    requests_per_minute: int | None = None

    @property
    def study_filter(self) -> list[str] | None:
        """The `:studies` parameter of the named queries."""
        return None if self.studies is None else sorted(self.studies)


class Tokens:
    """The tokens accepted beside those in SQL. Only digests are kept, and they are compared in constant time."""

    def __init__(self, principals: Mapping[str, Principal]) -> None:
        self._principals = {_digest(token): principal for token, principal in principals.items()}

    def resolve(self, token: str) -> Principal | None:
        """Return whom the token stands for."""
        given = _digest(token)
        found = None
        for digest, principal in self._principals.items():
            if hmac.compare_digest(digest, given):
                found = principal
        return found


def authenticate(tokens: Tokens) -> None:
    """Resolve the caller of the current request once, and count the request; refuse it if either says no."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        _refuse_unauthenticated("send a token: Authorization: Bearer ...", 'Bearer realm="wearables"')
    # The operator's token first: it is good also while the database is away.
    found = tokens.resolve(token.strip()) or _stored(token.strip(), services().clock())
    if found is None:
        _refuse_unauthenticated("the token is not known", 'Bearer realm="wearables", error="invalid_token"')
    if found.requests_per_minute is not None:
        _refuse_too_many(services().request_rates.count(found.name, found.requests_per_minute))
    g.principal = found


def _stored(token: str, now: datetime) -> Principal | None:
    rows = services().reads.rows("find_access_token", token_sha256=token_digest(token), now=now)
    if not rows:
        return None
    row = rows[0]
    studies = None if row["studies"] is None else frozenset(row["studies"])
    allowed = row["requests_per_minute"] or services().requests_per_minute
    return Principal(row["name"], studies, row["role"], allowed)


def principal() -> Principal:
    """Whom the current request acts for."""
    found: Principal = g.principal
    return found


def visible_device(reads: Reads, device_id: str) -> dict[str, Any]:
    """Return the device if the caller may see it; otherwise it is as if it did not exist."""
    rows = reads.rows("find_device", studies=principal().study_filter, device_id=device_id)
    if not rows:
        refuse_unknown("device", device_id)
    return rows[0]


def visible_participant(reads: Reads, participant_id: str) -> dict[str, Any]:
    """Return the participant if the caller may see them; otherwise it is as if they did not exist."""
    rows = reads.rows("find_participant", studies=principal().study_filter, participant_id=participant_id)
    if not rows:
        refuse_unknown("participant", participant_id)
    return rows[0]


def visible_since(device_id: str | None = None) -> dict[str, int] | None:
    """Return since when (microseconds) each device, or the one named, is worn by somebody the caller may see.

    None is everything: callers who may see every study.
    """
    studies = principal().study_filter
    if studies is None:
        return None
    rows = services().reads.rows("list_worn_since", studies=studies, device_id=device_id)
    return {row["device_id"]: to_us(row["valid_from"]) for row in rows}


def require_operator() -> None:
    """Refuse callers who may not see the platform as a whole."""
    if principal().role != "operator":
        raise RequestRefused(403, "forbidden", "this needs a token whose role is operator")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _refuse_too_many(wait_s: int) -> None:
    if wait_s:
        detail = f"this token has asked too often; ask again in {wait_s} s"
        raise RequestRefused(429, "too-many-requests", detail, headers={"Retry-After": str(wait_s)})


def _refuse_unauthenticated(detail: str, challenge: str) -> NoReturn:
    raise RequestRefused(401, "unauthenticated", detail, headers={"WWW-Authenticate": challenge})
