"""What leaves for a message: for whom it is, what each of them reads, and what is asked before."""

import asyncio
from typing import Any, cast
from unittest.mock import AsyncMock, patch

import pytest

from perene.core.failures import Failure, FailureCode
from perene.core.ids import MessageId
from perene.core.messages import Message, Status
from perene.core.unit import AddressPair, HolderChange, Unit
from perene.engine.answers import Answers
from perene.engine.device_hashes import DeviceHashes, participant_hash
from perene.engine.devices import Devices
from perene.engine.draft import Draft
from perene.engine.errors import CannotSend, Overtaking, QueryFailed, QueryTimedOut
from perene.engine.group_key import give_up, own_key
from perene.engine.groups import Groups
from perene.engine.moving import learn
from perene.engine.privacy_tokens import PrivacyTokens
from perene.engine.queries import Queries
from perene.engine.send import Sender
from perene.engine.wire_forms import WireForms
from perene.signal import (
    Encrypted,
    Ratchet,
    SenderKeyRecord,
    group_decrypt,
    process_distribution,
    unpad,
)
from perene.wire.jid import Jid
from perene.wire.node import Node
from perene.wire.proto import wa_pb2
from tests.support.units import key, message
from tests.unit.engine.desk import (
    ANA,
    ANA_PN,
    GROUP,
    Desk,
    Peer,
    keys_of,
    registration,
)
from tests.unit.engine.fakes import line_on

ANA_DESK = "200000000000002:4@lid"
OWN_PERSON, OWN_PHONE_PN = "100000000000001@lid", "15550000001@s.whatsapp.net"
THIS, THIS_PN = "100000000000001:3@lid", "15550000001:3@s.whatsapp.net"
HASH = "2:bbbbbbbb"


class Server:
    """Tells who has which devices, their keys, and who is in the group."""

    def __init__(self) -> None:
        self.devices: dict[str, tuple[int, ...]] = {
            ANA: (0, 4),
            OWN_PERSON: (0, 3),
            OWN_PHONE_PN: (0, 3),
        }
        self.members: tuple[str, ...] = (ANA, OWN_PERSON)
        self.peers: dict[str, Peer] = {}
        self.asked: list[str] = []
        self.trouble: dict[str, Exception] = {}
        self.odd = False
        self.mode = "lid"
        self.numbers: dict[str, str] = {}
        self.gone: set[str] = set()
        """Devices that it refuses to have keys of."""
        self.refusal = "406"
        self.statements: dict[str, bytes] = {}
        """What phones have signed of their companions."""

    def next_id(self) -> str:
        return "1"

    async def ask(self, namespace: str, _kind: str, *content: Node, **_more: object) -> Node:
        self.asked.append(namespace)
        if namespace in self.trouble:
            raise self.trouble[namespace]
        match namespace:
            case "w:g2":
                people = tuple(
                    Node("participant", {"jid": one, "phone_number": self.numbers.get(one, "")})
                    for one in self.members
                )
                group = Node("group", {"addressing_mode": self.mode}, people)
                return Node("iq", {}, () if self.odd else (group,))
            case "usync":
                wanted = [user.attr("jid") for user in content[0].need("list").children]
                lids = {pn: lid for lid, pn in self.numbers.items()}
                users = tuple(
                    _listed(
                        one,
                        self.devices.get(one, ()),
                        lids.get(one, ""),
                        self.statements.get(one),
                    )
                    for one in wanted
                )
                return Node("iq", {}, (Node("usync", {}, (Node("list", {}, users),)),))
            case _:
                found: list[Node] = []
                for user in content[0].children:
                    if user.attr("jid") in self.gone:
                        refused = Node("error", {"code": self.refusal})
                        found.append(Node("user", user.attrs, (refused,)))
                    elif (peer := self.peers.get(user.attr("jid"))) is not None:
                        bundle = peer.party.bundle()
                        parts = (registration(bundle), *keys_of(bundle))
                        found.append(Node("user", user.attrs, parts))
                return Node("iq", {}, (Node("list", {}, tuple(found)),))


def _listed(user: str, ids: tuple[int, ...], lid: str, statement: bytes | None) -> Node:
    rows = tuple(
        Node("device", {"id": str(one), "key-index": str(one), "is_hosted": str(one == 7).lower()})
        for one in ids
    )
    index = Node("key-index-list", {"ts": "1"}, statement)
    devices = Node("devices", {}, (Node("device-list", {}, rows), index))
    return Node("user", {"jid": user}, (devices, Node("lid", {"val": lid})))


class Post:
    """A desk that sends, and the devices of those whom it writes to."""

    def __init__(self) -> None:
        self.desk, self.server, self.hashes = Desk(), Server(), DeviceHashes()
        self.forms = WireForms()
        self.desk.know(OWN_PHONE_PN, OWN_PERSON)
        self.tokens = AsyncMock()
        self.tokens.shown_to.return_value = (Node("tctoken", {}, b"token"),)
        queries = cast("Queries", self.server)
        self.devices = Devices(queries, self.desk.clock)
        self.groups = Groups(queries, self.desk.clock)
        self.sender = Sender(
            line_on(
                self.desk.stage,
                queries=queries,
                clock=self.desk.clock,
                answers=cast("Answers", self.desk.answered),
            ),
            devices=self.devices,
            groups=self.groups,
            tokens=cast("PrivacyTokens", self.tokens),
            hashes=self.hashes,
            forms=self.forms,
        )
        for jid in (ANA, ANA_DESK, OWN_PERSON):
            self.server.peers[jid] = Peer(self.desk, jid)

    async def send(self, text: str = "hello", *, to: str = ANA, id_: str = "M1") -> Node:
        """Send a text; return its stanza, which is all that leaves."""
        self.desk.answered.nodes.clear()
        await self.sender.send(written(text, to=to, id_=id_))
        [stanza] = self.desk.answered.nodes
        return stanza

    def read(self, jid: str, stanza: Node) -> wa_pb2.Message:
        """Read the part of a stanza that is for a device, known to the server by `jid`."""
        [to] = [to for to in stanza.need("participants").children if _same(to.attr("jid"), jid)]
        enc = to.need("enc")
        kind = "pkmsg" if enc.attr("type") == "pkmsg" else "msg"
        sent = Encrypted(ratchet=Ratchet.empty, kind=kind, data=enc.data)
        return wa_pb2.Message.FromString(unpad(self.server.peers[jid].party.read(sent)))


def _same(wire: str, jid: str) -> bool:
    return wire == jid or (wire, jid) == (OWN_PHONE_PN, OWN_PERSON)


def written(text: str = "hello", *, to: str = ANA, id_: str = "M1") -> Message:
    body = wa_pb2.Message(conversation=text).SerializeToString()
    return message(key(id_, chat=to, from_me=True), text=text, body=body)


def addressed(stanza: Node) -> list[str]:
    return [to.attr("jid") for to in stanza.need("participants").children]


@pytest.fixture
def post() -> Post:
    return Post()


async def test_a_message_is_encrypted_for_every_device_of_both_but_this_one(post: Post) -> None:
    stanza = await post.send()
    assert stanza.attrs == {"id": "M1", "to": ANA, "type": "text"}
    assert addressed(stanza) == [ANA, ANA_DESK, OWN_PERSON]
    assert [one.tag for one in stanza.children] == ["participants", "tctoken", "device-identity"]
    for reader in (ANA, ANA_DESK):
        assert post.read(reader, stanza) == wa_pb2.Message(conversation="hello")
    copy = post.read(OWN_PERSON, stanza).deviceSentMessage
    assert (copy.destinationJid, copy.message.conversation) == (ANA, "hello")
    assert len(post.desk.store.units[-1].ratchets) == 3
    assert post.desk.store.reads == ["ratchets"], "one read for all"
    post.tokens.wrote_to.assert_awaited_once_with(Jid.parse(ANA))


@pytest.mark.parametrize("to", [ANA, ANA_PN])
@pytest.mark.parametrize("mine", [OWN_PERSON, OWN_PHONE_PN], ids=["own LID", "own number"])
@pytest.mark.parametrize("theirs", [ANA, ANA_PN], ids=["LID", "number"])
async def test_all_addresses_of_a_message_are_in_one_form(
    post: Post, to: str, mine: str, theirs: str
) -> None:
    """By LID if it is known, under whichever address the server lists somebody's devices."""
    post.server.devices = {theirs: (0, 4), mine: (0, 3)}
    post.server.numbers = {ANA: ANA_PN}
    if to == ANA:
        post.desk.know(ANA_PN, ANA)
    stanza = await post.send(to=to)
    assert stanza.attrs == {"id": "M1", "to": ANA, "type": "text", "peer_recipient_pn": ANA_PN}
    assert addressed(stanza) == [ANA, ANA_DESK, OWN_PERSON]
    assert post.read(OWN_PERSON, stanza).deviceSentMessage.destinationJid == ANA


async def test_an_account_that_was_not_moved_to_lids_writes_by_number(post: Post) -> None:
    post.desk.know(ANA_PN, ANA)
    await post.send()
    assert post.forms.refused(MessageId("M1"))
    for id_, to in (("M1", ANA), ("M2", ANA_PN)):
        stanza = await post.send(to=to, id_=id_)
        assert stanza.attrs == {"id": id_, "to": ANA_PN, "type": "text"}
        assert addressed(stanza) == [ANA_PN, "15550000002:4@s.whatsapp.net", OWN_PHONE_PN]
        copy = post.read(OWN_PERSON, stanza).deviceSentMessage
        assert copy.destinationJid == ANA_PN
    note = await post.send(to=OWN_PERSON, id_="M3")
    assert (note.attr("to"), addressed(note)) == (OWN_PHONE_PN, [OWN_PHONE_PN])


async def test_whose_number_nobody_knows_is_written_to_by_lid(post: Post) -> None:
    post.desk.know(ANA_PN, ANA)
    stranger = "200000000000009@lid"
    post.server.devices[stranger] = (0,)
    post.server.peers[stranger] = Peer(post.desk, stranger)
    await post.send()
    post.forms.refused(MessageId("M1"))
    stanza = await post.send(to=stranger, id_="M2")
    assert (stanza.attr("to"), addressed(stanza)) == (stranger, [stranger, OWN_PERSON])
    assert not post.forms.refused(MessageId("M2")), "there is no other form"


async def test_who_was_asked_for_by_number_is_not_asked_for_again_by_lid(post: Post) -> None:
    post.server.devices[ANA_PN] = (0, 4)
    post.server.numbers = {ANA: ANA_PN}
    await post.send(to=ANA_PN)
    await post.send(to=ANA, id_="M2")
    assert post.server.asked == ["usync", "encrypt"]


async def test_a_message_waits_for_the_commit_of_its_ratchets(post: Post) -> None:
    post.desk.store.auto = False
    await post.send()
    [(unit, commit)] = post.desk.store.pending
    assert (len(unit.ratchets), post.desk.answered.waits_for) == (3, [commit])


async def test_what_is_known_is_not_asked_for_again(post: Post) -> None:
    await post.send()
    stanza = await post.send("again", id_="M2")
    assert post.server.asked == ["usync", "encrypt"]
    assert post.read(ANA, stanza).conversation == "again"


async def test_who_has_heard_of_us_needs_no_introduction(post: Post) -> None:
    post.server.devices = {ANA: (0,), OWN_PERSON: (3,)}
    ana = post.server.peers[ANA]
    await post.desk.receive(ana.text("before", id_="A0"))
    ana.hear()
    stanza = await post.send()
    assert [one.tag for one in stanza.children] == ["participants", "tctoken"]
    assert post.read(ANA, stanza).conversation == "hello"
    assert post.server.asked == ["usync"]


async def test_a_note_to_oneself_goes_to_our_other_devices_once(post: Post) -> None:
    post.server.devices[OWN_PERSON] = (0, 3)
    post.server.peers[THIS] = Peer(post.desk, THIS)
    stanza = await post.send(to=OWN_PERSON)
    assert addressed(stanza) == [OWN_PERSON]


async def test_a_device_without_keys_keeps_the_message_from_no_other(post: Post) -> None:
    del post.server.peers[ANA_DESK]
    stanza = await post.send()
    assert addressed(stanza) == [ANA, OWN_PERSON]


@pytest.mark.parametrize("chat", [ANA, GROUP])
async def test_who_was_linked_anew_gets_the_message_that_finds_the_old_device_gone(
    post: Post, chat: str
) -> None:
    """The list at hand still names the old one, and not the new one."""
    await post.devices.of([Jid.parse(ANA)])
    anew = "200000000000002:5@lid"
    post.server.devices[ANA] = (0, 5)
    post.server.peers[anew] = Peer(post.desk, anew)
    post.server.gone = {ANA_DESK}
    assert addressed(await post.send(to=chat)) == [ANA, anew, OWN_PERSON]


async def test_a_refusal_of_all_keys_as_gone_is_one_of_each(post: Post) -> None:
    post.server.devices = {ANA: (0,), OWN_PERSON: (0, 3)}
    await post.desk.receive(post.server.peers[ANA].text("before", id_="A0"))
    post.server.trouble["encrypt"] = QueryFailed(406, "not-acceptable")
    assert addressed(await post.send()) == [ANA]
    assert post.server.asked == ["usync", "encrypt", "usync", "encrypt"]


@pytest.mark.parametrize("chat", [ANA, GROUP])
async def test_a_server_that_lists_a_device_that_is_gone_is_asked_once_more_for_it(
    post: Post, chat: str
) -> None:
    post.server.gone = {ANA_DESK}
    stanza = await post.send(to=chat)
    assert ANA_DESK not in addressed(stanza)
    asked = ["w:g2"] if chat == GROUP else []
    assert post.server.asked == [*asked, "usync", "encrypt", "usync", "encrypt"]
    post.server.asked.clear()
    await post.send("again", to=chat, id_="M2")
    assert post.server.asked == ["encrypt"]


async def test_a_device_whose_keys_are_refused_for_another_reason_is_not_gone(post: Post) -> None:
    post.server.gone, post.server.refusal = {ANA_DESK}, "503"
    assert addressed(await post.send()) == [ANA, OWN_PERSON]
    assert post.server.asked == ["usync", "encrypt"]


async def test_a_device_that_is_gone_is_news_again_after_a_while(post: Post) -> None:
    """It may have been linked anew meanwhile, and be gone again."""
    post.server.gone = {ANA_DESK}
    await post.send()
    await post.desk.clock.advance(600)
    await post.devices.of([Jid.parse(ANA)])
    anew = "200000000000002:5@lid"
    post.server.devices[ANA] = (0, 5)
    post.server.peers[anew] = Peer(post.desk, anew)
    assert anew in addressed(await post.send("again", id_="M2"))


async def test_however_many_are_gone_from_a_group_it_is_asked_once_more_for_them(
    post: Post,
) -> None:
    people = [f"{3 * 10**14 + number}@lid" for number in range(1100)]
    post.server.members = (*people, ANA, OWN_PERSON)
    post.server.devices |= dict.fromkeys(people, (0,))
    post.server.gone = set(people)
    assert addressed(await post.send(to=GROUP)) == [ANA, ANA_DESK, OWN_PERSON]


def stated(*valid: int, current: int) -> bytes:
    index = wa_pb2.ADVKeyIndexList(
        rawId=1, timestamp=1, currentIndex=current, validIndexes=valid
    ).SerializeToString()
    return wa_pb2.ADVSignedKeyIndexList(details=index).SerializeToString()


@pytest.mark.parametrize(
    ("statement", "devices"),
    [
        (stated(4, current=8), (0, 4)),
        (stated(current=4), (0, 5)),
        (stated(4, current=4), (0, 4, 5)),
        (b"", (0, 4, 5)),
        (b"\xff", (0, 4, 5)),
    ],
    ids=["one left", "one since", "both", "nothing", "senseless"],
)
async def test_companions_that_their_phone_lists_no_more_are_left_out(
    post: Post, statement: bytes, devices: tuple[int, ...]
) -> None:
    post.server.devices[ANA] = (0, 4, 5)
    post.server.statements[ANA] = statement
    found = await post.devices.of([Jid.parse(ANA)])
    assert tuple(device.device for device in found[Jid.parse(ANA)]) == devices


@pytest.mark.parametrize(
    ("chat", "code"), [(ANA, FailureCode.NO_KEYS), ("3@lid", FailureCode.NO_DEVICES)]
)
async def test_who_cannot_be_reached_is_told_of(post: Post, chat: str, code: FailureCode) -> None:
    post.server.peers = {OWN_PERSON: post.server.peers[OWN_PERSON]}
    with pytest.raises(CannotSend) as refused:
        await post.send(to=chat)
    assert refused.value.failure.code is code
    assert post.desk.answered.nodes == []
    post.tokens.wrote_to.assert_not_awaited()


async def test_a_refusal_of_keys_is_of_those_alone_who_need_them(post: Post) -> None:
    post.server.devices = {ANA: (0,), OWN_PERSON: (0, 3)}
    await post.desk.receive(post.server.peers[ANA].text("before", id_="A0"))
    post.server.trouble["encrypt"] = QueryFailed(404, "")
    assert addressed(await post.send()) == [ANA]


@pytest.mark.parametrize("question", ["usync", "encrypt", "w:g2"])
async def test_a_server_that_is_busy_may_be_asked_again(post: Post, question: str) -> None:
    post.server.trouble[question] = QueryFailed(503, "busy")
    with pytest.raises(QueryFailed):
        await post.send(to=GROUP if question == "w:g2" else ANA)
    assert post.desk.answered.nodes == []


async def test_a_group_that_is_refused_is_told_of_with_the_servers_code(post: Post) -> None:
    post.server.trouble["w:g2"] = QueryFailed(403, "forbidden")
    with pytest.raises(CannotSend) as refused:
        await post.send(to=GROUP)
    failure = refused.value.failure
    assert (failure.code, failure.server_code) == (FailureCode.RECIPIENTS_REFUSED, "403")


async def test_an_answer_that_makes_no_sense_fails_the_message_alone(post: Post) -> None:
    post.server.odd = True
    with pytest.raises(CannotSend) as refused:
        await post.send(to=GROUP)
    assert refused.value.failure.code is FailureCode.UNREADABLE_ANSWER


async def test_a_stored_message_that_is_damaged_fails(post: Post) -> None:
    with pytest.raises(CannotSend) as refused:
        await post.sender.send(message(key("M1", from_me=True), body=b"\xff\xff"))
    assert refused.value.failure.code is FailureCode.UNREADABLE_MESSAGE


async def test_a_group_gets_the_key_with_the_first_message_and_the_next_one_without(
    post: Post,
) -> None:
    post.server.devices[OWN_PERSON] = (0, 3)
    devices = [ANA, ANA_DESK, OWN_PERSON]
    stanza = await post.send(to=GROUP)
    assert stanza.attrs == {
        "id": "M1",
        "to": GROUP,
        "type": "text",
        "phash": participant_hash(Jid.parse(one) for one in [*devices, THIS]),
        "addressing_mode": "lid",
    }
    assert addressed(stanza) == devices
    assert [one.tag for one in stanza.children] == ["participants", "enc", "device-identity"]
    assert stanza.need("enc").attrs == {"v": "2", "type": "skmsg"}
    given = post.read(ANA, stanza).senderKeyDistributionMessage
    assert given.groupId == GROUP
    record = process_distribution(SenderKeyRecord.empty, given.axolotlSenderKeyDistributionMessage)
    read = group_decrypt(record, stanza.need("enc").data)
    assert wa_pb2.Message.FromString(unpad(read.plaintext)).conversation == "hello"

    following = await post.send("again", to=GROUP, id_="M2")
    assert [one.tag for one in following.children] == ["enc"]
    read = group_decrypt(read.record, following.need("enc").data)
    assert wa_pb2.Message.FromString(unpad(read.plaintext)).conversation == "again"
    assert post.server.asked == ["w:g2", "usync", "encrypt"]


@pytest.mark.parametrize("chat", [ANA, GROUP])
async def test_media_are_named_beside_what_holds_them(post: Post, chat: str) -> None:
    body = wa_pb2.Message(imageMessage=wa_pb2.Message.ImageMessage(caption="us"))
    image = message(key("M1", chat=chat, from_me=True), body=body.SerializeToString())
    await post.sender.send(image)
    [stanza] = post.desk.answered.nodes
    keys = [to.need("enc") for to in stanza.need("participants").children]
    holding = keys if chat == ANA else [stanza.need("enc")]
    assert {enc.attr("mediatype") for enc in holding} == {"image"}
    assert chat == ANA or all("mediatype" not in enc.attrs for enc in keys)


async def test_who_gets_the_key_counts_as_a_holder_once_the_server_has_the_message(
    post: Post,
) -> None:
    await post.send(to=GROUP)
    assert post.desk.store.units[-1].holders == ()
    given = post.desk.stage.holders.given_with(MessageId("M1"))
    assert given is not None
    assert set(given.added) == {"200000000000002_1.0", "200000000000002_1.4", "100000000000001_1.0"}


@pytest.mark.parametrize("chat", [ANA, GROUP])
async def test_devices_that_a_business_has_at_meta_are_left_out(post: Post, chat: str) -> None:
    post.server.devices[OWN_PERSON] = (0, 3)
    without = await post.send(to=chat)
    post.devices.forget_all()
    post.server.devices[ANA] = (0, 4, 7, 99)
    for device in (7, 99):
        hosted = f"200000000000002:{device}@lid"
        post.server.peers[hosted] = Peer(post.desk, hosted)
    stanza = await post.send(to=chat)
    assert addressed(stanza) == addressed(without)
    assert stanza.attrs == without.attrs


async def test_a_group_by_number_is_hashed_by_numbers(post: Post) -> None:
    post.server.mode = "pn"
    post.server.members = (ANA_PN, OWN_PHONE_PN)
    post.server.devices = {ANA_PN: (0,), OWN_PHONE_PN: (0, 3)}
    post.server.peers[ANA_PN] = post.server.peers[ANA]
    stanza = await post.send(to=GROUP)
    assert stanza.attr("addressing_mode") == "pn"
    everybody = [ANA_PN, OWN_PHONE_PN, THIS_PN]
    assert stanza.attr("phash") == participant_hash(Jid.parse(one) for one in everybody)


async def test_a_group_message_that_is_sent_again_carries_the_key_again(post: Post) -> None:
    """The server has not answered it: what went with it may not have arrived either."""
    first = await post.send(to=GROUP)
    again = await post.send(to=GROUP)
    assert addressed(again) == addressed(first) == [ANA, ANA_DESK, OWN_PERSON]
    assert post.read(ANA_DESK, again).senderKeyDistributionMessage.groupId == GROUP
    following = await post.send("next", to=GROUP, id_="M2")
    assert [one.tag for one in following.children] == ["enc"]


async def test_what_follows_a_message_that_was_never_answered_and_is_given_up_carries_the_key(
    post: Post,
) -> None:
    await post.send(to=GROUP)
    failure = Failure(code=FailureCode.UNREADABLE_ANSWER)
    await post.sender.refuse(written(to=GROUP), failure, "the server's answer was odd")
    following = await post.send("next", to=GROUP, id_="M2")
    assert addressed(following) == [ANA, ANA_DESK, OWN_PERSON]
    assert post.desk.stage.holders.given_with(MessageId("M1")) is None


async def test_who_leaves_while_the_keys_are_on_their_way_gets_no_key(post: Post) -> None:
    third = "200000000000003@lid"
    post.server.peers[third] = Peer(post.desk, third)
    post.server.devices[third] = (0,)
    post.server.members = (ANA, third, OWN_PERSON)
    ask, left = post.server.ask, False

    async def leaving(namespace: str, kind: str, *content: Node, **more: object) -> Node:
        nonlocal left
        answer = await ask(namespace, kind, *content, **more)
        if namespace == "encrypt" and not left:
            left = True
            post.server.members = (ANA, OWN_PERSON)
            post.groups.forget(Jid.parse(GROUP))
            async with post.desk.stage.lock:
                draft = Draft(post.desk.stage)
                give_up(draft, GROUP, post.desk.own)
                draft.submit()
        return answer

    with patch.object(post.server, "ask", leaving):
        stanza = await post.send(to=GROUP)
    who = [ANA, ANA_DESK, OWN_PERSON]
    assert addressed(stanza) == who
    assert stanza.attr("phash") == participant_hash(Jid.parse(one) for one in [*who, THIS])


async def test_who_has_left_unheard_cannot_read_what_follows(post: Post) -> None:
    """As when the notification waits behind the message, or groups are dirty."""
    third = "200000000000003@lid"
    post.server.peers[third] = Peer(post.desk, third)
    post.server.devices[third] = (0,)
    post.server.members = (ANA, third, OWN_PERSON)
    await post.send(to=GROUP)
    before = await own_key(Draft(post.desk.stage), GROUP, post.desk.own)
    post.server.members = (ANA, OWN_PERSON)
    post.groups.forget_all()
    stanza = await post.send("again", to=GROUP, id_="M2")
    assert addressed(stanza) == [ANA, ANA_DESK, OWN_PERSON]
    given = post.read(ANA, stanza).senderKeyDistributionMessage
    record = process_distribution(SenderKeyRecord.empty, given.axolotlSenderKeyDistributionMessage)
    assert record.states[0].key_id != before.states[0].key_id
    read = group_decrypt(record, stanza.need("enc").data)
    assert wa_pb2.Message.FromString(unpad(read.plaintext)).conversation == "again"
    [change] = post.desk.store.units[-1].holders
    assert change.forget_all
    assert "200000000000003_1.0" not in await post.desk.stage.holders.of(GROUP)
    following = await post.send("once more", to=GROUP, id_="M3")
    assert [one.tag for one in following.children] == ["enc"]


@pytest.mark.parametrize(
    ("unlinked", "members"),
    [
        ("200000000000002_1.9", (ANA, OWN_PERSON)),
        ("15550000002.0", (ANA, OWN_PERSON)),
        ("15550000001.5", (ANA, OWN_PERSON)),
        ("100000000000001_1.5", (ANA,)),
    ],
)
async def test_a_device_that_is_gone_costs_nobody_the_key(
    post: Post, unlinked: str, members: tuple[str, ...]
) -> None:
    """Of a member by either address, or of our own: the list may name it again."""
    post.server.members = members
    post.desk.know(ANA_PN, ANA)
    await post.send(to=GROUP)
    draft = Draft(post.desk.stage)
    draft.holders.change(HolderChange(group=GROUP, added=(unlinked,)))
    draft.submit()
    following = await post.send("again", to=GROUP, id_="M2")
    assert [one.tag for one in following.children] == ["enc"]


@pytest.mark.parametrize("told_which", [True, False])
async def test_who_leaves_while_a_group_is_asked_for_gets_no_key(
    post: Post, *, told_which: bool
) -> None:
    """The answer may tell of the time before, whichever of the two comes first."""
    third = "200000000000003@lid"
    post.server.peers[third] = Peer(post.desk, third)
    post.server.devices[third] = (0,)
    post.server.members = (ANA, third, OWN_PERSON)
    ask = post.server.ask

    async def leaving(namespace: str, kind: str, *content: Node, **more: object) -> Node:
        answer = await ask(namespace, kind, *content, **more)
        if third in post.server.members:
            post.server.members = (ANA, OWN_PERSON)
            if told_which:
                post.groups.forget(Jid.parse(GROUP))
            else:
                post.groups.forget_all()
        return answer

    with patch.object(post.server, "ask", leaving):
        stanza = await post.send(to=GROUP)
    assert addressed(stanza) == [ANA, ANA_DESK, OWN_PERSON]
    await post.send("again", to=GROUP, id_="M2")
    assert post.server.asked.count("w:g2") == 2


async def test_groups_of_which_some_have_changed_are_all_asked_for_anew(post: Post) -> None:
    await post.send(to=GROUP)
    post.server.members = (ANA, "200000000000003@lid", OWN_PERSON)
    await post.send("as before", to=GROUP, id_="M2")
    assert len((await post.groups.get(Jid.parse(GROUP))).members) == 2
    post.groups.forget_all()
    assert len((await post.groups.get(Jid.parse(GROUP))).members) == 3


async def test_of_two_who_ask_for_a_group_the_later_ones_answer_is_kept(post: Post) -> None:
    ask, may_answer = post.server.ask, asyncio.Event()

    async def slow(namespace: str, kind: str, *content: Node, **more: object) -> Node:
        answer = await ask(namespace, kind, *content, **more)
        if post.server.asked.count("w:g2") == 1:
            await may_answer.wait()
        return answer

    group = Jid.parse(GROUP)
    with patch.object(post.server, "ask", slow):
        earlier = asyncio.create_task(post.groups.get(group))
        await asyncio.sleep(0)
        later = await post.groups.get(group)
        may_answer.set()
        assert not post.groups.is_current(group, await earlier)
    assert await post.groups.get(group) is later


async def test_a_group_that_never_holds_still_is_left_for_later(post: Post) -> None:
    ask = post.server.ask

    async def restless(namespace: str, kind: str, *content: Node, **more: object) -> Node:
        if namespace == "encrypt":
            post.groups.forget(Jid.parse(GROUP))
        return await ask(namespace, kind, *content, **more)

    with patch.object(post.server, "ask", restless), pytest.raises(QueryTimedOut):
        await post.send(to=GROUP)
    assert (post.server.asked.count("w:g2"), post.desk.answered.nodes) == (3, [])


async def test_who_leaves_while_the_holders_are_looked_up_takes_no_key_along(post: Post) -> None:
    """Those who stay get the new one, whatever the store has said of the old."""
    devices = addressed(await post.send(to=GROUP))
    holders = post.desk.stage.holders
    settled = Draft(post.desk.stage)
    settled.holders.answered(MessageId("M1"), refused=False)
    settled.submit()
    holders.staged.clear()  # as in the next connection
    looked_up, may_answer = asyncio.Event(), asyncio.Event()
    stored = post.desk.store.sender_key_holders

    async def slow(group: str) -> frozenset[str]:
        found = await stored(group)
        looked_up.set()
        await may_answer.wait()
        return found

    async def leave() -> None:
        async with post.desk.stage.lock:
            draft = Draft(post.desk.stage)
            give_up(draft, GROUP, post.desk.own)
            draft.submit()

    with patch.object(post.desk.store, "sender_key_holders", slow):
        sending = asyncio.create_task(post.send("again", to=GROUP, id_="M2"))
        await looked_up.wait()
        leaving = asyncio.create_task(leave())
        for _ in range(9):
            await asyncio.sleep(0)
        may_answer.set()
        stanza = await sending
    await leaving
    assert addressed(stanza) == devices


async def test_who_gets_a_device_while_others_are_asked_for_is_not_without_any(post: Post) -> None:
    """What is known of their devices is a little old then; the next message asks anew."""
    await post.devices.of([Jid.parse(ANA)])
    ask = post.server.ask

    async def told(namespace: str, kind: str, *content: Node, **more: object) -> Node:
        post.devices.forget(Jid.parse(ANA))
        return await ask(namespace, kind, *content, **more)

    with patch.object(post.server, "ask", told):
        assert addressed(await post.send()) == [ANA, ANA_DESK, OWN_PERSON]
    post.server.devices[ANA] = (0,)
    assert addressed(await post.send(id_="M2")) == [ANA, OWN_PERSON]


@pytest.mark.parametrize("everybody", [False, True])
async def test_an_answer_about_devices_that_have_changed_meanwhile_is_not_kept(
    post: Post, *, everybody: bool
) -> None:
    ask = post.server.ask

    async def changing(namespace: str, kind: str, *content: Node, **more: object) -> Node:
        answer = await ask(namespace, kind, *content, **more)
        if post.server.devices[ANA] != (0,):
            post.server.devices[ANA] = (0,)
            if everybody:
                post.devices.forget_all()
            else:
                post.devices.forget(Jid.parse(ANA))
        return answer

    with patch.object(post.server, "ask", changing):
        assert addressed(await post.send()) == [ANA, ANA_DESK, OWN_PERSON]
    assert addressed(await post.send(id_="M2")) == [ANA, OWN_PERSON]


async def test_a_book_that_is_full_of_others_loses_nobody_a_message(post: Post) -> None:
    """While the keys are on their way, thousands may write."""
    post.desk.know(ANA_PN, ANA)
    post.server.devices[ANA_PN] = (0,)
    ask = post.server.ask

    async def crowded(namespace: str, kind: str, *content: Node, **more: object) -> Node:
        post.desk.stage.book.learn(
            AddressPair(pn=f"{n}@s.whatsapp.net", lid=f"{n}@lid") for n in range(3000)
        )
        return await ask(namespace, kind, *content, **more)

    await post.devices.of([Jid.parse(ANA_PN), post.desk.own.own_pn.bare])
    with patch.object(post.server, "ask", crowded):
        assert addressed(await post.send(to=ANA_PN)) == [ANA, ANA_DESK, OWN_PERSON]


@pytest.mark.parametrize("chat", [ANA, GROUP])
async def test_the_servers_other_hash_for_a_message_has_the_devices_asked_for_anew(
    post: Post, chat: str
) -> None:
    await post.send(to=chat)
    assert post.hashes.is_outdated(MessageId("M1"), chat, HASH)


@pytest.mark.parametrize("chat", [ANA, GROUP])
async def test_nothing_is_encrypted_while_another_is_at_the_ratchets(post: Post, chat: str) -> None:
    await post.send(to=chat)
    units = len(post.desk.store.units)
    async with post.desk.stage.lock:
        sending = asyncio.create_task(post.send(to=chat, id_="M2"))
        for _ in range(9):
            await asyncio.sleep(0)
        assert len(post.desk.store.units) == units
    await sending
    assert len(post.desk.store.units) == units + 1


@pytest.mark.parametrize("chat", [ANA, ANA_PN, GROUP])
async def test_no_ratchet_is_read_or_moved_while_another_is_at_them(post: Post, chat: str) -> None:
    """What is read then would be laid over what the other makes of it: keys would serve twice."""
    post.server.devices[ANA_PN] = (0,)
    post.server.numbers = {ANA: ANA_PN}
    store = post.desk.store
    async with post.desk.stage.lock:
        sending = asyncio.create_task(post.send(to=chat))
        for _ in range(99):
            await asyncio.sleep(0)
        assert (store.units, store.reads) == ([], [])
    await sending


@pytest.mark.parametrize("chat", [ANA, GROUP])
async def test_nothing_is_encrypted_while_another_took_its_turn_as_the_keys_came(
    post: Post, chat: str
) -> None:
    ask, lock, units = post.server.ask, post.desk.stage.lock, post.desk.store.units

    async def overtaken(namespace: str, kind: str, *content: Node, **more: object) -> Node:
        answer = await ask(namespace, kind, *content, **more)
        if namespace == "encrypt":
            await lock.acquire()
        return answer

    with patch.object(post.server, "ask", overtaken):
        sending = asyncio.create_task(post.send(to=chat))
        for _ in range(99):
            await asyncio.sleep(0)
        assert (lock.locked(), units) == (True, [])
        lock.release()
        await sending
    assert len(units) == 1


@pytest.mark.parametrize("known", [False, True])
async def test_address_pairs_that_a_group_shows_are_kept_once(post: Post, *, known: bool) -> None:
    if known:
        post.desk.know(ANA_PN, ANA)
    post.server.numbers = {ANA: ANA_PN}
    await post.send(to=GROUP)
    pairs = [pair for unit in post.desk.store.units for pair in unit.address_pairs]
    assert pairs == ([] if known else [AddressPair(pn=ANA_PN, lid=ANA)])


@pytest.mark.parametrize("known", [False, True])
async def test_who_is_written_to_by_number_has_the_ratchet_of_their_lid(
    post: Post, *, known: bool
) -> None:
    if known:
        post.desk.know(ANA_PN, ANA)
    post.server.devices[ANA_PN] = (0,)
    post.server.numbers = {ANA: ANA_PN}
    stanza = await post.send(to=ANA_PN)
    assert addressed(stanza)[0] == ANA
    pairs = [pair for unit in post.desk.store.units for pair in unit.address_pairs]
    assert pairs == ([] if known else [AddressPair(pn=ANA_PN, lid=ANA)])
    assert "200000000000002_1.0" in post.desk.store.ratchet_rows


@pytest.mark.parametrize("odd", ["@lid", "s.whatsapp.net", ANA_PN, "@@ no address"])
async def test_an_odd_address_in_an_answer_is_nobodys(post: Post, odd: str) -> None:
    post.server.numbers = {odd: ANA_PN}
    post.server.devices = {ANA_PN: (0,), OWN_PERSON: (0, 3)}
    post.server.peers[ANA_PN] = post.server.peers[ANA]
    stanza = await post.send(to=ANA_PN)
    assert (stanza.attr("to"), post.read(ANA_PN, stanza).conversation) == (ANA_PN, "hello")
    assert [pair for unit in post.desk.store.units for pair in unit.address_pairs] == []


async def test_an_odd_number_of_a_member_keeps_no_message_from_a_group(post: Post) -> None:
    post.server.numbers = {ANA: "@@ no address"}
    assert addressed(await post.send(to=GROUP)) == [ANA, ANA_DESK, OWN_PERSON]
    assert [pair for unit in post.desk.store.units for pair in unit.address_pairs] == []


@pytest.mark.parametrize("known", [False, True], ids=["new", "with a ratchet"])
@pytest.mark.parametrize("chat", [ANA_PN, GROUP])
async def test_whose_lid_shows_while_a_message_is_made_ready_is_written_to_under_it(
    post: Post, chat: str, *, known: bool
) -> None:
    """As it does when both write at once: what is kept under the number has moved by then."""
    third = "200000000000003@lid"
    post.server.peers |= {ANA_PN: post.server.peers[ANA], third: Peer(post.desk, third)}
    post.server.devices = {ANA_PN: (0,), OWN_PERSON: (3,), third: (0,)}
    post.server.members = (ANA_PN,)
    if known:
        await post.send("before", to=ANA_PN, id_="M0")
        post.server.members = (ANA_PN, third)  # whose keys are asked for
    moved: list[Unit] = []

    async def moving(*_: object) -> tuple[Node, ...]:
        async with post.desk.stage.lock:
            draft = Draft(post.desk.stage)
            await learn(draft, [AddressPair(pn=ANA_PN, lid=ANA)])
            if draft.pairs:
                draft.submit()
                moved.append(post.desk.store.units[-1])
        return ()

    async def ask(namespace: str, kind: str, *content: Node, **more: object) -> Node:
        answer = await Server.ask(post.server, namespace, kind, *content, **more)
        if namespace == "encrypt":
            await moving()
        return answer

    post.tokens.shown_to.side_effect = moving
    with patch.object(post.server, "ask", ask):
        stanza = await post.send(to=chat)
    assert len(moved) == 1
    given = post.read(ANA_PN if chat == GROUP else ANA, stanza)
    assert (given.conversation or given.senderKeyDistributionMessage.groupId) in ("hello", GROUP)
    rows = set(post.desk.store.ratchet_rows)
    assert "200000000000002_1.0" in rows
    assert "15550000002.0" not in rows


async def test_a_member_who_is_listed_by_number_has_the_ratchet_of_their_lid(post: Post) -> None:
    post.server.members = (ANA_PN, OWN_PHONE_PN)
    post.server.devices[ANA_PN] = (0,)
    post.server.numbers = {ANA: ANA_PN}
    assert addressed(await post.send(to=GROUP)) == [ANA_PN, OWN_PHONE_PN]
    rows = post.desk.store.ratchet_rows
    assert set(rows) == {"200000000000002_1.0", "100000000000001_1.0"}


async def test_a_device_of_somebody_else_may_have_the_number_of_this_one(post: Post) -> None:
    third = "200000000000002:3@lid"
    post.server.devices[ANA] = (0, 3)
    post.server.peers[third] = Peer(post.desk, third)
    stanza = await post.send()
    assert addressed(stanza) == [ANA, third, OWN_PERSON]


async def test_a_message_that_is_refused_is_failed_and_told_of(post: Post) -> None:
    post.desk.store.auto = False
    failure = Failure(code=FailureCode.NO_DEVICES)
    committed = await post.sender.refuse(written(), failure, "nobody")
    [(unit, commit)] = post.desk.store.pending
    [change] = unit.status_changes
    assert (change.id, change.status, change.failure) == ("M1", Status.FAILED, failure)
    assert change.event is not None
    assert change.event.payload == {
        "message_id": "M1",
        "chat": ANA,
        "error": "nobody",
        "failure": failure.to_json(),
    }
    assert (committed, post.desk.answered.waits_for) == (commit, [commit])


@pytest.mark.parametrize("chat", [ANA, GROUP])
async def test_what_is_made_ready_does_not_overtake_what_is_refused_meanwhile(
    post: Post, chat: str
) -> None:
    post.forms.is_sure = True
    ask = post.server.ask

    async def refused(namespace: str, *more: Any, **others: Any) -> Node:
        if namespace == "encrypt":
            post.forms.group_refused(MessageId("M0"), GROUP)
            post.forms.is_sure = False
        return await ask(namespace, *more, **others)

    with patch.object(post.server, "ask", refused), pytest.raises(Overtaking):
        await post.send(to=chat)
    assert post.desk.answered.nodes == []
    post.devices.forget_all()
    await post.send(to=chat)


@pytest.mark.parametrize(("device", "asked"), [(0, []), (4, []), (99, []), (5, ["usync"])], ids=str)
@pytest.mark.parametrize("by", [ANA, ANA_PN])
async def test_a_list_without_a_device_that_shows_itself_is_old(
    post: Post, by: str, device: int, asked: list[str]
) -> None:
    post.desk.know(ANA_PN, ANA)
    await post.desk.stage.book.load([Jid.parse(ANA)])
    await post.devices.of([Jid.parse(ANA)])
    post.server.asked.clear()
    await post.devices.named_by(post.desk.stage.book, Jid.parse(by).with_device(device))
    await post.devices.of([Jid.parse(ANA)])
    assert post.server.asked == asked


@pytest.mark.parametrize("told_by", ["group", "store"])
async def test_a_member_who_is_listed_under_the_other_address_gets_the_key(
    post: Post, told_by: str
) -> None:
    if told_by == "group":
        post.server.numbers = {ANA: ANA_PN}
    else:
        post.desk.know(ANA_PN, ANA)
    post.server.devices = {ANA_PN: (0, 4), OWN_PERSON: (0, 3)}
    assert addressed(await post.send(to=GROUP)) == [ANA, ANA_DESK, OWN_PERSON]


async def test_a_member_who_is_listed_nowhere_is_taken_to_have_a_phone(post: Post) -> None:
    post.server.devices = {OWN_PERSON: (0, 3)}
    stanza = await post.send(to=GROUP)
    assert addressed(stanza) == [ANA, OWN_PERSON]
    everybody = [ANA, OWN_PERSON, THIS]
    assert stanza.attr("phash") == participant_hash(Jid.parse(one) for one in everybody)
