"""A linked device at its receive path, and people who write to it with ratchets of their own."""

import asyncio
from collections.abc import Callable
from typing import cast

from perene.core.unit import AddressPair, Committed, Unit
from perene.crypto import KeyPair
from perene.engine.addresses import signal_address
from perene.engine.answers import Answers
from perene.engine.incoming import digests_of
from perene.engine.phone_resends import PhoneResends
from perene.engine.receive import Receiver
from perene.signal import (
    Encrypted,
    PreKey,
    PreKeyBundle,
    SenderKeyRecord,
    create_sender_key,
    distribution_message,
    encrypt,
    group_encrypt,
    pad,
    publish,
)
from perene.wire.jid import Jid
from perene.wire.node import Node
from perene.wire.proto import wa_pb2
from tests.support.virtual_clock import VirtualClock
from tests.unit.engine.fakes import Later, MemoryStore, line_on, paired, stage_on
from tests.unit.signal.parties import Party

ANA = "200000000000002@lid"
ANA_PN = "15550000002@s.whatsapp.net"
OWN_PHONE = "100000000000001@lid"
GROUP = "120363000000000001@g.us"
LIMIT = 3
"""Resends that are asked for."""


def keys_of(bundle: PreKeyBundle) -> tuple[Node, ...]:
    """Write a bundle as a `<user>` or a retry receipt's `<keys>` holds it."""
    assert bundle.pre_key_id is not None
    assert bundle.pre_key is not None
    signed = (
        Node("id", {}, bundle.signed_pre_key_id.to_bytes(3, "big")),
        Node("value", {}, bundle.signed_pre_key),
        Node("signature", {}, bundle.signed_pre_key_signature),
    )
    single = (
        Node("id", {}, bundle.pre_key_id.to_bytes(3, "big")),
        Node("value", {}, bundle.pre_key),
    )
    return (
        Node("identity", {}, bundle.identity),
        Node("skey", {}, signed),
        Node("key", {}, single),
    )


def registration(bundle: PreKeyBundle) -> Node:
    """Write the number that comes with a bundle."""
    return Node("registration", {}, bundle.registration_id.to_bytes(4, "big"))


class Answered:
    """What is answered, with the commit that it waits for."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.delayed: list[Node] = []
        self.waits_for: list[asyncio.Future[Committed] | None] = []

    def put(self, commit: "asyncio.Future[Committed] | None", *nodes: Node) -> None:
        self.nodes += nodes
        self.waits_for.append(commit)

    def put_delayed(self, commit: "asyncio.Future[Committed]", *nodes: Node) -> None:
        self.delayed += nodes
        self.waits_for.append(commit)


class Desk:
    """The receive path of one connection. Its units are committed at once, unless `auto` is off."""

    def __init__(self, *, online: bool = False) -> None:
        self.own = paired().changed(next_pre_key_id=1000)
        self.store = MemoryStore()
        self.clock = VirtualClock()
        self.connect(online=online)

    def connect(self, *, online: bool = False) -> None:
        """Begin anew with what is stored."""
        self.stage = stage_on(self.store, self.own)
        self.answered, self.later = Answered(), Later()
        line = line_on(
            self.stage,
            queries=None,
            clock=self.clock,
            answers=cast("Answers", self.answered),
            later=self.later,
        )
        self.asked_of_phone: list[wa_pb2.Message] = []
        self.takes_requests: list[Callable[[], object]] = []
        self.phone = PhoneResends(line, ask=self.ask_phone)
        self.receiver = Receiver(line, phone=self.phone, max_retries=LIMIT, online=online)

    async def ask_phone(self, request: wa_pb2.Message, on_taken: Callable[[], object]) -> bool:
        """Note what the phone is asked for; it answers when a test does."""
        self.asked_of_phone.append(request)
        self.takes_requests.append(on_taken)
        return True

    async def take_requests(self) -> None:
        """Let the server have what the phone is asked for."""
        for on_taken in self.takes_requests:
            on_taken()
        self.takes_requests.clear()
        await self.later.work()

    def bundle(self) -> PreKeyBundle:
        """Give somebody a one-time pre-key of ours."""
        one_time = PreKey(
            id=max(self.store.pre_key_rows, default=0) + 1, key_pair=KeyPair.generate()
        )
        self.store.pre_key_rows[one_time.id] = one_time.key_pair.private
        return publish(
            registration_id=self.own.registration_id,
            identity=self.own.identity.public,
            signed=self.own.signed_pre_key,
            one_time=one_time,
        )

    def know(self, pn: str, lid: str) -> None:
        """Let the store know that two addresses are one person."""
        self.store.pairs.append(AddressPair(pn=pn, lid=lid))

    async def receive(self, *stanzas: Node) -> Unit:
        """Process stanzas as a batch would; return the last unit that was handed over."""
        for node in stanzas:
            await self.receiver.receive(node, await self.store.known_ciphertexts(digests_of(node)))
        await asyncio.sleep(0)
        return (self.store.units + [unit for unit, _ in self.store.pending])[-1]


class Peer:
    """A device that writes to the desk."""

    def __init__(self, desk: Desk, jid: str = ANA) -> None:
        self.jid = jid
        self.desk = desk
        self.party = Party()
        self.party.start(desk.bundle())
        self.group_key = create_sender_key(SenderKeyRecord.empty)

    def enc(self, content: wa_pb2.Message | bytes) -> Node:
        """Encrypt for the desk."""
        plain = content if isinstance(content, bytes) else content.SerializeToString()
        sent = self.party.send(pad(plain))
        return Node("enc", {"v": "2", "type": sent.kind}, sent.data)

    def group_enc(self, content: wa_pb2.Message) -> Node:
        """Encrypt for the group."""
        sent = group_encrypt(self.group_key, pad(content.SerializeToString()))
        self.group_key = sent.record
        return Node("enc", {"v": "2", "type": "skmsg"}, sent.data)

    def distribution(self, **content: str) -> wa_pb2.Message:
        """Give the key that `group_enc` encrypts with."""
        given = wa_pb2.Message.SenderKeyDistributionMessage(
            groupId=GROUP, axolotlSenderKeyDistributionMessage=distribution_message(self.group_key)
        )
        return wa_pb2.Message(senderKeyDistributionMessage=given, **content)  # pyright: ignore[reportArgumentType]  # texts

    def stanza(self, *children: Node, id_: str = "A1", **attrs: str) -> Node:
        """Address a message to the desk."""
        return Node("message", {"id": id_, "from": self.jid, "type": "text", **attrs}, children)

    def in_group(self, *children: Node, id_: str = "A1", **attrs: str) -> Node:
        """Address a message to the group."""
        return self.stanza(*children, id_=id_, **{"from": GROUP, "participant": self.jid, **attrs})

    def text(self, text: str, id_: str = "A1", **attrs: str) -> Node:
        """Write a text."""
        return self.stanza(self.enc(wa_pb2.Message(conversation=text)), id_=id_, **attrs)

    def hear(self) -> None:
        """Read something that the desk writes: from now on, no more pre-key messages are sent."""
        address = str(signal_address(Jid.parse(self.jid)))
        sent = encrypt(self.desk.stage.ratchets[address], b"hello", self.desk.own.local)
        self.desk.stage.ratchets[address] = sent.ratchet
        self.desk.store.ratchet_rows[address] = sent.ratchet.serialize()
        self.party.read(Encrypted(ratchet=sent.ratchet, kind=sent.kind, data=sent.data))
