"""Tokens that people give to those who may write to them, and that the server may ask for.

docs/reference/protocol.md §2 (463) and §7.3 row r. The notification is shaped as Baileys
src/Socket/messages-recv.ts `handlePrivacyTokenNotification` and whatsmeow notification.go (both
2026-08-21) read it.
"""

import hashlib
from collections.abc import Mapping
from typing import Final, Protocol

from perene.sim.evidence import Evidence
from perene.sim.model import Account, Device, Directory
from perene.wire.jid import Jid
from perene.wire.node import Node

MISSING: Final = 463
_KIND: Final = "trusted_contact"
_WEEK_S: Final = 7 * 86_400
_WEEKS: Final = 4
_WEEKS_PROP: Final = "909"


class World(Protocol):
    """The simulator's world, as far as tokens go."""

    @property
    def directory(self) -> Directory: ...

    @property
    def evidence(self) -> Evidence: ...

    @property
    def unix(self) -> str: ...

    def notify(
        self,
        device: Device,
        kind: str,
        sender: str,
        *,
        child: Node,
        more: Mapping[str, str] | None,
    ) -> None:
        """Queue a notification for a device."""
        ...


class PrivacyTokens:
    """Who has given whom a token, and whose messages need one.

    Nobody gives any before they are in use: with `Simulator.use_tokens`, or once a number's
    messages need one.
    """

    def __init__(self) -> None:
        self.in_use = False
        self.weeks: int | None = None
        """How long a token is good, if not as clients take it to be."""
        self._given: dict[tuple[str, str], tuple[bytes, int]] = {}
        """A token and when it was given, by giver and taker."""
        self.wanted: set[str] = set()
        """Numbers whose companions are refused with 463 when they show no token."""

    def give(self, world: World, giver: Account, taker: Account, time: str) -> None:
        """Give a new token to somebody, whose companions are notified."""
        if not self.in_use:
            return
        number = len(self._given)
        seed = f"{giver.phone} {taker.phone} {time} {number}"
        token = hashlib.sha256(seed.encode()).digest()[:16]
        self._given[giver.phone, taker.phone] = token, int(world.unix)
        world.evidence.events["privacy_tokens_given"] += 1
        for companion in taker.companions:
            own = str(companion.jid("pn"))
            child = Node("token", {"jid": own, "t": time, "type": _KIND}, token)
            world.notify(
                companion,
                "privacy_token",
                str(giver.jid("pn")),
                child=Node("tokens", {}, (child,)),
                more={"sender_lid": str(giver.jid("lid"))},
            )

    def take(self, world: World, giver: Account, query: Node) -> None:
        """Take a query of a device that gives tokens."""
        tokens = query.child("tokens")
        for child in tokens.children if tokens is not None else ():
            taker = world.directory.find(Jid.parse(child.attr("jid")))
            if child.attrs.get("type") == _KIND and taker is not None:
                self.give(world, giver, taker, child.attr("t"))

    def props(self) -> tuple[Node, ...]:
        """Return the properties that tell clients how long a token is good."""
        if self.weeks is None:
            return ()
        return (Node("prop", {"config_code": _WEEKS_PROP, "config_value": str(self.weeks)}),)

    def knows(self, giver: Account, taker: Account) -> bool:
        """Tell whether one has given another a token."""
        return (giver.phone, taker.phone) in self._given

    def passes(self, world: World, sender: Account, to: Account, shown: Node | None) -> bool:
        """Tell whether a companion's message to somebody may pass."""
        good = shown is not None and shown.data == self._good(world, to, sender)
        if shown is not None:
            world.evidence.events["tokens_shown" if good else "wrong_tokens_shown"] += 1
        return good or sender is to or sender.phone not in self.wanted

    def _good(self, world: World, giver: Account, taker: Account) -> bytes | None:
        """Return the token that one has given another, while it is good."""
        token, at = self._given.get((giver.phone, taker.phone), (None, 0))
        age = int(world.unix) // _WEEK_S - at // _WEEK_S
        return token if age < (self.weeks or _WEEKS) else None
