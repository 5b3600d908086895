"""One message to one receiver over HTTP. Where it may go is decided on the address that is then connected to.

A name is resolved once per attempt and the connection goes to the address that was looked at, so a name that answers
differently a moment later leads nowhere. Redirects are not followed and proxies of the environment are not used: either
would send the message past the check.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter

from wearables_platform.errors import ConfigError

MAX_RETRY_AFTER_S: Final = 3_600.0
_PORTS: Final = {"http": 80, "https": 443}
# Addresses that carry another one within: what is public outside may be private inside.
_TRANSLATED: Final = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")))

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressRefused(ConfigError):
    """A receiver's address is one the platform does not send to."""


@dataclass(frozen=True)
class Answer:
    """What became of an attempt; `status` 0 where no answer came."""

    status: int
    said: str
    later_s: float = 0.0

    @property
    def delivered(self) -> bool:
        """Whether the receiver has the message."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def gone(self) -> bool:
        """Whether the receiver wants no message ever again."""
        return self.status == HTTPStatus.GONE


def networks_of(text: str | None) -> tuple[Network, ...]:
    """Read networks in CIDR notation, separated by commas."""
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in (text or "").split(",") if part.strip())
    except ValueError as exc:
        msg = f"WEARABLES_WEBHOOK_PRIVATE_NETWORKS: {exc}"
        raise ConfigError(msg) from None


def require_sendable(url: str) -> None:
    """Raise `ConfigError` unless a URL is http or https, with a host and without a user."""
    try:
        parts = urlsplit(url)
        well_formed = parts.scheme in _PORTS and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        well_formed = False
    if not well_formed:
        msg = "a receiver's URL looks like https://host/path"
        raise ConfigError(msg)
    if parts.username is not None or parts.password is not None or parts.fragment:
        msg = "a receiver's URL has no user, password or fragment"
        raise ConfigError(msg)


def sendable_address(host: str, port: int, allowed: Sequence[Network]) -> str:
    """Return an address of a host that may be sent to; raises `AddressRefused` if any of its addresses may not.

    One address that is private is enough to refuse: of several, the one that is taken would be left to chance.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        msg = f"the name of the receiver is not known ({type(exc).__name__})"
        raise AddressRefused(msg) from exc
    addresses = [str(entry[4][0]) for entry in found]
    for text in addresses:
        if not is_sendable(ipaddress.ip_address(text.partition("%")[0]), allowed):
            msg = "the receiver has a private address, which WEARABLES_WEBHOOK_PRIVATE_NETWORKS does not allow"
            raise AddressRefused(msg)
    return addresses[0]


def is_sendable(address: Address, allowed: Sequence[Network]) -> bool:
    """Tell whether an address is public, or in a network that was allowed."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    address = mapped or address
    if any(address in network for network in allowed):
        return True
    public = address.is_global and not address.is_multicast and not address.is_reserved
    return public and not any(address in network for network in _TRANSLATED)


class _PinnedAdapter(HTTPAdapter):
    """Connects to one address, whatever the name in the URL says; certificates are held against the name."""

    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__(pool_connections=1, pool_maxsize=1)

    def build_connection_pool_key_attributes(
        self, request: requests.PreparedRequest, verify: bool | str, cert: Any = None
    ) -> tuple[Any, Any]:
        """Put the address in the name's place."""
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        if host["scheme"] == "https":
            named: dict[str, Any] = {"server_hostname": host["host"], "assert_hostname": host["host"]}
            return {**host, "host": self._address}, {**pool, **named}
        return {**host, "host": self._address}, pool


@dataclass(frozen=True)
class Sender:
    """Posts messages. `timeout_s` is how long a receiver may take to connect, and then to answer."""

    timeout_s: float
    private_networks: tuple[Network, ...] = ()

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send one message once. What the receiver answers beyond its status is not read."""
        parts = urlsplit(url)
        try:
            require_sendable(url)
            port = parts.port or _PORTS[parts.scheme]
            address = sendable_address(str(parts.hostname), port, self.private_networks)
        except ConfigError as exc:
            return Answer(0, str(exc))
        sent = {
            **headers,
            "Host": parts.netloc,
            "Content-Type": "application/json",
            "User-Agent": "wearables-webhooks",
            "Connection": "close",
        }
        with requests.Session() as session:
            session.trust_env = False
            session.mount(f"{parts.scheme}://", _PinnedAdapter(address))
            try:
                response = session.post(
                    url, data=body, headers=sent, timeout=self.timeout_s, allow_redirects=False, stream=True
                )
            except (requests.RequestException, urllib3.exceptions.HTTPError) as exc:
                return Answer(0, type(exc).__name__)
            return Answer(response.status_code, f"HTTP {response.status_code}", _retry_after_s(response))


def _retry_after_s(response: requests.Response) -> float:
    text = response.headers.get("Retry-After", "")
    return min(float(text), MAX_RETRY_AFTER_S) if text.isdecimal() and text.isascii() else 0.0
