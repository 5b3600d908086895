"""The Flask application of the ingest: who may post, what is answered."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from flask import Blueprint, Flask, Response, current_app, jsonify, request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from wearables_platform.api.problems import RequestRefused, install_problem_handlers
from wearables_platform.domain.channels import ACCELERATION, CHANNEL_BY_NAME, Channel
from wearables_platform.domain.identity import boot_text
from wearables_platform.errors import WireError
from wearables_platform.ingest.gate import Gate, Posted
from wearables_platform.registry import Device

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
EXTENSION: Final = "wearables-ingest"
RETRY_AFTER_S: Final = "1"

routes = Blueprint("ingest", __name__)


@dataclass
class Ingest:
    """What the views need."""

    gate: Gate
    find_device: Callable[[str], Device | None]
    max_in_flight: int
    trouble: list[str] = field(default_factory=list)  # why nothing can be confirmed any more
    _slots: threading.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._slots = threading.Semaphore(self.max_in_flight)

    def enter(self) -> None:
        """Take one of the places of requests in flight, or refuse with 429."""
        if not self._slots.acquire(blocking=False):
            detail = "too many requests in flight; nothing was read"
            raise RequestRefused(429, "busy", detail, headers={"Retry-After": RETRY_AFTER_S})

    def leave(self) -> None:
        """Give the place back."""
        self._slots.release()


def create_app(ingest: Ingest) -> Flask:
    """Build the application around its collaborators."""
    app = Flask(__name__, static_folder=None)
    # One byte more than allowed can be told from what is allowed without reading the rest.
    app.config["MAX_CONTENT_LENGTH"] = ingest.gate.max_payload_bytes + 1
    app.extensions[EXTENSION] = ingest
    install_problem_handlers(app)
    app.register_blueprint(routes)
    return app


def _ingest() -> Ingest:
    ingest: Ingest = current_app.extensions[EXTENSION]
    return ingest


@routes.post("/v1/devices/<device_id>/<channel_name>")
def post(device_id: str, channel_name: str) -> tuple[Response, int]:
    """Take one message of one device; 202 once Kafka holds it."""
    ingest = _ingest()
    ingest.enter()
    try:
        device = _authenticated(device_id)
        channel, is_json = _form(channel_name)
        identity = ingest.gate.accept(Posted(device, channel, _body(ingest), is_json))
    except WireError as exc:
        status = 403 if exc.reason == "forged_id" else 413 if exc.reason == "too_large" else 422
        raise RequestRefused(status, str(exc.reason), exc.detail or str(exc.reason)) from exc
    finally:
        ingest.leave()
    accepted = {"device_id": identity.device_id, "boot_id": boot_text(identity.boot_id), "sequence": identity.sequence}
    return jsonify(accepted=accepted), 202


def _authenticated(device_id: str) -> Device:
    """Return the device the token belongs to; never says which part was wrong."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    device = _ingest().find_device(device_id)
    if device is None or scheme.lower() != "bearer" or not device.accepts(token):
        headers = {"WWW-Authenticate": "Bearer"}
        raise RequestRefused(401, "unauthorized", "no such device, or not its token", headers=headers)
    return device


def _form(channel_name: str) -> tuple[Channel, bool]:
    channel = CHANNEL_BY_NAME.get(channel_name)
    if channel is None:
        raise RequestRefused(404, "not-found", f"devices send {', '.join(CHANNEL_BY_NAME)}, not {channel_name!r}")
    if request.content_encoding:
        raise RequestRefused(415, "unsupported-encoding", "bodies are not compressed")
    is_json = request.mimetype == JSON
    if request.mimetype != PROTOBUF and not (is_json and channel != ACCELERATION):
        allowed = PROTOBUF if channel == ACCELERATION else f"{PROTOBUF} or {JSON}"
        raise RequestRefused(415, "unsupported-media-type", f"{channel.name} comes as {allowed}")
    return channel, is_json


def _body(ingest: Ingest) -> bytes:
    if request.content_length is None:
        raise RequestRefused(411, "length-required", "say Content-Length")
    if request.content_length > ingest.gate.max_payload_bytes:
        detail = f"{request.content_length} bytes; at most {ingest.gate.max_payload_bytes}"
        raise RequestRefused(413, "too-large", detail)
    return request.get_data(cache=False)


@routes.get("/health/live")
def live() -> tuple[Response, int]:
    """Answer whether posts can still be confirmed; a supervisor restarts what cannot."""
    trouble = _ingest().trouble
    return jsonify(process="ingest", ok=not trouble, reason="; ".join(trouble) or None), 503 if trouble else 200


@routes.get("/health/ready")
def ready() -> tuple[Response, int]:
    """Answer whether posts are taken: the registry answers and deliveries are confirmed."""
    _ingest().find_device("readiness-probe")
    return live()


@routes.get("/metrics")
def metrics() -> Response:
    """Answer with the process's figures."""
    return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)
