"""Messages in SQL: put in line once, taken, tried again later, ended.

Delivery: at least once. A message is in SQL before the log's position is saved, and leaves the line only after its
receiver has it; who dies in between leaves it to be sent again, under the same id.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

from wearables_platform.clients.sql import SqlClient, load_queries, rows_in
from wearables_platform.webhooks.messages import Announcement, message_body, message_id
from wearables_platform.webhooks.receivers import Answer

FIRST_RETRY_S: Final = 5.0
RETRY_FACTOR: Final = 4.0
MAX_RETRY_S: Final = 4 * 3_600.0
# Longer than the log keeps events (28 days): what is forgotten here must not be found there again.
KEPT: Final = timedelta(days=35)
# A message is taken for as often its time-out: connecting and answering each may take one, and a clock some.
TAKEN_TIMEOUTS: Final = 3
_queries: Any = load_queries(Path(__file__).parents[1] / "sql" / "webhooks" / "deliveries.sql")


@dataclass(frozen=True)
class Announced:
    """An event, and when the log got it."""

    event: Announcement
    at: datetime


@dataclass(frozen=True)
class Delivery:
    """A message taken to be sent; `attempts` counts this one."""

    message_id: str
    body: str
    attempts: int
    give_up_at: datetime
    url: str
    secret: str


Outcome = Literal["delivered", "retried", "dead"]


def retry_after_s(attempts: int, chance: random.Random) -> float:
    """Return how long to wait after so many failed attempts: 5 s, 20 s, 80 s .. 4 h, of which half is drawn by lot."""
    longest = min(MAX_RETRY_S, FIRST_RETRY_S * RETRY_FACTOR ** min(attempts - 1, 10))
    return longest * chance.uniform(0.5, 1.0)


@dataclass(frozen=True)
class Deliveries:
    """The line of messages of every receiver."""

    client: SqlClient
    patience: timedelta
    timeout_s: float
    chance: random.Random

    def add(self, announced: Sequence[Announced], now: datetime) -> int:
        """Put in line whatever these events mean for receivers; what was ever in line is not put there again."""
        if not announced:
            return 0
        with self.client.transaction() as connection:
            told = rows_in(connection, _queries.list_addressees.sql, _columns(announced))
            rows = [(row["webhook"], announced[row["position"]].event, row) for row in told]
            added: int = _queries.add_deliveries(
                connection,
                message_ids=[message_id(webhook, event) for webhook, event, _ in rows],
                webhooks=[webhook for webhook, _, _ in rows],
                bodies=[message_body(event, row["participant_id"], row["study_id"]) for _, event, row in rows],
                now=now,
                give_up_at=now + self.patience,
            )
        return added

    def due(self, now: datetime) -> list[str]:
        """Return the receivers that something is to be sent to now."""
        return [row["webhook"] for row in self.client.rows(_queries.list_due_webhooks.sql, {"now": now})]

    def take(self, webhook: str, now: datetime) -> Delivery | None:
        """Take the message of a receiver that has waited longest, None where none is due."""
        taken_until = now + timedelta(seconds=TAKEN_TIMEOUTS * self.timeout_s)
        with self.client.transaction() as connection:
            parameters = {"webhook": webhook, "now": now, "taken_until": taken_until}
            rows = rows_in(connection, _queries.take_delivery.sql, parameters)
        return Delivery(**rows[0]) if rows else None

    def settle(self, webhook: str, delivery: Delivery, answer: Answer, now: datetime) -> Outcome:
        """Write down what became of an attempt, and return it."""
        wait_s = max(retry_after_s(delivery.attempts, self.chance), answer.later_s)
        again_at = now + timedelta(seconds=wait_s)
        dead = answer.gone or again_at >= delivery.give_up_at
        named = {"message_id": delivery.message_id, "result": answer.said}
        with self.client.transaction() as connection:
            if answer.delivered or dead:
                state = "delivered" if answer.delivered else "dead"
                _queries.end_delivery(connection, **named, state=state, now=now)
            else:
                _queries.delay_delivery(connection, **named, next_attempt_at=again_at)
            if answer.gone:
                _queries.disable_webhook(connection, webhook=webhook, now=now)
                _queries.give_up_deliveries(connection, webhook=webhook, result=answer.said, now=now)
        return "delivered" if answer.delivered else "dead" if dead else "retried"

    def drop_old(self, now: datetime) -> int:
        """Forget messages that ended long ago; returns how many."""
        with self.client.transaction() as connection:
            dropped: int = _queries.drop_old_deliveries(connection, before=now - KEPT)
        return dropped


def _columns(announced: Sequence[Announced]) -> dict[str, list[Any]]:
    events = [one.event for one in announced]
    return {
        "positions": list(range(len(events))),
        "device_ids": [event.device_id for event in events],
        "started": [event.started_at for event in events],
        "kinds": [event.kind for event in events],
        "severities": [event.severity for event in events],
        "announced": [one.at for one in announced],
    }
