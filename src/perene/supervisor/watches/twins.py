"""Knows from memory which sessions are linked to the same account, and says so once."""

from collections.abc import Awaitable, Callable, Mapping

import structlog

from perene.core.clock import Clock
from perene.core.errors import StorageError
from perene.core.ids import SessionId
from perene.core.twins import twins

log = structlog.stdlib.get_logger()

_EVERY_S = 30.0


class TwinWatch:
    """Looks for numbers that are linked twice. `run` is its life.

    `accounts` returns the number of each linked session. Raises StorageError.
    """

    def __init__(
        self, accounts: Callable[[], Awaitable[Mapping[SessionId, str]]], clock: Clock
    ) -> None:
        self._accounts = accounts
        self._clock = clock
        self._twins: Mapping[SessionId, tuple[SessionId, ...]] = {}

    async def run(self) -> None:
        """Look every half minute, until cancelled."""
        while True:
            try:
                await self.look()
            except StorageError as error:
                log.warning("twins_not_read", reason=str(error))
            await self._clock.sleep(_EVERY_S)

    async def look(self) -> None:
        """Look once, and log each session that got another twin. Raises StorageError."""
        accounts = await self._accounts()
        before, self._twins = self._twins, twins(accounts)
        for session, others in self._twins.items():
            if not set(others) <= set(before.get(session, ())):
                log.warning(
                    "number_linked_twice",
                    session=session,
                    others=list(others),
                    number=f"***{accounts[session][-4:]}",
                )

    def twins(self, session: SessionId) -> int:
        """Return how many other sessions are linked to a session's account."""
        return len(self._twins.get(session, ()))
