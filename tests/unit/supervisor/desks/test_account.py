"""What is remembered of accounts: for as long as their sessions exist, and no longer."""

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
from perene.supervisor.storage.committer import SavePolicy
from perene.supervisor.storage.retries import Retries
from tests.support.virtual_clock import VirtualClock
from tests.unit.supervisor.fakes import MemoryStore

ANA = SessionId("ana")
BEA = "5511900000002@s.whatsapp.net"


class Accounts(MemoryStore):
    """Also what is asked of chats, and how often a session was looked for."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0

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
        return []

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
