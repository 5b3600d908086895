"""A thread that looks whether the log is still the one the stream began with.

A client that reads a partition notices neither that its topic was made again nor that there are more partitions now,
to which devices have moved. Going on would mix two logs, or skip devices without a word.
"""

from __future__ import annotations

import threading
from typing import Final, Protocol

from stream.source import LiveLog
from wearables_platform.errors import LogPositionError, TransientError
from wearables_platform.logs import get_logger

EVERY_S: Final = 5.0
# What is found must be found again before it stops the stream: so often, and a topic that is not there at all, which a
# broker also says while it has not loaded it, for a minute.
LOOKS: Final = 2
LOOKS_GONE: Final = 12
_log = get_logger(__name__)


class TopicAdmin(Protocol):
    """What is asked of the broker."""

    def partitions(self, topic: str) -> int:
        """Return the number of a topic's partitions, 0 where there is no such topic."""

    def topic_id(self, topic: str) -> str | None:
        """Return what tells a topic from one made again."""


class TopicGone(LogPositionError):
    """The broker knows no such topic, or not yet."""


def check_log(admin: TopicAdmin, log: LiveLog) -> None:
    """Raise `LogPositionError` unless every topic is as it was at the start."""
    for topic, topic_id in log.topic_ids.items():
        found = admin.partitions(topic)
        if not found:
            msg = f"{topic} has 0 partitions now, not {log.partitions}; it was deleted"
            raise TopicGone(msg)
        if found != log.partitions:
            msg = f"{topic} has {found} partitions now, not {log.partitions}; the number is fixed for a topic's life: "
            msg += "a larger one needs topics of a new generation"
            raise LogPositionError(msg)
        if admin.topic_id(topic) != topic_id:
            msg = f"{topic} was re-created while it was read; the saved positions belong to the one before"
            raise LogPositionError(msg)


class LogWatch:
    """Checks the log every few seconds; what it finds, and finds again, `raise_if_failed` raises in the worker."""

    def __init__(self, admin: TopicAdmin, log: LiveLog, every_s: float = EVERY_S) -> None:
        self._admin, self._live, self._every_s = admin, log, every_s
        self._stopping = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._watch, name="log-watch", daemon=True)

    def __enter__(self) -> LogWatch:
        """Begin to look."""
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        """Stop looking."""
        self._stopping.set()
        self._thread.join(timeout=10)

    def raise_if_failed(self) -> None:
        """Raise what was found, if anything was."""
        if self._failure is not None:
            raise self._failure

    def _watch(self) -> None:
        looks = 0  # in a row that found another log
        while not self._stopping.wait(self._every_s):
            try:
                check_log(self._admin, self._live)
                looks = 0
            except TransientError as exc:
                _log.warning("the broker does not say what the log is", error=str(exc))
            except LogPositionError as exc:
                looks += 1
                if looks >= (LOOKS_GONE if isinstance(exc, TopicGone) else LOOKS):
                    self._failure = exc
                    return
                _log.warning("another log, if the next look finds it too", error=str(exc))
            except Exception as exc:  # noqa: BLE001 - handed to the worker, which raises it
                self._failure = exc
                return
