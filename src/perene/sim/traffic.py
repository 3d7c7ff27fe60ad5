"""Load: many messages encrypted beforehand, then sent as fast as the client takes them."""

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from typing import Literal

from perene.crypto import KeyPair
from perene.signal import (
    LocalIdentity,
    Ratchet,
    encrypt,
    pad,
    parse_pre_key_message,
    start_outgoing,
)
from perene.sim.mailbox import Held
from perene.sim.model import Device
from perene.sim.people import Person
from perene.sim.service import Service
from perene.wire.codec import encode
from perene.wire.node import Node
from perene.wire.proto import wa_pb2

_BURST = 64
"""How many are sent between two looks at whether the client keeps up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficPlan:
    """`contacts` people send `messages` texts each, of `size` characters, to one device.

    `mode` "chain": one ratchet per contact, its first message a pkmsg, all others msg in one chain.
    `mode` "fresh": a new ratchet for every message, each a pkmsg that uses up a one-time pre-key;
    the dearest there is to receive. Steps of the Diffie-Hellman ratchet cannot be prepared: each
    needs an answer of the client.
    """

    to: str
    device: int | None = None
    contacts: int = 1
    messages: int = 100
    size: int = 100
    mode: Literal["chain", "fresh"] = "chain"


@dataclass(slots=True, kw_only=True)
class Traffic:
    """A prepared load and how far it is. Times are `time.perf_counter` seconds."""

    id: str
    target: Device
    waiting: list[Held]
    prepared_in_s: float = 0.0
    next: int = 0
    answered: int = 0
    firing: bool = False
    first_sent: float | None = None
    last_sent: float | None = None
    last_answer: float | None = None
    answers: dict[str, int] = field(default_factory=dict[str, int])
    sending: asyncio.Task[None] | None = None

    @classmethod
    def prepare(cls, plan: TrafficPlan, service: Service, target: Device) -> "Traffic":
        """Encrypt everything; contacts take turns, so that chains interleave."""
        begun = time.perf_counter()
        traffic = cls(id=secrets.token_hex(4), target=target, waiting=[])
        people = [service.people.get_or_add() for _ in range(plan.contacts)]
        senders = [_Sender(person, target, service, plan) for person in people]
        for number in range(plan.messages):
            for sender in senders:
                held = sender.another(number)
                held.on_answer = traffic.count_answer
                traffic.waiting.append(held)
        traffic.prepared_in_s = time.perf_counter() - begun
        return traffic

    @property
    def total(self) -> int:
        """How many messages there are."""
        return len(self.waiting)

    def count_answer(self, how: str) -> None:
        """The client has answered one."""
        self.answered += 1
        self.answers[how] = self.answers.get(how, 0) + 1
        self.last_answer = time.perf_counter()

    def begin(self, service: Service) -> None:
        """Have it sent, unless it is being sent already."""
        if self.sending is None or self.sending.done():
            self.sending = asyncio.create_task(self.fire(service))

    async def fire(self, service: Service) -> None:
        """Send everything that was not sent yet, no faster than the client reads.

        While the device is away, the rest goes to its queue. Ends when all is sent; answers come
        later.
        """
        self.firing = True
        self.first_sent = self.first_sent or time.perf_counter()
        try:
            while self.next < len(self.waiting):
                for held in self.waiting[self.next : self.next + _BURST]:
                    self.next += 1
                    self.target.mailbox.put(held)
                self.last_sent = time.perf_counter()
                await self._breathe(service)
        finally:
            self.firing = False

    async def _breathe(self, service: Service) -> None:
        session = service.gatekeeper.sessions.get(self.target)
        if session is not None:
            await session.connection.channel.link.drained()


class _Sender:
    """One contact of a load: encrypts like its phone, but keeps no conversation."""

    def __init__(self, person: Person, target: Device, service: Service, plan: TrafficPlan) -> None:
        self._person = person
        self._target = target
        self._service = service
        self._plan = plan
        local = person.party.desk.keyring.local
        self._local = LocalIdentity(key_pair=local.key_pair, registration_id=local.registration_id)
        self._ratchet = Ratchet.empty

    def another(self, number: int) -> Held:
        """Encrypt the next message."""
        text = f"{self._person.account.phone} {number} ".ljust(self._plan.size, "x")
        fresh = self._plan.mode == "fresh" or not number
        if fresh:
            bundle = self._service.take_bundle(self._target)
            self._ratchet = start_outgoing(
                Ratchet.empty, bundle, self._local, base_key=KeyPair.generate()
            )
        plaintext = wa_pb2.Message(conversation=text).SerializeToString()
        sealed = encrypt(self._ratchet, pad(plaintext), self._local)
        self._ratchet = sealed.ratchet
        # Without an answer every message would stay a pkmsg; its inside is the msg it would be.
        data = sealed.data if fresh else parse_pre_key_message(sealed.data).message
        return self._held(text, "pkmsg" if fresh else "msg", data)

    def _held(self, text: str, kind: str, data: bytes) -> Held:
        party = self._person.party
        account = party.desk.device.account
        message_id = party.sender.fresh_id()
        self._service.world.evidence.know_text(party.desk.device, message_id, text)
        attrs = {
            "from": str(account.jid("lid")),
            "addressing_mode": "lid",
            "sender_pn": str(account.jid("pn")),
            "id": message_id,
            "t": self._service.world.unix,
            "type": "text",
        }
        stanza = Node("message", attrs, (Node("enc", {"v": "2", "type": kind}, data),))
        return Held(stanza=stanza, encoded=encode(stanza))
