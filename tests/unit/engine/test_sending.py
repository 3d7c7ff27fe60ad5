"""The send loop: what is queued goes out once for each answer that is missing."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import cast

import pytest

from perene.core.failures import Failure, FailureCode
from perene.core.messages import Message, Status
from perene.core.unit import AddressPair, Committed
from perene.engine.addresses import AddressBook
from perene.engine.errors import CannotSend, Overtaking, QueryFailed, QueryTimedOut
from perene.engine.ports import SessionStore
from perene.engine.reach_out import REFUSED_HERE, ReachOut
from perene.engine.send import Sender
from perene.engine.sending import WINDOW, SendLoop
from perene.engine.wire_forms import WireForms
from perene.wire.jid import Jid
from tests.support.units import key, message
from tests.support.virtual_clock import VirtualClock
from tests.unit.engine.desk import ANA, ANA_PN, GROUP
from tests.unit.engine.fakes import MemoryStore


def loop_of(store: "SlowQueue", sender: "Recorder", forms: WireForms | None = None) -> SendLoop:
    return SendLoop(
        cast("SessionStore", store),
        cast("Sender", sender),
        VirtualClock(),
        cast("ReachOut", Free()),
        forms or sure(),
    )


def sure() -> WireForms:
    """Return what knows which form of address the server takes."""
    forms = WireForms()
    forms.is_sure = True
    return forms


class SlowQueue:
    """A store whose answer about the queue may be out of date when it arrives."""

    def __init__(self, queued: list[Message]) -> None:
        self.queued = queued
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def queued_messages(self, limit: int) -> Sequence[Message]:
        found = list(self.queued[:limit])
        self.asked.set()
        await self.may_answer.wait()
        return found


class Free:
    """An account without limits, but for chats that it may not begin."""

    def __init__(self, *held: str) -> None:
        self.held = held
        self.recalled = 0

    async def recall(self) -> None:
        self.recalled += 1

    async def may_send(self, message: Message) -> bool:
        return message.key.chat not in self.held


class Recorder:
    """A sender that notes what it is given."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.changed = asyncio.Event()

    async def send(self, message: Message) -> None:
        self.sent.append(message.key.id)
        self.changed.set()


async def test_a_message_answered_during_a_look_at_the_queue_is_not_sent_again() -> None:
    first = message(key("A", from_me=True), status=Status.QUEUED)
    second = message(key("B", from_me=True), status=Status.QUEUED)
    store, sender = SlowQueue([first]), Recorder()
    loop = loop_of(store, sender)
    running = asyncio.create_task(loop.run())
    store.may_answer.set()
    await sender.changed.wait()

    store.may_answer.clear()
    store.asked.clear()
    store.queued = [first, second]
    loop.wake()
    await store.asked.wait()
    store.queued = [second]
    loop.answered(first.key.id)
    sender.changed.clear()
    store.may_answer.set()
    await sender.changed.wait()

    assert sender.sent == ["A", "B"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_full_window_goes_on_with_the_first_answer() -> None:
    queued = [message(key(str(n), from_me=True), status=Status.QUEUED) for n in range(WINDOW + 1)]
    store, sender = SlowQueue(queued), Recorder()
    store.may_answer.set()
    loop = loop_of(store, sender)
    running = asyncio.create_task(loop.run())
    await _many_turns()
    assert len(sender.sent) == WINDOW
    store.queued = queued[1:]
    loop.answered(queued[0].key.id)
    await _many_turns()
    assert sender.sent == [str(n) for n in range(WINDOW + 1)]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@pytest.mark.parametrize("is_sure", [False, True])
async def test_until_a_form_of_address_was_taken_a_person_gets_one_message_at_a_time(
    *, is_sure: bool
) -> None:
    """The second would overtake the first, if that is refused for its form and goes out again."""
    group, ana, bia = "120363000000000001@g.us", "2@lid", "3@lid"
    queued = [
        message(key(str(n), chat=chat, from_me=True), status=Status.QUEUED)
        for n, chat in enumerate((ana, ana, bia, group, group))
    ]
    store, sender, forms = SlowQueue(queued), Recorder(), WireForms()
    forms.is_sure = is_sure
    store.may_answer.set()
    loop = loop_of(store, sender, forms)
    running = asyncio.create_task(loop.run())
    await _many_turns()
    assert sender.sent == (["0", "1", "2", "3", "4"] if is_sure else ["0", "2", "3", "4"])
    store.queued = queued[1:]
    loop.answered(queued[0].key.id)
    await _many_turns()
    assert sorted(sender.sent) == ["0", "1", "2", "3", "4"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_person_whose_lid_shows_with_a_message_is_one_chat_with_the_next() -> None:
    """The first is queued under the number, what follows it under the LID."""
    number, lid = Jid.parse(ANA_PN), Jid.parse(ANA)
    queued = [
        message(key(str(n), chat=str(chat), from_me=True), status=Status.QUEUED)
        for n, chat in enumerate((number, lid))
    ]
    store, forms, book = SlowQueue(queued[:1]), WireForms(), AddressBook(MemoryStore())
    sender = Recorder()
    store.may_answer.set()
    loop = loop_of(store, sender, forms)
    running = asyncio.create_task(loop.run())
    await _many_turns()
    book.learn([AddressPair(pn=ANA_PN, lid=ANA)])
    forms.sent(queued[0].key.id, lid, book)
    store.queued = queued
    loop.wake()
    await _many_turns()
    assert sender.sent == ["0"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


class Interrupted(Recorder):
    """A sender with whom an earlier message of the group is refused while one is made ready."""

    def __init__(self, refuse: Callable[[], None]) -> None:
        super().__init__()
        self.refuse = refuse

    async def send(self, message: Message) -> None:
        if message.key.id == "1" and "1?" not in self.sent:
            self.sent.append("1?")
            self.refuse()
            raise Overtaking
        await super().send(message)


async def test_a_message_that_would_overtake_a_refused_one_stays_behind_it() -> None:
    group = "120363000000000001@g.us"
    queued = [
        message(key(str(n), chat=group, from_me=True), status=Status.QUEUED) for n in range(2)
    ]

    def refuse() -> None:
        forms.group_refused(queued[0].key.id, group)
        loop.answered(queued[0].key.id)

    store, sender, forms = SlowQueue(queued), Interrupted(refuse), sure()
    store.may_answer.set()
    loop = loop_of(store, sender, forms)
    running = asyncio.create_task(loop.run())
    await _many_turns()
    assert sender.sent == ["0", "1?", "0"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_what_is_behind_a_refused_message_to_a_group_does_not_overtake_it() -> None:
    group = "120363000000000001@g.us"
    queued = [
        message(key(str(n), chat=group, from_me=True), status=Status.QUEUED) for n in range(3)
    ]
    store, sender, forms = SlowQueue(queued[:2]), Recorder(), sure()
    store.may_answer.set()
    loop = loop_of(store, sender, forms)
    running = asyncio.create_task(loop.run())
    await _many_turns()
    assert sender.sent == ["0", "1"]
    store.queued = queued
    for refused in queued[:2]:
        forms.group_refused(refused.key.id, group)
        loop.answered(refused.key.id)
        await _many_turns()
    assert sender.sent == ["0", "1", "0"]
    for taken in range(3):
        forms.accepted(queued[taken].key.id)
        forms.group_taken(group)
        store.queued = queued[taken + 1 :]
        loop.answered(queued[taken].key.id)
        await _many_turns()
    assert sender.sent == ["0", "1", "0", "1", "2"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


class Between(Recorder):
    """A sender with whom an earlier message is refused while one to another chat is made ready."""

    def __init__(self, refuse: Callable[[], None]) -> None:
        super().__init__()
        self.refuse = refuse

    async def send(self, message: Message) -> None:
        if message.key.id == "1":
            self.refuse()
        await super().send(message)


@pytest.mark.parametrize("moment", ["another is made ready", "the queue is looked at"])
@pytest.mark.parametrize("chat", [ANA, GROUP])
async def test_what_the_last_look_at_the_queue_found_overtakes_no_refused_message(
    chat: str, moment: str
) -> None:
    """That is not among it: it was on the wire then."""
    queued = [
        message(key(str(n), chat=to, from_me=True), status=Status.QUEUED)
        for n, to in enumerate((chat, "3@lid", chat))
    ]

    def refuse() -> None:
        if chat == GROUP:
            assert forms.group_refused(queued[0].key.id, GROUP)
        else:
            assert forms.refused(queued[0].key.id)
        loop.answered(queued[0].key.id)

    during_look = moment == "the queue is looked at"
    store, forms, book = SlowQueue(queued[:1]), sure(), AddressBook(MemoryStore())
    sender = Recorder() if during_look else Between(refuse)
    store.may_answer.set()
    loop = loop_of(store, sender, forms)
    running = asyncio.create_task(loop.run())
    await _many_turns()
    book.learn([AddressPair(pn=ANA_PN, lid=ANA)])
    if chat == ANA:
        forms.sent(queued[0].key.id, Jid.parse(ANA), book)
    store.queued = queued
    if during_look:
        store.may_answer.clear()
        store.asked.clear()
    loop.wake()
    if during_look:
        await store.asked.wait()
        refuse()
        store.may_answer.set()
    await _many_turns()
    assert [one for one in sender.sent if one != "1"] == ["0", "0"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def _many_turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Unhelpful:
    """A store with a queue, and a sender to whom the server does not say who is in some chats."""

    def __init__(self, clock: VirtualClock, *chats: str) -> None:
        self.clock = clock
        self.queued = [
            message(key(str(n), chat=chat, from_me=True), status=Status.QUEUED)
            for n, chat in enumerate(chats)
        ]
        self.error: dict[str, Exception] = {}
        self.sent: list[str] = []
        self.asked: list[tuple[str, float]] = []
        self.account = Free()
        self.loop = SendLoop(
            cast("SessionStore", self),
            cast("Sender", self),
            clock,
            cast("ReachOut", self.account),
            sure(),
        )

    async def queued_messages(self, limit: int) -> Sequence[Message]:
        return self.queued[:limit]

    async def send(self, wanted: Message) -> None:
        self.asked.append((wanted.key.chat, self.clock.monotonic()))
        if wanted.key.chat in self.error:
            raise self.error[wanted.key.chat]
        self.sent.append(wanted.key.id)
        self.queued.remove(wanted)
        self.loop.answered(wanted.key.id)

    def queue(self, chat: str) -> None:
        """Let the user write to a chat."""
        number = 100 + len(self.asked)
        one = message(key(str(number), chat=chat, from_me=True), status=Status.QUEUED)
        self.queued.append(one)
        self.loop.wake()

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        task = asyncio.create_task(self.loop.run())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def live(self, seconds: int) -> None:
        """Let a time of the clock pass."""
        for _ in range(seconds):
            await self.clock.advance(1.0)


class Thorough(Unhelpful):
    """A sender that takes its time, and a server that does not answer."""

    async def send(self, wanted: Message) -> None:
        self.asked.append((wanted.key.chat, self.clock.monotonic()))
        await self.clock.sleep(100.0)
        self.sent.append(wanted.key.id)


class Slow(Unhelpful):
    """The same, and it takes a while to send where the server does help."""

    async def send(self, wanted: Message) -> None:
        if wanted.key.chat not in self.error:
            await self.clock.sleep(6.0)
        await super().send(wanted)


async def test_a_message_that_takes_long_to_make_ready_goes_out_once() -> None:
    """The server is given its time to answer from when the message has left."""
    desk = Thorough(VirtualClock(), GOOD)
    async with desk.running():
        await desk.live(150)
        assert desk.sent == ["0"]
        desk.loop.answered(desk.queued.pop().key.id)
        await desk.live(200)
        assert desk.clock.asleep == [], "who waits for nothing wakes nobody"
    assert desk.sent == ["0"]


async def test_a_message_that_is_not_answered_goes_out_again_ever_more_seldom() -> None:
    desk = Thorough(VirtualClock(), GOOD)
    async with desk.running():
        await desk.live(900)
    gaps = _gaps([at for _, at in desk.asked])
    for gap, patience in zip(gaps, (75, 150, 225), strict=True):
        assert 100 + patience <= gap <= 100 + patience + 16


class Ticking(VirtualClock):
    """Time that passes while somebody works: so much between two looks at the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.tick_s = self._ticked = 0.0

    def monotonic(self) -> float:
        self._ticked += self.tick_s
        return super().monotonic() + self._ticked


BAD, GOOD = "120363000000000001@g.us", "15550000001@s.whatsapp.net"
OTHER = "120363000000000002@g.us"


@pytest.mark.parametrize("error", [QueryFailed(500, ""), QueryFailed(0, ""), QueryTimedOut("none")])
async def test_a_chat_that_nothing_is_known_of_keeps_no_other_waiting(error: Exception) -> None:
    desk = Unhelpful(VirtualClock(), *[BAD] * 100, GOOD, BAD, GOOD)
    desk.error[BAD] = error
    async with desk.running():
        await desk.live(60)
    assert desk.sent == ["100", "102"]
    gaps = _gaps([at for chat, at in desk.asked if chat == BAD])
    for gap, wait in zip(gaps, (5, 10, 20), strict=True):
        assert wait <= gap <= wait + 2


async def test_a_chat_goes_on_in_order_once_the_server_helps() -> None:
    desk = Unhelpful(VirtualClock(), BAD, GOOD, BAD)
    desk.error[BAD] = QueryFailed(500, "")
    async with desk.running():
        await desk.live(10)
        desk.error.clear()
        await desk.live(10)
    assert desk.sent == ["1", "0", "2"]


@pytest.mark.parametrize("status", [429, 500])
async def test_nothing_in_a_chat_overtakes_what_is_held_there(status: int) -> None:
    """Though the hold has ended by the time that the next message of the chat has its turn."""
    desk = Slow(VirtualClock(), BAD, GOOD, BAD, GOOD)
    desk.error[BAD] = QueryFailed(status, "")
    async with desk.running():
        await desk.live(3)
        desk.error.clear()
        await desk.live(40)
    assert desk.sent == ["1", "3", "0", "2"]


async def test_a_hold_that_ends_during_a_look_lets_nothing_overtake() -> None:
    clock = Ticking()
    desk = Unhelpful(clock, BAD, GOOD, BAD)
    desk.error[BAD] = QueryFailed(500, "")
    async with desk.running():
        await desk.live(5)
        desk.error.clear()
        clock.tick_s = 0.6
        desk.loop.wake()
        await _many_turns()
    assert desk.sent == ["1", "0", "2"]


async def test_a_server_that_is_asked_too_often_is_asked_ever_more_seldom() -> None:
    desk = Unhelpful(VirtualClock(), BAD, GOOD)
    desk.error[BAD] = desk.error[GOOD] = QueryFailed(429, "rate-overlimit")
    async with desk.running():
        await desk.live(3600)
    assert len(desk.asked) < 3600 / 300 + 10
    gaps = _gaps([at for _, at in desk.asked])
    assert gaps == sorted(gaps)
    assert 300 <= gaps[-1] <= 302


async def test_a_server_that_has_helped_is_as_good_as_new() -> None:
    desk = Unhelpful(VirtualClock(), BAD, GOOD, BAD)
    desk.error[BAD] = QueryFailed(429, "rate-overlimit")
    async with desk.running():
        await desk.live(20)
        del desk.error[BAD]
        await desk.live(20)
        assert desk.sent == ["1", "0", "2"]
        assert _gaps([at for chat, at in desk.asked if chat == BAD])[:2] == [5, 10]
        desk.asked.clear()
        desk.error[GOOD] = QueryFailed(429, "rate-overlimit")
        desk.queue(GOOD)
        await desk.live(8)
    assert _gaps([at for _, at in desk.asked]) == [5]


async def test_a_chat_is_not_held_for_what_was_asked_too_often_about_others() -> None:
    desk = Unhelpful(VirtualClock(), BAD)
    desk.error = {BAD: QueryFailed(429, "rate-overlimit"), GOOD: QueryFailed(500, "")}
    async with desk.running():
        await desk.live(20)
        del desk.error[BAD]
        desk.queue(GOOD)
        await desk.live(35)
    assert _gaps([at for chat, at in desk.asked if chat == GOOD])[0] == 5


async def test_who_needs_no_help_says_nothing_of_a_server_that_is_asked_too_often() -> None:
    desk = Unhelpful(VirtualClock(), BAD, GOOD, OTHER)
    desk.error = {chat: QueryFailed(429, "rate-overlimit") for chat in (BAD, OTHER)}
    async with desk.running():
        await desk.live(40)
    assert desk.sent == ["1"]
    assert _gaps([at for chat, at in desk.asked if chat != GOOD])[:3] == [5, 10, 20]


@pytest.mark.parametrize("earlier", [False, True])
async def test_limits_are_recalled_for_what_was_queued_before(*, earlier: bool) -> None:
    """What comes later comes by who knows of them."""
    desk = Unhelpful(VirtualClock(), *([GOOD] if earlier else []))
    async with desk.running():
        await desk.live(1)
        for _ in range(3):
            desk.queue(GOOD)
            await desk.live(1)
    assert (len(desk.sent), desk.account.recalled) == (3 + earlier, earlier)


async def test_a_chat_that_may_not_be_begun_is_refused_and_keeps_no_other_waiting() -> None:
    desk = Refusing(VirtualClock(), BAD, GOOD)
    desk.account.held = (BAD,)
    async with desk.running():
        await desk.live(1)
    assert desk.refused == [(Failure(code=FailureCode.REACH_OUT_LIMITED), REFUSED_HERE)]
    assert (desk.sent, desk.asked) == (["1"], [(GOOD, 1.0)])


def _gaps(times: Sequence[float]) -> list[float]:
    return [later - earlier for earlier, later in pairwise(times)]


async def test_a_message_that_cannot_be_sent_keeps_why_and_is_told_in_words() -> None:
    desk = Refusing(VirtualClock(), BAD, GOOD)
    desk.error[BAD] = CannotSend(FailureCode.UNREADABLE_MESSAGE, "the stored message is damaged")
    async with desk.running():
        await desk.live(1)
    assert desk.refused == [
        (Failure(code=FailureCode.UNREADABLE_MESSAGE), "the stored message is damaged")
    ]
    assert desk.sent == ["1"]


@pytest.mark.parametrize("code", [FailureCode.NO_KEYS, FailureCode.UNREADABLE_ANSWER])
async def test_an_answer_that_does_not_help_is_asked_for_twice_more(code: FailureCode) -> None:
    desk = Refusing(VirtualClock(), BAD, GOOD, BAD)
    desk.error[BAD] = CannotSend(code, "nothing of use")
    async with desk.running():
        await desk.live(13)
        assert (desk.sent, desk.refused) == (["1"], [])
        await desk.live(4)
        assert [one.key.id for one in desk.queued] == ["2"]
        await desk.live(20)
    assert desk.refused == [(Failure(code=code), "nothing of use")] * 2
    gaps = _gaps([at for chat, at in desk.asked if chat == BAD])
    assert [round(gap / 5) for gap in gaps] == [1, 2, 0, 1, 2], "each message has all its tries"


async def test_a_message_goes_out_once_the_answer_helps() -> None:
    desk = Refusing(VirtualClock(), BAD, BAD)
    desk.error[BAD] = CannotSend(FailureCode.NO_KEYS, "no keys now")
    async with desk.running():
        await desk.live(7)
        desk.error.clear()
        await desk.live(10)
    assert (desk.sent, desk.refused) == (["0", "1"], [])


async def test_what_is_refused_takes_no_others_place_on_the_wire() -> None:
    desk = Refusing(VirtualClock(), *[BAD] * WINDOW, GOOD)
    desk.error[BAD] = CannotSend(FailureCode.NO_DEVICES, "nobody")
    async with desk.running():
        await desk.live(3)
    assert (len(desk.refused), desk.sent) == (WINDOW, [str(WINDOW)])


class Refusing(Unhelpful):
    """The same, and what cannot be sent is refused."""

    def __init__(self, clock: VirtualClock, *chats: str) -> None:
        super().__init__(clock, *chats)
        self.refused: list[tuple[Failure, str]] = []

    async def refuse(
        self, wanted: Message, failure: Failure, error: str
    ) -> "asyncio.Future[Committed]":
        self.refused.append((failure, error))
        self.queued.remove(wanted)
        committed: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()
        committed.set_result(Committed(new_messages=0))
        return committed
