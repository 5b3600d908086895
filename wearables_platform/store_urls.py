"""One private CA for every store: folded into each store's URL under the name its driver reads.

A client is given one URL and nothing else; so the one setting becomes what each driver calls it. A URL that names a CA
of its own keeps it, and one without TLS stays as it is: whether there is TLS is said by the URL alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import SplitResult, parse_qs, quote, urlsplit, urlunsplit

from wearables_platform.errors import ConfigError

_YES: Final = ("1", "true")
_TLS_MODES: Final = ("require", "verify-ca", "verify-full")


class _Form(NamedTuple):
    """How a kind of URL asks for TLS, and the option that names the CA."""

    asks: Callable[[SplitResult, Mapping[str, str]], bool]
    option: str


_MQTT: Final = _Form(lambda parts, _: parts.scheme == "mqtts", "ca_file")
_SQL: Final = _Form(lambda _, options: options.get("sslmode") in _TLS_MODES, "sslrootcert")
_FORMS: Final[Mapping[str, _Form]] = {
    "kafka_url": _Form(lambda _, options: options.get("tls") in _YES, "ca_file"),
    "mqtt_url": _MQTT,
    "sql_url": _SQL,
    "dagster_sql_url": _SQL,
    "mongo_url": _Form(
        lambda parts, options: "true" in (options.get("tls"), options.get("ssl")) or parts.scheme == "mongodb+srv",
        "tlsCAFile",
    ),
    "redis_url": _Form(lambda parts, _: parts.scheme == "rediss", "ssl_ca_certs"),
    "lake_url": _Form(lambda _, options: options.get("endpoint_url", "").startswith("https:"), "ca_file"),
}


def with_ca(setting: str, url: str, ca_file: Path | None) -> str:
    """Return a store's URL with the CA in it, where it asks for TLS and names none itself.

    Raises
    ------
    ConfigError
        There is no such file: a driver would say so late, or not at all.
    """
    form = _FORMS.get(setting)
    if ca_file is None or form is None:
        return url
    parts = urlsplit(url)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    if form.option in options or not form.asks(parts, options):
        return url
    if not ca_file.is_file():
        msg = f"WEARABLES_CA_FILE: there is no file {ca_file}"
        raise ConfigError(msg)
    named = f"{form.option}={quote(str(ca_file.absolute()), safe='/')}"
    return urlunsplit(parts._replace(query=f"{parts.query}&{named}" if parts.query else named))
