"""Every error leaves as a problem document (RFC 9457) naming the request and the parameter at fault, if one is."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, NoReturn

from flask import Flask, Response, g, request
from flask_openapi3.models.schema import Schema
from flask_openapi3.openapi import OpenAPI
from pydantic import BaseModel, Field, ValidationError
from werkzeug.exceptions import HTTPException

from wearables_platform.errors import StoreUnavailable, TerminalError, WearablesError
from wearables_platform.logs import get_logger

PROBLEM_TYPE = "application/problem+json"
RETRY_AFTER_S = 2
_log = get_logger(__name__)


class ParameterProblem(BaseModel):
    """What is wrong with one parameter."""

    name: str = Field(description="Name of the parameter as the request spells it.")
    detail: str = Field(description="What is wrong with it.")


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    type: str = Field(description="Kind of problem; stable, programs may compare it.")
    title: str = Field(description="What kind of problem this is, for people.")
    status: int = Field(description="HTTP status of the answer.")
    detail: str = Field(description="What happened this time.")
    instance: str = Field(description="Path of the request.")
    request_id: str = Field(description="The id under which the request is in the log.")
    parameters: list[ParameterProblem] = Field(default=[], description="The parameters at fault, if any.")


class RequestRefused(TerminalError):
    """The request cannot be answered as it stands; becomes a problem document."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        parameters: tuple[tuple[str, str], ...] = (),
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.detail = detail
        self.parameters = parameters
        self.headers = headers or {}


def refuse_parameter(name: str, detail: str) -> NoReturn:
    """Refuse a request because of one parameter."""
    raise RequestRefused(400, "invalid-parameter", f"{name}: {detail}", parameters=((name, detail),))


def refuse_unknown(what: str, name: str) -> NoReturn:
    """Refuse a request for something absent, or present and not for the caller to know of: the answers are equal."""
    raise RequestRefused(404, "not-found", f"there is no {what} {name!r}")


def problem_response(refused: RequestRefused) -> Response:
    """Write a refusal as a problem document."""
    problem = Problem(
        type=f"urn:wearables-platform:problem:{refused.kind}",
        title=HTTPStatus(refused.status).phrase,
        status=refused.status,
        detail=refused.detail,
        instance=request.path,
        request_id=g.get("request_id", ""),
        parameters=[ParameterProblem(name=name, detail=detail) for name, detail in refused.parameters],
    )
    response = Response(problem.model_dump_json(), refused.status, mimetype=PROBLEM_TYPE)
    response.headers["Cache-Control"] = "no-store"
    response.headers.extend(refused.headers)
    return response


def validation_response(error: ValidationError) -> Response:
    """Answer a request whose parameters pydantic refused, naming each of them."""
    found = tuple((str(item["loc"][0]) if item["loc"] else "query", item["msg"]) for item in error.errors())
    detail = "; ".join(f"{name}: {message}" for name, message in found)
    return problem_response(RequestRefused(400, "invalid-parameter", detail, parameters=found))


def install_problem_handlers(app: Flask) -> None:
    """Let every exception a view can end in leave as a problem document."""
    app.register_error_handler(RequestRefused, problem_response)
    app.register_error_handler(StoreUnavailable, _store_unavailable)
    app.register_error_handler(WearablesError, _platform_error)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected)


def documented_problems() -> dict[str | int, type[BaseModel] | dict[Any, Any] | None]:
    """Describe the problems any operation may answer with, for the OpenAPI document."""
    content = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    reasons = {
        "400": "A parameter is malformed, unknown or out of bounds; `parameters` names it.",
        "401": "The token is missing or not known.",
        "403": "The token may not see this.",
        "404": "There is no such thing, or it is not yours to see.",
        "429": "The token has asked too often; try again after `Retry-After` seconds.",
        "503": "A store does not answer now; try again after `Retry-After` seconds.",
    }
    return {status: {"description": text, "content": dict(content)} for status, text in reasons.items()}


def document_problem_schema(app: OpenAPI) -> None:
    """Add the schema the documented problems refer to."""
    app.components_schemas["ParameterProblem"] = Schema(**ParameterProblem.model_json_schema())
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schema.pop("$defs")
    app.components_schemas["Problem"] = Schema(**schema)


def _store_unavailable(error: StoreUnavailable) -> Response:
    # The driver's words may name hosts and users: they belong in the log.
    _log.warning("store unavailable", error=str(error))
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return problem_response(RequestRefused(503, "store-unavailable", "a store does not answer now", headers=headers))


def _platform_error(error: WearablesError) -> Response:
    _log.error("request failed", error=str(error), exc_info=error)
    return problem_response(RequestRefused(500, "internal", "the request failed; the log has it under its request id"))


def _http_error(error: HTTPException) -> Response:
    if error.response is not None and error.code is None:
        return error.response  # type: ignore[return-value]  # werkzeug types it as its own base class
    status = error.code or 500
    kind = HTTPStatus(status).phrase.lower().replace(" ", "-")
    headers = {name: value for name, value in error.get_headers() if name.lower() in ("allow", "retry-after")}
    return problem_response(RequestRefused(status, kind, str(error.description), headers=headers))


def _unexpected(error: Exception) -> Response:
    _log.error("request failed", error=type(error).__name__, exc_info=error)
    return problem_response(RequestRefused(500, "internal", "the request failed; the log has it under its request id"))
