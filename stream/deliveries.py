"""When each release was there to score by, and whether that was before the first window it is in force for."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import prometheus_client

MOST_DELIVERIES: Final = 10_000
"""Kept while the database is away: more than a topic has releases in years."""

_late = prometheus_client.Counter(
    "wearables_stream_models_late", "Releases that could be scored by only after they took effect."
)


@dataclass(frozen=True)
class Delivery:
    """A release loaded by this process. `in_time`: before it took effect, or before any window was scored here."""

    name: str
    version: str
    effective_from_us: int
    loaded_at_us: int
    in_time: bool


class DeliveryLog:
    """What was loaded and not yet written; one thread adds, another takes."""

    def __init__(self) -> None:
        self._new: list[Delivery] = []
        self._lock = threading.Lock()

    def add(self, one: Delivery) -> None:
        """Note a delivery."""
        if not one.in_time:
            _late.inc()
        with self._lock:
            self._new = [*self._new, one][-MOST_DELIVERIES:]

    def take(self) -> list[Delivery]:
        """Return what was noted since it was last taken."""
        with self._lock:
            taken, self._new = self._new, []
        return taken

    def give_back(self, taken: Iterable[Delivery]) -> None:
        """Say that what was taken could not be written."""
        with self._lock:
            self._new = [*taken, *self._new][-MOST_DELIVERIES:]
