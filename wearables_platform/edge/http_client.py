"""The HTTP way in for devices that do not speak MQTT: a message stays in the spool until it is answered 202.

Answers are read by class: 202 accepted; 429, 5xx and no answer at all mean later, after `Retry-After` or a jittered
back-off; so do 401 (a token being exchanged says nothing of the message) and 408. Any other 4xx means never, and the
message is dropped and counted with the reason.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Final, NamedTuple

import requests
from requests.adapters import HTTPAdapter

from wearables_platform.edge.spool import ACCEPTED, REFUSED, Spool, SpooledMessage
from wearables_platform.logs import get_logger

PROTOBUF: Final = "application/x-protobuf"
TIMEOUT_S: Final = 30.0
FIRST_BACKOFF_S: Final = 0.5
MAX_BACKOFF_S: Final = 30.0
PARALLEL_POSTS: Final = 8
_LATER: Final = (HTTPStatus.UNAUTHORIZED, HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)

_log = get_logger(__name__)


class Answer(NamedTuple):
    """What the ingest said to one post; `later_s` is None where trying again is of no use or no need."""

    status: int
    reason: str = ""
    later_s: float | None = None

    @property
    def accepted(self) -> bool:
        """Whether the platform holds the message."""
        return self.status == HTTPStatus.ACCEPTED


class HttpPoster:
    """Posts to the ingest; safe among threads."""

    def __init__(self, base_url: str, tokens: Mapping[str, str], *, ca_file: Path | None = None) -> None:
        self._base_url = base_url.rstrip("/")
        self._tokens = tokens
        # Given with every post: a session's own would give way to what the environment names.
        self._verify = True if ca_file is None else str(ca_file)
        self._session = requests.Session()
        adapter = HTTPAdapter(pool_connections=1, pool_maxsize=PARALLEL_POSTS)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, adapter)

    def post(self, device_id: str, channel: str, body: bytes, content_type: str = PROTOBUF) -> Answer:
        """Post one body for a device; a network failure is an answer too: later."""
        headers = {"Authorization": f"Bearer {self._tokens[device_id]}", "Content-Type": content_type}
        url = f"{self._base_url}/v1/devices/{device_id}/{channel}"
        try:
            response = self._session.post(url, data=body, headers=headers, timeout=TIMEOUT_S, verify=self._verify)
        except requests.RequestException as exc:
            return Answer(0, type(exc).__name__, FIRST_BACKOFF_S)
        if response.status_code in _LATER or response.status_code >= 500:
            return Answer(response.status_code, response.reason, _retry_after_s(response))
        return Answer(response.status_code, _problem(response))


def _retry_after_s(response: requests.Response) -> float:
    text = response.headers.get("Retry-After", "")
    return min(float(text), MAX_BACKOFF_S) if text.isdecimal() else FIRST_BACKOFF_S


def _problem(response: requests.Response) -> str:
    if not response.headers.get("Content-Type", "").startswith("application/problem+json"):
        return response.reason
    document = response.json()
    return str(document.get("reason") or document.get("title") or response.reason)


@dataclass
class HttpOutbox:
    """Many devices' spools on their way over HTTP. Used by one thread; posts run beside each other.

    A device's messages leave in order, one at a time, so that order is kept without asking the platform to restore it.
    """

    poster: HttpPoster
    spools: Mapping[str, Spool]
    resent: dict[str, int] = field(default_factory=dict)
    _due_s: dict[str, float] = field(default_factory=dict)
    _backoff_s: dict[str, float] = field(default_factory=dict)
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(PARALLEL_POSTS, "post"))

    @property
    def pending(self) -> int:
        """Messages no answer has settled yet."""
        return sum(len(spool) for spool in self.spools.values())

    def pump(self, now_s: float) -> int:
        """Post the oldest message of every device that is due; returns how many were settled."""
        heads = [message for device_id in self._due(now_s) for message in self.spools[device_id].after(-1, 1)]
        answers = self._threads.map(self._post, heads)
        return sum(self._settle(head, answer, now_s) for head, answer in zip(heads, answers, strict=True))

    def next_due_s(self, now_s: float) -> float:
        """Return for how long nothing will be due."""
        due = [self._due_s.get(device_id, 0.0) for device_id, spool in self.spools.items() if len(spool)]
        return max(0.0, min(due, default=now_s) - now_s)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()

    def _due(self, now_s: float) -> Iterable[str]:
        return [
            device_id
            for device_id, spool in self.spools.items()
            if len(spool) and self._due_s.get(device_id, 0.0) <= now_s
        ]

    def _post(self, head: SpooledMessage) -> Answer:
        message = head.message
        return self.poster.post(message.identity.device_id, message.channel.name, message.payload)

    def _settle(self, head: SpooledMessage, answer: Answer, now_s: float) -> bool:
        device_id = head.message.identity.device_id
        if answer.later_s is not None:
            wait_s = max(answer.later_s, self._backoff_s.get(device_id, 0.0))
            # Full jitter: a fleet that was refused together must not come back together.
            self._due_s[device_id] = now_s + wait_s * random.uniform(0.5, 1.0)
            self._backoff_s[device_id] = min(2 * wait_s, MAX_BACKOFF_S)
            self.resent[device_id] = self.resent.get(device_id, 0) + 1
            return False
        self._backoff_s.pop(device_id, None)
        if answer.accepted:
            self.spools[device_id].remove_rows([head.row], ACCEPTED, "")
        else:
            self.spools[device_id].remove_rows([head.row], REFUSED, answer.reason)
            _log.warning(
                "message refused", message=str(head.message.identity), status=answer.status, reason=answer.reason
            )
        return True
