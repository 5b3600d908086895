"""The application factory."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.info import Info
from flask_openapi3.openapi import OpenAPI

from wearables_platform import __version__
from wearables_platform.api import (
    cohorts,
    device_signals,
    devices,
    explanations,
    exports,
    open_mhealth,
    participant_hours,
    participants,
    platform_routes,
)
from wearables_platform.api.access import Principal, Tokens, authenticate
from wearables_platform.api.answering import Metrics, install_request_log
from wearables_platform.api.latest import FleetView, LatestSource
from wearables_platform.api.live import FLEET_EVERY_TICKS, TICK_S, LiveStreams
from wearables_platform.api.operations import operations
from wearables_platform.api.page import page
from wearables_platform.api.parameters import MAX_STREAM_DEVICES
from wearables_platform.api.reads import POOL_SIZE, Reads
from wearables_platform.api.services import EXTENSION, Clock, Services
from wearables_platform.clients.lake import configured_lake
from wearables_platform.clients.request_rates import RequestRates
from wearables_platform.settings import Settings
from wearables_platform.web.problems import (
    Problem,
    document_problem_schema,
    documented_problems,
    install_problem_handlers,
    validation_response,
)

_DESCRIPTION = """\
Motion, heart rate and steps from smartwatches. Send a token with every request: `Authorization: Bearer ...`.
Instants are UTC in RFC 3339; days are local to the participant. Errors are problem documents (RFC 9457)."""


def create_app(
    settings: Settings, latest: LatestSource, *, clock: Clock | None = None, tokens: Tokens | None = None
) -> OpenAPI:
    """Build the API over the stores of `settings`; `latest` reads the live store.

    Beside the tokens in SQL `tokens` are accepted, by default one: the operator's, from the settings.
    """
    tokens = tokens or Tokens({settings.require("api_token"): Principal("operator", None, "operator")})
    app = OpenAPI(
        __name__,
        info=Info(title="Wearables platform", version=__version__, description=_DESCRIPTION),
        security_schemes={"token": {"type": "http", "scheme": "bearer"}},
        validation_error_status=400,
        validation_error_model=Problem,
        validation_error_callback=validation_response,
        static_folder=None,
    )
    app.extensions[EXTENSION] = _services(settings, latest, clock or _now)
    install_problem_handlers(app)
    install_request_log(app, app.extensions[EXTENSION].metrics)
    app.register_blueprint(operations)
    app.register_blueprint(page)
    app.register_api(_versioned(tokens))
    document_problem_schema(app)
    return app


def _versioned(tokens: Tokens) -> APIBlueprint:
    """Build everything below `/v1`; nothing there answers without a token."""
    secured: list[dict[str, list[str]]] = [{"token": []}]
    api = APIBlueprint("v1", __name__, url_prefix="/v1", abp_security=secured, abp_responses=documented_problems())
    api.before_request(lambda: authenticate(tokens))
    for part in (
        devices,
        device_signals,
        participants,
        participant_hours,
        explanations,
        cohorts,
        exports,
        open_mhealth,
        platform_routes,
    ):
        part.add_routes(api)
    return api


def _services(settings: Settings, latest: LatestSource, clock: Clock) -> Services:
    metrics = Metrics()
    return Services(
        reads=Reads(settings.require("sql_url"), pool_size=POOL_SIZE + exports.MAX_EXPORTS),
        fleet=FleetView(latest, interval_s=TICK_S * FLEET_EVERY_TICKS, max_devices=MAX_STREAM_DEVICES),
        streams=LiveStreams(metrics.streams.inc),
        metrics=metrics,
        clock=clock,
        min_group_size=settings.min_group_size,
        lake=configured_lake(settings) if settings.lake_url else None,
        export_slots=threading.BoundedSemaphore(exports.MAX_EXPORTS),
        request_rates=RequestRates(settings.require("redis_url")),
        requests_per_minute=settings.api_requests_per_minute,
    )


def _now() -> datetime:
    return datetime.now(UTC)
