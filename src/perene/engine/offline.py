"""Pulling what the server kept while the session was away (facts/protocol.md §1.8)."""

from perene.engine.answers import Answers
from perene.engine.stanza import small_number
from perene.wire.node import Node

_BATCH = 200
"""WhatsApp Web's own batch size (whatsapp-rust src/client/offline_resume.rs, 2026-08)."""

_MOST = 10**9


class OfflineDelivery:
    """Asks for batch after batch until the server says that nothing is left."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._left_in_batch = 0
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
        if self._left_in_batch <= 0:
            self._pull()

    def ended(self) -> None:
        """Take the `<offline>` that ends the delivery."""
        self.done = True

    def _pull(self) -> None:
        self._left_in_batch = _BATCH
        self._answers.put(None, Node("ib", {}, (Node("offline_batch", {"count": str(_BATCH)}),)))
