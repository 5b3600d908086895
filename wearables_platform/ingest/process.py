"""Run the ingest: gunicorn, one worker process (one producer serves every request), threads that wait for Kafka."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from typing import Any

from flask import Flask
from gunicorn.app.base import BaseApplication

from wearables_platform.clients.kafka import Admin, Producer
from wearables_platform.clients.sql import SqlClient
from wearables_platform.clients.topics import ensure_platform_topics
from wearables_platform.health import describe_build
from wearables_platform.ingest.app import Ingest, create_app
from wearables_platform.ingest.gate import CONSUMER, DeliveryPoller, Gate
from wearables_platform.ingest.worker import WATCH, PatientWorker
from wearables_platform.logs import configure_logging
from wearables_platform.registry import DeviceDirectory, Registry
from wearables_platform.settings import Settings
from wearables_platform.web.server_log import LOGGER_CLASS
from wearables_platform.wire.codec import require_fast_protobuf

# Requests beyond the threads wait in the worker's queue; beyond that they are answered 429.
GRACEFUL_TIMEOUT_S = 25
PING_TIMEOUT_S = 2.0
# A device that posts every ten seconds keeps its connection.
KEEPALIVE_S = 15


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn is not typed
    """gunicorn around the ingest; connections are opened in the worker, after the fork."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        super().__init__()

    def load_config(self) -> None:
        """Configure gunicorn from the settings alone."""
        for name, value in _gunicorn_options(self._settings).items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        """Build the application in the worker."""
        return build(self._settings)


def build(settings: Settings) -> Flask:
    """Connect to Kafka and the registry and build the application."""
    kafka_url = settings.require("kafka_url")
    admin = Admin(kafka_url, CONSUMER)
    ensure_platform_topics(admin, settings)
    producer = Producer(kafka_url, CONSUMER)
    directory = DeviceDirectory(
        Registry(SqlClient(settings.require("sql_url"), "wearables-ingest", pool_size=2)).find_device, time.monotonic
    )
    describe_build(CONSUMER)  # in the worker, whose figures are the ones served
    gate = Gate(producer, max_payload_bytes=settings.max_payload_bytes)
    ingest = Ingest(
        gate,
        directory.find,
        max_in_flight=settings.ingest_threads,
        ping=partial(admin.ping, PING_TIMEOUT_S),
        body_read=WATCH.done,
    )

    def failed(error: Exception) -> None:
        # Nothing can be confirmed any more: end the worker, so that gunicorn starts another with a new producer.
        ingest.trouble.append(str(error))
        os.kill(os.getpid(), signal.SIGTERM)

    DeliveryPoller(producer, failed).start()
    return create_app(ingest)


def _gunicorn_options(settings: Settings) -> dict[str, Any]:
    return {
        "bind": f"{settings.bind_host}:{settings.require('ingest_port')}",
        "workers": 1,
        "threads": settings.ingest_threads + 2,  # a full house still answers 429, and its health
        "worker_class": f"{PatientWorker.__module__}.{PatientWorker.__name__}",
        "graceful_timeout": GRACEFUL_TIMEOUT_S,
        "keepalive": KEEPALIVE_S,
        "proc_name": "wearables-ingest",
        "accesslog": None,
        "logger_class": LOGGER_CLASS,
        "control_socket_disable": True,  # it would lie in the home directory, one for all instances
        "limit_request_line": 2048,
    }


def run(settings: Settings) -> None:
    """Serve until SIGTERM; a missing setting stops it before it listens."""
    configure_logging(CONSUMER, level=settings.log_level)
    require_fast_protobuf()
    for name in ("kafka_url", "sql_url", "ingest_port"):
        settings.require(name)
    Server(settings).run()
