"""Who asks, and what they may see: the one place that decides either."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from flask import g, request

from wearables_platform.api.reads import Reads
from wearables_platform.web.problems import RequestRefused, refuse_unknown


@dataclass(frozen=True)
class Principal:
    """Who a request acts for. `studies` are those it may see; None is every study (the operator)."""

    name: str
    studies: frozenset[str] | None

    @property
    def study_filter(self) -> list[str] | None:
        """The `:studies` parameter of the named queries."""
        return None if self.studies is None else sorted(self.studies)


class Tokens:
    """The tokens that are accepted. Only digests are kept, and they are compared in constant time."""

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
    """Resolve the caller of the current request once, or refuse it."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        _refuse_unauthenticated("send a token: Authorization: Bearer ...", 'Bearer realm="wearables"')
    principal = tokens.resolve(token.strip())
    if principal is None:
        _refuse_unauthenticated("the token is not known", 'Bearer realm="wearables", error="invalid_token"')
    g.principal = principal


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


def require_operator() -> None:
    """Refuse callers who may not see the platform as a whole."""
    if principal().studies is not None:
        raise RequestRefused(403, "forbidden", "this needs a token that may see every study")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _refuse_unauthenticated(detail: str, challenge: str) -> NoReturn:
    raise RequestRefused(401, "unauthenticated", detail, headers={"WWW-Authenticate": challenge})
