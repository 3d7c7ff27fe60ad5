"""What this device could not read is had from the phone, once, and believed of it alone."""

from datetime import timedelta
from typing import cast
from unittest.mock import AsyncMock, patch

import pytest

from perene.core.errors import StorageUnavailable
from perene.core.events import Json
from perene.core.messages import Fate
from perene.core.unit import Unit
from perene.engine.errors import QueryFailed, QueryTimedOut
from perene.engine.phone_resends import SENDER_ANSWERS_WITHIN_S
from perene.wire.node import Node
from perene.wire.proto import wa_pb2
from tests.unit.engine.desk import ANA, ANA_PN, GROUP, LIMIT, OWN_PHONE, Desk, Peer

REQUEST = wa_pb2.Message.PeerDataOperationRequestType
PROTOCOL = wa_pb2.Message.ProtocolMessage
NOTHING = Node("unavailable")
BIA = "300000000000003@lid"


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.know(ANA_PN, ANA)
    return desk


def asked(desk: Desk) -> list[wa_pb2.MessageKey]:
    """Return what the phone was asked for."""
    keys: list[wa_pb2.MessageKey] = []
    for message in desk.asked_of_phone:
        request = message.protocolMessage.peerDataOperationRequestMessage
        assert message.protocolMessage.type == PROTOCOL.PEER_DATA_OPERATION_REQUEST_MESSAGE
        assert request.peerDataOperationRequestType == REQUEST.PLACEHOLDER_MESSAGE_RESEND
        keys += [one.messageKey for one in request.placeholderMessageResendRequest]
    return keys


async def answered(
    desk: Desk, *infos: wa_pb2.WebMessageInfo, by: str = OWN_PHONE, id_: str = "P1"
) -> Unit:
    """Let a device answer with these."""
    message = wa_pb2.Message()
    message.protocolMessage.type = PROTOCOL.PEER_DATA_OPERATION_REQUEST_RESPONSE_MESSAGE
    response = message.protocolMessage.peerDataOperationRequestResponseMessage
    response.peerDataOperationRequestType = REQUEST.PLACEHOLDER_MESSAGE_RESEND
    for info in infos:
        result = response.peerDataOperationResult.add().placeholderMessageResendResponse
        result.webMessageInfoBytes = info.SerializeToString()
    response.peerDataOperationResult.add().placeholderMessageResendResponse.SetInParent()
    odd = response.peerDataOperationResult.add().placeholderMessageResendResponse
    odd.webMessageInfoBytes = b"\xff"
    phone = Peer(desk, by)
    return await desk.receive(phone.stanza(phone.enc(message), id_=id_, category="peer"))


def info(
    text: str = "hello", id_: str = "A1", chat: str = ANA, **key: object
) -> wa_pb2.WebMessageInfo:
    """Return a message as the phone has it."""
    found = wa_pb2.WebMessageInfo(messageTimestamp=1_788_000_000, pushName="Ana")
    found.key.remoteJid, found.key.id = chat, id_
    found.key.MergeFrom(wa_pb2.MessageKey(**key))  # pyright: ignore[reportArgumentType]  # its fields
    found.message.conversation = text
    return found


async def missing(desk: Desk, *, id_: str = "A1") -> None:
    """Be sent something that WhatsApp has nothing of for this device."""
    await desk.receive(Peer(desk).stanza(NOTHING, id_=id_))
    await desk.later.work()


async def test_what_whatsapp_has_nothing_of_is_asked_for_at_once_and_stored(desk: Desk) -> None:
    await missing(desk)
    [key] = asked(desk)
    assert (key.remoteJid, key.fromMe, key.id, key.participant) == (ANA, False, "A1", "")

    unit = await answered(desk, info("h\ud83d"[:1] + "ello"))
    [message] = unit.messages
    payload = cast("dict[str, Json]", message.event.payload if message.event else {})
    assert (message.text, message.push_name, message.kind) == ("hello", "Ana", "text")
    assert message.timestamp.timestamp() == 1_788_000_000
    assert (payload["chat"], payload["sender"], payload["chat_pn"]) == (ANA, ANA, ANA_PN)
    assert [(entry.key.id, entry.fate) for entry in unit.ledger] == [
        ("A1", Fate.DELIVERED),
        ("P1", Fate.CONTROL),
    ]
    assert unit.peer_messages == ()


async def test_of_a_group_the_phone_is_told_who_wrote(desk: Desk) -> None:
    await desk.receive(Peer(desk, f"{ANA[:-4]}:4@lid").in_group(NOTHING))
    await desk.later.work()
    [key] = asked(desk)
    assert (key.remoteJid, key.participant) == (GROUP, ANA)
    unit = await answered(desk, info(chat=GROUP, participant=ANA_PN))
    [message] = unit.messages
    assert (message.key.chat, message.key.sender) == (GROUP, ANA)


async def test_what_an_own_device_wrote_is_an_own_message(desk: Desk) -> None:
    other = Peer(desk, "100000000000001:7@lid")
    await desk.receive(other.stanza(NOTHING, recipient=ANA))
    await desk.later.work()
    [key] = asked(desk)
    assert (key.remoteJid, key.fromMe) == (ANA, True)
    desk.know("15550000001@s.whatsapp.net", OWN_PHONE)
    unit = await answered(desk, info(chat=ANA_PN, fromMe=True))
    [message] = unit.messages
    assert (message.key.from_me, message.key.chat, message.key.sender) == (True, ANA, OWN_PHONE)


@pytest.mark.parametrize(
    "children",
    [
        (Node("unavailable", {"type": "view_once"}),),
        (Node("unavailable", {"type": "view_once_unavailable_fanout"}),),
        (Node("unavailable", {"type": "bot_unavailable_fanout"}),),
        (Node("unavailable", {"type": "hosted"}),),
        (Node("unavailable", {"hosted": "true"}),),
        (Node("bot"), NOTHING),
    ],
    ids=["once", "once, in words", "bot", "hosted", "hosted, by itself", "of a bot"],
)
async def test_what_no_linked_device_is_given_is_not_asked_for(
    desk: Desk, children: tuple[Node, ...]
) -> None:
    unit = await desk.receive(Peer(desk).stanza(*children))
    await desk.later.work()
    assert asked(desk) == []
    assert [entry.wants_phone for entry in unit.ledger] == [None]


@pytest.mark.parametrize(
    "attrs",
    [
        {"t": "1700000000"},
        {"category": "peer", "from": OWN_PHONE},
        {"from": "status@broadcast", "participant": ANA},
    ],
    ids=["old", "between own devices", "status"],
)
async def test_what_the_phone_would_not_give_is_not_asked_for(
    desk: Desk, attrs: dict[str, str]
) -> None:
    await desk.receive(Peer(desk).stanza(NOTHING, **attrs))
    await desk.later.work()
    assert asked(desk) == []


async def test_a_stanza_without_anything_is_not_asked_for(desk: Desk) -> None:
    await desk.receive(Peer(desk).stanza())
    await desk.later.work()
    assert asked(desk) == []


async def test_the_sender_is_given_time_and_the_phone_is_asked_once(desk: Desk) -> None:
    ana = Peer(desk)
    for _ in range(LIMIT + 1):
        enc = ana.enc(wa_pb2.Message(conversation="hello"))
        await desk.receive(ana.stanza(Node("enc", enc.attrs, enc.data[:-1] + b"?")))
    assert asked(desk) == []
    first, *others = [await work() for work in desk.later.waiting]
    assert first is not None
    assert first.after_s == SENDER_ANSWERS_WITHIN_S
    assert others == [None], "the last one asked, for there is nobody else to ask"
    await first.work()
    assert len(asked(desk)) == 1


async def test_what_has_come_by_then_is_not_asked_for(desk: Desk) -> None:
    ana = Peer(desk)
    enc = ana.enc(wa_pb2.Message(conversation="hello"))
    await desk.receive(ana.stanza(Node("enc", enc.attrs, enc.data[:-1] + b"?")))
    [work] = desk.later.waiting
    rest = await work()
    await desk.receive(ana.text("hello"))
    assert rest is not None
    await rest.work()
    assert asked(desk) == []


@pytest.mark.parametrize("error", [QueryFailed(503, "busy"), QueryTimedOut("no answer")])
async def test_a_server_that_does_not_help_is_asked_again_a_few_times(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    attempts = 0

    async def busy(_: wa_pb2.Message, _taken: object) -> bool:
        nonlocal attempts
        attempts += 1
        raise error

    monkeypatch.setattr(desk, "ask_phone", busy)
    desk.connect()
    await desk.receive(Peer(desk).stanza(NOTHING))
    [work] = desk.later.waiting
    rest = await work()
    while rest is not None:
        assert timedelta(seconds=rest.after_s) == timedelta(minutes=1)
        rest = await rest.work()
    assert attempts == 5


@pytest.mark.parametrize("by", [ANA, "100000000000001:7@lid"], ids=["stranger", "own companion"])
async def test_only_the_phone_is_believed(desk: Desk, by: str) -> None:
    await missing(desk)
    unit = await answered(desk, info("forged"), by=by)
    assert unit.messages == ()
    assert [entry.key.id for entry in unit.ledger] == ["P1"]


@pytest.mark.parametrize(
    "answer",
    [
        info(id_="A2"),
        info(id_=""),
        info(chat="@@"),
        info(chat="300000000000003@lid"),
        info(chat=GROUP, participant=ANA),
        info(chat=ANA, fromMe=True),
        wa_pb2.WebMessageInfo(key=info().key),
    ],
    ids=["other id", "no id", "no chat", "other chat", "in a group", "own", "no content"],
)
async def test_what_is_not_missing_is_not_stored(desk: Desk, answer: wa_pb2.WebMessageInfo) -> None:
    await missing(desk)
    assert (await answered(desk, answer)).messages == ()


async def test_an_answer_that_comes_twice_is_one_message(desk: Desk) -> None:
    await missing(desk)
    assert len((await answered(desk, info(), info("again"))).messages) == 1
    assert (await answered(desk, info("later"), id_="P2")).messages == ()


async def resumed(desk: Desk) -> list[wa_pb2.MessageKey]:
    """Begin a connection, and return what it asks for of itself, when senders had their time."""
    desk.connect()
    desk.phone.resume()
    [work] = desk.later.waiting
    desk.later.waiting.clear()
    rest = await work()
    assert rest is not None
    assert rest.after_s == SENDER_ANSWERS_WITHIN_S
    assert await rest.work() is None
    return asked(desk)


def broken(peer: Peer, text: str = "hello") -> Node:
    enc = peer.enc(wa_pb2.Message(conversation=text))
    return Node("enc", enc.attrs, enc.data[:-1] + b"?")


async def test_what_was_still_to_be_asked_for_is_asked_for_by_the_next_connection(
    desk: Desk,
) -> None:
    ana = Peer(desk)
    await desk.receive(ana.stanza(broken(ana)))
    await desk.receive(ana.in_group(broken(ana), id_="G1"))
    other = Peer(desk, "100000000000001:7@lid")
    await desk.receive(other.stanza(NOTHING, id_="A2", recipient=ANA))
    await desk.receive(other.in_group(NOTHING, id_="G2"))
    found = sorted(
        (key.id, key.remoteJid, key.fromMe, key.participant) for key in await resumed(desk)
    )
    assert found == [
        ("A1", ANA, False, ""),
        ("A2", ANA, True, ""),
        ("G1", GROUP, False, ANA),
        ("G2", GROUP, True, ""),
    ]
    assert len(desk.asked_of_phone) == 1, "all in one request"


async def test_an_account_that_writes_by_number_names_people_so(desk: Desk) -> None:
    desk.own = desk.own.changed(by_number_since=int(desk.clock.now().timestamp()))
    ana, bia = Peer(desk), Peer(desk, BIA)
    await desk.receive(ana.stanza(broken(ana)))
    await desk.receive(ana.in_group(broken(ana), id_="G1"))
    await desk.receive(bia.in_group(broken(bia), id_="G2"))
    found = sorted((key.id, key.remoteJid, key.participant) for key in await resumed(desk))
    assert found == [("A1", ANA_PN, ""), ("G1", GROUP, ANA_PN), ("G2", GROUP, BIA)], (
        "whose number is not known has the LID alone"
    )


async def test_what_the_server_has_a_request_for_is_not_asked_for_again(desk: Desk) -> None:
    await missing(desk)
    assert len(await resumed(desk)) == 1, "it may not have left"
    await desk.take_requests()
    assert await resumed(desk) == []
    assert {entry.reason for entry in desk.store.ledger.values()} == {"unavailable_unknown"}


async def test_what_is_asked_for_now_is_not_asked_for_twice(desk: Desk) -> None:
    desk.connect()
    desk.phone.resume()
    ana = Peer(desk)
    await desk.receive(ana.stanza(broken(ana)))
    [look, ask] = [rest for work in desk.later.waiting if (rest := await work()) is not None]
    for rest in (look, ask, look):
        await rest.work()
    assert len(asked(desk)) == 1


async def test_what_has_come_meanwhile_is_not_asked_for(desk: Desk) -> None:
    ana = Peer(desk)
    await desk.receive(ana.stanza(broken(ana)), ana.text("hello"))
    assert await resumed(desk) == []


async def test_so_many_are_asked_for_in_several_requests(desk: Desk) -> None:
    for number in range(40):
        await desk.receive(Peer(desk).stanza(NOTHING, id_=f"A{number}"))
    assert len(await resumed(desk)) == 40
    assert len(desk.asked_of_phone) == 2


@pytest.mark.parametrize("asked_for", ["wanted_of_phone", "ledger_entry"])
async def test_a_database_that_is_away_is_asked_later_and_costs_no_connection(
    desk: Desk, asked_for: str
) -> None:
    await missing(desk)
    desk.connect()
    desk.phone.resume()
    [work] = desk.later.waiting
    look = await work()
    assert look is not None
    with patch.object(desk.store, asked_for, AsyncMock(side_effect=StorageUnavailable("away"))):
        again = await look.work()
    assert again is not None
    assert again.after_s == 60
    assert asked(desk) == []
    assert await again.work() is None
    assert [key.id for key in asked(desk)] == ["A1"]


async def test_a_database_that_is_away_when_the_server_has_a_request_costs_no_connection(
    desk: Desk,
) -> None:
    await missing(desk)
    assert len(await resumed(desk)) == 1
    away = AsyncMock(side_effect=StorageUnavailable("away"))
    with patch.object(desk.stage, "ledger_entry", away):
        await desk.take_requests()
    assert away.await_count == 1
    assert len(await resumed(desk)) == 1, "asked for once more"
