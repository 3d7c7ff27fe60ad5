"""The page on which people read an HTTP API, and try it; it needs no other host."""

from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

_FILES = Path(__file__).parent / "swagger-ui"


def add_docs_page(app: FastAPI, *, title: str, below: str = "") -> None:
    """Show the application's OpenAPI document at `/docs` below a path.

    The application itself must have been made with `docs_url=None`: the page that FastAPI would
    make loads its files from hosts elsewhere, and stays blank where these cannot be reached.
    """
    files = f"{below}/static/swagger-ui"
    app.mount(files, StaticFiles(directory=_FILES))

    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url=app.openapi_url or "",
            title=title,
            swagger_js_url=f"{files}/swagger-ui-bundle.js",
            swagger_css_url=f"{files}/swagger-ui.css",
            swagger_favicon_url=f"{files}/favicon-32x32.png",
            # null keeps the page from asking a validator on another host
            swagger_ui_parameters={"validatorUrl": None, "persistAuthorization": True},
        )

    app.add_api_route(f"{below}/docs", docs, include_in_schema=False)


def describe(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document of an application, each route with a summary that people read.

    It is the first paragraph of the route's text, which every route must have. FastAPI's own would
    be the name of the function.
    """
    document = get_openapi(
        title=app.title, version=app.version, summary=app.summary, routes=app.routes
    )
    for methods in document["paths"].values():
        for operation in methods.values():
            first, _, rest = operation.pop("description").partition("\n\n")
            operation["summary"] = " ".join(first.split()).rstrip(".")
            if rest:
                operation["description"] = rest
    return document
