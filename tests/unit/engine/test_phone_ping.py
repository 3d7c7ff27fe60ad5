"""A request that the account's phone answers by itself, and what is done when it cannot be sent."""

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from perene.core.errors import UnreadableState
from perene.core.unit import AddressPair, PeerMessage
from perene.crypto import KeyPair
from perene.engine.addresses import signal_address
from perene.engine.answers import Answers
from perene.engine.channel import Channel
from perene.engine.errors import QueryFailed
from perene.engine.phone_ping import KEY_SHARE, PhonePing
from perene.engine.queries import Queries
from perene.engine.stage import Stage
from perene.signal import (
    LocalIdentity,
    PreKey,
    PreKeyBundle,
    Ratchet,
    SignedPreKey,
    decrypt_message,
    decrypt_pre_key_message,
    encrypt,
    pad,
    parse_pre_key_message,
    start_outgoing,
    unpad,
)
from perene.signal.address import Address
from perene.sim.stanzas import bundle_nodes
from perene.wire.jid import Jid
from perene.wire.node import Node
from perene.wire.proto import wa_pb2
from tests.support.virtual_clock import VirtualClock
from tests.unit.engine.fakes import MemoryStore, Wire, line_on, stage_on

PHONE = "15550000001@s.whatsapp.net"
ADDRESS = Address("15550000001", 0)

Share = wa_pb2.Message.AppStateSyncKeyShare


class Phone:
    """The keys of the phone, and what they open."""

    def __init__(self) -> None:
        self.local = LocalIdentity.generate()
        self.signed = SignedPreKey.generate(1, self.local.key_pair)
        self.pre_key = PreKey.generate(7)
        self.ratchet = Ratchet.empty

    @property
    def bundle(self) -> PreKeyBundle:
        return PreKeyBundle(
            registration_id=self.local.registration_id,
            identity=self.local.key_pair.public,
            signed_pre_key_id=self.signed.id,
            signed_pre_key=self.signed.key_pair.public,
            signed_pre_key_signature=self.signed.signature,
            pre_key_id=self.pre_key.id,
            pre_key=self.pre_key.key_pair.public,
        )

    def open(self, enc: Node) -> wa_pb2.Message:
        """Decrypt what it was sent."""
        if enc.attrs["type"] == "pkmsg":
            opened = decrypt_pre_key_message(
                self.ratchet,
                parse_pre_key_message(enc.data),
                self.local,
                signed_pre_key=self.signed,
                pre_key=self.pre_key,
            )
        else:
            opened = decrypt_message(self.ratchet, enc.data, self.local)
        self.ratchet = opened.ratchet
        return wa_pb2.Message.FromString(unpad(opened.plaintext))

    def meet(self, stage: Stage) -> None:
        """Take part in a ratchet that a device has begun and the phone has answered."""
        own = stage.credentials.local
        begun = encrypt(start_outgoing(Ratchet.empty, self.bundle, own), pad(b""), own)
        self.open(Node("enc", {"type": "pkmsg"}, begun.data))
        answer = encrypt(self.ratchet, pad(b""), self.local)
        self.ratchet = answer.ratchet
        opened = decrypt_message(begun.ratchet, answer.data, own)
        stage.ratchets[str(ADDRESS)] = opened.ratchet


class Pinging:
    """A device, its phone, and the server between them."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.stage = stage_on(self.store)
        self.wire = Wire()
        clock = VirtualClock()
        self.answers = Answers(cast("Channel", self.wire), clock, delay_s=0, max_waiting=10)
        self.queries = Queries(self.wire.send, 60.0, clock)
        self.ping = PhonePing(
            line_on(self.stage, queries=self.queries, clock=clock, answers=self.answers)
        )
        self.phone = Phone()

    def give(self, *children: Node) -> None:
        """Answer the only question that was asked."""
        (question,) = self.wire.sent
        answer = Node("iq", {"id": question.attr("id"), "type": "result"}, children)
        assert self.queries.answered(answer)

    def give_bundle(self, bundle: PreKeyBundle) -> None:
        registration = Node("registration", {}, bundle.registration_id.to_bytes(4))
        user = Node("user", {"jid": PHONE}, (registration, *bundle_nodes(bundle)))
        self.give(Node("list", {}, (user,)))

    def keep(self, *keys: tuple[bytes, bytes, int]) -> None:
        """Let the phone have shared these keys: id, secret, time."""
        message = wa_pb2.Message()
        for key_id, secret, at in keys:
            key = message.protocolMessage.appStateSyncKeyShare.keys.add()
            key.keyId.keyId, key.keyData.keyData, key.keyData.timestamp = key_id, secret, at
        message.protocolMessage.type = wa_pb2.Message.ProtocolMessage.APP_STATE_SYNC_KEY_SHARE
        kept = self.store.from_own_devices
        kept.append(
            PeerMessage(id=f"P{len(kept)}", kind=KEY_SHARE, body=message.SerializeToString())
        )

    async def request(self) -> list[bytes]:
        """Ask a phone that is known; return the ids of the keys that it is asked for."""
        self.phone.meet(self.stage)
        await self.ping.send()
        (stanza,) = await self.wire.until(1)
        content = self.phone.open(stanza.need("enc")).protocolMessage
        assert content.type == wa_pb2.Message.ProtocolMessage.APP_STATE_SYNC_KEY_REQUEST
        assert content.HasField("appStateSyncKeyRequest")
        return [key.keyId for key in content.appStateSyncKeyRequest.keyIds]


@pytest.fixture
async def pinging() -> AsyncIterator[Pinging]:
    pinging = Pinging()
    letting_out = asyncio.create_task(pinging.answers.run())
    yield pinging
    letting_out.cancel()
    await asyncio.gather(letting_out, return_exceptions=True)


async def test_the_request_is_a_peer_message_to_the_phone_alone(pinging: Pinging) -> None:
    pinging.phone.meet(pinging.stage)
    assert await pinging.ping.send()
    (stanza,) = await pinging.wire.until(1)
    assert stanza.tag == "message"
    assert dict(stanza.attrs) == {
        "id": stanza.attr("id"),
        "to": PHONE,
        "type": "text",
        "category": "peer",
        "push_priority": "high",
    }
    assert stanza.attr("id").startswith("3EB0")
    assert [child.tag for child in stanza.children] == ["meta", "enc"]
    assert dict(stanza.need("enc").attrs) == {"v": "2", "type": "msg"}


@pytest.mark.parametrize("error", [None, "479"])
async def test_what_the_phone_is_to_send_again_wakes_it_and_is_asked_once_the_server_has_it(
    pinging: Pinging, error: str | None
) -> None:
    pinging.phone.meet(pinging.stage)
    request, taken = wa_pb2.Message(), list[str]()
    request.protocolMessage.peerDataOperationRequestMessage.SetInParent()
    assert await pinging.ping.ask(request, lambda: taken.append("taken"))
    (stanza,) = await pinging.wire.until(1)
    assert stanza.attr("push_priority") == "high_force"
    assert taken == []
    refused = {} if error is None else {"error": error}
    ack = Node("ack", {"class": "message", "id": stanza.attr("id"), **refused})
    assert pinging.ping.answered(ack)
    assert taken == ([] if error else ["taken"])
    assert not pinging.ping.answered(ack)


async def test_the_newest_key_is_asked_for(pinging: Pinging) -> None:
    pinging.keep((b"old", b"k", 9))
    pinging.keep((b"first", b"k", 1), (b"newest", b"k", 3), (b"second", b"k", 2))
    assert await pinging.request() == [b"newest"]


async def test_shares_without_a_key_are_passed_over(pinging: Pinging) -> None:
    pinging.keep((b"held", b"k", 1))
    pinging.keep((b"refused", b"", 2))
    pinging.keep((b"", b"k", 3))
    pinging.keep()
    pinging.store.from_own_devices.append(PeerMessage(id="X", kind=KEY_SHARE, body=b"\xff"))
    pinging.store.from_own_devices.append(PeerMessage(id="Y", kind="other", body=b""))
    assert await pinging.request() == [b"held"]


async def test_without_any_key_the_phone_is_asked_all_the_same(pinging: Pinging) -> None:
    assert await pinging.request() == []


async def test_a_key_that_cannot_be_read_keeps_nobody_from_asking(
    pinging: Pinging, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unreadable(kind: str, *, limit: int) -> list[PeerMessage]:
        raise UnreadableState("damaged")

    monkeypatch.setattr(pinging.store, "peer_messages", unreadable)
    assert await pinging.request() == []


async def test_nothing_leaves_before_its_ratchet_is_committed(pinging: Pinging) -> None:
    pinging.phone.meet(pinging.stage)
    before = pinging.stage.ratchets[str(ADDRESS)]
    pinging.store.auto = False
    await pinging.ping.send()
    for _ in range(10):
        await asyncio.sleep(0)
    assert pinging.wire.sent == []
    ((unit, _),) = pinging.store.pending
    (write,) = unit.ratchets
    assert write.address == str(ADDRESS)
    assert write.state == pinging.stage.ratchets[str(ADDRESS)] != before
    pinging.store.settle()
    (stanza,) = await pinging.wire.until(1)
    assert stanza.tag == "message"


async def test_a_phone_without_a_ratchet_is_met_by_its_bundle(pinging: Pinging) -> None:
    sending = asyncio.create_task(pinging.ping.send())
    await pinging.wire.until(1)
    pinging.give_bundle(pinging.phone.bundle)
    await sending
    _, stanza = await pinging.wire.until(2)
    assert [child.tag for child in stanza.children] == ["meta", "enc", "device-identity"]
    assert stanza.need("device-identity").data == b"account"
    content = pinging.phone.open(stanza.need("enc")).protocolMessage
    assert content.type == wa_pb2.Message.ProtocolMessage.APP_STATE_SYNC_KEY_REQUEST
    assert str(ADDRESS) in pinging.store.ratchet_rows


async def test_a_phone_whose_other_address_only_the_store_knows_is_met_under_that(
    pinging: Pinging,
) -> None:
    pinging.store.pairs.append(AddressPair(lid="100000000000001@lid", pn=PHONE))
    pinging.phone.meet(pinging.stage)
    by_lid = str(signal_address(Jid.parse("100000000000001@lid")))
    pinging.stage.ratchets[by_lid] = pinging.stage.ratchets.pop(str(ADDRESS))
    await pinging.ping.send()
    (stanza,) = await pinging.wire.until(1)
    assert stanza.attr("to") == PHONE
    pinging.phone.open(stanza.need("enc"))


async def test_a_ratchet_that_began_while_the_bundle_came_is_kept(pinging: Pinging) -> None:
    other = Phone()
    sending = asyncio.create_task(pinging.ping.send())
    await pinging.wire.until(1)
    pinging.phone.meet(pinging.stage)
    pinging.give_bundle(other.bundle)
    await sending
    _, stanza = await pinging.wire.until(2)
    assert stanza.need("enc").attr("type") == "msg"
    pinging.phone.open(stanza.need("enc"))


async def test_it_waits_for_whoever_advances_a_ratchet(pinging: Pinging) -> None:
    pinging.phone.meet(pinging.stage)
    async with pinging.stage.lock:
        sending = asyncio.create_task(pinging.ping.send())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not pinging.store.units
    await sending
    assert len(pinging.store.units) == 1


@pytest.mark.parametrize("forged", [False, True])
async def test_a_phone_without_usable_keys_is_left_alone(pinging: Pinging, forged: bool) -> None:
    sending = asyncio.create_task(pinging.ping.send())
    await pinging.wire.until(1)
    if forged:
        pinging.phone.signed = SignedPreKey.generate(1, KeyPair.generate())
        pinging.give_bundle(pinging.phone.bundle)
    else:
        pinging.give(Node("list", {}, (Node("user", {"jid": PHONE}, (Node("error"),)),)))
    assert not await sending
    assert pinging.store.units == []
    assert not pinging.stage.lock.locked()


async def test_a_server_that_refuses_the_bundle_is_told_of(pinging: Pinging) -> None:
    sending = asyncio.create_task(pinging.ping.send())
    (question,) = await pinging.wire.until(1)
    refusal = Node("error", {"code": "503"})
    pinging.queries.answered(Node("iq", {"id": question.attr("id"), "type": "error"}, (refusal,)))
    with pytest.raises(QueryFailed):
        await sending
    assert not pinging.stage.lock.locked()


@pytest.mark.parametrize("error", [{}, {"error": "479"}])
async def test_the_ack_of_a_request_is_taken_once_and_no_other(
    pinging: Pinging, error: dict[str, str]
) -> None:
    pinging.phone.meet(pinging.stage)
    await pinging.ping.send()
    (stanza,) = await pinging.wire.until(1)
    ack = Node("ack", {"class": "message", "id": stanza.attr("id"), "from": PHONE, **error})
    assert not pinging.ping.answered(Node("ack", {"class": "message", "id": "OTHER"}))
    assert pinging.ping.answered(ack)
    assert not pinging.ping.answered(ack)
