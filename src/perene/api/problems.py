"""Every refusal as `application/problem+json` (RFC 9457), with a stable code and a remedy."""

import inspect
import secrets
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import cast

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from perene.core.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
    PereneError,
    StorageUnavailable,
    sentence,
)
from perene.supervisor.ports import ReachOutLimited

log = structlog.stdlib.get_logger()

MEDIA_TYPE = "application/problem+json"

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class Unauthorized(PereneError):
    """The request carries no API key, or one that is not known."""

    code = "unauthorized"
    remedy = "Send the key in the header X-Api-Key, or as Authorization: Bearer."


class TooManyStreams(PereneError):
    """As many event streams are open as the service allows."""

    code = "too_many_streams"
    remedy = "Close a stream that is not needed, or raise PERENE_MAX_EVENT_STREAMS."


class BodyTooLarge(PereneError):
    """The request's body is larger than the service accepts."""

    code = "body_too_large"
    remedy = "Send less at once, or raise PERENE_MAX_BODY_BYTES."


class NoSuchRoute(NotFound):
    """The service has nothing at this address."""

    code = "no_such_route"
    remedy = "Look the address up in /docs."


class MethodNotAllowed(PereneError):
    """The address exists, but not with this method."""

    code = "method_not_allowed"
    remedy = "Use one of the methods in the header Allow; /docs lists them."


class PositionAhead(Conflict):
    """The events do not reach the position that was asked for."""

    code = "position_ahead"
    remedy = (
        "Read again from a position before the backup that was restored, or from 0, and pass over"
        " the events whose `id` you have; or go on from the position that the detail names."
    )


class FieldProblem(BaseModel):
    """One part of the request that is wrong."""

    field: str = Field(description="Name of the part, with dots where it is nested.")
    location: str = Field(description="Where it is: body, query, path or header.")
    message: str = Field(description="What is wrong with it.")


class Problem(BaseModel):
    """Why a request was refused, after RFC 9457."""

    type: str = Field(description="A URI made of the code.")
    title: str = Field(description="The kind of problem, the same each time.")
    status: int = Field(description="The HTTP status.")
    code: str = Field(description="The kind of problem, for programs. Stable.")
    detail: str = Field(description="What happened this time.")
    remedy: str = Field(description="What to do about it.")
    errors: list[FieldProblem] = Field(
        default_factory=list[FieldProblem], description="The parts of the request that are wrong."
    )
    reference: str | None = Field(
        default=None, description="With an internal error: what to look for in the log."
    )


_STATUS: Sequence[tuple[type[PereneError], int]] = (
    (Unauthorized, 401),
    (NotFound, 404),
    (MethodNotAllowed, 405),
    (Conflict, 409),
    (BodyTooLarge, 413),
    (InvalidRequest, 422),
    (ReachOutLimited, 429),
    (TooManyStreams, 503),
    (StorageUnavailable, 503),
)
"""The first row that fits decides; what fits none is 500."""


def status_of(error: type[PereneError]) -> int:
    """Return the HTTP status of a family of errors."""
    return next((status for family, status in _STATUS if issubclass(error, family)), 500)


def title_of(error: type[PereneError]) -> str:
    """Return the sentence that names a kind of error, without its full stop."""
    return (inspect.getdoc(error) or error.code).partition("\n")[0].rstrip(".")


def problem_response(
    error: PereneError,
    *,
    errors: Sequence[FieldProblem] = (),
    headers: Mapping[str, str] | None = None,
    reference: str | None = None,
) -> Response:
    """Return the answer that tells an error to a client."""
    kind = type(error)
    status = status_of(kind)
    if isinstance(error, InvalidRequest) and error.field is not None and not errors:
        errors = [FieldProblem(field=error.field, location="request", message=str(error))]
    problem = Problem(
        type=f"urn:perene:problem:{error.code}",
        title=title_of(kind),
        status=status,
        code=error.code,
        detail=sentence(str(error) or title_of(kind)),
        remedy=error.remedy,
        errors=list(errors),
        reference=reference,
    )
    extra = dict(headers or {})
    if status == 401:
        extra["WWW-Authenticate"] = 'Bearer realm="perene"'
    if isinstance(error, ReachOutLimited):
        extra["Retry-After"] = str(error.retry_after_s)
    if status == 503:
        extra["Retry-After"] = "5"
    body = problem.model_dump_json(exclude_none=True)
    return Response(body, status, headers=extra, media_type=MEDIA_TYPE)


def internal_problem(error: Exception, path: str) -> Response:
    """Log an error that no client can do anything about, and return an answer that points there.

    Neither the error's text nor where it happened is told to the client.
    """
    reference = secrets.token_hex(8)
    log.error("request_failed", reference=reference, path=path, exc_info=error)
    hidden = PereneError("Something went wrong inside; the log has more under the reference.")
    return problem_response(hidden, reference=reference)


def install(app: FastAPI) -> None:
    """Make an application tell every refusal as a problem."""
    app.add_exception_handler(PereneError, _on_perene_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(HTTPException, _on_http_exception)


class LastResort:
    """Outermost layer: no exception gets past it, and none is told to a client."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; answer 500 to what fails before its answer has begun."""
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception as error:  # the edge: logged with a reference, answered
            if scope["type"] != "http":
                raise
            response = internal_problem(error, cast("str", scope["path"]))
            if not started:
                await response(scope, receive, send)


async def _on_perene_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, PereneError)
    if status_of(type(error)) == 500:
        return internal_problem(error, request.url.path)
    return problem_response(error)


async def _on_http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    match error.status_code:
        case 404:
            problem: PereneError = NoSuchRoute(f"There is nothing at {request.url.path}.")
        case 405:
            problem = MethodNotAllowed(f"{request.method} cannot be used here.")
            return problem_response(problem, headers={"Allow": ", ".join(_allowed(request))})
        case 413:
            problem = BodyTooLarge("The body is larger than this service accepts.")
        case _ if error.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
            problem = InvalidRequest(str(error.detail), field="body")
        case _:
            return internal_problem(error, request.url.path)
    return problem_response(problem, headers=error.headers)


def _allowed(request: Request) -> list[str]:
    """Return every method of an address; the routes themselves name those of one of them."""
    app = cast("FastAPI", request.app)
    return [
        method
        for method in _METHODS
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL
            for route in app.routes
        )
    ]


async def _on_validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    details = cast("Sequence[Mapping[str, object]]", error.errors())
    errors = [_field_problem(detail) for detail in details]
    if any(detail["loc"] == ("body",) for detail in details) and not _says_json(request):
        message = "Send JSON, with the header Content-Type: application/json."
        errors = [FieldProblem(field="body", location="body", message=message)]
    names = ", ".join(dict.fromkeys(item.field for item in errors))
    return problem_response(InvalidRequest(f"Wrong in the request: {names}."), errors=errors)


def _says_json(request: Request) -> bool:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )


def _field_problem(detail: Mapping[str, object]) -> FieldProblem:
    location, *path = cast("tuple[str | int, ...]", detail["loc"])
    message = str(detail["msg"]).removeprefix("Value error, ")
    if detail["type"] == "json_invalid":
        path, message = [], "This is not JSON."
    name = ".".join(str(part) for part in path) or str(location)
    return FieldProblem(field=name, location=str(location), message=message)


def documented(*statuses: int) -> dict[int | str, dict[str, object]]:
    """Return the `responses` of a route that can be refused with these statuses."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": schema}},
        }
        for status in statuses
    }
