"""Health and figures, for supervisors and Prometheus; without a token, and without anybody's data."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, jsonify

from wearables_platform.api.services import services
from wearables_platform.errors import WearablesError
from wearables_platform.logs import get_logger

_log = get_logger(__name__)
operations = Blueprint("operations", __name__)


@operations.get("/health/live")
def live() -> Response:
    """Answer that the process runs."""
    return jsonify(status="live")


@operations.get("/health/ready")
def ready() -> tuple[Response, int]:
    """Answer whether both stores do."""
    checks = {"sql": _answers(services().reads.ping), "redis": _answers(services().fleet.source.ping)}
    well = all(checks.values())
    words = {name: "ready" if answers else "unavailable" for name, answers in checks.items()}
    return jsonify(status="ready" if well else "not ready", checks=words), 200 if well else 503


@operations.get("/metrics")
def metrics() -> Response:
    """Answer with the process's figures."""
    return services().metrics.response()


def _answers(ping: Callable[[], None]) -> bool:
    try:
        ping()
    except WearablesError as exc:
        _log.warning("store does not answer", error=str(exc))
        return False
    return True
