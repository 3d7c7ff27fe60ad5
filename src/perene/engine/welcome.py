"""The server's first words on a connection, which must come in time."""

import asyncio

from perene.core.causes import Local
from perene.core.clock import Clock
from perene.engine import endings


class Welcome:
    """Ends a connection that lives, but leads nowhere: a keepalive does not notice that.

    After the handshake the server lets a device in, refuses it, or offers pairing; after a phone
    has linked it, the server restarts the stream (docs/reference/protocol.md §1.4, §3.2).
    """

    def __init__(self, clock: Clock, *, within_s: float) -> None:
        self._clock = clock
        self._within_s = within_s
        self._greeted = asyncio.Event()
        self._linked = asyncio.Event()

    def greeted(self) -> None:
        """The server has let the device in, or offered pairing."""
        self._greeted.set()

    def linked(self) -> None:
        """A phone has linked the device."""
        self._linked.set()

    async def run(self) -> None:
        """Return when there is nothing more to come; raises ConnectionEnded if it is overdue."""
        await self._in_time(self._greeted, "The server neither let us in nor refused us.")
        await self._linked.wait()
        # The restart ends the connection, and this with it.
        never = asyncio.Event()
        await self._in_time(never, "The server did not restart the stream after linking.")

    async def _in_time(self, event: asyncio.Event, otherwise: str) -> None:
        try:
            async with self._clock.limit(self._within_s):
                await event.wait()
        except TimeoutError as error:
            raise endings.local(Local.HANDSHAKE_TIMEOUT, otherwise) from error
