"""Outages: how each connection was lost, and how it was found again."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from perene.api.parameters import Cursor, Limit, SessionPath
from perene.api.ports import GatewayPort
from perene.api.problems import documented
from perene.core.causes import Cause, Kind
from perene.core.ids import SessionId
from perene.core.outages import Loss, Outage, OutageEnd
from perene.supervisor.ports import OutagePage

router = APIRouter(prefix="/sessions/{session_id}/outages", tags=["sessions"])


class LossOut(BaseModel):
    """One way in which connections ended during an outage."""

    cause: Cause
    kind: Kind
    code: str
    attributes: dict[str, str] = Field(description="What WhatsApp sent along the last time.")
    times: int = Field(description="How often a connection ended so.")
    first_at: datetime
    last_at: datetime

    @classmethod
    def of(cls, loss: Loss) -> "LossOut":
        """Show a loss."""
        return cls(
            cause=loss.cause,
            kind=loss.kind,
            code=loss.code,
            attributes=dict(loss.attributes),
            times=loss.times,
            first_at=loss.first_at,
            last_at=loss.last_at,
        )


class OutageOut(BaseModel):
    """One outage, from the loss of a connection to the next one that stayed stable."""

    id: str
    began_at: datetime = Field(description="When the connection was lost.")
    cause: Cause = Field(description="Why it was lost.")
    kind: Kind = Field(description="Where that was noticed.")
    code: str = Field(description="WhatsApp's code, or Perene's own name of a local fault.")
    sentence: str = Field(description="What was said of it, for a person.")
    attributes: dict[str, str] = Field(description="What WhatsApp sent along, numbers masked.")
    attempts: int = Field(description="Connections tried since.")
    last_attempt_at: datetime | None
    last_cause: Cause = Field(description="Why the last of them ended.")
    last_code: str
    losses: list[LossOut] = Field(
        description="How the connections of this outage ended, the one that began it first; the"
        " twelve kinds that came last."
    )
    retry_at: datetime | None = Field(
        description="When the next one is tried; null while one is under way, if the outage is"
        " over, or if a person has to act."
    )
    ended_at: datetime | None = Field(description="When it was over; null while it lasts.")
    end: OutageEnd | None = Field(description="How it ended.")

    @classmethod
    def of(cls, outage: Outage) -> "OutageOut":
        """Show an outage."""
        return cls(
            id=outage.id,
            began_at=outage.began_at,
            cause=outage.cause,
            kind=outage.kind,
            code=outage.code,
            sentence=outage.sentence,
            attributes=dict(outage.attributes),
            attempts=outage.attempts,
            last_attempt_at=outage.last_attempt_at,
            last_cause=outage.last_cause,
            last_code=outage.last_code,
            losses=[LossOut.of(loss) for loss in outage.losses],
            retry_at=outage.retry_at,
            ended_at=outage.ended_at,
            end=outage.end,
        )


class OutagesOut(BaseModel):
    """A page of outages, newest first."""

    items: list[OutageOut]
    next_cursor: str | None = Field(description="Give it as `cursor`; null on the last page.")

    @classmethod
    def of(cls, page: OutagePage) -> "OutagesOut":
        """Show a page."""
        items = [OutageOut.of(outage) for outage in page.items]
        return cls(items=items, next_cursor=page.next_cursor)


@router.get("", responses=documented(404))
async def list_outages(
    session_id: SessionPath, gateway: GatewayPort, cursor: Cursor = None, limit: Limit = 50
) -> OutagesOut:
    """List the outages of a session, newest first; one that lasts is the first."""
    return OutagesOut.of(await gateway.outages(SessionId(session_id), cursor=cursor, limit=limit))
