"""A WSGI application that does nothing, on the API's own kind of server: what P23 holds the API against.

``python -m wearables_platform_tests.benchmarks.hello_server PORT``
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

from gunicorn.app.base import BaseApplication

from wearables_platform.api.live import MAX_STREAMS
from wearables_platform.api.process import REQUEST_THREADS


def hello(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Say hello."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


class HelloServer(BaseApplication):  # type: ignore[misc]  # gunicorn is not typed
    """gunicorn with the API's number of threads, and no application behind it."""

    def __init__(self, port: int) -> None:
        self._port = port
        super().__init__()

    def load_config(self) -> None:
        """Set what decides the speed as the API does."""
        self.cfg.set("bind", f"127.0.0.1:{self._port}")
        self.cfg.set("worker_class", "gthread")
        self.cfg.set("threads", MAX_STREAMS + REQUEST_THREADS)
        self.cfg.set("control_socket_disable", True)  # noqa: FBT003 - gunicorn's own signature

    def load(self) -> Callable[..., Iterable[bytes]]:
        """Return the application."""
        return hello


if __name__ == "__main__":
    HelloServer(int(sys.argv[1])).run()
