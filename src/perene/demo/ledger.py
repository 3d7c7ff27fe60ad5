"""The demo's own books: what was sent, to be compared with what arrived."""

import threading
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from perene.demo.client import Client


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A message on its way from or to a session."""

    session: str
    contact: str
    id: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What became of one direction of a session's messages."""

    name: str
    sent: int
    arrived: int
    doubled: int
    lost: int

    @property
    def right(self) -> bool:
        """Whether everything arrived exactly once."""
        return self.doubled == self.lost == 0 and self.sent == self.arrived


@dataclass(slots=True)
class Ledger:
    """Everything that was sent in this demo. Threads may write into it."""

    _written: list[Sent] = field(default_factory=list[Sent])
    _answered: list[Sent] = field(default_factory=list[Sent])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self, sent: Sent) -> None:
        """A contact has written to a session."""
        with self._lock:
            self._written.append(sent)

    def answer(self, sent: Sent) -> None:
        """The HTTP API has accepted a message."""
        with self._lock:
            self._answered.append(sent)

    @property
    def written(self) -> list[Sent]:
        """What contacts have written so far."""
        with self._lock:
            return list(self._written)

    @property
    def answered(self) -> list[Sent]:
        """What the API has accepted so far."""
        with self._lock:
            return list(self._answered)

    def stored(self, perene: Client, session: str) -> Count:
        """Count what people wrote to a session against what Perene has stored."""
        stored = Counter(
            (one["id"], one["text"]) for one in _pages(perene, session) if not one["from_me"]
        )
        return _count(f"people → {session}", self.written, session, stored)

    def read(self, simulator: Client, session: str, phone: str) -> Count:
        """Count what the API accepted from a session against what contacts have read.

        A contact shows a message once however often it comes, as every phone does: how often
        one came again is in the simulator's counters.
        """
        read: Counter[tuple[str, str]] = Counter()
        for contact in {one.contact for one in self.answered}:
            inbox = simulator.ask("GET", f"/admin/contacts/{contact}/inbox")
            read.update(
                (one["id"], one["text"]) for one in inbox["messages"] if one["sender"] == phone
            )
        return _count(f"{session} → people", self.answered, session, read)


def _count(
    name: str, everything: list[Sent], session: str, arrived: Counter[tuple[str, str]]
) -> Count:
    """Compare by id and text: a message that arrived with another text is a lost one."""
    sent = {(one.id, one.text) for one in everything if one.session == session}
    return Count(
        name=name,
        sent=len(sent),
        arrived=len(sent & set(arrived)),
        doubled=sum(count - 1 for count in arrived.values()) + len(set(arrived) - sent),
        lost=len(sent - set(arrived)),
    )


def _pages(perene: Client, session: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    path = f"/v1/sessions/{session}/messages?order=asc&limit=100"
    cursor = None
    while True:
        page = perene.ask("GET", path + (f"&cursor={cursor}" if cursor else ""))
        found.extend(page["items"])
        cursor = page["next_cursor"]
        if cursor is None:
            return found
