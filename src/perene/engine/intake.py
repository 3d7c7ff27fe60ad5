"""Taking stanzas from the channel: answers to queries at once, the rest in batches, in order."""

import asyncio
from collections import deque
from collections.abc import Callable

from perene.engine import endings
from perene.engine.channel import Channel
from perene.engine.queries import Queries
from perene.wire.node import Node

MAX_BATCH = 200
"""Stanzas per batch: enough to share one look-up, few enough to keep latency low."""


class Intake:
    """Reads the channel ahead of the processing.

    Answers to queries and the server's last words do not wait behind a backlog of messages, so a
    keepalive is never starved by offline delivery (adiwajshing/Baileys#1292). While
    `max_waiting` stanzas wait for the processing, the socket is left alone; TCP slows the server.
    """

    def __init__(self, channel: Channel, queries: Queries, *, max_waiting: int) -> None:
        self._channel = channel
        self._queries = queries
        self._max_waiting = max_waiting
        self._waiting: deque[Node] = deque()
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._closed = False
        self.pauses = 0
        """How often the socket was left alone because the processing did not keep up."""
        self.on_any: Callable[[], None] | None = None

    @property
    def is_paused(self) -> bool:
        """Whether the socket is left alone now: what the server has sent may lie in it unread."""
        return not self._room.is_set()

    async def read(self) -> None:
        """Read until the connection ends; raises ConnectionEnded with the server's last words."""
        while True:
            await self._room.wait()
            for node in await self._channel.receive():
                self._sort(node)

    async def emptied(self) -> None:
        """Wait until what was read has been handed to the processing."""
        while self._waiting:
            self._taken.clear()
            await self._taken.wait()

    def close(self) -> None:
        """Take nothing more; stanzas not yet processed are left to the server."""
        self._closed = True
        self._waiting.clear()
        self._room.set()

    def _sort(self, node: Node) -> None:
        if self.on_any is not None:
            self.on_any()
        match node.tag:
            case "iq" if self._queries.answered(node):
                return
            case "failure":
                raise endings.failure(node)
            case "stream:error":
                raise endings.stream_error(node)
            case "xmlstreamend":
                raise endings.stream_end()
            case _:
                if self._closed:
                    return
        self._waiting.append(node)
        self._arrived.set()
        if len(self._waiting) >= self._max_waiting and not self.is_paused:
            self._room.clear()
            self.pauses += 1

    async def batch(self) -> list[Node]:
        """Wait for stanzas and return what is there, at most MAX_BATCH, in order."""
        while not self._waiting:
            self._arrived.clear()
            await self._arrived.wait()
        nodes = [self._waiting.popleft() for _ in range(min(len(self._waiting), MAX_BATCH))]
        self._taken.set()
        if len(self._waiting) < self._max_waiting:
            self._room.set()
        return nodes
