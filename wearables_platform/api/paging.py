"""Cursors: where the last page ended, as opaque text, good only for the request it came from."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from wearables_platform.web.problems import refuse_parameter

_FINGERPRINT_CHARS = 12


def write_cursor(scope: Sequence[Any], key: Sequence[Any]) -> str:
    """Write the key of a page's last row. `scope` is what the request asks for: the path and its filters."""
    text = json.dumps([_fingerprint(scope), *key], separators=(",", ":"), default=_plain)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str | None, scope: Sequence[Any], key_type: TypeAdapter[Any]) -> Any:
    """Read a cursor back as `key_type`, or None if there is none; refuse one of another request or not of ours."""
    if cursor is None:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        fingerprint, *key = json.loads(text)
        found = key_type.validate_python(key)
    except (binascii.Error, ValueError, TypeError, ValidationError) as exc:
        refuse_parameter("cursor", f"is not one this API gave out ({type(exc).__name__})")
    if fingerprint != _fingerprint(scope):
        refuse_parameter("cursor", "belongs to a request with other parameters")
    return found


def cut_page(
    rows: list[dict[str, Any]], limit: int, scope: Sequence[Any], key: tuple[str, ...]
) -> tuple[list[dict[str, Any]], str | None]:
    """Cut rows, of which one more than `limit` was asked for, to the page and the cursor of the next."""
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], write_cursor(scope, [rows[limit - 1][name] for name in key])


def _fingerprint(scope: Sequence[Any]) -> str:
    text = json.dumps(list(scope), default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:_FINGERPRINT_CHARS]


def _plain(value: datetime) -> str:
    return value.isoformat()
