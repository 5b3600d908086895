"""The Flask application of the ingest: who may post, what is answered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from flask import Blueprint, Flask, Response, current_app, jsonify, request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from werkzeug.exceptions import ClientDisconnected

from wearables_platform.domain.channels import ACCELERATION, CHANNEL_BY_NAME, Channel
from wearables_platform.domain.identity import MessageIdentity, boot_text
from wearables_platform.domain.reasons import DeadLetterReason
from wearables_platform.errors import WireError
from wearables_platform.ingest.framing import MAX_BATCH_FACTOR, Item, batch_items, one_item
from wearables_platform.ingest.gate import Answer, Gate
from wearables_platform.registry import Device
from wearables_platform.web.problems import RequestRefused, install_problem_handlers

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
EXTENSION: Final = "wearables-ingest"
RETRY_AFTER_S: Final = "1"
# What is no message at all is a bad request; what is one and breaks a rule cannot be processed.
_STATUS: Final = {
    DeadLetterReason.EMPTY: 400,
    DeadLetterReason.UNDECODABLE: 400,
    DeadLetterReason.FORGED_ID: 403,
    DeadLetterReason.TOO_LARGE: 413,
}
_OTHER_REASON_STATUS: Final = 422

routes = Blueprint("ingest", __name__)


@dataclass
class Ingest:
    """What the views need.

    Attributes
    ----------
    ping
        Raises `StoreUnavailable` while Kafka does not answer.
    body_read
        Called with a request's socket once its body is read: from then on the client is not waited for.
    trouble
        Why nothing can be confirmed any more.
    """

    gate: Gate
    find_device: Callable[[str], Device | None]
    max_in_flight: int
    ping: Callable[[], None]
    body_read: Callable[[Any], None] = lambda _: None
    trouble: list[str] = field(default_factory=list)
    _slots: threading.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._slots = threading.Semaphore(self.max_in_flight)

    @contextmanager
    def in_flight(self) -> Iterator[None]:
        """Hold one of the places of requests in flight, or refuse with 429."""
        if not self._slots.acquire(blocking=False):
            detail = "too many requests in flight; nothing was read"
            raise RequestRefused(429, "busy", detail, headers={"Retry-After": RETRY_AFTER_S})
        try:
            yield
        finally:
            self._slots.release()


class Post(NamedTuple):
    """A request whose sender and form are known and whose body is read."""

    device: Device
    channel: Channel
    is_json: bool
    body: bytes


def create_app(ingest: Ingest) -> Flask:
    """Build the application around its collaborators."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = ingest.gate.max_payload_bytes * MAX_BATCH_FACTOR
    app.extensions[EXTENSION] = ingest
    install_problem_handlers(app)
    app.register_blueprint(routes)
    return app


def _ingest() -> Ingest:
    ingest: Ingest = current_app.extensions[EXTENSION]
    return ingest


@routes.post("/v1/devices/<device_id>/<channel_name>")
def post_message(device_id: str, channel_name: str) -> tuple[Response, int]:
    """Take one message of one device; 202 once Kafka holds it."""
    ingest = _ingest()
    with ingest.in_flight():
        post = _read(ingest, device_id, channel_name, ingest.gate.max_payload_bytes)
        item = one_item(post.channel, post.body, is_json=post.is_json)
        answer = ingest.gate.accept(post.device, post.channel, [item])
    _refuse_if_none_accepted(answer)
    return jsonify(accepted=_identity(answer.accepted[0])), 202


@routes.post("/v1/devices/<device_id>/<channel_name>/batch")
def post_batch(device_id: str, channel_name: str) -> tuple[Response, int]:
    """Take many messages of one device; 202 once Kafka holds each of them, or the reason why it is refused."""
    ingest = _ingest()
    with ingest.in_flight():
        post = _read(ingest, device_id, channel_name, ingest.gate.max_payload_bytes * MAX_BATCH_FACTOR)
        answer = ingest.gate.accept(post.device, post.channel, _items(ingest, post))
    _refuse_if_none_accepted(answer)
    refused = [refusal._asdict() for refusal in answer.refused]
    return jsonify(accepted=[_identity(identity) for identity in answer.accepted], refused=refused), 202


def _items(ingest: Ingest, post: Post) -> list[Item]:
    try:
        return batch_items(post.channel, post.body, is_json=post.is_json)
    except WireError as exc:
        ingest.gate.give_up(post.device, post.channel, post.body, exc)
        raise _refusal(exc.reason, exc.detail) from exc


def _identity(identity: MessageIdentity) -> dict[str, Any]:
    return {
        "device_id": identity.device_id,
        "boot_id": boot_text(identity.boot_id),
        "sequence": identity.sequence,
    }


def _refuse_if_none_accepted(answer: Answer) -> None:
    if not answer.accepted:
        first = answer.refused[0]
        others = len(answer.refused) - 1
        raise _refusal(first.reason, first.detail + (f"; and {others} more messages, none accepted" if others else ""))


def _refusal(reason: str, detail: str) -> RequestRefused:
    status = _STATUS.get(DeadLetterReason(reason), _OTHER_REASON_STATUS)
    return RequestRefused(status, str(reason), detail or str(reason))


def _read(ingest: Ingest, device_id: str, channel_name: str, max_bytes: int) -> Post:
    """Check sender, form and size, in this order, and only then read the body."""
    device = _authenticated(ingest, device_id)
    channel, is_json = _form(channel_name)
    if request.content_length is None:
        raise RequestRefused(411, "length-required", "say Content-Length")
    if request.content_length > max_bytes:
        detail = f"{request.content_length} bytes; at most {max_bytes}"
        raise RequestRefused(413, DeadLetterReason.TOO_LARGE, detail)
    body = _body()
    ingest.body_read(request.environ.get("gunicorn.socket"))
    # The server reports a body that ended early as if it were whole, and a cut protobuf message can be a valid one.
    if len(body) != request.content_length:
        raise RequestRefused(408, "request-timeout", "the body did not come whole and in time")
    return Post(device, channel, is_json, body)


def _body() -> bytes:
    try:
        return request.get_data(cache=False)
    except ClientDisconnected:
        return b""  # judged by its length


def _authenticated(ingest: Ingest, device_id: str) -> Device:
    """Return the device the token belongs to; never says which part was wrong."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    device = ingest.find_device(device_id)
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


@routes.get("/health/live")
def live() -> tuple[Response, int]:
    """Answer whether posts can still be confirmed; a supervisor restarts what cannot."""
    trouble = _ingest().trouble
    return jsonify(process="ingest", ok=not trouble, reason="; ".join(trouble) or None), 503 if trouble else 200


@routes.get("/health/ready")
def ready() -> tuple[Response, int]:
    """Answer whether posts are taken: registry and Kafka answer, deliveries are confirmed."""
    _ingest().find_device("readiness-probe")
    _ingest().ping()
    return live()


@routes.get("/metrics")
def metrics() -> Response:
    """Answer with the process's figures."""
    return Response(generate_latest(), content_type=CONTENT_TYPE_LATEST)
