"""A server before an S3 server that can be told to be busy, or to do what it is asked and lose the answer."""

from __future__ import annotations

import http.client
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

BUSY, LOST = "busy", "lost"
_SLOW_DOWN = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)


@dataclass
class Front:
    """What went through, and what is to go wrong next."""

    url: str
    seen: list[str] = field(default_factory=list)
    faults: deque[tuple[str, str]] = field(default_factory=deque)

    def fail(self, kind: str, what: str, times: int = 1) -> None:
        """Let the next requests whose line contains `what` fail."""
        self.faults.extend([(kind, what)] * times)

    def fault_of(self, line: str) -> str | None:
        """Note a request and return how it is to fail."""
        self.seen.append(line)
        if self.faults and self.faults[0][1] in line:
            return self.faults.popleft()[0]
        return None


@contextmanager
def s3_front(endpoint: str) -> Iterator[Front]:
    """Run a front before `endpoint`."""
    behind = urlsplit(endpoint).netloc

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = front.fault_of(f"{self.command} {self.path}")
            if fault == BUSY:
                return self.answer(503, {"Content-Type": "application/xml"}, _SLOW_DOWN)
            backend = http.client.HTTPConnection(behind, timeout=30)
            # As it came, with its Host: that is part of what is signed.
            backend.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() != "expect":
                    backend.putheader(name, value)
            backend.endheaders(body)
            found = backend.getresponse()
            data = found.read()
            backend.close()
            if fault == LOST:
                self.close_connection = True
                return None
            return self.answer(found.status, dict(found.getheaders()), data)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do_any  # noqa: N815 - the server's names

        def answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "transfer-encoding", "connection", "date", "server"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    front = Front(f"http://127.0.0.1:{server.server_address[1]}")
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield front
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
