"""Receivers in SQL: added, listed and removed by the operator."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from wearables_platform.api.tokens import missing_studies
from wearables_platform.clients.sql import SqlClient, load_queries
from wearables_platform.domain.severity import SEVERITIES, Severity
from wearables_platform.errors import ConfigError, StoreRefused
from wearables_platform.signals.rule_kinds import RULE_KINDS
from wearables_platform.webhooks.receivers import require_sendable

# Each has a thread while it is sent to; a list of receivers this long wants a broker of its own.
MAX_WEBHOOKS: Final = 128
EVENT_KINDS: Final = ("spike", *(kind.name for kind in RULE_KINDS))
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_queries: Any = load_queries(Path(__file__).parents[1] / "sql" / "webhooks" / "subscriptions.sql")


@dataclass(frozen=True)
class Subscription:
    """Who is told of what. `studies` None is every study, `kinds` None every kind; `secret` names a secret file."""

    name: str
    url: str
    secret: str
    studies: tuple[str, ...] | None
    kinds: tuple[str, ...] | None = None
    least_severity: Severity = "info"

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            msg = f"{self.name!r} is not a name: letters, digits, . _ @ and -, 64 at most"
            raise ConfigError(msg)
        require_sendable(self.url)
        if self.studies is not None and not self.studies:
            msg = "name at least one study, or every study"
            raise ConfigError(msg)
        unknown = [kind for kind in self.kinds or () if kind not in EVENT_KINDS]
        if unknown or self.kinds == ():
            msg = f"no kind of event called {', '.join(unknown) or '(none given)'}: {', '.join(EVENT_KINDS)}"
            raise ConfigError(msg)
        if self.least_severity not in SEVERITIES:
            msg = f"severity {self.least_severity!r} is none of {', '.join(SEVERITIES)}"
            raise ConfigError(msg)


class Subscriptions:
    """The receivers in SQL."""

    def __init__(self, client: SqlClient) -> None:
        self._client = client

    def add(self, subscription: Subscription, at: datetime) -> None:
        """Add a receiver: it is told of what is announced from now on.

        Raises
        ------
        ConfigError
            A study does not exist.
        StoreRefused
            The name was used before, or there are as many receivers as there may be.
        """
        if len(self.all()) >= MAX_WEBHOOKS:
            msg = f"there are {MAX_WEBHOOKS} receivers, and no more are served"
            raise StoreRefused(msg)
        with self._client.transaction() as connection:
            missing = missing_studies(connection, subscription.studies)
            if missing:
                msg = f"there is no study {', '.join(missing)}"
                raise ConfigError(msg)
            added = _queries.add_webhook(
                connection,
                name=subscription.name,
                url=subscription.url,
                secret=subscription.secret,
                studies=_listed(subscription.studies),
                kinds=_listed(subscription.kinds),
                least_severity=subscription.least_severity,
                created_at=at,
            )
        if not added:
            msg = f"the name {subscription.name!r} was used before; a name is used once"
            raise StoreRefused(msg)

    def remove(self, name: str, at: datetime) -> None:
        """Send a receiver nothing more, also not what is waiting."""
        with self._client.transaction() as connection:
            known = _queries.remove_webhook(connection, name=name, removed_at=at)
            _queries.forget_waiting(connection, name=name)
        if not known:
            raise _unknown(name)

    def find(self, name: str) -> dict[str, Any]:
        """Return a receiver's name, url and secret's name."""
        found = self._client.rows(_queries.find_webhook.sql, {"name": name})
        if not found:
            raise _unknown(name)
        return found[0]

    def all(self) -> list[dict[str, Any]]:
        """Return every receiver, with how many of its messages wait, were delivered, were given up."""
        return self._client.rows(_queries.list_webhooks.sql)

    def dead(self, name: str | None) -> list[dict[str, Any]]:
        """Return the messages that were given up, of one receiver or of all."""
        return self._client.rows(_queries.list_dead_deliveries.sql, {"webhook": name})

    def revive(self, name: str, at: datetime, give_up_at: datetime) -> int:
        """Try again what was given up of a receiver, under the same ids; returns how many messages."""
        with self._client.transaction() as connection:
            known = _queries.revive_webhook(connection, webhook=name)
            parameters = {"webhook": name, "now": at, "give_up_at": give_up_at}
            revived: int = _queries.revive_dead_deliveries(connection, **parameters)
        if not known:
            raise _unknown(name)
        return revived


def _listed(names: tuple[str, ...] | None) -> list[str] | None:
    return None if names is None else sorted(set(names))


def _unknown(name: str) -> StoreRefused:
    return StoreRefused(f"there is no receiver {name!r}")
