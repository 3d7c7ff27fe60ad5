"""Requests begin in turn, so that however many come, sessions are heard in between."""

import asyncio
from collections import deque
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from perene.core.clock import Clock

_LONG_S: Final = 0.002
"""A round of the event loop that takes longer has somebody waiting; shorter ones need no rest."""

_LONGEST_REST_S: Final = 0.25
"""However late the loop is, so often a request begins."""


class Turns:
    """Lets one request begin in each round of the event loop, and rests after a long round.

    A round does what became due in the one before. If a hundred requests became due in it, whatever
    a session has to do would wait for all of them, at each of its steps. So it waits for one at
    most; and as a rest lasts as long as the round before it, half of the time is for sessions.
    """

    def __init__(self, app: ASGIApp, clock: Clock) -> None:
        self._app = app
        self._clock = clock
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._pacing: asyncio.Task[None] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, when it is its turn."""
        if scope["type"] == "http":
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            if self._pacing is None:
                self._pacing = asyncio.create_task(self._pace(), name="turns of requests")
            await turn
        await self._app(scope, receive, send)

    async def _pace(self) -> None:
        try:
            while self._waiting:
                turn = self._waiting.popleft()
                if turn.done():
                    continue  # its client has gone
                turn.set_result(None)
                began = self._clock.monotonic()
                await asyncio.sleep(0)  # it runs in this round, and others beside it
                took_s = self._clock.monotonic() - began
                if took_s > _LONG_S:
                    await self._clock.sleep(min(took_s, _LONGEST_REST_S))
        finally:
            self._pacing = None
