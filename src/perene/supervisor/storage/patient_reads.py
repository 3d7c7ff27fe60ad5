"""Reading what sessions there are, from a database that may come late."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

import structlog

from perene.core.clock import Clock, happens_within
from perene.core.errors import StorageError
from perene.core.ids import Epoch, SessionId
from perene.core.sessions import SessionRecord
from perene.supervisor.storage.store import Sessions

log = structlog.stdlib.get_logger()

_AGAIN_S = 2.0

T = TypeVar("T")


class PatientReads:
    """Asks the store until it answers: a database that is away must not keep sessions down.

    Raises StorageError only once `closing` is set.
    """

    def __init__(self, store: Sessions, clock: Clock, closing: asyncio.Event) -> None:
        self._store = store
        self._clock = clock
        self._closing = closing

    async def epochs(self) -> Mapping[SessionId, Epoch]:
        """Return the epoch of every session."""
        return await self._until_answered(self._store.epochs)

    async def sessions(self) -> Sequence[SessionRecord]:
        """Return every session."""
        return await self._until_answered(self._store.list_sessions)

    async def session(self, session: SessionId) -> SessionRecord:
        """Return one session, or raise NotFound."""
        return await self._until_answered(partial(self._store.get_session, session))

    async def _until_answered(self, ask: Callable[[], Awaitable[T]]) -> T:
        while True:
            try:
                return await ask()
            except StorageError as error:
                if self._closing.is_set():
                    raise
                log.warning("sessions_not_read", reason=str(error), retry_in_s=_AGAIN_S)
            await happens_within(self._clock, self._closing, _AGAIN_S)
