"""Server-sent events: an endless answer that asks the outbox, and holds nothing else.

A stream only ever reads. A client that is slow makes its own stream wait, one that is gone ends
it, and neither is noticed by a session or by another stream.
"""

import asyncio
import contextlib
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Collection,
    Coroutine,
)
from dataclasses import dataclass, field

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from perene.api.event_frames import SharedFrames, chunks, opening, reset
from perene.api.problems import TooManyStreams
from perene.core.errors import PereneError, StorageUnavailable
from perene.core.events import EventType
from perene.core.ids import SessionId
from perene.supervisor.ports import EventPage, Events

log = structlog.stdlib.get_logger()

PAGE = 100
"""Events that a stream holds at most: what it has read and its client has not taken yet."""

PAUSE_PER_STREAM_S = 0.002
"""Between two pages of a stream, for each one that is open: together they must leave the sessions
most of the time. 250 streams get what is new twice a second, a few at once."""

_FEW = 10
_LONGEST_PAUSE_S = 1.0


@dataclass(slots=True)
class Streams:
    """Counts the open streams, and ends them all when the service stops.

    A client that takes nothing for `send_within_s` is given up, so that it frees its place. A
    stream that found no database asks again after `again_after_s`.
    """

    limit: int = 256
    send_within_s: float = 60.0
    again_after_s: float = 2.0
    frames: SharedFrames = field(default_factory=SharedFrames)
    open: int = 0
    _closing: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def pause_s(self) -> float:
        """How long each stream rests after a page."""
        return min(_LONGEST_PAUSE_S, max(0, self.open - _FEW) * PAUSE_PER_STREAM_S)

    def check_room(self) -> None:
        """Raise TooManyStreams when no further one may be opened."""
        if self.open >= self.limit or self._closing.is_set():
            raise TooManyStreams(f"{self.open} event streams are open, as many as are allowed.")

    def close(self) -> None:
        """End every open stream and let none be opened; clients come back with their position."""
        self._closing.set()

    async def closed(self) -> None:
        """Wait for `close`."""
        await self._closing.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which events a stream shows; no types means every type."""

    session: SessionId | None
    types: Collection[EventType]


async def frames(
    events: Events,
    position: int,
    selection: Selection,
    heartbeat_s: float,
    streams: Streams | None = None,
) -> AsyncGenerator[bytes]:
    """Yield the events behind a position for ever, and a comment when there was nothing.

    A position that the outbox does not reach is told by `reset`; then the newest one counts. To
    refuse it would do for programs, but a browser takes a refusal for the end and says nothing.
    A database that is away or silent is waited for: to end the stream would only let its client
    come back to the same database. Close it when it is not needed any more.
    """
    yield opening(position)
    streams, waits = streams or Streams(), False
    while True:
        reading = asyncio.create_task(_next_page(events, position, selection))
        try:
            while not (await asyncio.wait((reading,), timeout=heartbeat_s))[0]:
                yield b": still here\n\n"
            page = reading.result()
            waits = False
        except StorageUnavailable as error:
            if not waits:
                log.warning("event_stream_waits", code=error.code, reason=str(error))
            waits = True
            yield b": waiting for the database\n\n"
            await asyncio.sleep(streams.again_after_s)
            continue
        finally:
            reading.cancel()
            await asyncio.wait((reading,))
        if page.position < position:
            log.warning("event_stream_reset", asked=position, position=page.position)
            yield reset(asked=position, position=page.position)
        for chunk in chunks(streams.frames.of(item) for item in page.items):
            yield chunk
        position = page.position
        await asyncio.sleep(streams.pause_s)


async def _next_page(events: Events, position: int, selection: Selection) -> EventPage:
    """Return the first page that leads away from a position, waiting for it."""
    while True:
        page = await events.after(
            position, session=selection.session, types=selection.types, limit=PAGE
        )
        if page.position != position:
            return page
        await events.wait_for_new(position)


class EventStream(Response):
    """Sends frames until the client goes, takes nothing for too long, or the service stops.

    `revoked` returns when its client may read no more.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        content: AsyncGenerator[bytes],
        streams: Streams,
        revoked: Callable[[], Coroutine[object, object, None]],
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._frames = content
        self._streams = streams
        self._revoked = revoked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        self._streams.check_room()
        self._streams.open += 1
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await _until_first(
                self._send_frames(send),
                _disconnected(receive),
                self._streams.closed(),
                self._revoked(),
            )
            with contextlib.suppress(TimeoutError, OSError):
                await self._within(send({"type": "http.response.body", "body": b""}))
        finally:
            self._streams.open -= 1

    async def _send_frames(self, send: Send) -> None:
        try:
            async with contextlib.aclosing(self._frames) as frames:
                async for content in frames:
                    message = {"type": "http.response.body", "body": content, "more_body": True}
                    await self._within(send(message))
        except TimeoutError:
            log.info("event_stream_given_up", waited_s=self._streams.send_within_s)
        except OSError:
            pass  # the client is gone
        except PereneError as error:
            # The client comes back by itself, with the position that it has reached.
            log.warning("event_stream_ended", code=error.code)

    async def _within(self, sending: Awaitable[None]) -> None:
        async with asyncio.timeout(self._streams.send_within_s):
            await sending


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _until_first(*jobs: Coroutine[object, object, None]) -> None:
    """Run jobs until one ends, then stop the others; raises what a job raised."""
    tasks = [asyncio.ensure_future(job) for job in jobs]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
