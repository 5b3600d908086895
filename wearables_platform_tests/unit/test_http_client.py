"""The HTTP outbox against a server that answers as it is told: nothing leaves the spool before its answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from wearables_platform.domain.channels import VITALS
from wearables_platform.domain.identity import MessageIdentity
from wearables_platform.edge.http_client import MAX_BACKOFF_S, HttpOutbox, HttpPoster
from wearables_platform.edge.messages import EncodedMessage
from wearables_platform.edge.spool import Spool, SpoolDatabase

PROBLEM = {"Content-Type": "application/problem+json"}
Script = tuple[int, dict[str, str], bytes]


class Ingest:
    """Answers posts from a script, 202 once it is over, and remembers them."""

    def __init__(self, script: list[Script]) -> None:
        self.script = script
        self.posts: list[tuple[str, str | None, bytes]] = []
        ingest = self

        class Answering(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                ingest.posts.append((self.path, self.headers["Authorization"], body))
                status, headers, answer = ingest.script.pop(0) if ingest.script else (202, {}, b"")
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def message(device_id: str, sequence: int) -> EncodedMessage:
    identity = MessageIdentity(device_id, 1, sequence)
    return EncodedMessage(VITALS, identity, f"{device_id} {sequence}".encode(), 0)


@pytest.fixture
def ingest() -> Iterator[Ingest]:
    started = Ingest([])
    yield started
    started.close()


@pytest.fixture
def spools(tmp_path: Path) -> Iterator[dict[str, Spool]]:
    database = SpoolDatabase(tmp_path / "spool.sqlite")
    made = {device_id: database.spool(device_id) for device_id in ("a", "b")}
    for device_id, spool in made.items():
        spool.append([message(device_id, sequence) for sequence in range(3)])
    yield made
    database.close()


@pytest.fixture
def outbox(ingest: Ingest, spools: dict[str, Spool]) -> Iterator[HttpOutbox]:
    made = HttpOutbox(HttpPoster(ingest.url, {"a": "token-a", "b": "token-b"}), spools)
    yield made
    made.close()


def pump_until_empty(outbox: HttpOutbox, limit: int = 50) -> float:
    """Pump with a clock of our own that jumps to when something is due; returns how far it went."""
    now_s = 0.0
    for _ in range(limit):
        if not outbox.pending:
            break
        outbox.pump(now_s)
        now_s += outbox.next_due_s(now_s)
    return now_s


def test_each_device_posts_its_messages_in_order_with_its_own_token(ingest: Ingest, outbox: HttpOutbox) -> None:
    pump_until_empty(outbox)
    for device_id in ("a", "b"):
        own = [post for post in ingest.posts if post[0] == f"/v1/devices/{device_id}/vitals"]
        assert [body for _, _, body in own] == [f"{device_id} {n}".encode() for n in range(3)]
        assert {token for _, token, _ in own} == {f"Bearer token-{device_id}"}
        assert outbox.spools[device_id].counts()["accepted"] == 3


@pytest.mark.parametrize("status", [401, 408, 429, 500, 503])
def test_later_is_later_and_nothing_is_lost(ingest: Ingest, outbox: HttpOutbox, status: int) -> None:
    ingest.script = [(status, {"Retry-After": "7"}, b"")] * 4
    assert pump_until_empty(outbox) >= 7 * 0.5
    assert {device_id: spool.counts()["accepted"] for device_id, spool in outbox.spools.items()} == {"a": 3, "b": 3}
    assert sum(outbox.resent.values()) == 4


def test_a_refusal_drops_the_message_and_keeps_the_reason(ingest: Ingest, outbox: HttpOutbox) -> None:
    ingest.script = [(422, PROBLEM, b'{"title": "no", "reason": "bad_reading"}')]
    pump_until_empty(outbox)
    counts = [spool.counts() for spool in outbox.spools.values()]
    assert sorted(each["accepted"] for each in counts) == [2, 3]
    assert {"bad_reading": 1} in [each["refused_by_reason"] for each in counts]


def test_no_server_is_no_loss_and_waits_grow_to_their_limit(spools: dict[str, Spool]) -> None:
    outbox = HttpOutbox(HttpPoster("http://127.0.0.1:1", {"a": "t", "b": "t"}), spools)
    now_s, waits = 0.0, []
    for _ in range(12):
        outbox.pump(now_s)
        waits.append(outbox.next_due_s(now_s))
        now_s += waits[-1]
    outbox.close()
    assert outbox.pending == 6
    assert waits[0] <= 0.5 < max(waits) <= MAX_BACKOFF_S
