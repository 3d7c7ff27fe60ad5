"""Health: for those who watch the service; no key is asked for."""

from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from perene import __version__
from perene.api.ports import HealthPort
from perene.supervisor.ports import Health

router = APIRouter(prefix="/health", tags=["health"])


class ComponentOut(BaseModel):
    """One part of the service."""

    name: str
    ok: bool
    detail: str | None


class HealthOut(BaseModel):
    """How the service is."""

    status: Literal["ok", "degraded"] = Field(description="ok when every component is.")
    version: str
    components: list[ComponentOut]
    sessions: dict[str, int] = Field(description="How many sessions are in each connection state.")

    @classmethod
    def of(cls, health: Health) -> "HealthOut":
        """Show the health."""
        return cls(
            status="ok" if all(part.ok for part in health.components) else "degraded",
            version=__version__,
            components=[
                ComponentOut(name=part.name, ok=part.ok, detail=part.detail)
                for part in health.components
            ],
            sessions={str(state): count for state, count in health.sessions.items()},
        )


@router.get("")
async def get_health(source: HealthPort) -> HealthOut:
    """Tell that the service is alive, and how its parts are. Always 200."""
    return HealthOut.of(await source.health())


@router.get("/ready", responses={503: {"model": HealthOut, "description": "A part is not ok."}})
async def get_readiness(source: HealthPort, response: Response) -> HealthOut:
    """Tell whether requests can be served: 200, or 503 while a part is not ok."""
    health = HealthOut.of(await source.health())
    if health.status != "ok":
        response.status_code = 503
    return health
