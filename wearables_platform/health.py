"""Health and metrics of a process over HTTP: ``/health/live``, ``/health/ready``, ``/metrics``.

*Live* says that the process turns; *ready* that it does its work, with the reason when it does not. A supervisor
restarts what is not live and sends nothing to what is not ready. Any thread may set either.
"""

from __future__ import annotations

import json
import platform
import threading
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from importlib.metadata import version
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import REGISTRY, CollectorRegistry, Gauge
from prometheus_client.exposition import make_wsgi_app

# A main loop that has not come round for this long is stuck: the longest healthy pause is a Kafka delivery time-out
# away from failing by itself (30 s).
STALLED_AFTER_S = 60.0

_ready = Gauge(
    "wearables_process_ready", "1 while the process does its work, else 0; /health/ready says why.", ["process"]
)
_build = Gauge("wearables_build_info", "1, labelled with what runs.", ["process", "version", "python"])


def describe_build(process: str, registry: CollectorRegistry = REGISTRY) -> None:
    """Say in the figures which code answers; a registry of its own is given the gauge once."""
    _build.labels(process, version("wearables-platform"), platform.python_version()).set(1)
    if registry is not REGISTRY:
        registry.register(_build)


class Health:
    """What a process says of itself; starts alive and not ready."""

    def __init__(self, process: str, clock: Callable[[], float] = time.monotonic) -> None:
        self.process = process
        self._clock = clock
        self._last_beat = clock()
        self._not_ready: str | None = "starting"

    def beat(self) -> None:
        """Say that the main loop has come round; call at least every few seconds."""
        self._last_beat = self._clock()

    def ready(self) -> None:
        """Say that the process does its work; also a beat."""
        self._not_ready = None
        self.beat()

    def not_ready(self, reason: str) -> None:
        """Say why the process does not do its work; also a beat."""
        self._not_ready = reason
        self.beat()

    def why_not_live(self) -> str | None:
        """Return why the process should be restarted, None when it is alive."""
        silent_s = self._clock() - self._last_beat
        return f"no beat for {silent_s:.0f} s" if silent_s > STALLED_AFTER_S else None

    def why_not_ready(self) -> str | None:
        """Return why the process does no work, None when it does."""
        return self.why_not_live() or self._not_ready


class _ThreadingServer(ThreadingMixIn, WSGIServer):
    """One thread per request, so that a slow scrape does not hold up a health check."""

    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    """Logs no requests: a health check comes every second."""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing."""
        del format, args


def health_app(health: Health, registry: CollectorRegistry = REGISTRY) -> Callable[..., Iterable[bytes]]:
    """Build the WSGI application of the three paths."""
    metrics = make_wsgi_app(registry)
    _ready.labels(health.process).set_function(lambda: float(health.why_not_ready() is None))

    def _app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        match environ["PATH_INFO"]:
            case "/health/live":
                return _answer(start_response, health.process, health.why_not_live())
            case "/health/ready":
                return _answer(start_response, health.process, health.why_not_ready())
            case "/metrics":
                scraped: Iterable[bytes] = metrics(environ, start_response)
                return scraped
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"not found\n"]

    return _app


def _answer(start_response: Callable[..., Any], process: str, reason: str | None) -> Iterable[bytes]:
    status = HTTPStatus.OK if reason is None else HTTPStatus.SERVICE_UNAVAILABLE
    start_response(f"{status.value} {status.phrase}", [("Content-Type", "application/json")])
    return [json.dumps({"process": process, "ok": reason is None, "reason": reason}).encode()]


class HealthServer:
    """Serves a process's health from a thread of its own; a context manager.

    Parameters
    ----------
    health
        What to serve.
    host, port
        Where; port 0 takes a free one (see `port`).
    """

    def __init__(self, health: Health, host: str, port: int, registry: CollectorRegistry = REGISTRY) -> None:
        self._server = make_server(
            host, port, health_app(health, registry), server_class=_ThreadingServer, handler_class=_QuietHandler
        )
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    def __enter__(self) -> HealthServer:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
