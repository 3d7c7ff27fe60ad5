"""What the server holds for one device, until the device has answered it.

docs/reference/protocol.md §0 fact 1, §1.8: a stanza stays queued until the client answers; while it
is away the queue grows, and on its return it gets a preview, a primer, and then batches as it pulls
them. A client that pulls nothing, or too little, gets the next batch when it has answered
everything: so clients that never pull (whatsmeow) and clients that pull once (Baileys) both see the
end.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from perene.wire.node import Node

PRIMER = 5
"""How many queued stanzas come before the client has asked for any
(docs/reference/protocol.md §1.8)."""
BATCH = 100
"""How many come at once to a client that does not pull."""


@dataclass(slots=True, kw_only=True, eq=False)
class Held:
    """One stanza on its way to one device."""

    stanza: Node
    encoded: bytes | None = None
    """Its wire form when it is delivered live, made beforehand by whoever sends thousands."""
    sequence: int = 0
    deliveries: int = 0
    delivered_at: datetime | None = None
    """When it was last passed on."""
    retry_asked: bool = False
    refused: bool = False
    """Whether it is a status that the device has refused: nothing else is delivered before it."""
    on_answer: Callable[[str], None] | None = None


class Outlet(Protocol):
    """Where a device's stanzas go: its connection, or the simulated party that it is."""

    def deliver(self, held: Held, *, offline: bool) -> None:
        """Pass one stanza on, and count that in `held.deliveries`."""
        ...

    def offline_preview(self, counts: Counter[str]) -> None:
        """Say what is waiting, by tag."""
        ...

    def offline_done(self, count: int) -> None:
        """Say that everything that waited has been passed on."""
        ...


class Mailbox:
    """The queue of one device."""

    def __init__(self) -> None:
        self._held: dict[int, Held] = {}
        self._by_id: dict[tuple[str, str], list[Held]] = {}
        self._sequence = 0
        self._outlet: Outlet | None = None
        self._backlog: deque[Held] = deque()
        self._draining = False
        self._drained = 0
        self._owed: set[int] = set()
        self.per_pull: int | None = None
        """How many come for each pull while it lasts, and none otherwise; None is as said above."""

    # --- in ---------------------------------------------------------------------------------------

    def put(self, held: Held) -> None:
        """Hold a stanza; pass it on at once if the device is there and has caught up."""
        self._sequence += 1
        held.sequence = self._sequence
        self._held[held.sequence] = held
        key = held.stanza.tag, held.stanza.attrs.get("id", "")
        self._by_id.setdefault(key, []).append(held)
        if self._outlet is None:
            return
        if self._draining:
            self._backlog.append(held)
            self._next_batch()
        else:
            self._outlet.deliver(held, offline=False)

    # --- the device comes and goes ----------------------------------------------------------------

    def open(self, outlet: Outlet) -> None:
        """The device is there and wants its stanzas: start with those it has not answered."""
        self._outlet = outlet
        self._backlog = deque(sorted(self._held.values(), key=lambda held: not held.refused))
        self._owed.clear()
        self._drained = 0
        self._draining = True
        if self._backlog:
            outlet.offline_preview(Counter(held.stanza.tag for held in self._backlog))
        self._drain(PRIMER)

    def close(self, outlet: Outlet) -> None:
        """The device is gone; does nothing if another outlet has taken its place."""
        if self._outlet is outlet:
            self._outlet = None
            self.per_pull = None
            self._draining = False
            self._backlog.clear()

    def pull(self, count: int) -> None:
        """The client asks for `count` more of the queued stanzas."""
        if self._draining:
            self._drain(count if self.per_pull is None else min(count, self.per_pull))

    # --- answers ----------------------------------------------------------------------------------

    def find(self, tag: str, stanza_id: str, matches: Callable[[Held], bool]) -> Held | None:
        """Return the held stanza of this id; `matches` decides when several have it."""
        candidates = self._by_id.get((tag, stanza_id), [])
        if len(candidates) == 1:
            return candidates[0]
        return next((held for held in candidates if matches(held)), None)

    def settle(self, held: Held, how: str) -> None:
        """Let a stanza go: the device has answered it."""
        self._held.pop(held.sequence, None)
        key = held.stanza.tag, held.stanza.attrs.get("id", "")
        candidates = self._by_id.get(key, [])
        if held in candidates:
            candidates.remove(held)
            if not candidates:
                del self._by_id[key]
        self._owed.discard(held.sequence)
        if held.on_answer is not None:
            held.on_answer(how)
        self._next_batch()

    # --- what is there ----------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._held)

    def __iter__(self) -> Iterator[Held]:
        return iter(self._held.values())

    @property
    def is_open(self) -> bool:
        """Whether the device is there."""
        return self._outlet is not None

    @property
    def unanswered(self) -> Iterable[Held]:
        """The stanzas that were passed on and not answered yet."""
        return [held for held in self._held.values() if held.deliveries]

    # --- the drain --------------------------------------------------------------------------------

    def _next_batch(self) -> None:
        if self._draining and not self._owed and self.per_pull is None:
            self._drain(BATCH)

    def _drain(self, count: int) -> None:
        outlet = self._outlet
        if any(self._held[sequence].refused for sequence in self._owed):
            return
        while count and self._backlog and outlet is not None and outlet is self._outlet:
            held = self._backlog.popleft()
            if held.sequence not in self._held:
                continue
            count -= 1
            self._drained += 1
            self._owed.add(held.sequence)
            outlet.deliver(held, offline=True)
            if held.refused and held.sequence in self._held:
                # What waits behind it is withheld until it is answered otherwise.
                return
        if outlet is not None and outlet is self._outlet and self._draining and not self._backlog:
            self._draining = False
            outlet.offline_done(self._drained)
