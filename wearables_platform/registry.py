"""Who takes part and which device may speak: enrolment, tokens, and the lookup every gateway asks.

A token is random, shown once, and kept as its SHA-256; two may be live while one is exchanged. Who wears a device is
known here and never on the wire.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol
from zoneinfo import available_timezones

from wearables_platform.clients.sql import Connection, SqlClient, load_queries
from wearables_platform.domain.identity import is_device_id
from wearables_platform.domain.time_policy import to_us
from wearables_platform.errors import ConfigError, StoreRefused, StoreUnavailable

SEXES: Final = ("female", "male", "other", "unknown")
LIVE_TOKENS: Final = 2
# How long a gateway may go on believing what it last read: a revoked device is refused after this at the latest.
LOOKUP_TTL_S: Final = 30.0
# A device just enrolled is known to every gateway within this.
UNKNOWN_TTL_S: Final = 1.0
# Strangers' ids must not fill the memory; known devices of a fleet fit.
MAX_CACHED: Final = 50_000
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_queries: Any = load_queries(Path(__file__).parent / "sql" / "registry" / "registry.sql")


@dataclass(frozen=True)
class Participant:
    """A person in a study, by pseudonym."""

    participant_id: str
    study_id: str
    birth_year: int
    sex: str
    time_zone: str

    def __post_init__(self) -> None:
        _require(_NAME.fullmatch(self.participant_id), f"participant id {self.participant_id!r} is not {_NAME.pattern}")
        _require(_NAME.fullmatch(self.study_id), f"study id {self.study_id!r} is not {_NAME.pattern}")
        _require(1900 <= self.birth_year <= 2100, f"birth year {self.birth_year} is not between 1900 and 2100")
        _require(self.sex in SEXES, f"sex {self.sex!r} is none of {', '.join(SEXES)}")
        _require(self.time_zone in _time_zones(), f"time zone {self.time_zone!r} is no IANA name such as Europe/Berlin")


@dataclass(frozen=True)
class Enrolment:
    """A participant and the device worn, both registered at an instant (aware)."""

    participant: Participant
    device_id: str
    registered_at: datetime
    device_model: str = "unknown"

    def __post_init__(self) -> None:
        _require(is_device_id(self.device_id), f"device id {self.device_id!r} is not [A-Za-z0-9_-]{{1,64}}")
        _require(self.registered_at.tzinfo is not None, f"registered_at {self.registered_at} has no time zone")


@dataclass(frozen=True)
class Device:
    """A device as gateways need it: since when it may have measured, and what it proves itself with."""

    device_id: str
    registered_us: int
    enabled: bool
    token_digests: tuple[str, ...]

    def accepts(self, token: str) -> bool:
        """Tell whether a token is one of the live ones; takes as long for a wrong one."""
        offered = token_digest(token)
        matches = [hmac.compare_digest(offered, digest) for digest in self.token_digests]
        return self.enabled and any(matches)


class CredentialSink(Protocol):
    """Whoever else must know devices' tokens: the MQTT broker's password file where the platform manages the broker."""

    def add_devices(self, tokens: Mapping[str, str]) -> None:
        """Let these devices connect, each with its token."""

    def remove_devices(self, device_ids: Iterable[str]) -> None:
        """Refuse these devices."""


class Registry:
    """The registry in SQL.

    Parameters
    ----------
    sink
        Told of every new token and every disabled device, after the registry has it. Should telling fail, `rotate`
        repairs it. A sink that holds one password per device (MQTT) knows the newest token only.
    """

    def __init__(self, client: SqlClient, sink: CredentialSink | None = None) -> None:
        self._client = client
        self._sink = sink

    def enrol(self, enrolments: Iterable[Enrolment]) -> dict[str, str]:
        """Register participants and devices, all or none; returns the tokens of devices that had none.

        Idempotent on both ids: what is enrolled already and equal stays, and its token is not shown again.

        Raises
        ------
        StoreRefused
            A participant is enrolled with other particulars, a device is worn by somebody else, or was revoked.
        """
        tokens: dict[str, str] = {}
        with self._client.transaction() as connection:
            for enrolment in enrolments:
                _enrol_participant(connection, enrolment)
                if _enrol_device(connection, enrolment):
                    tokens[enrolment.device_id] = _add_token(connection, enrolment.device_id, enrolment.registered_at)
        self._tell(tokens)
        return tokens

    def reassign(self, device_id: str, participant_id: str, at: datetime) -> None:
        """Hand a device to another enrolled participant from an instant on."""
        with self._client.transaction() as connection:
            _require_device(connection, device_id)
            _queries.end_assignment(connection, device_id=device_id, valid_to=at)
            _queries.add_assignment(connection, device_id=device_id, participant_id=participant_id, valid_from=at)

    def rotate(self, device_ids: Iterable[str], at: datetime) -> dict[str, str]:
        """Draw a new token per device; the one before stays live until `retire`, older ones do not."""
        with self._client.transaction() as connection:
            tokens = {}
            for device_id in device_ids:
                _require_device(connection, device_id)
                _queries.retire_tokens(connection, device_id=device_id, revoked_at=at, keep=LIVE_TOKENS - 1)
                tokens[device_id] = _add_token(connection, device_id, at)
        self._tell(tokens)
        return tokens

    def retire(self, device_id: str, at: datetime) -> None:
        """Revoke all tokens of a device but the newest: the end of an exchange."""
        with self._client.transaction() as connection:
            _require_device(connection, device_id)
            _queries.retire_tokens(connection, device_id=device_id, revoked_at=at, keep=1)

    def revoke(self, device_ids: Iterable[str], at: datetime) -> None:
        """Refuse these devices from now on: every token revoked, the device disabled."""
        device_ids = list(device_ids)
        with self._client.transaction() as connection:
            for device_id in device_ids:
                _lock_device(connection, device_id)
                _queries.retire_tokens(connection, device_id=device_id, revoked_at=at, keep=0)
                _queries.disable_device(connection, device_id=device_id)
        if self._sink is not None:
            self._sink.remove_devices(device_ids)

    def find_device(self, device_id: str) -> Device | None:
        """Read one device, None for a stranger."""
        with self._client.transaction() as connection:
            rows = list(_queries.find_credentials(connection, device_id=device_id))
        if not rows:
            return None
        _, registered_at, enabled, _ = rows[0]
        digests = tuple(digest for *_, digest in rows if digest is not None)
        return Device(device_id, to_us(registered_at), enabled, digests)

    def _tell(self, tokens: Mapping[str, str]) -> None:
        if self._sink is not None and tokens:
            self._sink.add_devices(tokens)


class DeviceDirectory:
    """Devices as last read, so that a gateway does not ask the database per message; safe among threads.

    What it says is at most `LOOKUP_TTL_S` old (`UNKNOWN_TTL_S` for strangers). While the database does not answer,
    what was known goes on being believed; a device never seen raises `StoreUnavailable`.
    """

    def __init__(self, find: Callable[[str], Device | None], clock: Callable[[], float]) -> None:
        self._find = find
        self._clock = clock
        self._known: dict[str, tuple[float, Device | None]] = {}
        self._lock = threading.Lock()

    def find(self, device_id: str) -> Device | None:
        """Return a device, None for a stranger or an id outside the grammar."""
        if not is_device_id(device_id):
            return None
        now_s = self._clock()
        cached = self._known.get(device_id)
        if cached is not None and now_s < cached[0]:
            return cached[1]
        return self._refresh(device_id, now_s, cached)

    def _refresh(self, device_id: str, now_s: float, cached: tuple[float, Device | None] | None) -> Device | None:
        try:
            device = self._find(device_id)
        except StoreUnavailable:
            if cached is None or cached[1] is None:
                raise
            device = cached[1]
        with self._lock:
            if len(self._known) >= MAX_CACHED:
                self._known.clear()
            self._known[device_id] = (now_s + (LOOKUP_TTL_S if device else UNKNOWN_TTL_S), device)
        return device


def token_digest(token: str) -> str:
    """Return what is stored of a token: it has 256 random bits, so a plain hash cannot be guessed back."""
    return hashlib.sha256(token.encode()).hexdigest()


def _enrol_participant(connection: Connection, enrolment: Enrolment) -> None:
    wanted = enrolment.participant
    _queries.add_study(connection, study_id=wanted.study_id)
    _queries.add_participant(connection, **vars(wanted), registered_at=enrolment.registered_at)
    found = _queries.find_enrolled_participant(connection, participant_id=wanted.participant_id)
    if found != (wanted.study_id, wanted.birth_year, wanted.sex, wanted.time_zone):
        msg = f"participant {wanted.participant_id} is enrolled already, with other particulars"
        raise StoreRefused(msg)


def _enrol_device(connection: Connection, enrolment: Enrolment) -> bool:
    """Return whether the device is new, or never got a token."""
    device_id, wearer = enrolment.device_id, enrolment.participant.participant_id
    at = enrolment.registered_at
    _queries.add_device(connection, device_id=device_id, device_model=enrolment.device_model, registered_at=at)
    _require_device(connection, device_id)
    worn_by = _queries.find_wearer(connection, device_id=device_id)
    if worn_by is None:
        _queries.add_assignment(connection, device_id=device_id, participant_id=wearer, valid_from=at)
    elif worn_by != wearer:
        msg = f"device {device_id} is worn by {worn_by}; reassign it first"
        raise StoreRefused(msg)
    return all(digest is None for *_, digest in _queries.find_credentials(connection, device_id=device_id))


def _add_token(connection: Connection, device_id: str, at: datetime) -> str:
    token = secrets.token_urlsafe(32)
    _queries.add_token(connection, device_id=device_id, token_sha256=token_digest(token), created_at=at)
    return token


def _require_device(connection: Connection, device_id: str) -> None:
    if not _lock_device(connection, device_id):
        msg = f"device {device_id} is revoked"
        raise StoreRefused(msg)


def _lock_device(connection: Connection, device_id: str) -> bool:
    found = _queries.lock_device(connection, device_id=device_id)
    if found is None:
        msg = f"device {device_id} is not enrolled"
        raise StoreRefused(msg)
    return bool(found[0])


def _require(holds: object, complaint: str) -> None:
    if not holds:
        raise ConfigError(complaint)


@cache
def _time_zones() -> frozenset[str]:
    return frozenset(available_timezones())
