"""Makes the HTTP application out of ports."""

from collections.abc import Collection
from typing import cast

from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel

from perene import __version__
from perene.api import auth, problems
from perene.api.head import HeadIsGet
from perene.api.limits import BodyLimit
from perene.api.parameters import refuse_repeated
from perene.api.ports import Ports
from perene.api.problems import LastResort, Problem, documented
from perene.api.routes import (
    account,
    alerts,
    events,
    health,
    messages,
    metrics,
    outages,
    sessions,
)
from perene.api.shapes.events import EventsOut, StreamedOut
from perene.api.shapes.sessions import QrOut
from perene.docs_page import add_docs_page, describe

MAX_BODY_BYTES = 1024 * 1024


def create_app(
    ports: Ports, *, max_body_bytes: int = MAX_BODY_BYTES, metrics_public: bool = False
) -> FastAPI:
    """Return an ASGI application that starts nothing and holds no state of its own.

    With `metrics_public` the metrics are shown without a key.
    Close `ports.streams` before the server is stopped, which otherwise waits for open streams.
    """
    app = FastAPI(
        title="Perene",
        version=__version__,
        summary="WhatsApp sessions that stay alive and complete.",
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=_operation_id,
        # A path with a slash too many is a mistake; a redirect would lose the body of a POST.
        redirect_slashes=False,
    )
    app.state.ports = ports
    _add_routes(app)
    _add_docs(app)
    problems.install(app)
    # the last one added is the outermost
    app.add_middleware(BodyLimit, max_bytes=max_body_bytes)
    _require_keys(app, metrics_public=metrics_public)
    app.add_middleware(HeadIsGet, endless=auth.PROTECTED + events.router.prefix)
    app.add_middleware(LastResort)
    return app


def _add_routes(app: FastAPI) -> None:
    v1 = APIRouter(
        prefix=auth.PROTECTED,
        dependencies=[*auth.documentation, Depends(refuse_repeated)],
        responses=documented(401, 422, 503),
    )
    for part in (sessions, outages, messages, account, alerts, events):
        v1.include_router(part.router)
    app.include_router(v1)
    app.include_router(health.router)
    app.include_router(metrics.router)


def _require_keys(app: FastAPI, *, metrics_public: bool) -> None:
    with_key = (auth.DETAILED_HEALTH,) if metrics_public else (auth.DETAILED_HEALTH, auth.METRICS)
    from_memory: Collection[auth.ToldFromMemory] = (
        alerts.are_in_memory,
        sessions.are_in_memory,
        lambda path, _: path in (auth.DETAILED_HEALTH, auth.METRICS),
    )
    app.add_middleware(auth.KeyRequired, paths=with_key, from_memory=from_memory)


def _operation_id(route: APIRoute) -> str:
    return route.name


def _add_docs(app: FastAPI) -> None:
    add_docs_page(app, title="Perene: HTTP API")
    app.openapi = lambda: openapi_document(app)  # the way that FastAPI documents


def openapi_document(app: FastAPI) -> dict[str, object]:
    """Return the OpenAPI document, made once."""
    if app.openapi_schema is None:
        document = describe(app)
        _add_schemas(document["components"]["schemas"], Problem, QrOut, EventsOut, StreamedOut)
        app.openapi_schema = document
    return cast("dict[str, object]", app.openapi_schema)


def _add_schemas(schemas: dict[str, object], *models: type[BaseModel]) -> None:
    """Add what routes refer to by name without returning it as a model."""
    for model in models:
        schema = model.model_json_schema(
            mode="serialization", ref_template="#/components/schemas/{model}"
        )
        schemas |= cast("dict[str, object]", schema.pop("$defs", {}))
        schemas[model.__name__] = schema
