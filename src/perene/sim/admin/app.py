"""Makes the admin API of a simulator."""

from functools import cache, partial

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from perene.docs_page import add_docs_page, describe
from perene.sim.admin import evidence, faults, groups, people, phones, traffic, versions
from perene.sim.candidate import PairingRefused
from perene.sim.media import media_routes
from perene.sim.simulator import Simulator
from perene.sim.web_version import web_version_routes


def admin_app(simulator: Simulator) -> FastAPI:
    """Return the API of a simulator, below /admin, described at /admin/docs."""
    app = FastAPI(
        title="Perene simulator",
        summary="A WhatsApp server for tests: its people, what goes wrong, and what came of it.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/admin/openapi.json",
    )
    app.state.simulator = simulator
    add_docs_page(app, title="Perene: the simulator", below="/admin")
    app.add_exception_handler(LookupError, _unknown)
    app.add_exception_handler(PairingRefused, _refused)
    for part in (phones, people, groups, faults, evidence, versions, traffic):
        app.include_router(part.router)
    app.include_router(media_routes(simulator.media))
    app.include_router(web_version_routes(simulator.world, simulator.web_version))
    app.openapi = cache(partial(describe, app))  # to replace it is the way that FastAPI documents
    return app


async def _unknown(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, status_code=404)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    gone = isinstance(error, PairingRefused) and error.gone
    return JSONResponse({"detail": str(error)}, status_code=410 if gone else 400)
