"""How WhatsApp treats the account behind a session: limits, bans, and the pace of new chats."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from perene.api.parameters import SessionPath
from perene.api.ports import AccountsPort
from perene.api.problems import documented
from perene.api.shapes.sessions import BanOut
from perene.core.account_codes import limit_meaning
from perene.core.ids import SessionId
from perene.supervisor.ports import AccountView

router = APIRouter(prefix="/sessions/{session_id}/account", tags=["sessions"])


class LimitOut(BaseModel):
    """A limit that is in force."""

    code: str = Field(description="The code with which WhatsApp refused a message.")
    meaning: str = Field(description="What it says, for people.")
    since: datetime = Field(description="When it was last shown.")
    until: datetime = Field(description="When new chats may be begun again.")
    told: bool = Field(description="Whether WhatsApp named that time; if not it is Perene's hold.")
    count: int = Field(description="Refusals and notices since the limit was last lifted.")


class AccountOut(BaseModel):
    """What the account behind a session may do at this moment."""

    limits: list[LimitOut] = Field(description="Limits on new chats; empty when there are none.")
    ban: BanOut | None = Field(description="The ban, if there is one.")
    new_chats_24h: int = Field(
        description="Chats that the account began in the last 24 hours, on any of its devices."
    )
    allowance: int | None = Field(
        description="Chats that Perene lets it begin in 24 hours; null for any number."
    )
    pause_s: float = Field(description="Least time between two new chats, in seconds.")
    next_chat_at: datetime | None = Field(
        description="When the next chat may be begun; null when one may be begun now."
    )

    @classmethod
    def of(cls, view: AccountView) -> "AccountOut":
        """Make the answer out of a view."""
        return cls(
            limits=[
                LimitOut(
                    code=limit.code,
                    meaning=limit_meaning(limit.code, told=limit.told),
                    since=limit.at,
                    until=limit.until,
                    told=limit.told,
                    count=limit.count,
                )
                for limit in view.limits
            ],
            ban=None if view.ban is None else BanOut.of(view.ban),
            new_chats_24h=view.new_chats_24h,
            allowance=view.allowance,
            pause_s=view.pause_s,
            next_chat_at=view.next_chat_at,
        )


@router.get("", responses=documented(404))
async def get_account(session_id: SessionPath, accounts: AccountsPort) -> AccountOut:
    """Show what WhatsApp allows the account: limits, a ban, and how many chats it began."""
    return AccountOut.of(await accounts.account(SessionId(session_id)))


@router.delete("/limit", responses=documented(404))
async def lift_limit(session_id: SessionPath, accounts: AccountsPort) -> AccountOut:
    """Say that a limit is over, so that new chats may be begun; a new refusal brings it back.

    Look on the phone first: writing to strangers under a restriction makes it longer.
    """
    return AccountOut.of(await accounts.lift(SessionId(session_id)))
