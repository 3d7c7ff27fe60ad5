"""What faces outward needs of an account's safety; total, as the other ports are."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from perene.core.account import Ban, Limit
from perene.core.errors import PereneError
from perene.core.ids import SessionId


class ReachOutLimited(PereneError):
    """A new chat may not be begun now; chats that exist go on."""

    code = "reach_out_limited"
    remedy = (
        "Wait for the time in Retry-After, or for the other side to write first. Trying by other"
        " means makes WhatsApp's restriction longer."
    )

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountView:
    """What an account may do at this moment.

    `limits` is empty when nothing is limited. `new_chats_24h` counts chats begun by the account in
    the last 24 hours, on any of its devices; `allowance` is how many Perene lets it begin in that
    time, None for any number. `next_chat_at` is None when one may be begun now.
    """

    limits: Sequence[Limit]
    ban: Ban | None
    new_chats_24h: int
    allowance: int | None
    pause_s: float
    next_chat_at: datetime | None


class Accounts(Protocol):
    """The accounts behind the sessions, as WhatsApp treats them."""

    async def account(self, session: SessionId) -> AccountView:
        """Return what the session's account may do now. Raises NotFound."""
        ...

    async def lift(self, session: SessionId) -> AccountView:
        """Take a person's word that the limit is over. Raises NotFound."""
        ...
