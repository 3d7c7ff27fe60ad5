"""The outbox, as it is read."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from perene.core.events import Event, EventType
from perene.core.ids import SessionId


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """An event under the sequence number that it can be read again with."""

    seq: int
    session: SessionId
    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPage:
    """Some events in order of `seq`, and how far the outbox was searched for them.

    All matching events up to `position` are in the page, so the next page is read from it. It is
    below the seq that was asked from only if the outbox does not reach that far: then it is the
    newest one, and an older outbox was put in place of the one that the seq was read from.
    """

    items: Sequence[StoredEvent]
    position: int


class Events(Protocol):
    """The outbox, read with a cursor. Reading changes nothing."""

    async def after(
        self,
        seq: int,
        *,
        session: SessionId | None,
        types: Collection[EventType],
        limit: int,
    ) -> EventPage:
        """Return events behind `seq` (0 for all); no types means every type.

        No event ever appears later at or before a position that was returned, but in an older
        outbox that takes the place of this one, as when a backup is restored.
        """
        ...

    async def latest(self) -> int:
        """Return the position behind the newest event, 0 when there is none."""
        ...

    async def wait_for_new(self, seq: int) -> None:
        """Return once there may be an event behind `seq`; at once when there is.

        Returns as well when the outbox turns out not to reach `seq`.

        Waiting costs a small, fixed amount of memory; a waiter is forgotten when cancelled.
        """
        ...
