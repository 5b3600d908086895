"""A WSGI application on a port of its own, as clients meet it: over HTTP, with what was answered noted down."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

Application = Callable[..., Any]


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"  # chunked, as the API's own server answers

    def log(self, *_: Any) -> None:
        pass


@dataclass
class Noted:
    """Where the application listens, and the status and body length of each answer, oldest first."""

    url: str
    statuses: list[str] = field(default_factory=list)


@contextmanager
def listening(application: Application) -> Iterator[Noted]:
    noted = Noted("")

    def noting(environ: Any, start_response: Any) -> Any:
        def start(status: str, headers: Any, *rest: Any) -> Any:
            noted.statuses.append(status[:3])
            return start_response(status, headers, *rest)

        return application(environ, start)

    server = make_server("127.0.0.1", 0, noting, threaded=True, request_handler=_Handler)
    noted.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield noted
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answering(*answers: Callable[[Request], Response]) -> Application:
    """An application that gives one answer after the other, then the last again and again."""
    left = list(answers)

    @Request.application
    def application(request: Request) -> Response:
        return (left.pop(0) if len(left) > 1 else left[0])(request)

    return application
