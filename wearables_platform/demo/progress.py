"""Waiting for the platform to have done what it was given: conditions read from the stores, each with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from wearables_platform.demo import findings
from wearables_platform.demo.judge import Stores
from wearables_platform.errors import TerminalError

DEADLINE_S: Final = 120.0
STANDSTILL_S: Final = 20.0  # longer than any consumer's restart: what does not move now will not arrive
POLL_S: Final = 0.5

Say = Callable[[str], None]
Check = Callable[[], None]


def _wait(reached: Callable[[], str | None], check: Check, say: Say) -> None:
    """Wait until `reached` returns None; what it returns before is said, and is the complaint at the deadline."""
    deadline_s = time.monotonic() + DEADLINE_S
    moved_s, last = time.monotonic(), ""
    while (missing := reached()) is not None:
        say(missing)
        check()
        if missing != last:
            moved_s, last = time.monotonic(), missing
        if time.monotonic() > min(deadline_s, moved_s + STANDSTILL_S):
            return  # the scorecard will say what is missing, with every other line beside it
        time.sleep(POLL_S)


def wait_until_consumed(stores: Stores, check: Check, say: Say) -> None:
    """Wait until archive and stream have read every record of the log."""
    settings = stores.settings
    log = findings.log_positions(settings.require("kafka_url"), settings.topic_partitions)
    total = sum(map(len, log.values()))

    def reached() -> str | None:
        archived, streamed = findings.count_archived(stores.mongo), findings.count_streamed(stores.sql)
        return None if min(archived, streamed) >= total else f"archived {archived}, streamed {streamed} of {total}"

    if total == 0:
        msg = "nothing arrived in Kafka: see the clients' logs"
        raise TerminalError(msg)
    _wait(reached, check, say)


def wait_until_windows(stores: Stores, windows: int, devices: list[str], check: Check, say: Say) -> None:
    """Wait until the stream has written a row for every window of some devices."""

    def reached() -> str | None:
        found = findings.count_windows(stores.sql, devices)
        return None if found >= windows else f"{found} of {windows} windows"

    _wait(reached, check, say)


def wait_until_model_is_live(stores: Stores, check: Check, say: Say) -> None:
    """Wait until the stream scores with the version that was published."""

    def reached() -> str | None:
        published = findings.published_model(stores.sql)
        if published is None:
            return None  # nothing to wait for: the scorecard's line is red
        name, version = published
        live = findings.live_model(stores.latest, name)
        return None if live == version else f"version {version} published, {live} live"

    _wait(reached, check, say)
