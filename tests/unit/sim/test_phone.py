"""A phone serves its companions: keys, history, and messages they could not read."""

import zlib

import pytest

from perene.sim import Settings, Simulator
from perene.sim.phone import APP_STATE_KEY_ID, PastMessage
from perene.wire.jid import Jid
from perene.wire.node import Node
from perene.wire.proto import wa_pb2
from tests.unit.sim.client import Client, Clock, Identity

Protocol = wa_pb2.Message.ProtocolMessage


@pytest.fixture
def simulator(clock: Clock) -> Simulator:
    return Simulator(now=clock, seed=1)


async def first_login(simulator: Simulator, me: Identity | None = None) -> Client:
    client = Client(simulator, me or await Client.paired(simulator))
    await client.log_in()
    await client.go_active()
    return client


async def history_of(simulator: Simulator, me: Identity) -> list[wa_pb2.HistorySync]:
    """Log in for the first time and return the chunks of history."""
    client = await first_login(simulator, me)
    tags = [n.children[0].tag if n.tag == "ib" else n.tag for n in client.nodes]
    assert tags.index("offline") < tags.index("message")
    stanzas = client.take("message")
    assert {stanza.attr("category") for stanza in stanzas} == {"peer"}
    contents = [client.decrypt(stanza)[0].protocolMessage for stanza in stanzas]
    assert contents[0].type == Protocol.APP_STATE_SYNC_KEY_SHARE
    notices = [one.historySyncNotification for one in contents[1:]]
    chunks = [
        wa_pb2.HistorySync.FromString(zlib.decompress(notice.initialHistBootstrapInlinePayload))
        for notice in notices
    ]
    for notice, chunk in zip(notices, chunks, strict=True):
        assert (notice.syncType, notice.chunkOrder) == (chunk.syncType, chunk.chunkOrder)
        assert notice.progress == chunk.progress
    return chunks


def said(chunk: wa_pb2.HistorySync) -> list[str]:
    return [
        message.message.message.conversation
        for chat in chunk.conversations
        for message in chat.messages
    ]


async def test_without_a_past_the_history_is_empty_and_complete(simulator: Simulator) -> None:
    bootstrap, names, recent = await history_of(simulator, await Client.paired(simulator))
    assert bootstrap.syncType == wa_pb2.HistorySync.INITIAL_BOOTSTRAP
    assert names.syncType == wa_pb2.HistorySync.PUSH_NAME
    assert (recent.syncType, recent.progress) == (wa_pb2.HistorySync.RECENT, 100)
    assert said(bootstrap) == said(recent) == []


async def test_history_comes_newest_first_in_numbered_chunks(clock: Clock) -> None:
    simulator = Simulator(now=clock, seed=1, settings=Settings(history_chunk=2))
    me = await Client.paired(simulator)
    bea = simulator.add_contact(name="Bea").account
    past = [
        PastMessage(chat=bea, id=f"P{n}", text=str(n), time=n, from_me=n == 5) for n in range(6)
    ]
    simulator.remember(me.phone, past)
    bootstrap, names, *recent = await history_of(simulator, me)
    assert said(bootstrap) == ["5"]
    assert bootstrap.conversations[0].messages[0].message.key.fromMe
    assert bootstrap.phoneNumberToLidMappings[0].lidJid == str(bea.jid())
    assert [name.pushname for name in names.pushnames] == ["Bea"]
    assert [said(chunk) for chunk in recent] == [["4", "3"], ["2", "1"], ["0"]]
    assert [chunk.chunkOrder for chunk in recent] == [1, 2, 3]
    assert [chunk.progress for chunk in recent] == [33, 66, 100]
    ends = [chunk.conversations[0].endOfHistoryTransfer for chunk in recent]
    assert ends == [False, False, True]


async def test_older_messages_come_on_demand(simulator: Simulator) -> None:
    client = await first_login(simulator)
    for stanza in client.take("message"):
        client.decrypt(stanza)
    bea = simulator.add_contact().account
    past = [PastMessage(chat=bea, id=f"P{n}", text=str(n), time=n) for n in range(6)]
    simulator.remember(client.me.phone, past)
    kinds = wa_pb2.Message.PeerDataOperationRequestType
    request = wa_pb2.Message.PeerDataOperationRequestMessage(
        peerDataOperationRequestType=kinds.HISTORY_SYNC_ON_DEMAND
    )
    wanted = request.historySyncOnDemandRequest
    wanted.chatJid, wanted.oldestMsgId, wanted.onDemandMsgCount = str(bea.jid()), "P4", 2
    (answer,) = await request_of_phone(client, request)
    notice = client.decrypt(answer)[0].protocolMessage.historySyncNotification
    assert notice.peerDataRequestSessionId == "R"
    chunk = wa_pb2.HistorySync.FromString(zlib.decompress(notice.initialHistBootstrapInlinePayload))
    assert said(chunk) == ["3", "2"]


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
    return await request_of_phone(client, request)


async def request_of_phone(
    client: Client, request: wa_pb2.Message.PeerDataOperationRequestMessage
) -> list[Node]:
    """Send a request to the own phone; return what it answers."""
    return await tell_phone(
        client,
        Protocol(
            type=Protocol.PEER_DATA_OPERATION_REQUEST_MESSAGE,
            peerDataOperationRequestMessage=request,
        ),
    )


async def tell_phone(client: Client, content: wa_pb2.Message.ProtocolMessage) -> list[Node]:
    """Send a protocol message to the own phone; return what it answers."""
    own = str(Jid.parse(client.me.lid).bare)
    enc = await client.encrypt(own, wa_pb2.Message(protocolMessage=content))
    attrs = {"id": "R", "to": own, "type": "text", "category": "peer"}
    await client.send(Node("message", attrs, (enc,)))
    return [s for s in client.take("message") if s.attrs.get("category") == "peer"]


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


def request_for_keys(*ids: bytes) -> wa_pb2.Message.ProtocolMessage:
    content = Protocol(type=Protocol.APP_STATE_SYNC_KEY_REQUEST)
    content.appStateSyncKeyRequest.SetInParent()
    for key_id in ids:
        content.appStateSyncKeyRequest.keyIds.add(keyId=key_id)
    return content


@pytest.mark.parametrize(
    ("asked", "shared"),
    [
        ([APP_STATE_KEY_ID], [APP_STATE_KEY_ID]),
        ([b"unknown", APP_STATE_KEY_ID], [APP_STATE_KEY_ID]),
        ([b"unknown"], []),
        ([], []),
    ],
)
async def test_the_phone_shares_those_of_the_asked_keys_that_it_has(
    simulator: Simulator, asked: list[bytes], shared: list[bytes]
) -> None:
    client = await first_login(simulator)
    for stanza in client.take("message"):
        client.decrypt(stanza)
    (answer,) = await tell_phone(client, request_for_keys(*asked))
    content = client.decrypt(answer)[0].protocolMessage
    assert content.type == Protocol.APP_STATE_SYNC_KEY_SHARE
    keys = content.appStateSyncKeyShare.keys
    assert [key.keyId.keyId for key in keys] == shared
    assert all(len(key.keyData.keyData) == 32 for key in keys)
    assert simulator.person(client.me.phone).party.desk.counts["phone_key_requests"] == 1


async def test_a_phone_that_is_off_shares_its_key_when_it_is_back(simulator: Simulator) -> None:
    client = await first_login(simulator)
    for stanza in client.take("message"):
        client.decrypt(stanza)
    simulator.set_online(client.me.phone, False)
    assert await tell_phone(client, request_for_keys(APP_STATE_KEY_ID)) == []
    simulator.set_online(client.me.phone, True)
    await client.read()
    (answer,) = client.take("message")
    content = client.decrypt(answer)[0].protocolMessage
    assert content.type == Protocol.APP_STATE_SYNC_KEY_SHARE
