"""The identity of a message: ``(device_id, boot_id, sequence)``.

One packet = one message = one sequence number = one document. A *boot* is one run of a client for one message type;
its id is 63 random bits, so it fits a signed 64-bit integer everywhere (BSON and SQL overflow at 2**63), and it is
written as 16 lower-case hex digits wherever numbers lose digits (JSON, Lua) or where text is
the key (MongoDB ``_id``, Redis).
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import NamedTuple

DEVICE_ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
_DEVICE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
BOOT_ID_BITS = 63
MAX_SEQUENCE = 2**63 - 1
# A forged sequence far ahead would make everything the device sends later "old". At 10 messages a second this is
# eleven hours of unbroken loss; a client that lost more starts a new boot.
MAX_SEQUENCE_JUMP = 400_000


class MessageIdentity(NamedTuple):
    """Who, which run of the client, which position in it."""

    device_id: str
    boot_id: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.device_id}:{boot_text(self.boot_id)}:{self.sequence}"


def is_device_id(text: str) -> bool:
    """Tell whether `text` matches the device-id grammar; it keeps MQTT wildcards and separators out of ids."""
    return _DEVICE_ID.fullmatch(text) is not None


def boot_text(boot_id: int) -> str:
    """Write a boot id as 16 lower-case hex digits.

    >>> boot_text(255)
    '00000000000000ff'
    """
    return f"{boot_id:016x}"


def parse_identity(text: str) -> MessageIdentity:
    """Read ``device:boot:sequence`` back.

    >>> parse_identity("watch-1:00000000000000ff:7")
    MessageIdentity(device_id='watch-1', boot_id=255, sequence=7)
    """
    device_id, boot, sequence = text.rsplit(":", 2)
    return MessageIdentity(device_id, int(boot, 16), int(sequence))


def new_boot_id() -> int:
    """Draw a boot id: 63 random bits, never zero (zero is protobuf's "not set")."""
    return secrets.randbits(BOOT_ID_BITS) or 1


def replay_boot_id(device_id: str, content_sha256: bytes, options: str) -> int:
    """Derive the boot id of a replayed recording, so that replaying it again adds nothing.

    Parameters
    ----------
    device_id
        The device the recording is replayed as.
    content_sha256
        SHA-256 of the recording's samples and times.
    options
        Everything that changes the messages made from it (rate, batching, encoding), as one stable text.
    """
    digest = hashlib.sha256(b"\0".join((device_id.encode(), content_sha256, options.encode()))).digest()
    return int.from_bytes(digest[:8], "big") >> 1 or 1
