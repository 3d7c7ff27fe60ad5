"""Health: for those who watch the service; only the details ask for a key."""

from datetime import datetime
from typing import Literal

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from perene import __version__
from perene.api import auth
from perene.api.long_answers import json_array
from perene.api.ports import DetailedHealthPort, HealthPort
from perene.api.problems import documented
from perene.api.shapes.outlook import (
    Attempt,
    AttemptLimit,
    DeafSuspicions,
    LastCause,
    OutageBegan,
    RetryAt,
)
from perene.core.sessions import Connection
from perene.supervisor.ports import ComponentHealth, DetailedHealth, Health, SessionHealth

router = APIRouter(prefix="/health", tags=["health"])


class ComponentOut(BaseModel):
    """One part of the service."""

    name: str
    ok: bool
    detail: str | None

    @classmethod
    def of(cls, part: ComponentHealth) -> "ComponentOut":
        """Show a component."""
        return cls(name=part.name, ok=part.ok, detail=part.detail)


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
            components=[ComponentOut.of(part) for part in health.components],
            sessions={str(state): count for state, count in health.sessions.items()},
        )


class SessionHealthOut(BaseModel):
    """How the connection of one session is."""

    id: str
    connection: Connection
    connected_at: datetime | None = Field(description="When the present login was completed.")
    alive_at: datetime | None = Field(description="The last heartbeat.")
    cause: LastCause
    attempt: Attempt
    limit: AttemptLimit
    retry_at: RetryAt
    outage_began_at: OutageBegan
    deaf_suspicions: DeafSuspicions

    @classmethod
    def of(cls, session: SessionHealth) -> "SessionHealthOut":
        """Show a session's connection."""
        return cls(
            id=session.id,
            connection=session.connection,
            connected_at=session.connected_at,
            alive_at=session.alive_at,
            cause=session.outlook.cause,
            attempt=session.outlook.attempt,
            limit=session.outlook.limit,
            retry_at=session.outlook.retry_at,
            outage_began_at=session.outlook.outage_began_at,
            deaf_suspicions=session.deaf_suspicions,
        )


class DetailedHealthOut(BaseModel):
    """Every component and every connection."""

    status: Literal["ok", "degraded"] = Field(description="ok when every component is.")
    version: str
    components: list[ComponentOut]
    sessions: list[SessionHealthOut] = Field(description="Every session, stopped ones too.")

    @staticmethod
    async def text_of(health: DetailedHealth) -> bytes:
        """Show the health in JSON, its sessions a piece at a time."""
        rest = DetailedHealthOut(
            status="ok" if all(part.ok for part in health.components) else "degraded",
            version=__version__,
            components=[ComponentOut.of(part) for part in health.components],
            sessions=[],
        ).model_dump_json(exclude={"sessions"})
        sessions = await json_array(health.sessions, SessionHealthOut.of)
        return rest.removesuffix("}").encode() + b',"sessions":' + sessions + b"}"


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


@router.get(
    "/detailed",
    dependencies=auth.documentation,
    response_model=DetailedHealthOut,
    responses=documented(401, 503),
)
async def get_detailed_health(source: HealthPort, answer: DetailedHealthPort) -> Response:
    """Show every component and every connection, from memory. Needs a key; 200 whatever it shows.

    While the database does not answer, a key passes that it knew within the last 15 minutes; 503
    says that another one could not be looked up.
    """

    async def make() -> bytes:
        return await DetailedHealthOut.text_of(await source.detailed())

    return Response(await answer.get(make), media_type="application/json")
