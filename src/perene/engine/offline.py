"""Pulling what the server kept while the session was away (docs/reference/protocol.md §1.8)."""

import asyncio

import structlog

from perene.core.clock import Clock
from perene.engine.answers import Answers
from perene.engine.stanza import small_number
from perene.wire.node import Node

log = structlog.stdlib.get_logger()

_BATCH = 200
"""WhatsApp Web's own batch size (whatsapp-rust src/client/offline_resume.rs, 2026-08)."""

_STALLED_S = 2.0
"""A batch that brings nothing for so long has brought all that it will. The web client does not
count on full batches either: it pulls again 100 ms after the first stanza of each one (ibid.)."""

_MOST_IDLE_PULLS = 30
"""After a minute without a stanza there is nothing to come (ibid.: 60 s)."""

_MOST = 10**9
"""A count beyond this is not believed."""


class OfflineDelivery:
    """Asks for batch after batch until the server says that nothing is left."""

    def __init__(self, answers: Answers, clock: Clock) -> None:
        self._answers = answers
        self._clock = clock
        self._left_in_batch = 0
        self._coming = asyncio.Event()
        """Set from a pull on, until nothing more is to come."""
        self.expected = 0
        self.received = 0
        self.done = False

    def previewed(self, preview: Node) -> None:
        """Take the `<offline_preview>`, and pull the first batch."""
        self.expected = small_number(preview.attrs.get("count", ""), most=_MOST) or 0
        self.done = False
        self._pull()

    def arrived(self, node: Node) -> None:
        """Count a stanza that was kept for us; pull again when a batch is through."""
        if "offline" not in node.attrs or self.done:
            return
        self.received += 1
        self._left_in_batch -= 1
        self._coming.set()
        if self._left_in_batch <= 0:
            self._pull()

    def ended(self) -> None:
        """Take the `<offline>` that ends the delivery."""
        self.done = True
        self._coming.clear()

    async def run(self) -> None:
        """Pull again when a batch has brought less than was asked for; until cancelled."""
        idle = 0
        while True:
            await self._coming.wait()
            before = self.received
            await self._clock.sleep(_STALLED_S)
            if self.done or self.received != before:
                idle = 0
            elif idle < _MOST_IDLE_PULLS:
                idle += 1
                self._pull()
            else:
                log.warning(
                    "offline_delivery_unfinished", expected=self.expected, received=self.received
                )
                idle = 0
                self._coming.clear()

    def _pull(self) -> None:
        self._left_in_batch = _BATCH
        self._coming.set()
        self._answers.put(None, Node("ib", {}, (Node("offline_batch", {"count": str(_BATCH)}),)))
