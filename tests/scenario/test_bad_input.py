"""Input that makes no sense: nothing is stored half, nothing comes back for ever."""

import pytest

from perene.core.events import EventType
from perene.core.messages import Fate
from perene.sim.model import Device
from perene.sim.session import Session
from perene.wire.jid import SERVER_JID
from perene.wire.node import Node
from perene.wire.proto import wa_pb2
from tests.support.world import DESK, World


def session_of(world: World, phone: str) -> Session:
    """Return the server's end of the session's connection."""
    return world.simulator.service.gatekeeper.sessions[world.server.device(phone)]


SENSELESS = {
    "no sender": {"from": SERVER_JID},
    "a sender that is no address": {"from": "some one@@"},
    "no participant in a group": {"from": "120363000000000001@g.us"},
    "a participant that is no address": {"from": "120363000000000001@g.us", "participant": "@@"},
    "an endless id": {"from": "15550000009@s.whatsapp.net", "id": "A" * 500},
    "an empty id": {"from": "15550000009@s.whatsapp.net", "id": ""},
}


@pytest.mark.parametrize("attrs", SENSELESS.values(), ids=SENSELESS.keys())
async def test_a_message_that_names_no_sender_is_refused_once_and_told_of(
    world: World, attrs: dict[str, str]
) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account.phone
    position = await world.events.now()
    enc = Node("enc", {"v": "2", "type": "msg"}, b"\x33" * 60)
    world.simulator.inject(phone, Node("message", {"type": "text", **attrs}, (enc,)))
    world.simulator.send_text(ana, phone, "after")

    await world.events.wait(EventType.MESSAGE_UNREADABLE, reason="malformed_envelope")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="after")
    await world.server.answered(phone)
    assert await world.events.seen(EventType.SESSION_DISCONNECTED, since=position) == []
    assert world.server.counters(phone).answered["nack"] == 1


@pytest.mark.parametrize(
    "odd",
    [{"t": "yesterday"}, {"t": ""}, {"t": "9" * 400}, {"sender_pn": "@@ not an address"}],
    ids=["no time", "an empty time", "an endless time", "an odd second address"],
)
async def test_an_odd_detail_does_not_cost_a_message(world: World, odd: dict[str, str]) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana")
    attrs = {"from": str(ana.account.jid()), "type": "text", **odd}
    enc = world.server.sealed(ana, phone, wa_pb2.Message(conversation="hello"))
    world.simulator.inject(phone, Node("message", attrs, (enc,)))

    await world.events.wait(EventType.MESSAGE_RECEIVED, text="hello")
    [view] = await world.stored.messages()
    assert view.message.timestamp == world.clock.now()


@pytest.mark.parametrize("body", [b"\xff\xff\xff", b"\x0a\xff"])
async def test_an_encrypted_message_that_is_no_message_is_refused(
    world: World, body: bytes
) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana")
    enc = world.server.sealed(ana, phone, body)
    attrs = {"from": str(ana.account.jid()), "type": "text"}
    sent = world.simulator.inject(phone, Node("message", attrs, (enc,)))

    await world.events.wait(
        EventType.MESSAGE_UNREADABLE, message_id=sent, reason="invalid_protobuf"
    )
    world.simulator.send_text(ana.account.phone, phone, "after")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="after")
    await world.server.answered(phone)
    assert world.server.counters(phone).answered["nack"] == 1
    assert (await world.perene.store.counts(DESK)).fates[Fate.LOST] == 1


async def test_a_kind_of_message_from_the_future_is_kept(world: World) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana")
    # A protocol message (field 12) of type 999, which no Perene of today has a name for.
    enc = world.server.sealed(ana, phone, bytes((0x62, 3, 0x10, 0xE7, 7)))
    attrs = {"from": str(ana.account.jid()), "type": "text"}
    world.simulator.inject(phone, Node("message", attrs, (enc,)))

    told = await world.events.wait(EventType.MESSAGE_RECEIVED)
    await world.server.answered(phone)
    assert told.event.payload["kind"] == "protocol_999"


@pytest.mark.parametrize(("kind", "code"), [("msmsg", "495"), ("quantum", "488")])
async def test_a_cipher_that_we_do_not_have_is_refused_and_not_asked_for_again(
    world: World, kind: str, code: str
) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account
    refusals: list[str] = []
    service = world.simulator.service
    take = service.submit_ack

    def watch(sender: Device, node: Node) -> None:
        refusals.extend(filter(None, [node.attrs.get("error")]))
        take(sender, node)

    service.submit_ack = watch
    enc = Node("enc", {"v": "2", "type": kind}, b"something")
    attrs = {"from": str(ana.jid()), "type": "text"}
    sent = world.simulator.inject(phone, Node("message", attrs, (enc,)))
    told = await world.events.wait(EventType.MESSAGE_UNREADABLE, message_id=sent)
    await world.server.answered(phone)

    assert told.event.payload["reason"] == f"unsupported_{kind}"
    counters = world.server.counters(phone)
    assert (counters.answered["nack"], counters.retries_asked) == (1, 0)
    assert refusals == [code]


async def test_a_message_without_content_for_us_is_told_of_and_answered(world: World) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account
    attrs = {"from": str(ana.jid()), "type": "text"}
    world.simulator.inject(
        phone, Node("message", attrs, (Node("unavailable", {"type": "view_once"}),))
    )
    await world.events.wait(EventType.MESSAGE_UNREADABLE, reason="unavailable_view_once")
    await world.server.answered(phone)


@pytest.mark.parametrize("tag", ["message", "status"])
@pytest.mark.parametrize(
    ("author", "kind", "reason"),
    [
        ("@@", "skmsg", "malformed_envelope"),
        ("15550000009@s.whatsapp.net", "quantum", "unsupported_quantum"),
    ],
)
async def test_a_status_that_nobody_can_read_holds_up_nothing(
    world: World, tag: str, author: str, kind: str, reason: str
) -> None:
    """WhatsApp withholds what is behind one that was refused: the session would hear no more."""
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account.phone
    attrs = {"from": "status@broadcast", "participant": author, "type": "text"}
    enc = Node("enc", {"v": "2", "type": kind}, b"\x33" * 60)
    world.simulator.inject(phone, Node(tag, attrs, (enc,)))
    await world.events.wait(EventType.MESSAGE_UNREADABLE, reason=reason)
    await world.server.answered(phone)

    position = await world.events.now()
    world.simulator.disconnect(phone)
    world.simulator.send_text(ana, phone, "hello")
    await world.come_back(since=position)
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="hello")


STANZAS = {
    "receipt": Node("receipt", {"from": "x@@y", "type": "read"}),
    "receipt with odd ids": Node("receipt", {}, (Node("list", {}, (Node("item"),)),)),
    "retry without a body": Node("receipt", {"type": "retry", "from": "15550000009@lid"}),
    "retry with an endless count": Node(
        "receipt",
        {"type": "retry", "from": "15550000009@lid"},
        (Node("retry", {"count": "9" * 5000, "id": "X"}), Node("keys", {}, (Node("type"),))),
    ),
    "notification": Node("notification", {"type": "devices", "from": "@@"}),
    "count of pre-keys": Node(
        "notification", {"type": "encrypt"}, (Node("count", {"value": "9" * 5000}),)
    ),
    "group": Node("notification", {"type": "w:gp2", "from": "@@"}, (Node("remove"),)),
    "unknown notification": Node("notification", {"type": "from_the_future"}),
    "call": Node("call", {}, (Node("offer"),)),
    "a stanza from the future": Node("from_the_future", {"type": "odd"}, (Node("child"),)),
    "a status of nobody": Node("status", {"type": "text"}, (Node("enc", {"type": "skmsg"}, b"x"),)),
}


@pytest.mark.parametrize("stanza", STANZAS.values(), ids=STANZAS.keys())
async def test_every_other_senseless_stanza_is_answered_once(world: World, stanza: Node) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account.phone
    position = await world.events.now()
    world.simulator.inject(phone, stanza)
    world.simulator.inject(phone, Node("ib", {}, (Node("offline_preview", {"count": "x" * 99}),)))
    world.simulator.inject(phone, Node("iq", {"type": "get", "xmlns": "future"}))
    world.simulator.send_text(ana, phone, "after")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="after")
    await world.server.answered(phone)

    assert await world.events.seen(EventType.SESSION_DISCONNECTED, since=position) == []
    assert world.server.counters(phone).answers_for_nothing == 0


@pytest.mark.parametrize("payload", [b"", b"\x00", b"\x00\xf8\xff\x01", b"\x02not zlib"])
async def test_a_node_out_of_form_keeps_nothing_else_away(world: World, payload: bytes) -> None:
    """The server delivers it again on each connection: to end that would be to hear no more."""
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account.phone
    position = await world.events.now()
    world.simulator.send_text(ana, phone, "before")
    session_of(world, phone).connection.send_encoded(payload)
    world.simulator.send_text(ana, phone, "after")

    await world.events.wait(EventType.MESSAGE_RECEIVED, text="after")
    assert await world.stored.texts() == ["before", "after"]
    await world.server.answered(phone)
    assert await world.events.seen(EventType.SESSION_DISCONNECTED, since=position) == []
    assert world.server.device(phone).logins == 1


@pytest.mark.parametrize("data", [b"\x00\x00\x10" + b"x" * 16, b"\x00\x00\x00"])
async def test_bytes_out_of_form_end_the_connection_and_what_came_before_is_kept(
    world: World, data: bytes
) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account.phone
    position = await world.events.now()
    world.simulator.send_text(ana, phone, "before")
    world.perene.transports[-1].inner.write(data)
    ended = await world.events.wait(EventType.SESSION_DISCONNECTED, since=position)
    assert (ended.event.payload["cause"], ended.event.payload["code"]) == ("malformed", "malformed")
    assert await world.stored.texts() == ["before"]
    assert world.server.counters(phone).answered["receipt"] == 1
    await world.come_back(since=position)
    assert world.server.device(phone).logins == 2
    world.simulator.send_text(ana, phone, "after")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="after")


async def test_answers_without_content_keep_no_session_down(world: World) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account.phone
    service = world.simulator.service
    answer = service.answer_iq

    def hollow(session: Session, iq: Node) -> Node | None:
        reply = answer(session, iq)
        return None if reply is None else Node(reply.tag, reply.attrs)

    service.answer_iq = hollow
    position = await world.events.now()
    world.simulator.disconnect(phone)
    await world.come_back(since=position)
    world.simulator.send_text(ana, phone, "hello")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="hello")
    assert world.server.device(phone).logins == 2


async def test_a_late_answer_is_not_taken_for_a_question(world: World) -> None:
    phone = await world.user.pair()
    late = Node("iq", {"id": "late", "from": SERVER_JID, "type": "result"}, (Node("ping"),))
    heard: list[Node] = []
    session = session_of(world, phone)
    receive = session.receive

    def watch(node: Node) -> None:
        heard.append(node)
        receive(node)

    session.receive = watch
    session.connection.send(late)
    world.simulator.ping(phone)
    await world.until(lambda: world.simulator.evidence.events["pongs"] == 1, "the answer")
    assert "late" not in {node.attrs.get("id") for node in heard}
