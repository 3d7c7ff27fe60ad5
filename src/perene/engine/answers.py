"""Answers to stanzas, and the queue that lets them out in order, after the commit."""

import asyncio
from collections import deque

from perene.core.causes import Ending, Kind, Local
from perene.core.clock import Clock
from perene.core.errors import PereneError, StaleEpoch
from perene.core.unit import Committed
from perene.engine.channel import Channel
from perene.engine.errors import ConnectionEnded
from perene.engine.stanza import Envelope, is_status
from perene.wire.node import Node

MAX_BURST = 64
"""Nodes that leave together; a query of ours waits behind no more than these."""

UNKNOWN_STANZA = 488
"""The refusal of what nobody here can read (docs/reference/protocol.md §2)."""

_ECHOED = ("participant", "recipient")


def acknowledge(node: Node, *, error: int | None = None) -> Node:
    """Build the `<ack>` of any stanza; `error` makes it a refusal that drops the stanza.

    A status is never refused: WhatsApp delivers one that is as the first thing of each connection,
    and withholds all that is behind it (Baileys PR 2779, 2026-08-22; whatsapp-rust PR 647,
    2026-05-27, does the same). docs/reference/protocol.md §5.1; whatsmeow receipt.go `sendAck`,
    2026-08-21.
    """
    attrs = {"class": node.tag, "id": node.attrs.get("id", ""), "to": node.attrs.get("from", "")}
    for name in _ECHOED:
        if name in node.attrs:
            attrs[name] = node.attrs[name]
    if node.tag != "message" and "type" in node.attrs:
        attrs["type"] = node.attrs["type"]
    if error is not None and not is_status(node):
        attrs["error"] = str(error)
    return Node("ack", attrs)


def receipt(node: Node, kind: str | None) -> Node:
    """Build the `<receipt>` that tells the server and the sender that a message is kept.

    `kind` is None (delivered), "inactive", "sender" or "peer_msg"
    (docs/reference/protocol.md §5.1).
    """
    attrs = {"id": node.attrs.get("id", ""), "to": node.attrs.get("from", "")}
    for name in _ECHOED:
        if name in node.attrs:
            attrs[name] = node.attrs[name]
    if kind is not None:
        attrs["type"] = kind
    return Node("receipt", attrs)


def delivered(node: Node, envelope: Envelope, *, online: bool) -> tuple[Node, ...]:
    """Build the answer to a message that is kept; `online` decides on the sender's second tick."""
    if envelope.from_me:
        answer = receipt(node, "peer_msg" if envelope.category == "peer" else "sender")
    else:
        answer = receipt(node, None if online else "inactive")
    # A receipt settles a `<message>`; whatever else carries one is acknowledged besides.
    return (answer,) if node.tag == "message" else (answer, acknowledge(node))


def unread(node: Node, envelope: Envelope, *, online: bool) -> tuple[Node, ...]:
    """Build the answer to a message that was not read; an own one needs its receipt all the same.

    A bare ack does not drain copies from own devices (docs/reference/protocol.md §5.1).
    """
    if envelope.from_me:
        return delivered(node, envelope, online=online)
    return (acknowledge(node),)


class Answers:
    """The ordered way out: what was put first leaves first, each after its own commit.

    Messages of ours take the same way, because their ratchet is committed in the same order. Up to
    `max_waiting` answers may wait before there is no `room` for those of further stanzas: the
    server resends what is not answered, so nothing is lost while we wait, and memory is bounded.
    """

    def __init__(self, channel: Channel, clock: Clock, *, delay_s: float, max_waiting: int) -> None:
        self._channel = channel
        self._clock = clock
        self._delay_s = delay_s
        self._max_waiting = max_waiting
        self._delayed: asyncio.TaskGroup | None = None
        self._waiting: deque[tuple[asyncio.Future[Committed] | None, tuple[Node, ...]]] = deque()
        self._changed = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._idle = asyncio.Event()
        self._idle.set()

    def put(self, commit: "asyncio.Future[Committed] | None", *nodes: Node) -> None:
        """Queue nodes to leave once `commit` has succeeded (at once, in order, if it is None)."""
        self._waiting.append((commit, nodes))
        self._idle.clear()
        self._changed.set()
        if len(self._waiting) >= self._max_waiting:
            self._room.clear()

    def put_delayed(self, commit: "asyncio.Future[Committed]", *nodes: Node) -> None:
        """Queue nodes to leave some time after `commit`, behind what is queued by then.

        For requests to send again: a sender that is still sending finds its own mistake first.
        Nodes that still wait when the connection ends are dropped, and so are those that come
        then; being unanswered, their stanza is delivered again.
        """
        self.put(commit)
        if self._delayed is None:
            return
        self._delayed.create_task(self._put_later(commit, nodes))

    async def _put_later(
        self, commit: "asyncio.Future[Committed]", nodes: tuple[Node, ...]
    ) -> None:
        await asyncio.wait([commit])
        await self._clock.sleep(self._delay_s)
        self.put(commit, *nodes)

    async def room(self) -> None:
        """Wait until fewer than `max_waiting` answers are queued."""
        await self._room.wait()

    async def drained(self) -> None:
        """Wait until everything that was queued has left."""
        await self._idle.wait()

    async def run(self) -> None:
        """Let answers out until cancelled; raises ConnectionEnded when a commit fails."""
        async with asyncio.TaskGroup() as self._delayed:
            try:
                await self._let_out()
            finally:
                # From here on it takes no more, and others process stanzas for a moment yet.
                self._delayed = None

    async def _let_out(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._waiting:
                commit = self._waiting[0][0]
                if commit is not None:
                    if not commit.done():
                        # What is behind it waits in any case, and most of it shares its commit.
                        await asyncio.wait((commit,))
                    self._raise_failure(commit)
                await self._channel.send(*self._take_committed())
                await asyncio.sleep(0)  # a socket that takes all of it would let nobody in between
                if len(self._waiting) < self._max_waiting:
                    self._room.set()
            self._idle.set()

    def _take_committed(self) -> list[Node]:
        """Take the nodes whose turn it is, at most MAX_BURST and those put together with them."""
        taken: list[Node] = []
        while self._waiting and len(taken) < MAX_BURST:
            commit, nodes = self._waiting[0]
            if commit is not None and not _succeeded(commit):
                break
            self._waiting.popleft()
            taken.extend(nodes)
        return taken

    @staticmethod
    def _raise_failure(commit: "asyncio.Future[Committed]") -> None:
        error = commit.exception() if not commit.cancelled() else asyncio.CancelledError()
        if error is None:
            return
        stale = isinstance(error, StaleEpoch)
        sentence = str(error) if isinstance(error, PereneError) else type(error).__name__
        raise ConnectionEnded(
            Ending(
                kind=Kind.LOCAL,
                code=Local.STALE_EPOCH if stale else Local.STORAGE,
                sentence=f"A unit could not be committed: {sentence}",
            )
        ) from error


def _succeeded(commit: "asyncio.Future[Committed]") -> bool:
    return commit.done() and not commit.cancelled() and commit.exception() is None
