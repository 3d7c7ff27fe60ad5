"""What an account may do, who may be written to, and how long that is remembered."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from perene.core.account import ChatStanding, ReachOutPolicy
from perene.core.errors import NotFound, StorageUnavailable
from perene.core.events import Event, EventType
from perene.core.ids import SessionId
from perene.core.sessions import SessionRecord
from perene.supervisor.desks.account import AccountDesk
from perene.supervisor.desks.events import EventFeed
from perene.supervisor.ports import ReachOutLimited
from perene.supervisor.storage.retries import Retries
from perene.supervisor.storage.saver import SavePolicy
from tests.support.virtual_clock import VirtualClock
from tests.unit.supervisor.fakes import MemoryStore

ANA = SessionId("ana")
BEA = "5511900000002@s.whatsapp.net"


class Accounts(MemoryStore):
    """Also what is asked of chats, and how often a session was looked for."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0
        self.started: list[datetime] = []

    async def get_session(self, session: SessionId) -> SessionRecord:
        self.looks += 1
        if self.failing is not None:
            raise self.failing
        return await super().get_session(session)

    async def chat_standing(self, session: SessionId, chat: str) -> ChatStanding:
        return ChatStanding.NEW

    async def chats_started(
        self, session: SessionId, since: datetime, own: Sequence[str]
    ) -> Sequence[datetime]:
        return [at for at in self.started if at >= since]

    async def append_events(self, events: Sequence[tuple[SessionId | None, Event]]) -> None:
        for session, event in events:
            self.emit(event, session)


@pytest.fixture
def store() -> Accounts:
    found = Accounts()
    found.add("ana", paired=True)
    return found


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def desk(store: Accounts, clock: VirtualClock) -> AccountDesk:
    feed, retries = EventFeed(store), Retries(clock, SavePolicy())
    return AccountDesk(store, feed, clock, ReachOutPolicy(), retries, ring=feed.ring)


@pytest.fixture
def paced(store: Accounts, clock: VirtualClock) -> AccountDesk:
    """Return a desk that lets two new chats begin in a day, ten minutes apart."""
    feed, retries = EventFeed(store), Retries(clock, SavePolicy())
    policy = ReachOutPolicy(new_chats_per_day=2, new_chat_pause=timedelta(minutes=10))
    return AccountDesk(store, feed, clock, policy, retries, ring=feed.ring)


async def test_an_account_that_nothing_limits_may_begin_a_chat_at_once(desk: AccountDesk) -> None:
    view = await desk.account(ANA)
    assert (view.limits, view.ban, view.new_chats_24h) == ([], None, 0)
    assert (view.allowance, view.pause_s, view.next_chat_at) == (None, 0, None)


@pytest.mark.parametrize(
    ("ages", "wait", "words"),
    [
        ([timedelta(minutes=4)], timedelta(minutes=6), "The pause between two new chats"),
        ([timedelta(hours=20), timedelta(hours=1)], timedelta(hours=4), "As many chats were begun"),
    ],
    ids=["pause", "allowance"],
)
async def test_an_account_says_when_the_next_chat_may_begin_and_whoever_comes_before_why_not(
    store: Accounts,
    paced: AccountDesk,
    clock: VirtualClock,
    ages: list[timedelta],
    wait: timedelta,
    words: str,
) -> None:
    store.started = [clock.now() - age for age in ages]
    view = await paced.account(ANA)
    assert (view.new_chats_24h, view.allowance, view.pause_s) == (len(ages), 2, 600)
    assert view.next_chat_at == clock.now() + wait
    record = await store.get_session(ANA)
    with pytest.raises(ReachOutLimited, match=words) as refused:
        async with paced.admission(record, BEA):
            pytest.fail("a chat was begun")
    assert refused.value.retry_after_s == wait.total_seconds()
    await clock.advance(wait.total_seconds())
    assert (await paced.account(ANA)).next_chat_at is None
    async with paced.admission(record, BEA):
        pass


@pytest.mark.parametrize(
    ("to", "person"),
    [
        (BEA, True),
        ("1234567890@lid", True),
        ("1234567890@hosted", True),
        ("1234567890@hosted.lid", True),
        ("1234567890@g.us", False),
        ("status@broadcast", False),
        ("5511900000001@s.whatsapp.net", False),
    ],
)
async def test_only_other_people_are_reached_out_to(
    store: Accounts, paced: AccountDesk, clock: VirtualClock, to: str, *, person: bool
) -> None:
    store.started = [clock.now()]
    admission = paced.admission(await store.get_session(ANA), to)
    if person:
        with pytest.raises(ReachOutLimited):
            await admission.__aenter__()
    else:
        async with admission:
            pass


async def test_where_no_limit_is_none_is_lifted(store: Accounts, desk: AccountDesk) -> None:
    assert (await desk.lift(ANA)).limits == []
    assert store.outbox == []


async def test_a_session_that_is_deleted_during_a_request_is_not_remembered(
    store: Accounts, desk: AccountDesk
) -> None:
    record = await store.get_session(ANA)
    del store.records[ANA]
    desk.forget(ANA)
    for _ in range(2):
        with pytest.raises(NotFound):
            async with desk.admission(record, BEA):
                pytest.fail("a message to nobody was admitted")


async def test_a_session_that_cannot_be_looked_for_is_not_remembered(
    store: Accounts, desk: AccountDesk
) -> None:
    record = await store.get_session(ANA)
    store.failing = StorageUnavailable("away")
    with pytest.raises(StorageUnavailable):
        async with desk.admission(record, BEA):
            pytest.fail("a message was admitted")
    store.failing = None
    del store.records[ANA]
    with pytest.raises(NotFound):
        async with desk.admission(record, BEA):
            pytest.fail("a message to nobody was admitted")


async def test_a_session_is_looked_for_once(store: Accounts, desk: AccountDesk) -> None:
    record = await store.get_session(ANA)
    for _ in range(3):
        async with desk.admission(record, BEA):
            pass
    assert store.looks == 2


@pytest.mark.requirement("E8")
@pytest.mark.parametrize("stores", [False, True])
async def test_whoever_lifts_a_limit_waits_for_a_database_that_restarts(
    store: Accounts,
    desk: AccountDesk,
    clock: VirtualClock,
    monkeypatch: pytest.MonkeyPatch,
    *,
    stores: bool,
) -> None:
    """One that was stored unheard is stored again as the same event, which the outbox has once."""
    until = (clock.now() + timedelta(hours=1)).isoformat()
    limit = {"code": "463", "until": until}
    store.emit(Event(type=EventType.SESSION_LIMITED, at=clock.now(), payload={**limit}), ANA)
    append, away, tried = store.append_events, True, list[Event]()

    async def unsure(events: Sequence[tuple[SessionId | None, Event]]) -> None:
        tried.extend(event for _, event in events)
        if stores or not away:
            await append(events)
        if away:
            raise StorageUnavailable("it is starting or stopping")

    monkeypatch.setattr(store, "append_events", unsure)
    lifting = asyncio.create_task(desk.lift(ANA))
    await clock.until_asleep(2)
    away = False
    await clock.advance(2)
    assert (await lifting).limits == []
    assert len(tried) == 2
    assert tried[0] == tried[1]
