"""Who may connect to the embedded MQTT broker, in mosquitto's own files, which the amqtt plugin reads too.

A device's user name is its device id and its password its token. Entries are PBKDF2-SHA512 (mosquitto's ``$7$``); the
tokens are random 256-bit values, so the iteration count guards against nothing a longer run would (mosquitto's own
default is used).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path

from wearables_platform.domain.channels import CHANNELS, receipt_topic
from wearables_platform.domain.identity import DEVICE_ID_PATTERN, is_device_id
from wearables_platform.errors import ConfigError
from wearables_platform.local.files import locked, write_atomically
from wearables_platform.local.layout import RunDirectory
from wearables_platform.settings import Settings

BRIDGE_USER = "wearables.bridge"  # the dot is outside the device grammar: no device can be called this
ITERATIONS = 101
SALT_BYTES = 12
HASH_BYTES = 64

# %u is the user name, so a device reaches its own topics only. Nothing grants $SYS. The bridge may do what it needs.
ACCESS_LIST = "\n".join(
    [
        *(f"pattern write {channel.mqtt_topic('%u')}" for channel in CHANNELS),
        f"pattern read {receipt_topic('%u')}",
        f"user {BRIDGE_USER}",
        *(f"topic read {channel.mqtt_topic('+')}" for channel in CHANNELS),
        f"topic write {receipt_topic('+')}",
        "",
    ]
)


def encode_password(password: str, salt: bytes | None = None) -> str:
    """Return mosquitto's ``$7$`` text for a password."""
    salt = salt if salt is not None else secrets.token_bytes(SALT_BYTES)
    derived = _derive(password, salt, ITERATIONS)
    return f"$7${ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(derived).decode()}"


def password_matches(password: str, encoded: str) -> bool:
    """Compare in constant time; an entry in another format matches nothing."""
    parts = encoded.split("$")
    if len(parts) != 5 or parts[1] != "7":
        return False
    expected = base64.b64decode(parts[4])
    return hmac.compare_digest(_derive(password, base64.b64decode(parts[3]), int(parts[2])), expected)


def _derive(password: str, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha512", password.encode(), salt, iterations, HASH_BYTES)


def parse_entries(text: str) -> dict[str, str]:
    """Read a password file's text: user name to encoded password."""
    lines = (line.strip().partition(":") for line in text.splitlines())
    return {user: encoded for user, separator, encoded in lines if separator and not user.startswith("#")}


class MqttCredentials:
    """The broker's password and access files in one directory.

    Changes are safe beside other writers (a lock) and readers (atomic replace). Every mosquitto that reads them is
    told to read them again; amqtt's plugin notices by itself. A changed password does not end a connection that is
    already up.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.password_file = directory / "passwords"
        self.access_file = directory / "access"

    def pid_file(self, broker: str) -> Path:
        """Return where a mosquitto that reads these files writes its process id."""
        return self.directory / f"{broker}.pid"

    def create(self, bridge_password: str) -> None:
        """Write the access list and the bridge's entry; devices enrolled earlier stay."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomically(self.access_file, ACCESS_LIST)
        self._update({BRIDGE_USER: encode_password(bridge_password)})

    def add_devices(self, tokens: Mapping[str, str]) -> None:
        """Let devices connect, each with its token; replaces the token of one that could already."""
        for device_id in tokens:
            if not is_device_id(device_id):
                msg = f"device id {device_id!r} is not of the form {DEVICE_ID_PATTERN}"
                raise ConfigError(msg)
        self._update({device_id: encode_password(token) for device_id, token in tokens.items()})

    def add_device(self, device_id: str, token: str) -> None:
        """Let one device connect."""
        self.add_devices({device_id: token})

    def remove_devices(self, device_ids: Iterable[str]) -> None:
        """Refuse these devices from their next connection on."""
        self._update({}, removed=frozenset(device_ids) - {BRIDGE_USER})

    def entries(self) -> dict[str, str]:
        """Return every user and encoded password."""
        return parse_entries(self.password_file.read_text()) if self.password_file.exists() else {}

    def _update(self, added: Mapping[str, str], removed: frozenset[str] = frozenset()) -> None:
        with locked(self.directory / "lock"):
            kept = {user: encoded for user, encoded in self.entries().items() if user not in removed}
            lines = (f"{user}:{encoded}\n" for user, encoded in {**kept, **added}.items())
            write_atomically(self.password_file, "".join(lines))
            for pid_file in self.directory.glob("*.pid"):
                _reload_mosquitto(pid_file)


def credentials_of(settings: Settings) -> MqttCredentials:
    """Return the files of the brokers this instance's devices connect to."""
    return MqttCredentials(settings.mqtt_credentials_dir or RunDirectory(settings.run_dir).mqtt)


def _reload_mosquitto(pid_file: Path) -> None:
    """Signal a mosquitto, if the pid it wrote is still one (pids are used again)."""
    pid = int(pid_file.read_text().strip() or 0)
    command = Path(f"/proc/{pid}/comm")
    if pid and command.exists() and command.read_text().strip() == "mosquitto":
        os.kill(pid, signal.SIGHUP)
