"""Who cannot read a message of ours gets it again, if it was for them, and nobody else does."""

import asyncio
from collections.abc import Callable
from typing import cast
from unittest.mock import AsyncMock, patch

import pytest
from structlog.testing import capture_logs

from perene.core.ids import MessageId
from perene.core.messages import Message
from perene.core.unit import AddressPair, HolderChange
from perene.engine.devices import Devices
from perene.engine.draft import Draft
from perene.engine.errors import QueryFailed, QueryTimedOut
from perene.engine.groups import Groups
from perene.engine.moving import learn
from perene.engine.pace import resends_into_groups
from perene.engine.privacy_tokens import PrivacyTokens
from perene.engine.queries import Queries
from perene.engine.retry_answers import RetryAnswers
from perene.signal import (
    Encrypted,
    Ratchet,
    SenderKeyRecord,
    parse_pre_key_message,
    process_distribution,
    unpad,
)
from perene.wire.errors import WireError
from perene.wire.jid import Jid
from perene.wire.node import Node
from perene.wire.proto import wa_pb2
from tests.support.units import key, message
from tests.unit.engine.desk import (
    ANA,
    ANA_PN,
    GROUP,
    OWN_PHONE,
    Desk,
    Peer,
    keys_of,
    registration,
)
from tests.unit.engine.fakes import line_on

OTHER = "200000000000003@lid"


class Server:
    """Gives the pre-keys of those who have any, and the members of the group."""

    def __init__(self) -> None:
        self.members: list[str] = []
        self.peers: dict[str, Peer] = {}
        self.asked: list[str] = []
        self.trouble: Exception | None = None
        self.meanwhile: Callable[[], None] = lambda: None
        """What happens while pre-keys are asked for."""

    async def ask(self, namespace: str, _kind: str, *content: Node, **_more: object) -> Node:
        self.asked.append(namespace)
        if self.trouble is not None:
            raise self.trouble
        if namespace == "w:g2":
            people = tuple(Node("participant", {"jid": one}) for one in self.members)
            return Node("iq", {}, (Node("group", {"addressing_mode": "lid"}, people),))
        self.meanwhile()
        users: list[Node] = []
        for user in content[0].children:
            if (peer := self.peers.get(user.attrs["jid"])) is not None:
                bundle = peer.party.bundle()
                users.append(Node("user", user.attrs, (registration(bundle), *keys_of(bundle))))
        return Node("iq", {}, (Node("list", {}, tuple(users)),))


class Sender:
    """A desk that has sent messages, and is asked for them again."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.server = Server()
        queries = cast("Queries", self.server)
        line = line_on(
            self.desk.stage,
            queries=queries,
            clock=self.desk.clock,
            answers=self.desk.answered,  # pyright: ignore[reportArgumentType]  # all that is used of them
        )
        self.devices = Devices(queries, self.desk.clock)
        self.groups = Groups(queries, self.desk.clock)
        self.tokens = AsyncMock()
        self.tokens.shown_to.return_value = ()
        self.answers = RetryAnswers(
            line,
            devices=self.devices,
            groups=self.groups,
            tokens=cast("PrivacyTokens", self.tokens),
            cached=2,
        )

    def sent(self, id_: str, chat: str = ANA) -> Message:
        body = wa_pb2.Message(conversation=f"text {id_}").SerializeToString()
        one = message(key(id_, chat=chat, from_me=True), text=f"text {id_}", body=body)
        self.desk.store.own[MessageId(id_)] = one
        return one

    async def asked(self, request: Node) -> list[Node]:
        """Take a retry receipt; return what leaves because of it."""
        self.desk.answered.nodes.clear()
        rest = await self.answers.answer(request)
        while rest is not None:
            await self.desk.clock.sleep(rest.after_s)
            rest = await rest.work()
        return self.desk.answered.nodes

    async def known(self, jid: str = ANA) -> Peer:
        """Return a device that has a ratchet with us, and has heard of us."""
        peer = Peer(self.desk, jid)
        await self.desk.receive(peer.text("before", id_="A0"))
        peer.hear()
        return peer


def request(id_: str, by: str = ANA, *children: Node, count: int | str = 1, **attrs: str) -> Node:
    retry = Node("retry", {"count": str(count), "id": id_, "t": "5", "v": "1"})
    plain = {"id": id_, "from": by, "type": "retry", **attrs}
    return Node("receipt", plain, (retry, *(children or (Node("registration", {}, bytes(4)),))))


def read(peer: Peer, stanza: Node) -> wa_pb2.Message:
    enc = stanza.need("enc")
    kind = "pkmsg" if enc.attrs["type"] == "pkmsg" else "msg"
    plain = peer.party.read(Encrypted(ratchet=Ratchet.empty, kind=kind, data=enc.data))
    return wa_pb2.Message.FromString(unpad(plain))


async def show_lid(sender: Sender) -> None:
    """Have the session learn Ana's LID, as from a stanza that comes just now."""
    draft = Draft(sender.desk.stage)
    await learn(draft, [AddressPair(pn=ANA_PN, lid=ANA)])
    draft.submit()


@pytest.fixture
def sender() -> Sender:
    return Sender()


async def test_a_message_is_sent_again_under_its_id_to_the_device_that_asks(sender: Sender) -> None:
    wanted = sender.sent("M1")
    ana = await sender.known()
    again, ack = await sender.asked(request("M1"))
    assert again.attrs == {
        "id": "M1",
        "to": ANA,
        "type": "text",
        "t": str(int(wanted.timestamp.timestamp())),
        "device_fanout": "false",
    }
    assert again.need("enc").attrs == {"v": "2", "type": "msg", "count": "1"}
    assert [one.tag for one in again.children] == ["enc"]
    assert read(ana, again).conversation == "text M1"
    assert ack.attrs == {"class": "receipt", "id": "M1", "to": ANA, "type": "retry"}
    assert len(sender.desk.store.units[-1].ratchets) == 1
    assert sender.server.asked == []


async def test_what_goes_again_waits_for_its_commit(sender: Sender) -> None:
    sender.sent("M1")
    await sender.known()
    sender.desk.store.auto = False
    await sender.asked(request("M1"))
    [(unit, commit)] = sender.desk.store.pending
    assert (len(unit.ratchets), sender.desk.answered.waits_for[-1]) == (1, commit)


async def test_keys_that_come_along_begin_a_fresh_ratchet(sender: Sender) -> None:
    sender.sent("M1")
    ana = await sender.known()
    bundle = ana.party.bundle()
    asked = request("M1", ANA, registration(bundle), Node("keys", {}, keys_of(bundle)), count=2)
    again, _ = await sender.asked(asked)
    assert again.need("enc").attrs == {"v": "2", "type": "pkmsg", "count": "2"}
    assert again.need("device-identity").data == b"account"
    assert read(ana, again).conversation == "text M1"
    assert sender.server.asked == []


@pytest.mark.parametrize(
    ("proof", "reason"), [(b"", "account_signature"), (b"\xff", "malformed"), (None, "absent")]
)
async def test_a_companion_whose_keys_are_not_proved_is_answered_and_told_of(
    sender: Sender, proof: bytes | None, reason: str
) -> None:
    sender.sent("M1")
    await sender.known()
    companion = f"{ANA.partition('@')[0]}:4@lid"
    ana = await sender.known(companion)
    bundle = ana.party.bundle()
    shown = () if proof is None else (Node("device-identity", {}, proof),)
    keys = Node("keys", {}, (*keys_of(bundle), *shown))
    with capture_logs() as lines:
        again, _ = await sender.asked(request("M1", companion, registration(bundle), keys, count=2))
    assert read(ana, again).conversation == "text M1"
    assert [(line["event"], line["reason"]) for line in lines] == [("devices_unproven", reason)]


async def test_keys_of_a_companion_that_the_server_gives_are_looked_at(sender: Sender) -> None:
    companion = f"{ANA.partition('@')[0]}:4@lid"
    sender.sent("M1")
    sender.server.peers[companion] = Peer(sender.desk, companion)
    with capture_logs() as lines:
        await sender.asked(request("M1", companion))
    assert [(line["event"], line["reason"]) for line in lines] == [("devices_unproven", "absent")]


async def test_keys_that_come_twice_begin_one_ratchet(sender: Sender) -> None:
    """As they do when we died before the receipt was acknowledged: they serve once."""
    sender.sent("M1")
    ana = await sender.known()
    keys = ana.party.bundle()
    asked = request("M1", ANA, registration(keys), Node("keys", {}, keys_of(keys)), count=2)
    for _ in range(2):
        again, _ = await sender.asked(asked)
        assert again.need("enc").attrs["type"] == "pkmsg"
        assert read(ana, again).conversation == "text M1"
    other = ana.party.bundle()
    asked = request("M1", ANA, registration(other), Node("keys", {}, keys_of(other)), count=3)
    again, _ = await sender.asked(asked)
    assert parse_pre_key_message(again.need("enc").data).pre_key_id == other.pre_key_id
    assert read(ana, again).conversation == "text M1"


async def test_who_has_no_ratchet_with_us_is_reached_by_the_keys_that_the_server_has(
    sender: Sender,
) -> None:
    sender.sent("M1")
    ana = sender.server.peers[ANA] = Peer(sender.desk)
    again, _ = await sender.asked(request("M1"))
    assert again.need("enc").attrs["type"] == "pkmsg"
    assert read(ana, again).conversation == "text M1"


async def test_a_device_that_asks_on_gets_a_fresh_ratchet_once_an_hour(sender: Sender) -> None:
    ana = sender.server.peers[ANA] = await sender.known()
    made: list[int] = []
    for number, minutes in enumerate((0, 59, 2)):
        sender.sent(f"M{number}")
        await sender.desk.clock.advance(minutes * 60)
        again, _ = await sender.asked(request(f"M{number}", count=2))
        assert read(ana, again).conversation == f"text M{number}"
        made.append(sender.server.asked.count("encrypt"))
    assert made == [1, 1, 2]


async def test_a_message_goes_again_five_times_to_each_device(sender: Sender) -> None:
    sender.sent("M1")
    sender.sent("M2")
    await sender.known()
    await sender.known("200000000000002:4@lid")
    by_one = [len(await sender.asked(request("M1"))) for _ in range(7)]
    assert by_one == [2, 2, 2, 2, 2, 1, 1]
    assert len(await sender.asked(request("M1", "200000000000002:4@lid"))) == 2
    assert len(await sender.asked(request("M2"))) == 2


async def test_who_asks_by_number_is_the_person_of_the_chat(sender: Sender) -> None:
    sender.sent("M1")
    ana = await sender.known()
    sender.desk.know(ANA_PN, ANA)
    again, _ = await sender.asked(request("M1", ANA_PN))
    assert again.attrs["to"] == ANA_PN
    assert read(ana, again).conversation == "text M1"


async def test_whose_lid_shows_while_the_keys_come_is_answered_under_it(sender: Sender) -> None:
    sender.sent("M1", GROUP)
    sender.server.members = [ANA_PN]
    ana = sender.server.peers[ANA_PN] = Peer(sender.desk)
    ask = sender.server.ask

    async def moving(namespace: str, kind: str, *content: Node, **more: object) -> Node:
        if namespace == "encrypt":
            await show_lid(sender)
        return await ask(namespace, kind, *content, **more)

    with patch.object(sender.server, "ask", moving):
        again, _ = await sender.asked(request("M1", GROUP, participant=ANA_PN))
    assert (again.attr("participant"), read(ana, again).conversation) == (ANA_PN, "text M1")
    assert set(sender.desk.store.ratchet_rows) == {"200000000000002_1.0"}
    assert await sender.desk.stage.holders.of(GROUP) == {"200000000000002_1.0"}


async def test_who_asks_by_lid_is_the_person_whose_number_the_chat_has(sender: Sender) -> None:
    """The message is older than what is known of the two addresses."""
    sender.sent("M1", ANA_PN)
    ana = await sender.known()
    sender.desk.know(ANA_PN, ANA)
    again, _ = await sender.asked(request("M1"))
    assert read(ana, again).conversation == "text M1"


async def test_who_asks_by_lid_is_the_member_whose_number_the_group_lists(sender: Sender) -> None:
    sender.sent("M1", GROUP)
    sender.server.members = [ANA_PN]
    ana = await sender.known()
    sender.desk.know(ANA_PN, ANA)
    again, _ = await sender.asked(request("M1", GROUP, participant=ANA))
    assert read(ana, again).conversation == "text M1"


async def test_our_other_devices_get_the_copy_that_is_for_them(sender: Sender) -> None:
    sender.sent("M1")
    phone = await sender.known(OWN_PHONE)
    again, ack = await sender.asked(request("M1", OWN_PHONE, recipient=ANA))
    copy = read(phone, again).deviceSentMessage
    assert (copy.destinationJid, copy.message.conversation) == (ANA, "text M1")
    assert again.attrs["recipient"] == ack.attrs["recipient"] == ANA


@pytest.mark.parametrize(
    ("chat", "asked"),
    [
        (ANA, request("M1", OTHER)),
        (ANA, request("M1", OTHER, recipient=ANA)),
        (GROUP, request("M1", GROUP, participant=OTHER)),
        (GROUP, request("M1", "120363000000000002@g.us", participant=ANA)),
        (ANA, request("M1", GROUP, participant=OTHER)),
        (ANA, request("M1", GROUP, participant=ANA)),
        (ANA, request("M1", GROUP, participant=OWN_PHONE)),
        (GROUP, request("M1", ANA, recipient=GROUP)),
    ],
    ids=[
        "a stranger",
        "in our name",
        "no member",
        "another group",
        "a group it was not sent to",
        "whom it was for, but in a group",
        "our phone, but in a group",
        "a member outside of the group",
    ],
)
async def test_nobody_gets_what_was_not_for_them(sender: Sender, chat: str, asked: Node) -> None:
    sender.sent("M1", chat)
    sender.server.members = [ANA]
    for jid in (ANA, OTHER):
        sender.server.peers[jid] = await sender.known(jid)
    units = len(sender.desk.store.units)
    assert [one.tag for one in await sender.asked(asked)] == ["ack"]
    assert len(sender.desk.store.units) == units


async def test_a_member_gets_a_group_message_with_our_key_and_counts_as_a_holder(
    sender: Sender,
) -> None:
    sender.sent("M1", GROUP)
    sender.server.members = [OTHER, ANA]
    ana = await sender.known()
    again, _ = await sender.asked(request("M1", GROUP, participant=ANA))
    assert (again.attrs["to"], again.attrs["participant"]) == (GROUP, ANA)
    assert "device_fanout" not in again.attrs
    content = read(ana, again)
    given = content.senderKeyDistributionMessage
    assert (content.conversation, given.groupId) == ("text M1", GROUP)
    process_distribution(SenderKeyRecord.empty, given.axolotlSenderKeyDistributionMessage)
    unit = sender.desk.store.units[-1]
    assert unit.holders == (HolderChange(group=GROUP, added=("200000000000002_1.0",)),)
    assert [one.group for one in unit.sender_keys] == [GROUP]


async def test_a_member_that_cannot_be_reached_does_not_count_as_a_holder(sender: Sender) -> None:
    """Or what follows would come to it without a key."""
    sender.sent("M1", GROUP)
    sender.server.members = [ANA]
    assert [one.tag for one in await sender.asked(request("M1", GROUP, participant=ANA))] == ["ack"]
    assert await sender.desk.stage.holders.of(GROUP) == frozenset()
    assert [change for unit in sender.desk.store.units for change in unit.holders] == []


async def test_who_leaves_while_their_keys_come_gets_neither_the_message_nor_the_next_key(
    sender: Sender,
) -> None:
    sender.sent("M1", GROUP)
    sender.server.members = [OTHER, ANA]
    ana = sender.server.peers[ANA] = await sender.known()

    def leave() -> None:
        sender.server.members = [OTHER]
        sender.groups.forget(Jid.parse(GROUP))

    sender.server.meanwhile = leave
    asked = request("M1", GROUP, count=2, participant=ANA)
    assert [one.tag for one in await sender.asked(asked)] == ["ack"]
    assert sender.desk.store.units[-1].sender_keys == ()
    assert sender.server.asked == ["w:g2", "encrypt", "w:g2"]

    sender.server.members = [OTHER, ANA]  # back again
    sender.server.meanwhile = lambda: sender.groups.forget(Jid.parse(GROUP))
    sender.groups.forget(Jid.parse(GROUP))
    sender.desk.clock.jump(7200)
    again, _ = await sender.asked(request("M1", GROUP, count=2, participant=ANA))
    assert read(ana, again).conversation == "text M1", "somebody else came or went"


async def test_our_phone_gets_a_group_message_though_it_is_not_listed(sender: Sender) -> None:
    sender.sent("M1", GROUP)
    phone = await sender.known(OWN_PHONE)
    again, _ = await sender.asked(request("M1", GROUP, participant=OWN_PHONE))
    assert read(phone, again).conversation == "text M1"


@pytest.mark.parametrize("trouble", [QueryFailed(503, "busy"), QueryTimedOut("no answer")])
@pytest.mark.parametrize("chat", [ANA, GROUP])
async def test_a_server_that_cannot_help_now_is_asked_again(
    sender: Sender, chat: str, trouble: Exception
) -> None:
    """Nobody else would: who could not read a message asks for it once."""
    sender.sent("M1", chat)
    sender.server.members = [ANA]
    ana = sender.server.peers[ANA] = await sender.known()
    sender.server.trouble = trouble
    asked = request("M1", chat, count=2, **({"participant": ANA} if chat == GROUP else {}))
    asking = asyncio.create_task(sender.asked(asked))
    await sender.desk.clock.until_asleep(5)
    await sender.desk.clock.advance(5)
    await sender.desk.clock.until_asleep(20)
    assert sender.desk.answered.nodes == []
    sender.server.trouble = None
    await sender.desk.clock.advance(20)
    again, ack = await asking
    assert (again.need("enc").attr("type"), ack.tag) == ("pkmsg", "ack"), "on a fresh ratchet"
    assert read(ana, again).conversation == "text M1"


@pytest.mark.parametrize("chat", [ANA_PN, GROUP])
async def test_whose_lid_shows_while_the_server_is_busy_is_answered_all_the_same(
    sender: Sender, chat: str
) -> None:
    sender.sent("M1", chat)
    sender.server.members = [ANA_PN]
    ana = sender.server.peers[ANA_PN] = Peer(sender.desk)
    sender.server.trouble = QueryFailed(503, "busy")
    by = {"participant": ANA_PN} if chat == GROUP else {}
    asking = asyncio.create_task(sender.asked(request("M1", chat, **by)))
    await sender.desk.clock.until_asleep(5)
    await show_lid(sender)
    sender.server.trouble = None
    await sender.desk.clock.advance(5)
    again, _ = await asking
    assert read(ana, again).conversation == "text M1"


async def test_an_answer_that_makes_no_sense_after_all_ends_the_waiting(sender: Sender) -> None:
    sender.sent("M1")
    sender.server.trouble = QueryFailed(503, "busy")
    asking = asyncio.create_task(sender.asked(request("M1")))
    await sender.desk.clock.until_asleep(5)
    sender.server.trouble = WireError("odd")
    await sender.desk.clock.advance(5)
    assert [one.tag for one in await asking] == ["ack"]


@pytest.mark.parametrize(
    ("trouble", "tries"),
    [
        (QueryFailed(503, "busy"), 3),
        (QueryTimedOut("no answer"), 3),
        (QueryFailed(404, "nobody"), 1),
    ],
)
async def test_what_cannot_be_answered_is_acknowledged(
    sender: Sender, trouble: Exception, tries: int
) -> None:
    assert [one.tag for one in await sender.asked(request("unknown"))] == ["ack"]
    sender.sent("M1")
    sender.server.trouble = trouble
    asking = asyncio.create_task(sender.asked(request("M1")))
    await asyncio.sleep(0)
    await sender.desk.clock.advance(25)
    assert [one.tag for one in await asking] == ["ack"]
    assert len(sender.server.asked) == tries
    sender.server.trouble = None
    # There are no keys, neither.
    assert [one.tag for one in await sender.asked(request("M1"))] == ["ack"]
    sender.server.peers[ANA] = Peer(sender.desk)
    assert [one.tag for one in await sender.asked(request("M1"))] == ["message", "ack"]


@pytest.mark.parametrize(
    "children",
    [(), (Node("retry", {"id": "M1"}),)],
    ids=["nothing is asked for", "without a count"],
)
async def test_a_request_that_makes_no_sense_is_acknowledged_too(
    sender: Sender, children: tuple[Node, ...]
) -> None:
    sender.sent("M1")
    await sender.known()
    odd = Node("receipt", {"id": "M1", "from": ANA, "type": "retry"}, children)
    assert [one.tag for one in await sender.asked(odd)] == ["ack"]


async def test_a_device_without_keys_is_looked_for_anew_with_the_next_message(
    sender: Sender,
) -> None:
    sender.sent("M1")
    with patch.object(sender.devices, "forget") as forget:
        await sender.asked(request("M1"))
    forget.assert_called_once_with(Jid.parse(ANA))


@pytest.mark.parametrize(
    ("count", "said"), [("3", "3"), ("0", "1"), ("", "1"), ("many", "1"), ("100", "1")]
)
async def test_the_answer_says_which_request_it_is_for(
    sender: Sender, count: str, said: str
) -> None:
    sender.sent("M1")
    ana = sender.server.peers[ANA] = await sender.known()
    again, _ = await sender.asked(request("M1", count=count))
    assert again.need("enc").attr("count") == said
    assert read(ana, again).conversation == "text M1"


async def test_a_request_may_have_an_id_of_its_own_or_name_the_message_by_it(
    sender: Sender,
) -> None:
    sender.sent("M1")
    await sender.known()
    again, ack = await sender.asked(request("M1", id="R1"))
    assert (again.attr("id"), ack.attr("id")) == ("M1", "R1")
    bare = Node("receipt", {"id": "M1", "from": ANA}, (Node("retry", {"count": "1"}),))
    again, _ = await sender.asked(bare)
    assert again.attr("id") == "M1"


async def test_media_are_named_again(sender: Sender) -> None:
    body = wa_pb2.Message(imageMessage=wa_pb2.Message.ImageMessage(caption="us"))
    image = message(key("M1", chat=ANA, from_me=True), body=body.SerializeToString())
    sender.desk.store.own[MessageId("M1")] = image
    await sender.known()
    again, _ = await sender.asked(request("M1"))
    assert again.need("enc").attr("mediatype") == "image"


@pytest.mark.parametrize("keys", ["at hand", "at the server", "in the request"])
async def test_nothing_goes_again_while_another_is_at_the_ratchets(
    sender: Sender, keys: str
) -> None:
    sender.sent("M1")
    ana = sender.server.peers[ANA] = Peer(sender.desk)
    if keys == "at hand":
        await sender.known()
    bundle = ana.party.bundle()
    brought = (registration(bundle), Node("keys", {}, keys_of(bundle)))
    asked = request("M1", ANA, *(brought if keys == "in the request" else ()))
    units = len(sender.desk.store.units)
    async with sender.desk.stage.lock:
        asking = asyncio.create_task(sender.asked(asked))
        for _ in range(9):
            await asyncio.sleep(0)
        assert (len(sender.desk.store.units), sender.server.asked) == (units, [])
    assert len(await asking) == 2


@pytest.mark.parametrize("chat", [ANA, GROUP])
async def test_a_stored_message_that_is_damaged_goes_to_nobody(sender: Sender, chat: str) -> None:
    sender.server.members = [ANA]
    await sender.known()
    damaged = message(key("M1", chat=chat, from_me=True), body=b"\xff\xff\xff")
    sender.desk.store.own[MessageId("M1")] = damaged
    asked = request("M1") if chat == ANA else request("M1", GROUP, participant=ANA)
    assert [one.tag for one in await sender.asked(asked)] == ["ack"]
    assert sender.desk.store.units[-1].ratchets == ()


async def test_keys_that_cannot_be_read_are_fetched_instead(sender: Sender) -> None:
    sender.sent("M1")
    ana = sender.server.peers[ANA] = Peer(sender.desk)
    odd = Node("keys", {}, (Node("identity", {}, b"short"),))
    again, _ = await sender.asked(request("M1", ANA, odd))
    assert read(ana, again).conversation == "text M1"


async def test_a_message_asked_for_by_many_is_read_from_the_store_once(sender: Sender) -> None:
    for number in range(3):
        sender.sent(f"M{number}")
    await sender.known()
    await sender.asked(request("M0"))
    sender.desk.store.own.clear()
    assert len(await sender.asked(request("M0"))) == 2
    for number in (1, 2):
        sender.sent(f"M{number}")
        await sender.asked(request(f"M{number}"))
    sender.desk.store.own.clear()
    assert len(await sender.asked(request("M0"))) == 1, "two are kept, the last ones"
    assert len(await sender.asked(request("M1"))) == 2
    sender.sent("M3")
    await sender.asked(request("M3"))
    sender.desk.store.own.clear()
    assert len(await sender.asked(request("M1"))) == 2, "it was asked for after the other one"


async def test_who_cannot_read_what_is_gone_can_read_what_follows(sender: Sender) -> None:
    ana = await sender.known()
    bundle = ana.party.bundle()
    keys = Node("keys", {}, keys_of(bundle))
    assert [
        one.tag for one in await sender.asked(request("gone", ANA, keys, registration(bundle)))
    ] == ["ack"]
    sender.sent("M1")
    ana.party.ratchet = Ratchet.empty
    [resend, _] = await sender.asked(request("M1"))
    assert read(ana, resend).conversation == "text M1"
    assert sender.server.asked == []


async def test_a_ratchet_is_begun_anew_once_an_hour(sender: Sender) -> None:
    ana = await sender.known()
    begun: list[int] = []
    for minutes in (0, 59, 2):
        await sender.desk.clock.advance(minutes * 60)
        bundle = ana.party.bundle()
        before = len(sender.desk.store.units)
        keys = Node("keys", {}, keys_of(bundle))
        await sender.asked(request(f"gone {minutes}", ANA, keys, registration(bundle)))
        begun.append(len(sender.desk.store.units) - before)
    assert begun == [1, 0, 1]


@pytest.mark.parametrize(
    ("by", "known", "asked"),
    [(OWN_PHONE, True, ["encrypt"]), (ANA, True, []), (ANA, False, [])],
    ids=["own phone", "contact", "stranger"],
)
async def test_only_for_own_devices_keys_are_fetched(
    sender: Sender, by: str, asked: list[str], *, known: bool
) -> None:
    peer = await sender.known(by) if known else Peer(sender.desk, by)
    sender.server.peers[by] = peer
    before = len(sender.desk.store.units)
    assert [one.tag for one in await sender.asked(request("gone", by))] == ["ack"]
    assert sender.server.asked == asked
    assert len(sender.desk.store.units) - before == len(asked)


async def test_a_stranger_s_keys_begin_nothing(sender: Sender) -> None:
    stranger = Peer(sender.desk)
    bundle = stranger.party.bundle()
    keys = Node("keys", {}, keys_of(bundle))
    await sender.asked(request("gone", ANA, keys, registration(bundle)))
    assert sender.desk.store.units == []


@pytest.mark.parametrize(
    ("by", "chat", "shown"),
    [(ANA, ANA, True), (ANA, GROUP, False), (OWN_PHONE, ANA, False)],
    ids=["person", "group", "own phone"],
)
async def test_what_goes_again_to_a_person_shows_their_token(
    sender: Sender, by: str, chat: str, *, shown: bool
) -> None:
    sender.sent("M1", chat)
    sender.server.members = [ANA]
    sender.tokens.shown_to.return_value = (Node("tctoken", {}, b"token"),)
    await sender.known(by)
    in_group = {"participant": by} if chat == GROUP else {}
    again, _ = await sender.asked(request("M1", GROUP if in_group else by, **in_group))
    assert [one.tag for one in again.children] == (["enc", "tctoken"] if shown else ["enc"])


async def test_who_asks_in_a_group_for_what_is_gone_gets_our_key_with_the_next_message(
    sender: Sender,
) -> None:
    holder = "200000000000002_1.0"
    sender.desk.store.holders[GROUP] = {holder, "200000000000003_1.0"}
    for _ in range(2):
        await sender.asked(request("gone", GROUP, participant=ANA))
    assert await sender.desk.stage.holders.of(GROUP) == {"200000000000003_1.0"}
    [unit] = sender.desk.store.units
    assert unit.holders == (HolderChange(group=GROUP, removed=(holder,)),)


async def test_who_asks_is_there_whatever_a_list_says(sender: Sender) -> None:
    with patch.object(sender.devices, "named_by") as named_by:
        await sender.asked(request("gone", "200000000000002:5@lid"))
    [call] = named_by.await_args_list
    assert call.args[1] == Jid.parse("200000000000002:5@lid")


async def test_resends_into_a_group_keep_a_pace_that_costs_no_account(sender: Sender) -> None:
    """Each of many devices asks once, as when all of a group's ratchets are lost at once."""
    members = [f"20000000000{number:04}@lid" for number in range(140)]
    sender.server.members = members
    sender.sent("M1", GROUP)
    for member in members:
        sender.server.peers[member] = Peer(sender.desk, member)
    waits: list[float] = []
    for member in members:
        rest = await sender.answers.answer(request("M1", GROUP, participant=member))
        waits.append(0.0 if rest is None else rest.after_s)
        if rest is not None:
            assert await rest.work() is None
    assert waits[:20] == [0.0] * 20
    assert waits[20:120] == [6.0 * number for number in range(1, 101)]
    assert waits[120:] == [0.0] * 20, "refused, and acknowledged"
    nodes = sender.desk.answered.nodes
    assert [sum(node.tag == tag for node in nodes) for tag in ("message", "ack")] == [120, 140]


async def test_who_waits_too_long_for_a_resend_gets_our_key_with_the_next_message(
    sender: Sender,
) -> None:
    members = [f"20000000000{number:04}@lid" for number in range(2)]
    sender.server.members = members
    sender.sent("M1", GROUP)
    [first, last] = members
    sender.server.peers = {member: Peer(sender.desk, member) for member in members}
    await sender.asked(request("M1", GROUP, participant=last))
    holder = sender.desk.store.units[-1].holders[0].added
    with patch.object(sender.answers._pace, "turn", return_value=None):
        [ack] = await sender.asked(request("M1", GROUP, participant=last))
    assert ack.tag == "ack"
    assert sender.desk.store.units[-1].holders == (HolderChange(group=GROUP, removed=holder),)
    assert len(await sender.asked(request("M1", GROUP, participant=first))) == 2


async def test_a_pace_is_kept_for_each_group_alone_and_time_makes_room(sender: Sender) -> None:
    pace = resends_into_groups(sender.desk.clock)
    assert [pace.turn(GROUP) for _ in range(21)] == [0.0] * 20 + [6.0]
    assert pace.turn("another@g.us") == 0.0
    await sender.desk.clock.advance(12.0)
    assert pace.turn(GROUP) == 0.0
    assert pace.turn(GROUP) == 6.0
    await sender.desk.clock.advance(3600.0)
    assert [pace.turn(GROUP) for _ in range(21)] == [0.0] * 20 + [6.0]


async def test_people_get_what_they_ask_for_at_once(sender: Sender) -> None:
    await sender.known()
    for number in range(30):
        sender.sent(f"M{number}")
        nodes = await sender.asked(request(f"M{number}"))
        assert [node.tag for node in nodes] == ["message", "ack"]
    assert sender.desk.clock.asleep == []
