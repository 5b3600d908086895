"""What every request goes through: its id, its log line, the figures, the validators for caches."""

from __future__ import annotations

import hashlib
import re
import time
import uuid

from flask import Flask, Response, g, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from pydantic import BaseModel

from wearables_platform.health import describe_build
from wearables_platform.logs import get_logger

SOCKET_TIMEOUT_S = 20.0
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_log = get_logger(__name__)


class Metrics:
    """The API's figures for Prometheus."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "wearables_api_requests_total", "Answered requests.", ("route", "status"), registry=self.registry
        )
        self.seconds = Histogram(
            "wearables_api_request_seconds", "Time to answer, streams excepted.", ("route",), registry=self.registry
        )
        self.streams = Gauge("wearables_api_live_streams", "Open live streams.", registry=self.registry)
        describe_build("api", self.registry)

    def response(self) -> Response:
        """Write the figures in Prometheus' text format."""
        return Response(generate_latest(self.registry), content_type=CONTENT_TYPE_LATEST)


def reply(body: BaseModel) -> Response:
    """Answer with JSON and its ETag; a caller that has it already gets 304 and no body."""
    text = body.model_dump_json(by_alias=True).encode()
    response = Response(text, mimetype="application/json")
    response.set_etag(hashlib.sha256(text).hexdigest()[:32])
    # Health data: a browser may keep it to revalidate, a shared cache never.
    response.headers["Cache-Control"] = "private, no-cache"
    response.vary.add("Authorization")
    response.make_conditional(request)
    return response


def cut_off_slow_readers() -> None:
    """Bound how long a write may wait for the reader, so that one who stalls gives its thread back."""
    connection = request.environ.get("gunicorn.socket")
    if connection is not None:
        connection.settimeout(SOCKET_TIMEOUT_S)


def install_request_log(app: Flask, metrics: Metrics) -> None:
    """Give each request an id, and one log line and its figures when it is answered."""
    app.before_request(_begin)
    app.after_request(lambda response: _end(response, metrics))


def _begin() -> None:
    given = request.headers.get("X-Request-ID", "")
    g.request_id = given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex
    g.started = time.perf_counter()


def _end(response: Response, metrics: Metrics) -> Response:
    route = request.url_rule.rule if request.url_rule else "unmatched"
    elapsed_s = time.perf_counter() - g.get("started", time.perf_counter())
    metrics.requests.labels(route, response.status_code).inc()
    if not response.is_streamed:
        metrics.seconds.labels(route).observe(elapsed_s)
    response.headers["X-Request-ID"] = g.get("request_id", "")
    response.headers.setdefault("X-Content-Type-Options", "nosniff")
    response.headers.setdefault("Referrer-Policy", "no-referrer")
    # The route, never the path: whose data somebody reads stays out of the log.
    _log.info(
        "request",
        request_id=g.get("request_id", ""),
        method=request.method,
        route=route,
        status=response.status_code,
        elapsed_ms=round(elapsed_s * 1000, 1),
    )
    return response
