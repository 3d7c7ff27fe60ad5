"""What goes out reaches everybody it is for, once, and nobody else."""

import asyncio

import pytest
from structlog.testing import capture_logs

from perene.core.errors import StorageError
from perene.core.events import EventType
from perene.core.failures import Failure, FailureCode
from perene.core.ids import SessionId
from perene.core.messages import Status
from perene.engine.channel import Channel
from perene.engine.sending import ANSWER_WITHIN_S, WINDOW
from perene.signal import SenderKeyRecord
from perene.sim.faults import ENDLESS
from perene.sim.iq.keys import KeyServer
from perene.sim.model import Device
from perene.wire.node import Node
from perene.wire.proto import wa_pb2
from tests.support.record import PATIENCE_S
from tests.support.world import DESK, World

OTHER = SessionId("other")


async def test_a_text_reaches_the_contact_and_its_status_follows(world: World) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account
    sent = await world.user.send(str(ana.jid("pn")), "hello")

    await world.events.wait(EventType.MESSAGE_SENT, message_id=sent)
    await world.events.wait(EventType.MESSAGE_STATUS, message_id=sent, status="delivered")
    world.simulator.mark_read(ana.phone, [sent])
    await world.events.wait(EventType.MESSAGE_STATUS, message_id=sent, status="read")

    assert world.server.inbox(ana.phone) == ["hello"]
    # Our own phone has its copy, in the right conversation.
    copies = world.simulator.person(phone).party.reader.inbox
    assert [(read.chat, read.text) for read in copies] == [(ana.phone, "hello")]
    [view] = await world.stored.messages()
    assert (view.message.status, view.message.key.chat) == (Status.READ, str(ana.jid("lid")))


async def test_texts_arrive_in_the_order_they_were_sent(world: World) -> None:
    await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account
    texts = [f"message {number}" for number in range(3 * WINDOW)]
    for text in texts:
        await world.user.send(str(ana.jid("pn")), text)
    await world.events.wait_many(EventType.MESSAGE_SENT, len(texts))

    assert world.server.inbox(ana.phone) == texts
    assert world.simulator.evidence.reused_keys == []


async def test_every_device_of_the_contact_gets_its_part(world: World) -> None:
    await world.user.pair()
    await world.user.pair(session=OTHER)
    other = (await world.perene.sessions.session(OTHER)).record.pn
    assert other is not None
    number = other.partition(":")[0]
    sent = await world.user.send(f"{number}@s.whatsapp.net", "to phone and companion")

    await world.events.wait(
        EventType.MESSAGE_RECEIVED,
        session=OTHER,
        message_id=sent,
        text="to phone and companion",
    )
    await world.until(lambda: len(world.server.inbox(number)) == 1, "the phone's part")


async def test_a_group_reads_us_and_those_who_joined_do_too(world: World) -> None:
    phone = await world.user.pair()
    ana, bia, caio = (world.simulator.add_contact(name=n).account.phone for n in "ABC")
    group = world.simulator.create_group("Club", ana, [bia, phone])
    await world.server.answered(phone)
    first = await world.user.send(group.jid, "one")
    await world.events.wait(EventType.MESSAGE_SENT, message_id=first)
    world.simulator.change_group(group.jid, "add", [caio])
    await world.server.answered(phone)
    second = await world.user.send(group.jid, "two")
    await world.events.wait(EventType.MESSAGE_SENT, message_id=second)

    await world.until(lambda: len(world.server.inbox(caio)) == 1, "the newcomer's reading")
    assert world.server.inbox(ana) == world.server.inbox(bia) == ["one", "two"]
    assert world.server.inbox(caio) == ["two"]
    assert world.simulator.evidence.events["other_device_lists"] == 0


@pytest.mark.requirement("F1", "F5")
async def test_a_kill_before_the_wire_takes_nobody_the_key_of_a_group(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message that carries the key is committed, and never leaves."""
    phone = await world.user.pair()
    ana, bia = (world.simulator.add_contact(name=n).account for n in "AB")
    group = world.simulator.create_group("Club", ana.phone, [bia.phone, phone])
    await world.server.answered(phone)
    send, committed = Channel.send, asyncio.Event()

    async def hold_messages(self: Channel, *nodes: Node) -> None:
        if any(node.tag == "message" for node in nodes):
            committed.set()
            await asyncio.Event().wait()
        await send(self, *nodes)

    with monkeypatch.context() as held:
        held.setattr(Channel, "send", hold_messages)
        await world.user.send(group.jid, "one")
        async with asyncio.timeout(PATIENCE_S):
            await committed.wait()
        await world.perene.kill()
    await world.perene.start()
    second = await world.user.send(group.jid, "two")
    await world.events.wait(EventType.MESSAGE_SENT, message_id=second)
    for reader in (ana, bia):
        await world.until(lambda who=reader: len(world.server.inbox(who.phone)) == 2, "both")
        assert world.server.inbox(reader.phone) == ["one", "two"]
        assert world.simulator.person(reader.phone).party.desk.counts["undecryptable"] == 0


@pytest.mark.parametrize("restarted", [False, True], ids=["at once", "after a restart"])
async def test_who_has_left_a_group_does_not_hold_the_key_of_what_follows(
    world: World, restarted: bool
) -> None:
    phone = await world.user.pair()
    ana, bia = (world.simulator.add_contact(name=n).account.phone for n in "AB")
    group = world.simulator.create_group("Club", ana, [bia, phone])
    await world.server.answered(phone)
    first = await world.user.send(group.jid, "one")
    await world.events.wait(EventType.MESSAGE_SENT, message_id=first)
    before = await sender_key_id(world, group.jid)
    if restarted:
        position = await world.events.now()
        await world.perene.restart()
        await world.events.wait(EventType.SESSION_CONNECTED, since=position)

    world.simulator.change_group(group.jid, "remove", [bia])
    await world.server.answered(phone)
    second = await world.user.send(group.jid, "two")
    await world.events.wait(EventType.MESSAGE_SENT, message_id=second)

    assert await sender_key_id(world, group.jid) != before
    assert world.server.inbox(ana) == ["one", "two"]
    assert world.server.inbox(bia) == ["one"]


async def test_who_has_left_a_group_unheard_does_not_hold_the_key_of_what_follows(
    world: World,
) -> None:
    """The notification may come behind the message, or not at all."""
    phone = await world.user.pair()
    ana, bia = (world.simulator.add_contact(name=n).account.phone for n in "AB")
    group = world.simulator.create_group("Club", ana, [bia, phone])
    await world.server.answered(phone)
    first = await world.user.send(group.jid, "one")
    await world.events.wait(EventType.MESSAGE_SENT, message_id=first)
    before = await sender_key_id(world, group.jid)
    await world.server.answered(phone)

    await world.perene.sessions.stop(DESK)
    world.simulator.change_group(group.jid, "remove", [bia])
    mailbox = world.server.device(phone).mailbox
    for held in list(mailbox):
        mailbox.settle(held, "lost")
    await world.perene.sessions.start(DESK)
    second = await world.user.send(group.jid, "two")
    await world.events.wait(EventType.MESSAGE_SENT, message_id=second)

    assert await sender_key_id(world, group.jid) != before
    assert world.server.inbox(ana) == ["one", "two"]
    assert world.server.inbox(bia) == ["one"]


@pytest.mark.parametrize("restarted", [False, True], ids=["at once", "after a restart"])
async def test_a_member_that_lost_our_key_gets_it_again(world: World, restarted: bool) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana")
    group = world.simulator.create_group("Club", ana.account.phone, [phone])
    await world.server.answered(phone)
    first = await world.user.send(group.jid, "one")
    await world.events.wait(EventType.MESSAGE_SENT, message_id=first)
    world.simulator.set_online(ana.account.phone, online=False)
    second = await world.user.send(group.jid, "two")
    await world.events.wait(EventType.MESSAGE_SENT, message_id=second)
    if restarted:
        position = await world.events.now()
        await world.perene.restart()
        await world.events.wait(EventType.SESSION_CONNECTED, since=position)

    world.simulator.lose_ratchets(ana.account.phone)
    world.simulator.set_online(ana.account.phone, online=True)
    await world.until(lambda: world.server.inbox(ana.account.phone) == ["one", "two"], "the resend")
    third = await world.user.send(group.jid, "three")
    await world.events.wait(EventType.MESSAGE_SENT, message_id=third)

    assert world.server.inbox(ana.account.phone) == ["one", "two", "three"]
    asked = ana.party.desk.counts["retries_sent"]
    assert asked >= 1
    assert world.simulator.evidence.reused_keys == []


async def test_only_those_a_message_was_for_are_sent_it_again(world: World) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana")
    eve = world.simulator.add_contact(name="Eve")
    sent = await world.user.send(str(ana.account.jid()), "for Ana alone")
    await world.events.wait(EventType.MESSAGE_STATUS, message_id=sent, status="delivered")
    relayed = world.simulator.evidence.events["messages_submitted"]

    retry = Node("retry", {"count": "1", "id": sent, "t": "1", "v": "1"})
    attrs = {"from": str(eve.account.jid()), "id": sent, "type": "retry"}
    world.simulator.inject(phone, Node("receipt", attrs, (retry,)))
    await world.server.answered(phone)

    assert world.server.inbox(eve.account.phone) == []
    assert eve.party.desk.counts["undecryptable"] == 0
    assert world.simulator.evidence.events["messages_submitted"] == relayed


async def test_a_new_companion_of_a_contact_is_written_to_at_once(world: World) -> None:
    """The notification names the number, and we asked by LID: it is the same person."""
    await world.user.pair()
    bia = world.simulator.add_contact(name="Bia").account
    sent = await world.user.send(str(bia.jid("lid")), "to the phone")
    await world.events.wait(EventType.MESSAGE_SENT, message_id=sent)

    await world.user.pair(session=OTHER, phone=bia.phone)
    again = await world.user.send(str(bia.jid("lid")), "to both")
    await world.events.wait(
        EventType.MESSAGE_RECEIVED, session=OTHER, message_id=again, text="to both"
    )
    assert world.simulator.evidence.events["incomplete_device_lists"] == 0


@pytest.mark.parametrize(
    ("forged", "reason"), [(False, None), (True, "device_signature"), (None, "absent")]
)
async def test_a_companion_without_proof_gets_the_message_and_is_told_of(
    world: World, *, forged: bool | None, reason: str | None
) -> None:
    """WhatsApp Web writes nothing to it; but more than once such a check has struck those that were
    genuine (whatsapp-rust pull requests 790, 2026-06-09, and 1440, 2026-09-05)."""
    await world.user.pair()
    bia = world.simulator.add_contact(name="Bia").account
    await world.user.pair(session=OTHER, phone=bia.phone)
    companion = world.server.device(bia.phone)
    if forged is None:
        companion.signed_identity = b""
    elif forged:
        signed = wa_pb2.ADVSignedDeviceIdentity.FromString(companion.signed_identity)
        signed.deviceSignature = bytes(64)
        companion.signed_identity = signed.SerializeToString()
    with capture_logs() as lines:
        await world.user.send(str(bia.jid("lid")), "to both")
        await world.events.wait(EventType.MESSAGE_RECEIVED, session=OTHER, text="to both")
    told = [line for line in lines if line["event"] == "devices_unproven"]
    assert [(line["reason"], line["count"]) for line in told] == ([(reason, 1)] if reason else [])
    assert bia.phone not in str(told)


async def test_a_companion_that_nobody_told_of_gets_what_follows_the_servers_answer(
    world: World,
) -> None:
    """The answer to the first message says that it went to fewer devices than there are."""
    await world.user.pair()
    bia = world.simulator.add_contact(name="Bia").account
    sent = await world.user.send(str(bia.jid("lid")), "to the phone")
    await world.events.wait(EventType.MESSAGE_SENT, message_id=sent)

    bia.acquainted.clear()
    await world.user.pair(session=OTHER, phone=bia.phone)
    for text in ("to the phone alone", "to both"):
        sent = await world.user.send(str(bia.jid("lid")), text)
        await world.events.wait(EventType.MESSAGE_SENT, message_id=sent)
    await world.events.wait(EventType.MESSAGE_RECEIVED, session=OTHER, text="to both")
    assert world.simulator.evidence.events["incomplete_device_lists"] == 1


async def failures(world: World) -> dict[str, Failure | None]:
    """Return why each message of the session failed, by its id."""
    stored = await world.stored.messages()
    return {one.message.key.id: one.failure for one in stored if one.message.key.from_me}


async def test_a_refused_message_is_failed_and_not_sent_again(world: World) -> None:
    phone = await world.user.pair()
    person = world.simulator.add_contact(name="Ana")
    ana = person.account
    # Who has written first may be answered, whatever limits the account has.
    world.simulator.send_text(ana.phone, phone, "hello")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="hello")
    world.simulator.add_fault("refuse_message", phone=phone, device=1, code=463)
    sent = await world.user.send(str(ana.jid()), "refused")
    failed = await world.events.wait(EventType.MESSAGE_FAILED, message_id=sent)
    after = await world.user.send(str(ana.jid()), "accepted")
    await world.events.wait(EventType.MESSAGE_SENT, message_id=after)

    assert failed.event.payload["error"] == "463"
    assert failed.event.payload["failure"] == {"code": "time_locked", "server_code": "463"}
    assert await failures(world) == {sent: Failure.of_refusal("463"), after: None}
    assert world.server.inbox(ana.phone) == ["accepted"]


@pytest.mark.parametrize("by_number_only", [False, True])
async def test_messages_reach_people_whichever_address_the_account_may_use(
    world: World, *, by_number_only: bool
) -> None:
    """One that was not moved to LIDs is refused these (whatsapp-rust issue 941, 2026-07-02)."""
    phone = await world.user.pair()
    ana, bia = (world.simulator.add_contact(name=name).account for name in ("Ana", "Bia"))
    if by_number_only:
        world.simulator.add_fault("by_number_only", phone=phone, device=1, count=ENDLESS)
    for text in ("one", "two", "three"):
        await world.user.send(str(ana.jid("pn")), text)
    await world.user.send(str(bia.jid("lid")), "four")
    await world.events.wait_many(EventType.MESSAGE_SENT, 3)
    world.simulator.send_text(bia.phone, phone, "who is there?")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="who is there?")
    await world.user.send(str(bia.jid("lid")), "five")
    await world.until(lambda: "five" in world.server.inbox(bia.phone), "the last one")

    assert world.server.inbox(ana.phone) == ["one", "two", "three"]
    copies = world.simulator.person(phone).party.reader.inbox
    assert {read.chat for read in copies} == {ana.phone, bia.phone}
    assert world.simulator.evidence.events["mixed_addresses"] == 0
    assert world.simulator.evidence.reused_keys == []
    failed = {one.message.text for one in await world.stored.messages() if one.failure}
    # Of a LID whose number never showed there is no other address.
    assert failed == ({"four"} if by_number_only else set())


async def test_the_form_that_an_account_writes_in_is_learned_once(world: World) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account
    fault = world.simulator.add_fault("by_number_only", phone=phone, device=1, count=ENDLESS)
    await world.user.send(str(ana.jid("pn")), "one")
    await world.until(lambda: "one" in world.server.inbox(ana.phone), "the first one")
    refused = ENDLESS - fault.count
    assert refused
    await world.perene.restart()
    await world.user.send(str(ana.jid("pn")), "two")
    await world.until(lambda: "two" in world.server.inbox(ana.phone), "the second one")
    assert ENDLESS - fault.count == refused


async def test_messages_to_a_group_that_was_moved_to_lids_unnoticed_arrive_in_order(
    world: World,
) -> None:
    """The notice may come behind them, or have been lost (Baileys#1807, 2025-09-20)."""
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account
    group = world.simulator.create_group("Club", ana.phone, [phone], "pn")
    first = await world.user.send(group.jid, "one")
    await world.events.wait(EventType.MESSAGE_SENT, message_id=first)
    group.addressing = "lid"
    for text in ("two", "three", "four"):
        await world.user.send(group.jid, text)
    await world.until(lambda: "four" in world.server.inbox(ana.phone), "the last one")
    assert world.server.inbox(ana.phone) == ["one", "two", "three", "four"]
    assert [one.message.text for one in await world.stored.messages() if one.failure] == []
    assert world.simulator.evidence.reused_keys == []


async def test_a_message_to_nobody_fails_and_holds_up_no_other(world: World) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account
    bia = world.simulator.add_contact(name="Bia").account
    foreign = world.simulator.create_group("Not ours", ana.phone, [bia.phone])
    nobody = await world.user.send("15559999999@s.whatsapp.net", "is anybody there?")
    barred = await world.user.send(foreign.jid, "let me in")
    sent = await world.user.send(str(ana.jid()), "hello")

    told = await world.events.wait(EventType.MESSAGE_FAILED, message_id=nobody)
    assert told.event.payload["failure"] == {"code": "no_devices", "server_code": None}
    await world.events.wait(EventType.MESSAGE_FAILED, message_id=barred)
    await world.events.wait(EventType.MESSAGE_SENT, message_id=sent)
    assert await failures(world) == {
        nobody: Failure(code=FailureCode.NO_DEVICES),
        barred: Failure(code=FailureCode.RECIPIENTS_REFUSED, server_code="403"),
        sent: None,
    }
    assert world.server.inbox(ana.phone) == ["hello"]
    assert phone not in (ana.phone, bia.phone)


async def test_a_message_for_which_there_are_no_keys_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account

    def no_bundle(self: KeyServer, asker: Device, user: Node) -> Node:
        failed = Node("error", {"code": "404", "text": "item-not-found"})
        return Node("user", {"jid": user.attr("jid")}, (failed,))

    with monkeypatch.context() as broken:
        broken.setattr(KeyServer, "_bundle", no_bundle)
        locked = await world.user.send(str(ana.jid()), "nobody can read this")
        await world.pass_time(20)  # in which it is asked for them twice more
        await world.events.wait(EventType.MESSAGE_FAILED, message_id=locked)
    sent = await world.user.send(str(ana.jid()), "once more")
    await world.events.wait(EventType.MESSAGE_SENT, message_id=sent)
    assert await failures(world) == {locked: Failure(code=FailureCode.NO_KEYS), sent: None}


async def test_a_receipt_stands_for_an_answer_of_the_server_that_was_lost(world: World) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account
    world.simulator.add_fault("lost_ack", phone=phone, device=1)
    sent = await world.user.send(str(ana.jid()), "hello")
    await world.events.wait(EventType.MESSAGE_STATUS, message_id=sent, status="delivered")
    position = await world.events.now()
    await world.perene.restart()
    await world.events.wait(EventType.SESSION_CONNECTED, since=position)
    after = await world.user.send(str(ana.jid()), "and more")
    await world.events.wait(EventType.MESSAGE_SENT, message_id=after)

    assert world.server.inbox(ana.phone) == ["hello", "and more"]
    assert world.simulator.evidence.events["messages_submitted"] == 2


async def test_what_the_server_does_not_answer_is_sent_again_under_its_id(world: World) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account
    world.simulator.add_fault("lost_message", phone=phone, device=1)
    sent = await world.user.send(str(ana.jid()), "hello")
    await world.until(lambda: not world.simulator.faults.pending(), "the loss")
    assert await world.events.seen(EventType.MESSAGE_SENT) == []

    for _ in range(6):
        await world.clock.until_asleep(ANSWER_WITHIN_S / 5)
        await world.clock.advance(ANSWER_WITHIN_S / 5)
    await world.events.wait(EventType.MESSAGE_SENT, message_id=sent)

    assert world.server.inbox(ana.phone) == ["hello"]
    assert world.simulator.evidence.reused_keys == []


async def test_a_first_message_to_a_group_that_is_lost_brings_its_key_again(world: World) -> None:
    phone = await world.user.pair()
    ana, bia = (world.simulator.add_contact(name=n).account for n in "AB")
    group = world.simulator.create_group("Club", ana.phone, [bia.phone, phone])
    await world.server.answered(phone)
    world.simulator.add_fault("lost_message", phone=phone, device=1)
    sent = await world.user.send(group.jid, "one")
    await world.until(lambda: not world.simulator.faults.pending(), "the loss")

    for _ in range(6):
        await world.clock.until_asleep(ANSWER_WITHIN_S / 5)
        await world.clock.advance(ANSWER_WITHIN_S / 5)
    await world.events.wait(EventType.MESSAGE_SENT, message_id=sent)

    for reader in (ana, bia):
        await world.until(lambda who=reader: len(world.server.inbox(who.phone)) == 1, "the message")
        assert world.simulator.person(reader.phone).party.desk.counts["undecryptable"] == 0
    assert world.simulator.evidence.reused_keys == []


@pytest.mark.requirement("F1", "F5")
async def test_a_message_that_may_not_have_arrived_is_sent_again_after_a_crash(
    world: World,
) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account
    world.simulator.set_online(ana.phone, online=False)
    world.simulator.add_fault("lost_ack", phone=phone, device=1)
    sent = await world.user.send(str(ana.jid()), "hello")
    await world.until(lambda: not world.simulator.faults.pending(), "the loss")
    await world.perene.kill()

    await world.perene.start()
    await world.events.wait(EventType.MESSAGE_SENT, message_id=sent)
    world.simulator.set_online(ana.phone, online=True)
    assert world.server.inbox(ana.phone) == ["hello"]
    assert ana.phone != phone
    assert world.simulator.person(ana.phone).party.desk.counts["duplicates"] == 1
    assert world.simulator.evidence.reused_keys == []


@pytest.mark.requirement("C13", "F1")
async def test_nothing_is_on_the_wire_before_its_ratchet_is_committed(world: World) -> None:
    await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account
    first = await world.user.send(str(ana.jid()), "one")
    await world.events.wait(EventType.MESSAGE_STATUS, message_id=first, status="delivered")
    position = await world.events.now()
    submitted = world.simulator.evidence.events["messages_submitted"]

    world.perene.commits.fail_next(StorageError("the test says so"))
    second = await world.user.send(str(ana.jid()), "two")
    await world.events.wait(EventType.SESSION_DISCONNECTED, since=position, cause="storage")
    assert world.simulator.evidence.events["messages_submitted"] == submitted

    await world.come_back(since=position)
    await world.events.wait(EventType.MESSAGE_SENT, message_id=second)
    assert world.server.inbox(ana.phone) == ["one", "two"]
    assert world.simulator.evidence.reused_keys == []


async def test_a_stopped_session_sends_when_it_is_started(world: World) -> None:
    await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account
    await world.perene.sessions.stop(DESK)
    sent = await world.user.send(str(ana.jid()), "later")
    assert world.server.inbox(ana.phone) == []
    await world.perene.sessions.start(DESK)
    await world.events.wait(EventType.MESSAGE_SENT, message_id=sent)
    assert world.server.inbox(ana.phone) == ["later"]


async def sender_key_id(world: World, group: str) -> int | None:
    """Return the id of our present sender key in a group."""
    record = await world.perene.store.get_session(DESK)
    assert record.lid is not None
    assert record.pn is not None
    lid, device = record.lid.partition(":")[0], record.pn.partition(":")[2].partition("@")[0]
    reader = world.perene.store.reader(DESK, record.epoch)
    data = await reader.sender_key(group, f"{lid}_1.{device}")
    return None if data is None else SenderKeyRecord.parse(data).key_id
