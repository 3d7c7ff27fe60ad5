"""The units of one transaction, each with its locked session."""

from dataclasses import dataclass, field
from typing import Protocol

from perene.core.events import Event
from perene.core.ids import Epoch, SessionId
from perene.core.unit import Profile, Unit
from perene.store.sealing import Sealer


@dataclass(frozen=True, slots=True, kw_only=True)
class Owned:
    """A session whose row is locked, and whose owner was found to be the writer.

    `profile` and `standing` are what the row says before the transaction changes it.
    """

    key: int
    id: SessionId
    epoch: Epoch
    sealer: Sealer
    profile: Profile
    standing: str | None


@dataclass(slots=True, kw_only=True)
class Entry:
    """One unit, and what its commit brings about so far."""

    position: int
    session: Owned
    unit: Unit
    new_messages: int = 0
    events: list[Event] = field(default_factory=list[Event])


class Resolver(Protocol):
    """Resolves the addresses that a batch names."""

    def canonical(self, session: Owned, jid: str) -> str:
        """Return the canonical form of an address."""
        ...

    def conversation(self, session: Owned, chat: str) -> int:
        """Return the conversation of a chat, by any of its addresses."""
        ...
