"""What cannot be read is asked for again where that helps, told of, and always answered."""

from collections.abc import Callable

import pytest

from perene.core.events import EventType
from perene.core.messages import Fate
from perene.core.unit import Unit
from perene.engine.decrypt import REASONS
from perene.engine.incoming import digests_of
from perene.signal import SignalError, SignedPreKey, errors
from perene.wire.node import Node
from perene.wire.proto import wa_pb2
from tests.unit.engine.desk import ANA, GROUP, LIMIT, OWN_PHONE, Desk, Peer

HELLO = wa_pb2.Message(conversation="hello")
NO_MESSAGE = b"\xff\xff\xff"


@pytest.fixture
def desk() -> Desk:
    return Desk()


def lost(unit: Unit) -> str | None:
    """Return why the only message of a unit is lost, and check that it is told so."""
    [entry], [event] = unit.ledger, unit.events
    assert (entry.fate, event.type) == (Fate.LOST, EventType.MESSAGE_UNREADABLE)
    assert event.payload["reason"] == entry.reason
    assert (unit.messages, unit.ratchets) == ((), ())
    return entry.reason


async def acquainted(desk: Desk, jid: str = ANA) -> Peer:
    """Return somebody who has written before and heard of us, and writes plain messages now."""
    peer = Peer(desk, jid)
    await desk.receive(peer.text("before", id_="A0"))
    peer.hear()
    desk.answered.nodes.clear()
    return peer


def damaged(enc: Node) -> Node:
    return Node("enc", enc.attrs, enc.data[:-1] + bytes((enc.data[-1] ^ 1,)))


async def test_a_damaged_message_is_asked_for_again_before_it_is_acknowledged(desk: Desk) -> None:
    ana = await acquainted(desk)
    unit = await desk.receive(ana.stanza(damaged(ana.enc(HELLO)), id_="A2", t="5"))

    [entry], [event] = unit.ledger, unit.events
    assert (entry.fate, entry.reason, entry.retries) == (Fate.PENDING, "bad_mac", 1)
    assert event.payload == {
        "message_id": "A2",
        "chat": ANA,
        "sender": ANA,
        "reason": "bad_mac",
        "retries": 1,
        "resend_requested": True,
    }
    assert (unit.messages, unit.ratchets, unit.ciphertexts) == ((), (), ())
    request, ack = desk.answered.delayed
    assert (request.tag, request.attrs["type"], request.need("retry").attrs["error"]) == (
        "receipt",
        "retry",
        "7",
    )
    assert (ack.tag, ack.attrs.get("error")) == ("ack", None)
    assert desk.answered.nodes == []


async def test_after_the_last_request_a_message_is_lost_and_acknowledged(desk: Desk) -> None:
    ana = await acquainted(desk)
    for _ in range(LIMIT):
        unit = await desk.receive(ana.stanza(damaged(ana.enc(HELLO))))
        assert unit.ledger[0].fate is Fate.PENDING
    unit = await desk.receive(ana.stanza(damaged(ana.enc(HELLO))))
    assert lost(unit) == "bad_mac"
    assert unit.ledger[0].retries == LIMIT
    assert unit.events[0].payload["resend_requested"] is False
    assert [one.tag for one in desk.answered.nodes] == ["ack"]


async def test_a_message_that_arrived_after_all_may_be_asked_for_anew(desk: Desk) -> None:
    ana = await acquainted(desk)
    for _ in range(LIMIT):
        await desk.receive(ana.stanza(damaged(ana.enc(HELLO))))
    await desk.receive(ana.text("hello"))
    desk.store.ledger.clear()
    unit = await desk.receive(ana.stanza(damaged(ana.enc(HELLO))))
    assert unit.ledger[0].retries == 1


async def test_what_a_sender_is_not_asked_for_any_more_the_phone_is(desk: Desk) -> None:
    """Whose every message fails is asked for some of them, which mends the ratchet if anything."""
    ana = await acquainted(desk)
    for number in range(200):
        await desk.receive(ana.stanza(damaged(ana.enc(HELLO)), id_=f"B{number}"))
    desk.answered.delayed.clear()
    unit = await desk.receive(ana.stanza(damaged(ana.enc(HELLO)), id_="B200"))
    assert lost(unit) == "bad_mac"
    assert (unit.ledger[0].retries, unit.ledger[0].wants_phone) == (0, True)
    assert unit.events[0].payload["resend_requested"] is False
    [ack] = desk.answered.nodes
    assert (ack.tag, ack.attrs.get("error")) == ("ack", None)
    assert desk.answered.delayed == []


async def test_a_damaged_resend_of_what_is_stored_is_not_asked_for_again(desk: Desk) -> None:
    ana = await acquainted(desk)
    await desk.receive(ana.text("hello"))
    unit = await desk.receive(ana.stanza(damaged(ana.enc(HELLO))))
    assert (unit.ledger, unit.events, desk.answered.delayed) == ((), (), [])
    assert [one.tag for one in desk.answered.nodes] == ["receipt", "receipt"]


async def test_an_unreadable_copy_from_our_phone_gets_its_receipt_too(desk: Desk) -> None:
    phone = await acquainted(desk, OWN_PHONE)
    await desk.receive(phone.stanza(damaged(phone.enc(HELLO)), recipient=ANA))
    request, receipt = desk.answered.delayed
    assert request.attrs["type"] == "retry"
    assert (receipt.tag, receipt.attrs["type"]) == ("receipt", "sender")


def pre_key_gone(desk: Desk, peer: Peer) -> Node:
    desk.store.pre_key_rows.clear()
    return peer.enc(HELLO)


def signed_pre_key_gone(desk: Desk, peer: Peer) -> Node:
    desk.stage.credentials = desk.own.changed(
        signed_pre_key=SignedPreKey.generate(9, desk.own.identity)
    )
    return peer.enc(HELLO)


def other_version(_desk: Desk, peer: Peer) -> Node:
    enc = peer.enc(HELLO)
    return Node("enc", enc.attrs, b"\x22" + enc.data[1:])


def no_protobuf(_desk: Desk, _peer: Peer) -> Node:
    return Node("enc", {"v": "2", "type": "pkmsg"}, b"\x33\xff\xff\xff")


def odd_padding(_desk: Desk, peer: Peer) -> Node:
    sent = peer.party.send(b"hello\x00")
    return Node("enc", {"v": "2", "type": sent.kind}, sent.data)


def group_part_from_a_person(_desk: Desk, peer: Peer) -> Node:
    return peer.group_enc(HELLO)


FAILURES: dict[Callable[[Desk, Peer], Node], tuple[str, str]] = {
    pre_key_gone: ("unknown_pre_key", "3"),
    signed_pre_key_gone: ("unknown_signed_pre_key", "3"),
    other_version: ("invalid_version", "4"),
    no_protobuf: ("invalid_message", "4"),
    odd_padding: ("invalid_padding", "4"),
    group_part_from_a_person: ("invalid_version", "4"),
}


@pytest.mark.parametrize("fail", FAILURES, ids=lambda one: one.__name__)
async def test_the_sender_is_told_what_was_wrong(
    desk: Desk, fail: Callable[[Desk, Peer], Node]
) -> None:
    ana = Peer(desk)
    unit = await desk.receive(ana.stanza(fail(desk, ana)))
    code, number = FAILURES[fail]
    assert (unit.ledger[0].fate, unit.ledger[0].reason) == (Fate.PENDING, code)
    assert unit.pre_keys_consumed == ()
    assert desk.answered.delayed[0].need("retry").attrs["error"] == number


def test_every_way_to_fail_has_a_reason_that_the_sender_understands() -> None:
    """The rest is not met when something is decrypted, or is not asked for again."""
    known = {one for one in vars(errors).values() if isinstance(one, type)}
    rest = {one.__name__ for one in known if issubclass(one, SignalError) and one not in REASONS}
    assert rest == {
        "SignalError",
        "ChainExhausted",
        "DuplicateMessage",
        "InvalidAddress",
        "InvalidRecord",
        "NewerRecord",
        "UntrustedIdentity",
    }


async def test_a_message_with_odd_padding_is_asked_for_again_when_it_is_delivered_again(
    desk: Desk,
) -> None:
    """Its key is not used up: the request may be lost with the connection before it has left."""
    ana = Peer(desk)
    stanza = ana.stanza(odd_padding(desk, ana))
    await desk.receive(stanza)
    desk.connect()
    unit = await desk.receive(stanza)
    assert (unit.ledger[0].fate, unit.ledger[0].retries) == (Fate.PENDING, 2)
    assert [one.attrs.get("type") for one in desk.answered.delayed] == ["retry", None]
    unit = await desk.receive(ana.text("hello"))
    assert [one.text for one in unit.messages] == ["hello"]


async def test_a_message_to_a_ratchet_that_we_do_not_have_is_asked_for_with_keys_next(
    desk: Desk,
) -> None:
    ana = await acquainted(desk)
    desk.store.ratchet_rows.clear()
    desk.connect()
    await desk.receive(ana.text("who are you?", id_="A2"))
    unit = await desk.receive(ana.text("who are you?", id_="A2"))
    assert unit.ledger[0].reason == "no_ratchet"
    first, _, second, _ = desk.answered.delayed
    assert first.need("retry").attrs["error"] == "1"
    assert (first.child("keys") is None, second.child("keys") is None) == (True, False)


async def test_of_a_group_message_without_its_key_the_key_is_asked_for(desk: Desk) -> None:
    ana = Peer(desk)
    unit = await desk.receive(ana.in_group(ana.group_enc(HELLO)))
    assert (unit.ledger[0].reason, unit.ledger[0].key.chat) == ("no_sender_key", GROUP)
    request = desk.answered.delayed[0]
    assert (request.attrs["participant"], request.need("retry").attrs["error"]) == (ANA, "1")
    assert request.child("keys") is not None


@pytest.mark.parametrize("forge", [True, False])
async def test_a_group_message_that_its_sender_did_not_sign_is_not_read(
    desk: Desk, forge: bool
) -> None:
    ana = Peer(desk)
    await desk.receive(ana.in_group(ana.enc(ana.distribution(conversation="one"))))
    enc = ana.group_enc(HELLO)
    unit = await desk.receive(ana.in_group(damaged(enc) if forge else enc, id_="A2"))
    assert [one.text for one in unit.messages] == ([] if forge else ["hello"])
    if forge:
        assert unit.ledger[0].reason == "invalid_signature"
        assert desk.answered.delayed[0].need("retry").attrs["error"] == "5"


async def test_the_first_failure_is_the_one_that_counts(desk: Desk) -> None:
    """A direct part that failed explains why the group part has no key."""
    ana = await acquainted(desk)
    given = damaged(ana.enc(ana.distribution()))
    unit = await desk.receive(ana.in_group(ana.group_enc(HELLO), given))
    assert unit.ledger[0].reason == "bad_mac"


async def test_a_key_without_its_group_part_leaves_the_message_to_be_asked_for(desk: Desk) -> None:
    ana = Peer(desk)
    stanza = ana.in_group(ana.enc(ana.distribution()), damaged(ana.group_enc(HELLO)))
    unit = await desk.receive(stanza)
    assert (unit.ledger[0].fate, unit.ledger[0].reason) == (Fate.PENDING, "invalid_signature")
    assert (len(unit.sender_keys), unit.ciphertexts) == (1, ())


async def test_a_key_used_before_is_no_loss_when_the_message_is_in_the_ledger(desk: Desk) -> None:
    """The hash of the ciphertext is not there any more: it is kept for some time only."""
    ana = Peer(desk)
    stanza = ana.text("hello")
    await desk.receive(stanza)
    desk.store.hashes.clear()
    unit = await desk.receive(stanza)
    assert (unit.ledger, unit.events, unit.messages) == ((), (), ())
    assert unit.ciphertexts == digests_of(stanza)
    assert [one.tag for one in desk.answered.nodes] == ["receipt", "receipt"]


@pytest.mark.parametrize("fate", [None, Fate.PENDING, Fate.CONTROL])
async def test_a_key_used_before_for_a_message_that_nobody_has_is_a_loss(
    desk: Desk, fate: Fate | None
) -> None:
    ana = Peer(desk)
    stanza = ana.text("hello")
    entry = (await desk.receive(stanza)).ledger[0]
    desk.store.hashes.clear()
    desk.store.ledger.clear()
    if fate is not None:
        desk.store.ledger[entry.key] = type(entry)(key=entry.key, fate=fate, at=entry.at)
    unit = await desk.receive(stanza)
    if fate is Fate.CONTROL:
        assert unit.ledger == ()
    else:
        assert lost(unit) == "key_used_before"
    assert [one.tag for one in desk.answered.nodes] == ["receipt", "receipt"]


async def test_what_is_decrypted_and_no_message_is_refused_once(desk: Desk) -> None:
    ana = Peer(desk)
    stanza = ana.stanza(ana.enc(NO_MESSAGE))
    unit = await desk.receive(stanza)
    assert unit.ledger[0].reason == unit.events[0].payload["reason"] == "invalid_protobuf"
    assert unit.ciphertexts == digests_of(stanza)
    assert len(unit.ratchets) == 1
    [ack] = desk.answered.nodes
    assert (ack.tag, ack.attrs["error"]) == ("ack", "491")
    units = len(desk.store.units)
    await desk.receive(stanza)
    assert len(desk.store.units) == units


@pytest.mark.parametrize("first", [True, False])
async def test_what_is_no_message_does_not_cost_the_text_beside_it(desk: Desk, first: bool) -> None:
    ana = Peer(desk)
    parts = (
        [ana.enc(NO_MESSAGE), ana.enc(HELLO)] if first else [ana.enc(HELLO), ana.enc(NO_MESSAGE)]
    )
    unit = await desk.receive(ana.stanza(*parts))
    assert [one.text for one in unit.messages] == ["hello"]
    assert [entry.fate for entry in unit.ledger] == [Fate.DELIVERED]
    assert "error" not in desk.answered.nodes[0].attrs


async def test_a_key_beside_what_is_no_message_is_kept_and_the_message_is_refused(
    desk: Desk,
) -> None:
    ana = Peer(desk)
    unit = await desk.receive(ana.in_group(ana.enc(NO_MESSAGE), ana.enc(ana.distribution())))
    assert unit.ledger[0].reason == "invalid_protobuf"
    assert len(unit.sender_keys) == 1
    assert desk.answered.nodes[0].attrs["error"] == "491"


async def test_what_may_yet_be_read_is_asked_for_beside_what_is_no_message(desk: Desk) -> None:
    ana = Peer(desk)
    unit = await desk.receive(ana.in_group(ana.enc(NO_MESSAGE), ana.group_enc(HELLO)))
    assert (unit.ledger[0].fate, unit.ledger[0].reason) == (Fate.PENDING, "no_sender_key")
    assert desk.answered.delayed[0].attrs["type"] == "retry"


async def test_whose_keys_are_new_is_told_though_the_message_is_none(desk: Desk) -> None:
    await desk.receive(Peer(desk).text("before", id_="A0"))
    other = Peer(desk)
    unit = await desk.receive(other.stanza(other.enc(NO_MESSAGE)))
    told = [event.type for event in unit.events]
    assert told == [EventType.PEER_IDENTITY_CHANGED, EventType.MESSAGE_UNREADABLE]


@pytest.mark.parametrize(("kind", "code"), [("msmsg", "495"), ("quantum", "488")])
async def test_a_cipher_that_we_do_not_have_is_refused(desk: Desk, kind: str, code: str) -> None:
    stanza = Peer(desk).stanza(Node("enc", {"v": "2", "type": kind}, b"something"))
    unit = await desk.receive(stanza)
    assert lost(unit) == f"unsupported_{kind}"
    assert unit.ciphertexts == digests_of(stanza)
    assert desk.answered.nodes[0].attrs["error"] == code


@pytest.mark.parametrize(("category", "kind"), [("", "sender"), ("peer", "peer_msg")])
@pytest.mark.parametrize("readable", [True, False], ids=["no message", "an odd cipher"])
async def test_a_senseless_copy_from_our_phone_gets_its_receipt_and_comes_no_more(
    desk: Desk, category: str, kind: str, *, readable: bool
) -> None:
    """Nothing else takes it out of the queue."""
    phone = Peer(desk, OWN_PHONE)
    odd = Node("enc", {"v": "2", "type": "quantum"}, b"something")
    enc = phone.enc(NO_MESSAGE) if readable else odd
    stanza = phone.stanza(enc, recipient=ANA, category=category)
    unit = await desk.receive(stanza)
    assert unit.ledger[0].fate is Fate.LOST
    [receipt] = desk.answered.nodes
    assert receipt.attrs == {"id": "A1", "to": OWN_PHONE, "recipient": ANA, "type": kind}


async def test_what_can_be_read_is_read_beside_what_cannot(desk: Desk) -> None:
    ana = Peer(desk)
    odd = Node("enc", {"v": "2", "type": "quantum"}, b"something")
    unit = await desk.receive(ana.stanza(odd, ana.enc(HELLO)))
    assert [one.text for one in unit.messages] == ["hello"]


@pytest.mark.parametrize(
    ("children", "reason"),
    [
        ((), "no_ciphertext"),
        ((Node("unavailable", {"type": "view_once"}),), "unavailable_view_once"),
        ((Node("unavailable"),), "unavailable_unknown"),
        ((Node("plaintext", {}, HELLO.SerializeToString()),), "no_ciphertext"),
    ],
    ids=["empty", "view once", "unavailable", "not encrypted"],
)
async def test_a_message_without_a_ciphertext_for_us_is_not_read(
    desk: Desk, children: tuple[Node, ...], reason: str
) -> None:
    """Not even one in plain text: whoever can put that into a chat is not the contact."""
    unit = await desk.receive(Peer(desk).stanza(*children))
    assert lost(unit) == reason
    [ack] = desk.answered.nodes
    assert (ack.tag, ack.attrs.get("error")) == ("ack", None)


@pytest.mark.parametrize("children", [(), (Node("plaintext", {}, b"\xff\xff\xff"),)])
async def test_a_channels_post_that_is_no_message_is_told_of(
    desk: Desk, children: tuple[Node, ...]
) -> None:
    attrs = {"id": "A1", "from": "120363000000000009@newsletter", "type": "text"}
    assert lost(await desk.receive(Node("message", attrs, children))) == "no_ciphertext"


async def test_a_message_from_nobody_is_refused_and_told_of(desk: Desk) -> None:
    stanza = Node("message", {"id": "A" * 500, "from": "s.whatsapp.net", "type": "text"})
    unit = await desk.receive(stanza)
    [event] = unit.events
    assert event.type is EventType.MESSAGE_UNREADABLE
    assert event.payload == {
        "message_id": "A" * 128,
        "chat": None,
        "sender": None,
        "reason": "malformed_envelope",
    }
    assert (unit.ledger, unit.messages) == ((), ())
    assert desk.answered.nodes[0].attrs["error"] == "487"
