"""Run the query API: gunicorn, one worker process, a thread per open request or live stream."""

from __future__ import annotations

from types import FrameType
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication
from gunicorn.workers.gthread import ThreadWorker

from wearables_platform.api.app import create_app
from wearables_platform.api.live import MAX_STREAMS
from wearables_platform.api.services import EXTENSION, Services
from wearables_platform.clients.redis_reads import LatestReader
from wearables_platform.logs import configure_logging
from wearables_platform.sensor_catalogue import sensor_types
from wearables_platform.settings import Settings
from wearables_platform.web.server_log import LOGGER_CLASS

# Streams hold a thread each; these are left for everything else.
REQUEST_THREADS = 8
GRACEFUL_TIMEOUT_S = 10


class StreamingWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn is not typed
    """A threaded worker that ends its live streams when told to stop, instead of waiting for their readers to go."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End the streams, then stop as usual: open requests are answered first."""
        if isinstance(self.wsgi, Flask):
            served: Services = self.wsgi.extensions[EXTENSION]
            served.streams.closing.set()
        super().handle_exit(sig, frame)


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn is not typed
    """gunicorn around the API; connections are opened in the worker, after the fork."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        """Configure gunicorn from the settings alone."""
        for name, value in _gunicorn_options(self._settings).items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Build the application in the worker."""
        declared = sensor_types(self._settings.sensor_types_dir)
        reader = LatestReader(self._settings.require("redis_url"), "wearables-api", sensor_types=declared)
        return create_app(self._settings, reader)


def _gunicorn_options(settings: Settings) -> dict[str, Any]:
    return {
        "bind": f"{settings.bind_host}:{settings.require('api_port')}",
        "workers": 1,
        "threads": MAX_STREAMS + REQUEST_THREADS,
        "worker_class": f"{__name__}.StreamingWorker",
        "graceful_timeout": GRACEFUL_TIMEOUT_S,
        "proc_name": "wearables-api",
        "accesslog": None,
        "logger_class": LOGGER_CLASS,
        "control_socket_disable": True,  # it would lie in the home directory, one for all instances
        "limit_request_line": 4094,
    }


def run(settings: Settings) -> None:
    """Serve until SIGTERM; a missing setting stops it before it listens."""
    configure_logging("api", level=settings.log_level)
    for name in ("api_token", "sql_url", "redis_url", "api_port"):
        settings.require(name)
    sensor_types(settings.sensor_types_dir)  # a mistake in a file is said here, not in a worker
    Server(settings).run()
