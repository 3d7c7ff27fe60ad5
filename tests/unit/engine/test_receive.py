"""What comes in is read once, kept whole, and answered when it is kept."""

import asyncio

import pytest

from perene.core.events import EventType
from perene.core.messages import Fate, Status
from perene.core.unit import AddressPair, Unit
from perene.engine.incoming import digests_of
from perene.wire.node import Node
from perene.wire.proto import wa_pb2
from tests.unit.engine.desk import ANA, ANA_PN, GROUP, OWN_PHONE, Desk, Peer

_Protocol = wa_pb2.Message.ProtocolMessage
OWN_PN = "15550000001@s.whatsapp.net"


@pytest.fixture
def desk() -> Desk:
    return Desk()


def only_fate(unit: Unit) -> tuple[Fate, str | None]:
    [entry] = unit.ledger
    return entry.fate, entry.reason


def sent_by_phone(text: str, to: str) -> wa_pb2.Message:
    content = wa_pb2.Message(conversation=text)
    return wa_pb2.Message(
        deviceSentMessage=wa_pb2.Message.DeviceSentMessage(destinationJid=to, message=content)
    )


def peer_data(kind: "_Protocol.Type.ValueType") -> wa_pb2.Message:
    return wa_pb2.Message(protocolMessage=_Protocol(type=kind))


async def test_a_message_is_kept_and_told_of_with_all_that_is_known_of_it(desk: Desk) -> None:
    ana = Peer(desk, "200000000000002:7@lid")
    stanza = ana.text("hello", sender_pn=ANA_PN, t="1767323045", notify="Ana")
    unit = await desk.receive(stanza)

    [message] = unit.messages
    assert (message.key.chat, message.key.sender, message.key.from_me) == (ANA, ANA, False)
    assert (message.kind, message.text, message.push_name) == ("text", "hello", "Ana")
    assert (message.status, message.sender_device) == (Status.RECEIVED, 7)
    assert wa_pb2.Message.FromString(message.body).conversation == "hello"
    assert message.event is not None
    assert (message.event.type, message.event.at) == (EventType.MESSAGE_RECEIVED, desk.clock.now())
    assert message.event.payload == {
        "message_id": "A1",
        "chat": ANA,
        "chat_pn": ANA_PN,
        "sender": ANA,
        "sender_pn": ANA_PN,
        "from_me": False,
        "kind": "text",
        "text": "hello",
        "timestamp": "2026-01-02T03:04:05+00:00",
        "push_name": "Ana",
    }
    assert message.timestamp.isoformat() == message.event.payload["timestamp"]
    assert only_fate(unit) == (Fate.DELIVERED, None)
    assert unit.ciphertexts == digests_of(stanza)
    assert unit.address_pairs == (AddressPair(pn=ANA_PN, lid=ANA),)
    assert desk.store.pre_key_rows == {}
    assert unit.events == ()


@pytest.mark.parametrize(("online", "kind"), [(True, {}), (False, {"type": "inactive"})])
async def test_the_senders_second_tick_is_given_only_while_we_show_as_online(
    online: bool, kind: dict[str, str]
) -> None:
    desk = Desk(online=online)
    await desk.receive(Peer(desk).text("hello"))
    assert desk.answered.nodes == [Node("receipt", {"id": "A1", "to": ANA, **kind})]


@pytest.mark.requirement("C8")
async def test_what_is_delivered_again_is_answered_again_and_changes_nothing(desk: Desk) -> None:
    ana = Peer(desk)
    stanza = ana.text("hello")
    await desk.receive(stanza)
    units = len(desk.store.units)
    await desk.receive(stanza)
    desk.connect()
    await desk.receive(stanza)
    assert len(desk.store.units) == units
    assert desk.answered.waits_for == [None]
    assert desk.answered.nodes == [Node("receipt", {"id": "A1", "to": ANA, "type": "inactive"})]


@pytest.mark.requirement("C8")
async def test_what_comes_again_before_it_is_stored_is_answered_once_it_is(desk: Desk) -> None:
    desk.store.auto = False
    stanza = Peer(desk).text("hello")
    await desk.receive(stanza, stanza)
    [(_, commit)] = desk.store.pending
    assert desk.answered.waits_for == [commit, commit]


@pytest.mark.requirement("C8")
async def test_a_message_encrypted_anew_under_its_id_is_read_on(desk: Desk) -> None:
    """The sender resends it: another ciphertext, which moves the ratchet, of the same message."""
    ana = Peer(desk)
    await desk.receive(ana.text("hello"), ana.text("hello"), ana.text("after", id_="A2"))
    assert [one.text for unit in desk.store.units for one in unit.messages] == [
        "hello",
        "hello",
        "after",
    ]
    assert desk.answered.delayed == []


async def test_of_two_ciphertexts_one_read_before_does_not_settle_the_other(desk: Desk) -> None:
    ana = Peer(desk)
    first = ana.enc(wa_pb2.Message(conversation="hello"))
    second = ana.enc(wa_pb2.Message(conversation="there"))
    await desk.receive(ana.stanza(first), ana.stanza(first, second, id_="A2"))
    assert desk.store.units[-1].messages[0].text == "there"


async def test_a_pre_key_is_asked_for_by_the_first_message_only(desk: Desk) -> None:
    """The sender names it in each, until it hears from us: that costs the database nothing."""
    ana = Peer(desk)
    late = ana.text("late", id_="A9")
    for number in range(3):
        await desk.receive(ana.text("hello", id_=f"A{number}"))
    assert [unit.pre_keys_consumed for unit in desk.store.units] == [(1,), (), ()]
    assert desk.store.reads.count("pre_keys") == 1
    ana.party.start(desk.bundle())
    await desk.receive(ana.text("anew", id_="A4"), late)
    assert desk.store.reads.count("pre_keys") == 2
    assert desk.answered.delayed == []


async def test_a_contact_who_begins_anew_is_read_at_once(desk: Desk) -> None:
    """On a phone that lost its ratchets, not its keys: nothing is to be asked for again."""
    ana = Peer(desk)
    await desk.receive(ana.text("one", id_="A1"))
    for number in range(2):
        ana.party.start(desk.bundle())
        await desk.receive(ana.text("anew", id_=f"B{number}"))
    assert [one.text for unit in desk.store.units for one in unit.messages] == [
        "one",
        "anew",
        "anew",
    ]
    assert desk.answered.delayed == []
    assert [one for unit in desk.store.units for one in unit.events] == []


async def test_a_message_from_before_a_contact_began_anew_is_still_read(desk: Desk) -> None:
    ana = Peer(desk)
    await desk.receive(ana.text("one"))
    late = ana.text("late", id_="A2")
    ana.party.start(desk.bundle())
    await desk.receive(ana.text("anew", id_="A3"), late)
    assert desk.store.units[-1].messages[0].text == "late"


async def test_plain_messages_follow_once_the_contact_has_heard_of_us(desk: Desk) -> None:
    ana = Peer(desk)
    await desk.receive(ana.text("hello"))
    ana.hear()
    stanza = ana.text("and again", id_="A2")
    assert stanza.children[0].attrs["type"] == "msg"
    unit = await desk.receive(stanza)
    assert unit.messages[0].text == "and again"
    assert [one.address for one in unit.ratchets] == ["200000000000002_1.0"]


@pytest.mark.parametrize("new", [True, False])
async def test_new_keys_are_told_of_when_they_replace_others(desk: Desk, new: bool) -> None:
    ana = Peer(desk)
    await desk.receive(ana.text("old phone"))
    other = Peer(desk) if new else ana
    unit = await desk.receive(other.text("new phone", id_="A2"))
    assert unit.messages[0].text == "new phone"
    told = [(one.type, one.payload) for one in unit.events]
    payload = {"message_id": "A2", "chat": ANA, "sender": ANA}
    assert told == ([(EventType.PEER_IDENTITY_CHANGED, payload)] if new else [])


async def test_a_group_message_is_read_with_the_key_beside_it_and_the_next_one_without(
    desk: Desk,
) -> None:
    ana = Peer(desk)
    given = ana.distribution()
    # The group part first: it is the other one that makes it readable.
    encs = [ana.group_enc(wa_pb2.Message(conversation="one")), ana.enc(given)]
    stanza = ana.in_group(*encs)
    unit = await desk.receive(stanza)
    assert unit.messages[0].text == "one"
    assert (unit.messages[0].key.chat, unit.messages[0].key.sender) == (GROUP, ANA)
    assert unit.ciphertexts == digests_of(stanza)
    assert unit.messages[0].event is not None
    assert unit.messages[0].event.payload["chat_pn"] is None
    assert unit.messages[0].event.payload["sender_pn"] is None

    second = ana.in_group(ana.group_enc(wa_pb2.Message(conversation="two")), id_="A2")
    unit = await desk.receive(second)
    assert unit.messages[0].text == "two"
    assert [(one.group, one.address) for one in unit.sender_keys] == [
        (GROUP, "200000000000002_1.0")
    ]
    assert desk.answered.delayed == []
    assert desk.answered.nodes[-1].attrs == {
        "id": "A2",
        "to": GROUP,
        "participant": ANA,
        "type": "inactive",
    }


NEWER = bytes((0xD2, 0x0F, 3)) + b"\x0a\x01x"
"""Field 250 of a message, which no schema lists yet."""


async def test_content_that_came_with_a_newer_phone_is_kept_whole(desk: Desk) -> None:
    unit = await desk.receive(Peer(desk).stanza(Peer(desk).enc(NEWER)))
    [message] = unit.messages
    assert (message.kind, message.text, message.body) == ("unknown", None, NEWER)
    assert only_fate(unit) == (Fate.DELIVERED, None)


async def test_the_copy_of_an_own_message_from_a_newer_phone_is_kept_whole(desk: Desk) -> None:
    copy = wa_pb2.Message()
    copy.deviceSentMessage.destinationJid = ANA
    copy.deviceSentMessage.message.ParseFromString(NEWER)
    phone = Peer(desk, str(desk.own.own_lid.bare))
    unit = await desk.receive(phone.stanza(phone.enc(copy), recipient=ANA))
    [message] = unit.messages
    assert (message.key.chat, message.kind, message.body) == (ANA, "unknown", NEWER)


async def test_what_travels_with_a_group_key_hides_no_content_that_could_not_be_read(
    desk: Desk,
) -> None:
    """A rider that is newer than the schema looks like content; the text is asked for again."""
    ana = Peer(desk)
    given = ana.distribution()
    given.MergeFromString(NEWER)
    unread = ana.group_enc(wa_pb2.Message(conversation="one"))
    unit = await desk.receive(
        ana.in_group(ana.enc(given), Node("enc", unread.attrs, unread.data[:-1] + b"\0"))
    )
    assert unit.messages == ()
    assert only_fate(unit)[0] is Fate.PENDING
    assert [one.attrs.get("type") for one in desk.answered.delayed] == ["retry", None]


async def test_the_text_is_taken_and_not_what_travels_with_its_key(desk: Desk) -> None:
    ana = Peer(desk)
    given = ana.distribution()
    given.MergeFromString(NEWER)
    text = ana.group_enc(wa_pb2.Message(conversation="one"))
    unit = await desk.receive(ana.in_group(ana.enc(given), text))
    assert [one.text for one in unit.messages] == ["one"]


async def test_a_group_key_that_comes_alone_is_kept_and_shown_to_nobody(desk: Desk) -> None:
    ana = Peer(desk)
    unit = await desk.receive(ana.in_group(ana.enc(ana.distribution())))
    assert (unit.messages, only_fate(unit)) == ((), (Fate.CONTROL, "no_content"))
    assert [one.group for one in unit.sender_keys] == [GROUP]
    assert [one.tag for one in desk.answered.nodes] == ["receipt"]


async def test_a_group_key_outside_of_a_group_is_not_kept(desk: Desk) -> None:
    ana = Peer(desk)
    unit = await desk.receive(ana.stanza(ana.enc(ana.distribution(conversation="hello"))))
    assert (unit.messages[0].text, unit.sender_keys) == ("hello", ())


async def test_a_damaged_group_key_does_not_cost_the_text_beside_it(desk: Desk) -> None:
    ana = Peer(desk)
    given = ana.distribution(conversation="hello")
    given.senderKeyDistributionMessage.axolotlSenderKeyDistributionMessage = b"\x33damaged"
    unit = await desk.receive(ana.in_group(ana.enc(given)))
    assert (unit.messages[0].text, unit.sender_keys) == ("hello", ())


@pytest.mark.parametrize("envelope", [{}, {"recipient": ANA}], ids=["", "also outside"])
async def test_a_copy_from_our_phone_is_a_message_of_ours_in_the_chat_it_names(
    desk: Desk, envelope: dict[str, str]
) -> None:
    desk.know(ANA_PN, ANA)
    phone = Peer(desk, OWN_PHONE)
    sent = phone.enc(sent_by_phone("from my phone", ANA_PN))
    unit = await desk.receive(phone.stanza(sent, **envelope))
    [message] = unit.messages
    assert (message.key.chat, message.key.sender, message.key.from_me) == (ANA, OWN_PHONE, True)
    assert (message.text, message.status) == ("from my phone", Status.SENT)
    assert wa_pb2.Message.FromString(message.body).conversation == "from my phone"
    assert message.event is not None
    assert (message.event.payload["chat_pn"], message.event.payload["from_me"]) == (ANA_PN, True)
    expected = {"id": "A1", "to": OWN_PHONE, **envelope, "type": "sender"}
    assert desk.answered.nodes == [Node("receipt", expected)]


async def test_what_stands_beside_a_copy_belongs_to_the_message(desk: Desk) -> None:
    """WhatsApp keeps a message's secret there (whatsapp-rust pull request 696, 2026-06-03)."""
    phone = Peer(desk, OWN_PHONE)
    copy = sent_by_phone("from my phone", ANA)
    copy.messageContextInfo.messageSecret = b"secret"
    copy.messageContextInfo.messageAddOnDurationInSecs = 1
    copy.deviceSentMessage.message.messageContextInfo.messageAddOnDurationInSecs = 2
    unit = await desk.receive(phone.stanza(phone.enc(copy), recipient=ANA))
    context = wa_pb2.Message.FromString(unit.messages[0].body).messageContextInfo
    assert (context.messageSecret, context.messageAddOnDurationInSecs) == (b"secret", 2)


async def test_a_group_key_in_a_copy_is_kept_as_any_other(desk: Desk) -> None:
    """So a phone gives its key that sends to a group again."""
    phone = Peer(desk, OWN_PHONE)
    copy = sent_by_phone("again", GROUP)
    copy.deviceSentMessage.message.MergeFrom(phone.distribution())
    unit = await desk.receive(phone.in_group(phone.enc(copy)))
    assert (unit.messages[0].text, unit.messages[0].key.chat) == ("again", GROUP)
    following = phone.group_enc(wa_pb2.Message(conversation="next"))
    unit = await desk.receive(phone.in_group(following, id_="A2"))
    assert unit.messages[0].text == "next"


async def test_a_copy_with_nothing_but_a_key_does_not_stand_for_what_could_not_be_read(
    desk: Desk,
) -> None:
    phone = Peer(desk, OWN_PHONE)
    copy = wa_pb2.Message()
    copy.deviceSentMessage.message.MergeFrom(phone.distribution())
    enc = phone.group_enc(wa_pb2.Message(conversation="hello"))
    damaged = Node("enc", enc.attrs, enc.data[:-1] + b"?")
    unit = await desk.receive(phone.in_group(phone.enc(copy), damaged))
    assert only_fate(unit)[0] is Fate.PENDING


@pytest.mark.parametrize("to", ["", "some one@@", "s.whatsapp.net"])
@pytest.mark.parametrize("recipient", [ANA, ANA_PN])
async def test_a_copy_that_names_no_chat_is_kept_in_that_of_its_stanza(
    desk: Desk, to: str, recipient: str
) -> None:
    desk.know(ANA_PN, ANA)
    phone = Peer(desk, OWN_PHONE)
    copy = phone.stanza(phone.enc(sent_by_phone("from my phone", to)), recipient=recipient)
    assert (await desk.receive(copy)).messages[0].key.chat == ANA


async def test_nobody_else_can_write_in_our_name(desk: Desk) -> None:
    ana = Peer(desk)
    unit = await desk.receive(ana.stanza(ana.enc(sent_by_phone("I owe you", OWN_PHONE))))
    assert (unit.messages, only_fate(unit)) == ((), (Fate.CONTROL, "device_sent_by_stranger"))
    assert [one.tag for one in desk.answered.nodes] == ["receipt"]


PEER_DATA = [
    _Protocol.HISTORY_SYNC_NOTIFICATION,
    _Protocol.APP_STATE_SYNC_KEY_SHARE,
    _Protocol.APP_STATE_SYNC_KEY_REQUEST,
    _Protocol.APP_STATE_FATAL_EXCEPTION_NOTIFICATION,
    _Protocol.INITIAL_SECURITY_NOTIFICATION_SETTING_SYNC,
    _Protocol.PEER_DATA_OPERATION_REQUEST_MESSAGE,
    _Protocol.PEER_DATA_OPERATION_REQUEST_RESPONSE_MESSAGE,
    _Protocol.LID_MIGRATION_MAPPING_SYNC,
]


@pytest.mark.parametrize("kind", PEER_DATA)
async def test_what_own_devices_tell_each_other_is_kept_aside(
    desk: Desk, kind: "_Protocol.Type.ValueType"
) -> None:
    phone = Peer(desk, OWN_PHONE)
    unit = await desk.receive(phone.stanza(phone.enc(peer_data(kind)), category="peer"))
    name = _Protocol.Type.Name(kind).lower()
    assert (unit.messages, only_fate(unit)) == ((), (Fate.CONTROL, name))
    [kept] = unit.peer_messages
    assert (kept.id, kept.kind) == ("A1", name)
    assert wa_pb2.Message.FromString(kept.body) == peer_data(kind)
    answers = [Node("receipt", {"id": "A1", "to": OWN_PHONE, "type": "peer_msg"})]
    if name == "history_sync_notification":
        answers.append(Node("receipt", {"id": "A1", "to": OWN_PN, "type": "hist_sync"}))
    assert desk.answered.nodes == answers


@pytest.mark.parametrize("kind", PEER_DATA)
async def test_what_only_own_devices_may_tell_is_believed_of_nobody_else(
    desk: Desk, kind: "_Protocol.Type.ValueType"
) -> None:
    ana = Peer(desk)
    unit = await desk.receive(ana.stanza(ana.enc(peer_data(kind))))
    assert (unit.messages, unit.peer_messages) == ((), ())
    assert only_fate(unit) == (Fate.CONTROL, "peer_data_by_stranger")
    assert [one.tag for one in desk.answered.nodes] == ["receipt"]


async def test_who_takes_a_message_back_tells_its_reader(desk: Desk) -> None:
    unit = await desk.receive((ana := Peer(desk)).stanza(ana.enc(peer_data(_Protocol.REVOKE))))
    assert [one.kind for one in unit.messages] == ["revoke"]
    assert (unit.peer_messages, only_fate(unit)) == ((), (Fate.DELIVERED, None))


async def test_a_part_with_nothing_for_a_reader_hides_no_other(desk: Desk) -> None:
    ana = Peer(desk)
    given = ana.enc(ana.distribution(conversation="hello"))
    unit = await desk.receive(ana.in_group(given, ana.group_enc(wa_pb2.Message())))
    assert [one.text for one in unit.messages] == ["hello"]


async def test_who_writes_by_number_is_found_under_the_lid_that_is_known(desk: Desk) -> None:
    desk.know(ANA_PN, ANA)
    unit = await desk.receive(Peer(desk, ANA_PN).text("hello"))
    assert (unit.messages[0].key.chat, unit.messages[0].key.sender) == (ANA, ANA)
    assert [one.address for one in unit.ratchets] == ["200000000000002_1.0"]


async def test_who_writes_in_a_group_by_number_is_found_under_the_lid_too(desk: Desk) -> None:
    desk.know(ANA_PN, ANA)
    ana = Peer(desk, ANA_PN)
    unit = await desk.receive(ana.in_group(ana.enc(wa_pb2.Message(conversation="hello"))))
    [message] = unit.messages
    assert (message.key.chat, message.key.sender) == (GROUP, ANA)


async def test_a_text_without_padding_is_read_whole(desk: Desk) -> None:
    ana = Peer(desk)
    body = wa_pb2.Message(conversation="hello\x01").SerializeToString()
    sent = ana.party.send(body)
    unit = await desk.receive(ana.stanza(Node("enc", {"v": "3", "type": sent.kind}, sent.data)))
    assert unit.messages[0].text == "hello\x01"


def test_the_same_bytes_of_two_senders_are_two_ciphertexts() -> None:
    enc = Node("enc", {"v": "2", "type": "msg"}, b"the same")
    stanzas = [
        Node("message", {"from": ANA}, (enc,)),
        Node("message", {"from": OWN_PHONE}, (enc,)),
        Node("message", {"from": GROUP, "participant": OWN_PN}, (enc,)),
        Node("message", {"from": GROUP, "participant": ANA_PN}, (enc,)),
    ]
    assert len({digests_of(one) for one in stanzas}) == len(stanzas)


@pytest.mark.parametrize("readable", [True, False])
async def test_nothing_is_read_while_the_send_path_is_at_the_ratchets(
    desk: Desk, readable: bool
) -> None:
    ana = Peer(desk)
    stanza = ana.text("hello") if readable else Node("message", {"id": "A1"})
    async with desk.stage.lock:
        receiving = asyncio.create_task(desk.receive(stanza))
        for _ in range(9):
            await asyncio.sleep(0)
        assert desk.store.units == []
    await receiving
    assert len(desk.store.units) == 1


async def test_a_channels_post_without_content_is_kept_as_unknown(desk: Desk) -> None:
    attrs = {"id": "A1", "from": "120363000000000009@newsletter"}
    unit = await desk.receive(Node("message", attrs, (Node("plaintext"),)))
    assert [one.kind for one in unit.messages] == ["unknown"]


async def test_a_channels_post_is_read_though_it_is_not_encrypted(desk: Desk) -> None:
    body = wa_pb2.Message(conversation="news").SerializeToString()
    attrs = {"id": "A1", "from": "120363000000000009@newsletter", "type": "text"}
    unit = await desk.receive(Node("message", attrs, (Node("plaintext", {}, body),)))
    [message] = unit.messages
    assert (message.key.chat, message.text) == ("120363000000000009@newsletter", "news")
    assert message.body == body
    assert only_fate(unit) == (Fate.DELIVERED, None)
    assert [one.tag for one in desk.answered.nodes] == ["ack"]


async def test_a_status_update_under_its_own_tag_is_acknowledged_besides(desk: Desk) -> None:
    ana = Peer(desk)
    attrs = {"id": "A1", "from": "status@broadcast", "participant": ANA}
    enc = ana.enc(wa_pb2.Message(conversation="at the beach"))
    unit = await desk.receive(Node("status", attrs, (enc,)))
    assert unit.messages[0].key.chat == "status@broadcast"
    assert [one.tag for one in desk.answered.nodes] == ["receipt", "ack"]
