"""What an MQTT connection is told and keeps: options from a URL, acks in order, back-off. No driver here."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from wearables_platform.errors import ConfigError, StoreRefused, StoreUnavailable, TransientError

PROTOCOLS: Final = ("3.1.1", "5")
_OPTIONS: Final = (
    "protocol",
    "client_id",
    "clean",
    "session_expiry_s",
    "share",
    "keepalive_s",
    "receive_maximum",
    "ca_file",
)


class MqttQueueFull(TransientError):
    """The bounded outgoing queue is full: try again when the broker has acknowledged some."""


class MqttNotConnected(StoreUnavailable):
    """There is no session with the broker now; the connection is being made again in the background."""


class MqttRefused(StoreRefused):
    """The broker answered and said no: wrong credentials, or a topic that may not be read."""


@dataclass(frozen=True)
class MqttOptions:
    """How to connect and how much may be on its way.

    Attributes
    ----------
    clean
        False keeps the session at the broker, so that what arrives during an outage is delivered after it (where the
        broker has an offline queue).
    share
        Group of a shared subscription (MQTT 5 and some 3.1.1 brokers); None subscribes plainly.
    keepalive_s
        Must exceed the longest time a reader may stop reading: an unread PINGRESP ends the connection.
    max_unacknowledged
        Deliveries not yet acknowledged at which reading stops; reading goes on below half of it.
    max_outstanding
        Publications on their way at which `publish` raises `MqttQueueFull`.
    """

    host: str
    port: int
    client_id: str
    username: str | None = None
    password: str | None = None
    tls: bool = False
    ca_file: str | None = None
    protocol: str = "3.1.1"
    clean: bool = True
    session_expiry_s: int = 86_400
    share: str | None = None
    keepalive_s: int = 60
    receive_maximum: int = 1_000
    max_unacknowledged: int = 5_000
    max_outstanding: int = 1_000
    reconnect_first_s: float = 0.2
    reconnect_max_s: float = 15.0

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            msg = f"MQTT protocol must be one of {PROTOCOLS}, not {self.protocol!r}"
            raise ConfigError(msg)
        if not self.clean and not self.client_id:
            msg = "a kept MQTT session needs a client id"
            raise ConfigError(msg)

    def filter_for(self, topic: str) -> str:
        """Return the topic filter to subscribe with."""
        return f"$share/{self.share}/{topic}" if self.share else topic


def parse_mqtt_url(url: str, *, client_id: str = "", clean: bool = True, keepalive_s: int = 60) -> MqttOptions:
    """Read ``mqtt[s]://[user:password@]host[:port][?protocol=5&client_id=...&clean=0&share=group...]``.

    The arguments are what the URL may override. A user without a client id is its own client id, as the broker
    demands of devices.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
        msg = f"an MQTT URL looks like mqtt://user:password@host:port, not {parts.scheme}://..."
        raise ConfigError(msg)
    given = {key: values[-1] for key, values in parse_qs(parts.query).items()}
    unknown = given.keys() - set(_OPTIONS)
    if unknown:
        msg = f"unknown MQTT option {sorted(unknown)[0]!r}; known are {', '.join(_OPTIONS)}"
        raise ConfigError(msg)
    username = unquote(parts.username) if parts.username else None
    return MqttOptions(
        host=parts.hostname,
        port=parts.port or (8883 if parts.scheme == "mqtts" else 1883),
        client_id=given.get("client_id", client_id or username or ""),
        username=username,
        password=unquote(parts.password) if parts.password else None,
        tls=parts.scheme == "mqtts",
        ca_file=given.get("ca_file"),
        protocol=given.get("protocol", "3.1.1"),
        clean=given.get("clean", "1" if clean else "0") not in ("0", "false"),
        session_expiry_s=_whole("session_expiry_s", given, 86_400),
        share=given.get("share"),
        keepalive_s=_whole("keepalive_s", given, keepalive_s),
        receive_maximum=_whole("receive_maximum", given, 1_000),
    )


def _whole(name: str, given: dict[str, str], default: int) -> int:
    try:
        return int(given.get(name, default))
    except ValueError:
        msg = f"MQTT option {name} must be a whole number, not {given[name]!r}"
        raise ConfigError(msg) from None


class Delivery(NamedTuple):
    """One message from the broker, to be acknowledged with `MqttConnection.done`.

    `session` tells the connection it came on: packet ids of an earlier connection mean nothing on the next.
    """

    topic: str
    payload: bytes
    session: int
    packet_id: int
    qos: int
    dup: bool


class AckQueue:
    """Deliveries in the order received, and which of them are done; acknowledgements keep that order.

    The standard asks for acknowledgements in the order of receipt, and a broker may take one as covering all before
    it: so a delivery is acknowledged once it and everything received before it is done. On a new session all pending
    ones are forgotten: the broker delivers them again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._session = 0
        self._order: deque[int] = deque()
        self._done: set[int] = set()

    def __len__(self) -> int:
        return len(self._order)

    def begin(self, session: int) -> None:
        """Forget everything of the session before."""
        with self._lock:
            self._session = session
            self._order.clear()
            self._done.clear()

    def received(self, packet_id: int) -> None:
        """Note a delivery of the current session."""
        with self._lock:
            self._order.append(packet_id)

    def done(self, session: int, packet_ids: Iterable[int]) -> list[int]:
        """Mark deliveries done; returns the packet ids to acknowledge now, oldest first."""
        with self._lock:
            if session != self._session:
                return []
            self._done.update(packet_ids)
            ready: list[int] = []
            while self._order and self._order[0] in self._done:
                packet_id = self._order.popleft()
                self._done.discard(packet_id)
                ready.append(packet_id)
            return ready


class Backoff:
    """Waits that double up to a limit, each drawn anew, so that ten thousand devices do not come back at once."""

    def __init__(self, first_s: float, max_s: float, rng: random.Random | None = None) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._rng = rng or random.Random()
        self._failures = 0

    def next_s(self) -> float:
        """Return how long to wait before the next attempt: between half and all of the doubled wait."""
        ceiling = min(self._max_s, self._first_s * 2.0 ** min(self._failures, 30))
        self._failures += 1
        return ceiling * self._rng.uniform(0.5, 1.0)

    def reset(self) -> None:
        """Start from the shortest wait again."""
        self._failures = 0
