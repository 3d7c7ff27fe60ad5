"""Companions that show a code, until it is typed on the phone that they named."""

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from perene.crypto import KeyPair
from perene.sim.candidate import Candidate, PairingRefused
from perene.sim.pairing_code import CodeOffer
from perene.sim.world import World
from perene.wire.node import Node

_LIFETIME = timedelta(seconds=180)
_ATTEMPTS = 3


@dataclass(slots=True, kw_only=True)
class Offer:
    """A companion that waits for its code to be typed."""

    candidate: Candidate
    code: CodeOffer
    since: datetime
    attempts: int = 0
    state: Literal["waiting", "typed", "wrong", "right"] = "waiting"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """Who is to be linked by a code that was right, and the secret that it has agreed on."""

    candidate: Candidate
    secret: bytes


class CodeOffers:
    """The codes that are shown, one for each phone number at the most."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._offers: dict[str, Offer] = {}

    def hello(self, candidate: Candidate, step: Node) -> Node:
        """Take `companion_hello`, and return what the server answers."""
        code = CodeOffer.from_hello(step, ref=secrets.token_bytes(24))
        phone = step.attr("jid").partition("@")[0]
        self._offers[phone] = Offer(candidate=candidate, code=code, since=self._world.now())
        ref = Node("link_code_pairing_ref", {}, code.ref)
        return Node("link_code_companion_reg", {"stage": "companion_hello"}, (ref,))

    def tried(self, phone: str) -> Offer:
        """Return the offer for a number on which a code is typed now. Raises PairingRefused."""
        offer = self._offers.get(phone)
        if offer is None:
            raise PairingRefused("nobody waits for a code for this number", gone=True)
        if self._world.now() >= offer.since + _LIFETIME:
            raise PairingRefused("the code has expired", gone=True)
        offer.attempts += 1
        if offer.attempts > _ATTEMPTS:
            raise PairingRefused("the code was tried too often", gone=True)
        offer.state = "typed"
        return offer

    def withdrawn(self, phone: str) -> Offer:
        """Take back the offer for a number, and return it. Raises PairingRefused."""
        offer = self._offers.pop(phone, None)
        if offer is None:
            raise PairingRefused("nobody waits for a code for this number", gone=True)
        return offer

    def state(self, phone: str) -> str | None:
        """Return how far it is: waiting, typed, wrong, right; None when nobody waits."""
        offer = self._offers.get(phone)
        return offer.state if offer else None

    def opened(self, phone: str, step: Node, identity: KeyPair) -> Opened | None:
        """Take `companion_finish`; None if nobody waits, or the code that was typed was wrong."""
        offer = self._offers.get(phone)
        if offer is None:
            return None
        secret = offer.code.open_bundle(step, identity)
        if secret is None:
            offer.state = "wrong"
            self._world.evidence.events["wrong_codes"] += 1
            return None
        offer.state = "right"
        return Opened(candidate=offer.candidate, secret=secret)

    def forget(self, candidate: Candidate) -> None:
        """A candidate is gone."""
        for phone, offer in list(self._offers.items()):
            if offer.candidate is candidate:
                del self._offers[phone]
