"""A phone serves its companions: keys, history, and messages they could not read."""

import zlib

import pytest

from perene.sim import Simulator
from perene.sim.phone import PastMessage
from perene.wire.jid import Jid
from perene.wire.node import Node
from perene.wire.proto import wa_pb2
from tests.unit.sim.client import Client, Clock

Protocol = wa_pb2.Message.ProtocolMessage


@pytest.fixture
def simulator(clock: Clock) -> Simulator:
    return Simulator(now=clock, seed=1)


async def first_login(simulator: Simulator, me: object = None) -> Client:
    client = Client(simulator, me or await Client.paired(simulator))  # pyright: ignore[reportArgumentType]
    await client.log_in()
    await client.go_active()
    return client


async def test_keys_and_history_come_after_the_end_of_the_first_queue(
    simulator: Simulator,
) -> None:
    me = await Client.paired(simulator)
    contact = simulator.add_contact(name="Bea")
    past = [
        PastMessage(chat=contact.account, id="A", text="old", time=100),
        PastMessage(chat=contact.account, id="B", text="older", time=50, from_me=True),
    ]
    simulator.remember(me.phone, past)
    client = await first_login(simulator, me)
    tags = [n.children[0].tag if n.tag == "ib" else n.tag for n in client.nodes]
    assert tags.index("offline") < tags.index("message")
    stanzas = client.take("message")
    assert {stanza.attr("category") for stanza in stanzas} == {"peer"}
    contents = [client.decrypt(stanza)[0].protocolMessage for stanza in stanzas]
    assert contents[0].type == Protocol.APP_STATE_SYNC_KEY_SHARE
    notices = [one.historySyncNotification for one in contents[1:]]
    kinds = wa_pb2.Message.HistorySyncType
    assert [notice.syncType for notice in notices] == [
        kinds.INITIAL_BOOTSTRAP,
        kinds.PUSH_NAME,
        kinds.RECENT,
    ]
    assert notices[-1].progress == 100
    history = wa_pb2.HistorySync.FromString(
        zlib.decompress(notices[0].initialHistBootstrapInlinePayload)
    )
    (chat,) = history.conversations
    assert chat.id == str(contact.account.jid())
    assert [m.message.message.conversation for m in chat.messages] == ["old", "older"]
    assert [m.message.key.fromMe for m in chat.messages] == [False, True]


async def test_a_second_login_gets_no_history(simulator: Simulator) -> None:
    client = await first_login(simulator)
    for stanza in client.take("message"):
        client.decrypt(stanza)
        await client.confirm(stanza)
    await client.close()
    again = await first_login(simulator, client.me)
    assert again.take("message") == []


async def request_resend(client: Client, message_id: str, chat: str) -> list[Node]:
    kinds = wa_pb2.Message.PeerDataOperationRequestType
    request = wa_pb2.Message.PeerDataOperationRequestMessage(
        peerDataOperationRequestType=kinds.PLACEHOLDER_MESSAGE_RESEND
    )
    key = request.placeholderMessageResendRequest.add().messageKey
    key.id, key.remoteJid, key.fromMe = message_id, chat, False
    content = Protocol(
        type=Protocol.PEER_DATA_OPERATION_REQUEST_MESSAGE, peerDataOperationRequestMessage=request
    )
    own = str(Jid.parse(client.me.lid).bare)
    enc = await client.encrypt(own, wa_pb2.Message(protocolMessage=content))
    attrs = {"id": "R", "to": own, "type": "text", "category": "peer"}
    await client.send(Node("message", attrs, (enc,)))
    return [s for s in client.take("message") if s.attrs.get("category") == "peer"]


@pytest.mark.requirement("A2")
async def test_the_phone_resends_what_a_companion_could_not_read(simulator: Simulator) -> None:
    client = await first_login(simulator)
    for stanza in client.take("message"):
        client.decrypt(stanza)
    contact = simulator.add_contact()
    sent = simulator.send_text(contact.account.phone, client.me.phone, "hi")
    await client.read()
    client.take("message")
    (answer,) = await request_resend(client, sent, str(contact.account.jid()))
    response = client.decrypt(answer)[0].protocolMessage.peerDataOperationRequestResponseMessage
    assert response.stanzaId == "R"
    resent = response.peerDataOperationResult[0].placeholderMessageResendResponse
    info = wa_pb2.WebMessageInfo.FromString(resent.webMessageInfoBytes)
    assert (info.key.id, info.message.conversation) == (sent, "hi")


async def test_a_phone_that_will_not_or_cannot_resend_is_silent(simulator: Simulator) -> None:
    client = await first_login(simulator)
    for stanza in client.take("message"):
        client.decrypt(stanza)
    person = simulator.person(client.me.phone)
    assert await request_resend(client, "UNKNOWN", "1@lid") == []
    assert person.party.desk.counts["phone_has_not"] == 1
    person.phone.resends = False
    assert await request_resend(client, "UNKNOWN", "1@lid") == []
    assert person.party.desk.counts["phone_requests"] == 2
