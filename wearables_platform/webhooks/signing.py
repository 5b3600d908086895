"""Signatures by the Standard Webhooks specification, and the files their secrets are in.

A secret file has one secret a line, ``whsec_`` and base64, the newest first. A message is signed with each, so that a
receiver may change over at any time between two rotations.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wearables_platform.errors import ConfigError, WearablesError
from wearables_platform.local.files import locked, write_atomically
from wearables_platform.settings import Settings

PREFIX: Final = "whsec_"
KEY_BYTES: Final = 32  # the specification asks for 24 to 64
LIVE_SECRETS: Final = 2
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def signed_headers(message_id: str, sent_at_s: int, body: bytes, keys: Sequence[bytes]) -> Mapping[str, str]:
    """Return the headers that prove a message: its id, when it is sent, and a signature for each key."""
    signed = f"{message_id}.{sent_at_s}.".encode() + body
    signatures = [base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(sent_at_s),
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def key_of(secret: str) -> bytes:
    """Return the key a secret stands for; the message of an error never holds the secret."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not secret.startswith(PREFIX) or not 24 <= len(key) <= 64:
        msg = f"a secret is {PREFIX} and base64 of 24 to 64 bytes"
        raise ConfigError(msg)
    return key


@dataclass(frozen=True)
class SecretFiles:
    """The files with signing secrets, one per name; only their owner can read what is written here."""

    directory: Path

    @classmethod
    def of(cls, settings: Settings) -> SecretFiles:
        """Return those of an instance: where the settings say, else in its run directory."""
        return cls(settings.webhook_secrets_dir or settings.run_dir / "webhook-secrets")

    def keys(self, name: str) -> list[bytes]:
        """Return the keys of a secret, newest first."""
        return [key_of(secret) for secret in self._read(name)]

    @contextmanager
    def drawn_unless_there(self, name: str) -> Iterator[str | None]:
        """Draw a secret where there is none of that name, and yield it, None where there was one.

        A failure takes it away again: nobody would have seen it.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(self.directory / ".lock"):
            drawn = None if self._path(name).exists() else self._write(name, [])
        try:
            yield drawn
        except WearablesError:
            if drawn is not None:
                self._path(name).unlink()
            raise

    def rotate(self, name: str) -> str:
        """Put a new secret before the newest, and drop the ones before that; returns the new one."""
        with locked(self.directory / ".lock"):
            return self._write(name, self._read(name)[: LIVE_SECRETS - 1])

    def drop_old(self, name: str) -> None:
        """Sign with the newest secret alone from the next message on."""
        with locked(self.directory / ".lock"):
            write_atomically(self._path(name), self._read(name)[0] + "\n")

    def _write(self, name: str, before: list[str]) -> str:
        secret = PREFIX + base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
        write_atomically(self._path(name), "\n".join([secret, *before]) + "\n")
        return secret

    def _read(self, name: str) -> list[str]:
        try:
            lines = self._path(name).read_text().split()
        except OSError as exc:
            msg = f"the secret {name} cannot be read: {exc.strerror}"
            raise ConfigError(msg) from exc
        if not lines:
            msg = f"the file of the secret {name} is empty"
            raise ConfigError(msg)
        return lines

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            msg = f"{name!r} is no name of a secret: letters, digits, _ and -, 64 at most"
            raise ConfigError(msg)
        return self.directory / name
