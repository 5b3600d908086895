"""The live stream as an iterator: server-sent events, read again where they broke off."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from wearables_platform.client.errors import ApiUnavailable
from wearables_platform.client.transport import Transport, body_chunks

PATH = "/v1/live/stream"
# A `fleet` event comes every second, also when nothing changed: silence is a dead connection.
SILENCE_S = 10.0
FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 30.0


@dataclass(frozen=True)
class LiveEvent:
    """An event as it was sent; `id` where it can be resumed from."""

    event: str
    data: dict[str, Any]
    id: str | None = None


def live_events(
    transport: Transport, asked: dict[str, Any], *, wait: Callable[[float], None] = time.sleep
) -> Iterator[LiveEvent]:
    """Yield events for ever; what breaks off is opened again after the last id, later each time it fails.

    After a reconnect comes another `hello` and the whole fleet. A refusal (`ApiProblem`) ends it.
    """
    last_id: str | None = None
    retry_s = FIRST_RETRY_S
    while True:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
        try:
            with transport.streamed(PATH, asked, headers=headers, read_timeout_s=SILENCE_S) as response:
                for event in parsed_events(_lines(body_chunks(response, None))):
                    retry_s = FIRST_RETRY_S
                    last_id = event.id or last_id
                    yield event
        except ApiUnavailable:
            retry_s = min(2 * retry_s, LONGEST_RETRY_S)
        wait(retry_s)


def parsed_events(lines: Iterable[str]) -> Iterator[LiveEvent]:
    """Parse the lines of an event stream; an event that was cut short is none.

    >>> list(parsed_events(["event: fleet", "id: 7", 'data: {"total": 1}', "", "event: tra"]))
    [LiveEvent(event='fleet', data={'total': 1}, id='7')]
    """
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            # Data may come in several lines, all else counts once.
            text = value.removeprefix(" ")
            fields[name] = f"{fields[name]}\n{text}" if name == "data" and "data" in fields else text
        else:
            if "data" in fields:
                yield LiveEvent(fields.get("event", "message"), json.loads(fields["data"]), fields.get("id"))
            fields = {}


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.decode() for line in whole)
