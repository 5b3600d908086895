"""What the routes work with, built once per process by `create_app`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from flask import current_app

from wearables_platform.api.answering import Metrics
from wearables_platform.api.latest import FleetView
from wearables_platform.api.live import LiveStreams
from wearables_platform.api.reads import Reads
from wearables_platform.clients.lake import Lake
from wearables_platform.clients.request_rates import RequestRates

Clock = Callable[[], datetime]
EXTENSION = "wearables"


@dataclass(frozen=True)
class Services:
    """The stores, the clock and the figures."""

    reads: Reads
    fleet: FleetView
    streams: LiveStreams
    metrics: Metrics
    clock: Clock
    min_group_size: int
    # None where the settings name none: signals are then drawn from SQL alone.
    lake: Lake | None
    export_slots: threading.BoundedSemaphore
    request_rates: RequestRates
    requests_per_minute: int


def services() -> Services:
    """Return the services of the application that handles the current request."""
    found: Services = current_app.extensions[EXTENSION]
    return found


def instant(as_of: datetime | None) -> datetime:
    """Return the instant an answer is for: the one asked for, or now."""
    return as_of or services().clock()
