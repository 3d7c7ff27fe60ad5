"""Knows from memory which accounts WhatsApp limits, for those who must not ask the database."""

import structlog

from perene.core.account import LIMIT_EVENTS, AccountLimits, step
from perene.core.clock import Clock
from perene.core.errors import StorageError
from perene.core.ids import SessionId
from perene.supervisor.ports import Events

log = structlog.stdlib.get_logger()

_EVERY_S = 10.0
_MANY = 1000


class LimitWatch:
    """Follows the events of limits, from the oldest that is kept. `run` is its life."""

    def __init__(self, events: Events, clock: Clock) -> None:
        self._events = events
        self._clock = clock
        self._limits: dict[SessionId, AccountLimits] = {}
        self._position = 0

    async def run(self) -> None:
        """Read what is new every ten seconds, until cancelled."""
        while True:
            try:
                await self.look()
            except StorageError as error:
                log.warning("limits_not_read", reason=str(error))
            await self._clock.sleep(_EVERY_S)

    async def look(self) -> None:
        """Read what is new. Raises StorageError."""
        more = True
        while more:
            page = await self._events.after(
                self._position, session=None, types=LIMIT_EVENTS, limit=_MANY
            )
            for stored in page.items:
                limits = step(self._limits.pop(stored.session, AccountLimits()), stored.event)
                if limits.limit is not None:
                    self._limits[stored.session] = limits
            self._position = page.position
            more = len(page.items) == _MANY

    def limited(self, session: SessionId) -> bool:
        """Tell whether an account may not write to new people at this moment."""
        limits = self._limits.get(session)
        return limits is not None and limits.held(self._clock.now()) is not None
