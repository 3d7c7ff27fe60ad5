"""What comes in is stored once, and answered only then."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from perene.core.errors import StorageError
from perene.core.events import EventType
from perene.core.messages import Fate
from perene.engine.config import FIRST_PRE_KEYS
from perene.engine.phone_resends import SENDER_ANSWERS_WITHIN_S
from perene.engine.prekeys import LOW_WATER, REFILL
from perene.sim import Settings
from perene.sim.faults import FaultKind
from perene.sim.model import Addressing, PublicKeys
from perene.wire.node import Node
from perene.wire.proto import wa_pb2
from tests.support.world import DESK, World


async def test_a_first_message_is_read_and_its_pre_key_is_used_up(world: World) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account
    sent = world.simulator.send_text(ana.phone, phone, "hello")

    told = (await world.events.wait(EventType.MESSAGE_RECEIVED)).event.payload
    await world.server.answered(phone)

    assert (told["message_id"], told["text"], told["push_name"]) == (sent, "hello", "Ana")
    assert (told["chat"], told["chat_pn"]) == (str(ana.jid("lid")), str(ana.jid("pn")))
    counts = await world.perene.store.counts(DESK)
    assert counts.pre_keys == len(world.server.device(phone).keys.one_time)
    assert counts.fates[Fate.DELIVERED] == 1
    assert world.server.counters(phone).answered == {"receipt": 1}


@pytest.mark.parametrize("tag", ["message", "status"])
async def test_a_status_update_is_read_under_either_tag_and_settled(world: World, tag: str) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana")
    author = str(ana.account.jid("lid"))
    attrs = {"from": "status@broadcast", "participant": author, "type": "text"}
    enc = world.server.sealed(ana, phone, wa_pb2.Message(conversation="at the beach"))
    sent = world.simulator.inject(phone, Node(tag, attrs, (enc,)))

    told = await world.events.wait(EventType.MESSAGE_RECEIVED, message_id=sent, text="at the beach")
    await world.server.answered(phone)
    assert (told.event.payload["chat"], told.event.payload["sender"]) == (
        "status@broadcast",
        author,
    )


@pytest.mark.requirement("C8")
async def test_many_messages_are_stored_in_the_order_they_were_sent(world: World) -> None:
    phone = await world.user.pair()
    people = [world.simulator.add_contact(name=name).account.phone for name in ("Ana", "Bia")]
    for number in range(60):
        for sender in people:
            world.simulator.send_text(sender, phone, f"{sender} {number}")
    await world.events.wait_many(EventType.MESSAGE_RECEIVED, 120)
    await world.server.answered(phone)

    for sender in people:
        chat = str(world.simulator.person(sender).account.jid())
        assert await world.stored.texts(chat) == [f"{sender} {number}" for number in range(60)]
    assert world.perene.committer.transactions < world.perene.committer.committed_units
    assert world.server.counters(phone).answered["receipt"] == 120


async def test_a_group_message_is_read_with_the_key_that_came_along(world: World) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account.phone
    bia = world.simulator.add_contact(name="Bia").account.phone
    group = world.simulator.create_group("Club", ana, [bia, phone])

    world.simulator.send_text(ana, group.jid, "one")
    world.simulator.send_text(ana, group.jid, "two")
    world.simulator.send_text(bia, group.jid, "three")
    await world.events.wait_many(EventType.MESSAGE_RECEIVED, 3, chat=group.jid)
    await world.server.answered(phone)

    assert await world.stored.texts(group.jid) == ["one", "two", "three"]
    senders = {view.message.key.sender for view in await world.stored.messages(group.jid)}
    assert senders == {str(world.simulator.person(p).account.jid()) for p in (ana, bia)}


@pytest.mark.requirement("C9")
async def test_both_addresses_of_a_person_lead_to_one_conversation(world: World) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana", addressing="pn").account
    world.simulator.send_text(ana.phone, phone, "by number")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="by number")
    ana.addressing = "lid"
    world.simulator.send_text(ana.phone, phone, "by LID")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="by LID")
    ana.addressing = "pn"
    world.simulator.send_text(ana.phone, phone, "by number again")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="by number again")

    page = await world.perene.messages.list_conversations(DESK, cursor=None, limit=10)
    assert [one.chat for one in page.items] == [str(ana.jid("lid"))]
    for form in ("pn", "lid"):
        assert await world.stored.texts(str(ana.jid(form))) == [
            "by number",
            "by LID",
            "by number again",
        ]
    assert world.server.counters(phone).retries_asked == 0


@pytest.mark.requirement("C9")
async def test_two_ratchets_of_one_person_become_one_when_it_shows(world: World) -> None:
    """Under two addresses that nothing connects, until a stanza names both."""
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana")
    ana.account.addressing = "pn"

    def stanza(form: Addressing, text: str, message_id: str, **more: str) -> Node:
        attrs = {"from": str(ana.account.jid(form)), "id": message_id, "type": "text", **more}
        enc = world.server.sealed(ana, phone, wa_pb2.Message(conversation=text))
        return Node("message", attrs, (enc,))

    world.simulator.inject(phone, stanza("pn", "one", "A1"))
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="one")
    ana.party.desk.keyring.lose_ratchets()
    world.simulator.inject(phone, stanza("lid", "two", "A2"))
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="two")
    both = {"sender_pn": str(ana.account.jid("pn"))}
    world.simulator.inject(phone, stanza("lid", "three", "A3", **both))
    world.simulator.inject(phone, stanza("pn", "four", "A4"))
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="four")

    page = await world.perene.messages.list_conversations(DESK, cursor=None, limit=10)
    assert [one.chat for one in page.items] == [str(ana.account.jid("lid"))]
    assert await world.stored.texts() == ["one", "two", "three", "four"]
    assert world.server.counters(phone).retries_asked == 0


async def test_what_the_phone_sends_is_a_message_of_ours(world: World) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account
    world.simulator.send_text(phone, ana.phone, "from my phone")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="from my phone", from_me=True)
    world.simulator.send_text(ana.phone, phone, "an answer")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="an answer", from_me=False)
    await world.server.answered(phone)

    assert await world.stored.texts(str(ana.jid())) == ["from my phone", "an answer"]
    assert world.server.counters(phone).retries_asked == 0


@pytest.mark.requirement("C8")
async def test_a_stanza_that_comes_twice_is_stored_once_and_answered_twice(world: World) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account.phone
    world.simulator.add_fault("duplicate", phone=phone, count=3)
    for number in range(5):
        world.simulator.send_text(ana, phone, f"message {number}")
    await world.events.wait_many(EventType.MESSAGE_RECEIVED, 5)
    await world.until(
        lambda: world.server.counters(phone).answers_for_nothing == 3, "second answers"
    )
    await world.server.answered(phone)

    assert await world.stored.texts() == [f"message {number}" for number in range(5)]
    counters = world.server.counters(phone)
    assert (counters.redelivered, counters.retries_asked) == (3, 0)


@pytest.mark.requirement("C8", "F1")
async def test_what_came_just_before_the_socket_closed_is_stored_once(world: World) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account.phone
    position = await world.events.now()
    world.simulator.add_fault("close_after", phone=phone)
    for number in range(4):
        world.simulator.send_text(ana, phone, f"message {number}")
    await world.come_back(since=position)
    await world.server.answered(phone)

    assert await world.stored.texts() == [f"message {number}" for number in range(4)]
    assert world.server.counters(phone).retries_asked == 0


@pytest.mark.requirement("C13", "F1")
async def test_a_failed_commit_is_not_answered_and_its_message_comes_again(world: World) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account.phone
    world.simulator.send_text(ana, phone, "before")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="before")
    await world.server.answered(phone)
    position = await world.events.now()
    answered = world.server.counters(phone).answered.total()

    world.perene.commits.fail_next(StorageError("the test says so"))
    for number in range(3):
        world.simulator.send_text(ana, phone, f"message {number}")
    await world.events.wait(EventType.SESSION_DISCONNECTED, since=position, cause="storage")
    assert world.server.counters(phone).answered.total() == answered
    assert await world.stored.texts() == ["before"]

    await world.come_back(since=position)
    await world.events.wait_many(EventType.MESSAGE_RECEIVED, 3, since=position)
    await world.server.answered(phone)
    assert await world.stored.texts() == ["before", "message 0", "message 1", "message 2"]
    assert world.server.counters(phone).retries_asked == 0
    assert (await world.perene.store.counts(DESK)).fates[Fate.LOST] == 0


@pytest.mark.requirement("E6", "E8")
async def test_messages_wait_while_the_session_is_away_and_come_in_order(world: World) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account.phone
    world.simulator.send_text(ana, phone, "first")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="first")
    await world.perene.sessions.stop(DESK)

    texts = [f"message {number}" for number in range(450)]
    for text in texts:
        world.simulator.send_text(ana, phone, text)
    await world.perene.sessions.start(DESK)
    await world.events.wait_many(EventType.MESSAGE_RECEIVED, 451)
    await world.server.answered(phone)

    assert await world.stored.texts() == ["first", *texts]
    assert world.server.counters(phone).retries_asked == 0


async def test_a_corrupted_ciphertext_is_asked_for_again_and_recovered(world: World) -> None:
    world.resends_expected = True
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account.phone
    world.simulator.send_text(ana, phone, "first")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="first")
    world.simulator.add_fault("corrupt", phone=phone)
    sent = world.simulator.send_text(ana, phone, "damaged")

    lost = await world.events.wait(EventType.MESSAGE_UNREADABLE, message_id=sent)
    await world.events.wait(EventType.MESSAGE_RECEIVED, message_id=sent, text="damaged")
    world.simulator.send_text(ana, phone, "after")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="after")
    await world.server.answered(phone)

    assert lost.event.payload["resend_requested"] is True
    fates = (await world.perene.store.counts(DESK)).fates
    assert (fates[Fate.RECOVERED], fates[Fate.PENDING], fates[Fate.LOST]) == (1, 0, 0)


async def test_a_lost_ratchet_heals_from_either_side(world: World) -> None:
    world.resends_expected = True
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana")
    to_ana = str(ana.account.jid())
    world.simulator.send_text(ana.account.phone, phone, "first")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="first")

    world.simulator.lose_ratchets(ana.account.phone)
    told = await world.user.send(to_ana, "can you read this?")
    await world.events.wait(EventType.MESSAGE_STATUS, message_id=told, status="delivered")
    await world.until(lambda: ana.party.desk.counts["received"] == 1, "the resend")
    assert [read.id for read in ana.party.reader.inbox] == [told]

    world.simulator.send_text(ana.account.phone, phone, "yes")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="yes")
    await world.server.answered(phone)
    assert world.simulator.evidence.reused_keys == []


async def test_a_pre_key_that_nobody_has_is_answered_with_one_that_exists(world: World) -> None:
    world.resends_expected = True
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account.phone
    world.simulator.add_fault("wrong_pre_key", phone=ana)
    sent = world.simulator.send_text(ana, phone, "hello")

    first = await world.events.wait(EventType.MESSAGE_UNREADABLE, message_id=sent)
    await world.events.wait(EventType.MESSAGE_RECEIVED, message_id=sent, text="hello")
    assert first.event.payload["reason"] == "unknown_pre_key"


@pytest.mark.parametrize("how", ["corrupt", "unavailable"])
async def test_what_only_the_phone_has_is_had_from_the_phone(world: World, how: FaultKind) -> None:
    """Its sender is asked in vain, or WhatsApp had nothing of it for this device."""
    world.resends_expected = how == "corrupt"
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account
    world.simulator.send_text(ana.phone, phone, "first")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="first")
    # As often as it is delivered, but not the phone's answer.
    world.simulator.add_fault(how, phone=phone, count=4 if how == "corrupt" else 1)
    sent = world.simulator.send_text(ana.phone, phone, "for the phone alone")

    told = await world.events.wait(EventType.MESSAGE_RECEIVED, message_id=sent)
    await world.server.answered(phone)
    assert told.event.payload["text"] == "for the phone alone"
    assert told.event.payload["chat"] == told.event.payload["sender"] == str(ana.jid("lid"))
    fates = (await world.perene.store.counts(DESK)).fates
    assert (fates[Fate.RECOVERED], fates[Fate.PENDING], fates[Fate.LOST]) == (1, 0, 0)
    assert world.simulator.person(phone).party.desk.counts["phone_requests"] == 1
    assert await world.stored.texts() == ["first", "for the phone alone"]


async def test_a_sender_who_is_away_keeps_no_message_from_us(world: World) -> None:
    """Whoever is asked to send again may never be online again; the phone is."""
    world.resends_expected = True
    phone = await world.user.pair()
    ana, bia = (world.simulator.add_contact(name=name).account for name in ("Ana", "Bia"))
    group = world.simulator.create_group("Club", ana.phone, [bia.phone, phone])
    world.simulator.send_text(ana.phone, group.jid, "first")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="first")
    world.simulator.add_fault("corrupt", phone=phone)
    sent = world.simulator.send_text(ana.phone, group.jid, "damaged")
    world.simulator.set_online(ana.phone, online=False)
    await world.events.wait(EventType.MESSAGE_UNREADABLE, message_id=sent)
    await world.pass_time(SENDER_ANSWERS_WITHIN_S + 10)

    told = await world.events.wait(EventType.MESSAGE_RECEIVED, message_id=sent, text="damaged")
    assert (told.event.payload["chat"], told.event.payload["sender"]) == (
        group.jid,
        str(ana.jid("lid")),
    )
    world.simulator.set_online(ana.phone, online=True)
    await world.server.answered(phone)
    assert await world.stored.texts() == ["first", "damaged"], (
        "the sender's answer is no second one"
    )


async def test_a_group_key_that_our_phone_gives_again_reads_what_follows(world: World) -> None:
    world.resends_expected = True
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account.phone
    group = world.simulator.create_group("Club", ana, [phone])
    world.simulator.add_fault("corrupt", phone=phone)
    for text in ("damaged", "next"):
        sent = world.simulator.send_text(phone, group.jid, text)
        await world.events.wait(EventType.MESSAGE_RECEIVED, message_id=sent, text=text)
        await world.server.answered(phone)
    assert len(await world.events.seen(EventType.MESSAGE_UNREADABLE)) == 1


async def test_a_restart_before_the_phone_was_asked_keeps_no_message_from_us(
    world: World,
) -> None:
    """The sender is away, and the service ends before their time is over."""
    world.resends_expected = True
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account
    world.simulator.send_text(ana.phone, phone, "first")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="first")
    world.simulator.add_fault("corrupt", phone=phone)
    sent = world.simulator.send_text(ana.phone, phone, "damaged")
    world.simulator.set_online(ana.phone, online=False)
    await world.events.wait(EventType.MESSAGE_UNREADABLE, message_id=sent)
    await world.server.answered(phone)
    await world.perene.restart()
    await world.pass_time(SENDER_ANSWERS_WITHIN_S + 10)

    await world.events.wait(EventType.MESSAGE_RECEIVED, message_id=sent, text="damaged")
    asked = world.simulator.person(phone).party.desk.counts
    await world.perene.restart()
    await world.pass_time(SENDER_ANSWERS_WITHIN_S + 10)
    assert asked["phone_requests"] == 1, "it has come"


async def test_a_message_that_can_never_be_read_ends_as_lost(world: World) -> None:
    world.resends_expected = True
    phone = await world.user.pair()
    world.simulator.person(phone).phone.resends = False
    ana = world.simulator.add_contact(name="Ana").account.phone
    world.simulator.add_fault("corrupt", phone=phone, count=50)
    sent = world.simulator.send_text(ana, phone, "damaged for ever")

    told = await world.events.wait_many(EventType.MESSAGE_UNREADABLE, 4, message_id=sent)
    await world.server.answered(phone)
    assert [one.event.payload["resend_requested"] for one in told] == [True, True, True, False]
    fates = (await world.perene.store.counts(DESK)).fates
    assert (fates[Fate.LOST], fates[Fate.PENDING]) == (1, 0)


async def test_a_contact_with_new_keys_is_read_and_told_of(world: World) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana")
    world.simulator.send_text(ana.account.phone, phone, "old phone")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="old phone")
    told = await world.user.send(str(ana.account.jid()), "noted")
    await world.events.wait(EventType.MESSAGE_STATUS, message_id=told, status="delivered")

    world.simulator.change_identity(ana.account.phone)
    world.simulator.send_text(ana.account.phone, phone, "new phone")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="new phone")
    await world.events.wait(EventType.PEER_IDENTITY_CHANGED, sender=str(ana.account.jid()))
    again = await world.user.send(str(ana.account.jid()), "congratulations")
    await world.events.wait(EventType.MESSAGE_STATUS, message_id=again, status="delivered")
    await world.server.answered(phone)


@pytest.mark.parametrize(
    ("left", "supplied"),
    [((4, 2, 0), FIRST_PRE_KEYS), ((99, 98, 97), 97 + REFILL)],
    ids=["few", "not few to us"],
)
async def test_words_about_few_pre_keys_that_waited_together_bring_one_refill(
    world: World, left: Sequence[int], supplied: int
) -> None:
    phone = await world.user.pair()
    await world.pass_time(3600)
    await world.perene.sessions.stop(DESK)
    keys = world.server.device(phone).keys
    while len(keys.one_time) > left[-1]:
        keys.one_time.popitem()
    uploads = world.simulator.evidence.events["pre_key_uploads"]
    for count in left:
        word = Node("notification", {"type": "encrypt"}, (Node("count", {"value": str(count)}),))
        world.simulator.inject(phone, word)
    await world.perene.sessions.start(DESK)
    await world.events.wait(EventType.SESSION_CONNECTED)
    await world.server.answered(phone)
    await world.pass_time(60)
    assert world.simulator.evidence.events["pre_key_uploads"] == uploads + 1
    assert len(keys.one_time) == supplied


async def test_pre_keys_that_the_server_has_lost_are_supplied_when_it_says_so(
    world: World,
) -> None:
    phone = await world.user.pair()
    keys = world.server.device(phone).keys
    asked = world.simulator.evidence.queries["encrypt"]
    word = Node("notification", {"type": "encrypt"}, (Node("digest"),))
    world.simulator.inject(phone, word)
    await world.until(
        lambda: world.simulator.evidence.queries["encrypt"] == asked + 1, "a question"
    )
    uploads = world.simulator.evidence.events["pre_key_uploads"]

    keys.one_time.clear()
    world.simulator.inject(phone, word)
    await world.until(lambda: len(keys.one_time) == FIRST_PRE_KEYS, "a supply")
    await world.server.answered(phone)
    assert world.simulator.evidence.events["pre_key_uploads"] == uploads + 1


def _other(keys: PublicKeys, what: str) -> None:
    """Let the server have something else of our keys than we do."""
    value = getattr(keys, what)
    setattr(keys, what, value + 1 if isinstance(value, int) else bytes(len(value)))


@pytest.mark.parametrize("what", ["registration_id", "signed_id", "signed_key", "signed_signature"])
async def test_a_server_with_other_keys_of_ours_is_given_them_with_the_next_login(
    world: World, what: str
) -> None:
    """Else nobody could write for the first time who has fetched them (zapo
    src/signal/api/SignalDigestSyncApi.ts, 2026-08-19)."""
    phone = await world.user.pair()
    keys = world.server.device(phone).keys
    ours = getattr(keys, what)
    await world.perene.sessions.stop(DESK)
    _other(keys, what)
    await world.perene.sessions.start(DESK)
    await world.until(lambda: getattr(keys, what) == ours, "our keys")
    ana = world.simulator.add_contact(name="Ana").account.phone
    world.simulator.send_text(ana, phone, "can you read me?")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="can you read me?")
    await world.server.answered(phone)
    assert world.server.counters(phone).retries_asked == 0


async def test_a_server_that_goes_on_with_other_keys_is_given_ours_once_a_day(
    world: World,
) -> None:
    phone = await world.user.pair()
    keys = world.server.device(phone).keys
    uploads = [world.simulator.evidence.events["pre_key_uploads"]]
    for pause_s in (60, 80_000, 7_000):
        await world.perene.sessions.stop(DESK)
        await world.pass_time(pause_s)
        _other(keys, "signed_id")
        asked = world.simulator.evidence.queries["encrypt"]
        await world.perene.sessions.start(DESK)
        # How many there are, and which; what follows of it has its turn while time passes.
        await world.until(
            lambda asked=asked: world.simulator.evidence.queries["encrypt"] >= asked + 2, "a look"
        )
        await world.pass_time(10)
        uploads.append(world.simulator.evidence.events["pre_key_uploads"])
    first = uploads[0]
    assert uploads == [first, first + 1, first + 1, first + 2]


async def test_a_server_that_refuses_our_keys_ends_no_session(world: World) -> None:
    phone = await world.user.pair()
    keys = world.server.device(phone).keys
    await world.perene.sessions.stop(DESK)
    _other(keys, "identity")
    await world.perene.sessions.start(DESK)
    refused = world.simulator.evidence.events
    await world.until(lambda: refused["uploads_of_foreign_identity"] == 1, "a refusal")
    ana = world.simulator.add_contact(name="Ana").account
    sent = await world.user.send(str(ana.jid()), "still here")
    await world.events.wait(EventType.MESSAGE_STATUS, message_id=sent, status="delivered")


async def test_pre_keys_are_refilled_before_they_run_out(world: World) -> None:
    phone = await world.user.pair()
    keys = world.server.device(phone).keys
    while len(keys.one_time) >= LOW_WATER:
        world.simulator.service.take_bundle(world.server.device(phone))
    await world.until(lambda: len(keys.one_time) > LOW_WATER, "a refill")
    await world.server.answered(phone)

    ids = set(keys.one_time)
    ana = world.simulator.add_contact(name="Ana").account.phone
    world.simulator.send_text(ana, phone, "under a new key")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="under a new key")
    assert len(set(keys.one_time) - ids) == 0
    assert world.server.counters(phone).retries_asked == 0


async def test_the_server_decides_when_pre_keys_are_few(tmp_path: Path, template: Path) -> None:
    """And says so once (whatsapp-rust pull request 706, 2026-06-04)."""
    settings = Settings(initial_sync=False, low_pre_keys=100)
    async with World.open(tmp_path, template, settings=settings) as world:
        phone = await world.user.pair()
        keys = world.server.device(phone).keys
        while len(keys.one_time) >= 100:
            world.simulator.service.take_bundle(world.server.device(phone))
        await world.until(lambda: len(keys.one_time) == 99 + REFILL, "a refill")
        await world.server.answered(phone)


@pytest.mark.parametrize(("left", "supplied"), [(LOW_WATER - 1, True), (LOW_WATER, False)])
async def test_a_word_about_pre_keys_that_names_no_number_is_looked_into(
    world: World, left: int, *, supplied: bool
) -> None:
    phone = await world.user.pair()
    await world.pass_time(3600)
    keys = world.server.device(phone).keys
    while len(keys.one_time) > left:
        keys.one_time.popitem()
    word = Node("notification", {"type": "encrypt"}, (Node("count"),))
    world.simulator.inject(phone, word)
    await world.server.answered(phone)
    await world.pass_time(60)
    assert len(keys.one_time) == left + supplied * REFILL


async def test_what_the_phone_tells_only_its_companions_is_kept_aside(world: World) -> None:
    phone = await world.user.pair()
    content = wa_pb2.Message.ProtocolMessage(
        type=wa_pb2.Message.ProtocolMessage.HISTORY_SYNC_NOTIFICATION
    )
    sent = world.simulator.person(phone).party.sender.send_to_companion(
        world.server.device(phone), content
    )
    world.simulator.run_due()
    await world.server.answered(phone)

    kept = await world.perene.store.peer_messages(DESK, limit=9)
    assert [(one.id, one.kind) for one in kept] == [(sent, "history_sync_notification")]
    assert await world.stored.texts() == []
    assert world.server.counters(phone).answered["receipt"] == 1
