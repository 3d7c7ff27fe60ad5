"""The outbox as it is read: positions, filters, and no news that is slept through."""

import asyncio
from collections.abc import Sequence
from typing import Any
from unittest.mock import AsyncMock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perene.core.errors import StorageUnavailable
from perene.core.events import Event, EventType
from perene.core.ids import SessionId
from perene.supervisor.desks.events import EventFeed
from perene.supervisor.ports import EventPage
from tests.support.virtual_clock import START
from tests.unit.supervisor.fakes import MemoryStore, Row

ANA, BOB = SessionId("ana"), SessionId("bob")


def fact(kind: EventType = EventType.MESSAGE_RECEIVED) -> Event:
    return Event(type=kind, at=START)


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def feed(store: MemoryStore) -> EventFeed:
    return EventFeed(store)


async def started(feed: EventFeed, seq: int) -> "asyncio.Task[None]":
    """Let somebody wait, and return once he does."""
    waiting = asyncio.create_task(feed.wait_for_new(seq))
    for _ in range(3):
        await asyncio.sleep(0)
    return waiting


async def test_an_empty_outbox_is_at_its_beginning(feed: EventFeed) -> None:
    assert await feed.latest() == 0
    page = await feed.after(0, session=None, types=(), limit=10)
    assert (list(page.items), page.position) == ([], 0)


async def test_events_come_in_order_with_their_number_and_session(
    feed: EventFeed, store: MemoryStore
) -> None:
    for session in (ANA, BOB, ANA):
        store.emit(fact(), session)
    page = await feed.after(1, session=None, types=(), limit=10)
    assert [(item.seq, item.session) for item in page.items] == [(2, BOB), (3, ANA)]
    assert page.position == await feed.latest() == 3


async def test_an_event_without_a_session_has_an_empty_one(
    feed: EventFeed, store: MemoryStore
) -> None:
    store.emit(fact())
    page = await feed.after(0, session=None, types=(), limit=10)
    assert [item.session for item in page.items] == [""]


async def test_a_page_without_a_match_still_moves_behind_all_that_was_searched(
    feed: EventFeed, store: MemoryStore
) -> None:
    for _ in range(5):
        store.emit(fact(), BOB)
    page = await feed.after(0, session=ANA, types=(), limit=10)
    assert (list(page.items), page.position) == ([], 5)


async def test_a_position_ahead_of_the_outbox_is_answered_by_the_newest_one(
    feed: EventFeed, store: MemoryStore
) -> None:
    assert (await feed.after(7, session=None, types=(), limit=10)).position == 0
    store.emit(fact())
    assert (await feed.after(7, session=ANA, types=(), limit=10)).position == 1


async def test_nobody_waits_for_an_outbox_to_reach_a_position_that_it_never_had(
    feed: EventFeed, store: MemoryStore
) -> None:
    store.emit(fact())
    async with asyncio.timeout(10):
        await feed.wait_for_new(7)


async def test_who_waits_learns_that_an_older_outbox_took_the_place_of_this_one(
    feed: EventFeed, store: MemoryStore
) -> None:
    store.emit(fact())
    store.emit(fact())
    waiting = await started(feed, 2)
    del store.outbox[1]
    feed.ring()
    async with asyncio.timeout(10):
        await waiting


async def test_what_is_committed_while_a_page_is_read_is_not_jumped_over(
    feed: EventFeed, store: MemoryStore
) -> None:
    def commit_meanwhile() -> None:
        store.on_look = lambda: None
        store.emit(fact(), ANA)

    store.emit(fact(), ANA)
    store.on_look = commit_meanwhile
    page = await feed.after(0, session=ANA, types=(), limit=10)
    seen = [item.seq for item in page.items]
    rest = await feed.after(page.position, session=ANA, types=(), limit=10)
    assert seen + [item.seq for item in rest.items] == [1, 2]


@given(
    kinds=st.lists(st.tuples(st.sampled_from([ANA, BOB]), st.sampled_from(EventType)), max_size=30),
    limit=st.integers(min_value=1, max_value=7),
    session=st.sampled_from([None, ANA, BOB]),
    span=st.integers(min_value=1, max_value=40),
    types=st.sets(st.sampled_from(EventType), max_size=3),
)
def test_page_after_page_every_match_is_read_exactly_once(
    kinds: list[tuple[SessionId, EventType]],
    limit: int,
    session: SessionId | None,
    span: int,
    types: set[EventType],
) -> None:
    async def read_all() -> list[int]:
        store = MemoryStore()
        for owner, kind in kinds:
            store.emit(fact(kind), owner)
        feed, position, found = EventFeed(store, span=span), 0, list[int]()
        while True:
            page = await feed.after(position, session=session, types=types, limit=limit)
            assert page.position >= position
            found += [item.seq for item in page.items]
            if page.position == position:
                return found
            position = page.position

    expected = [
        seq
        for seq, (owner, kind) in enumerate(kinds, start=1)
        if session in (None, owner) and (not types or kind in types)
    ]
    assert asyncio.run(read_all()) == expected


async def test_nobody_waits_for_what_is_there(feed: EventFeed, store: MemoryStore) -> None:
    store.emit(fact())
    async with asyncio.timeout(10):
        await feed.wait_for_new(0)


async def test_a_ring_wakes_everybody_who_has_news(feed: EventFeed, store: MemoryStore) -> None:
    waiting = [await started(feed, 0) for _ in range(3)]
    store.emit(fact())
    feed.ring()
    async with asyncio.timeout(10):
        await asyncio.gather(*waiting)


async def test_a_ring_without_news_lets_them_wait_on(feed: EventFeed, store: MemoryStore) -> None:
    waiting = await started(feed, 0)
    feed.ring()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not waiting.done()
    store.emit(fact())
    feed.ring()
    async with asyncio.timeout(10):
        await waiting


async def test_news_between_looking_and_waiting_are_not_slept_through(
    feed: EventFeed, store: MemoryStore
) -> None:
    def commit_meanwhile() -> None:
        store.on_look = lambda: None
        store.emit(fact())
        feed.ring()

    store.on_look = commit_meanwhile
    async with asyncio.timeout(10):
        await feed.wait_for_new(0)


async def test_a_reader_who_left_holds_up_nobody(feed: EventFeed, store: MemoryStore) -> None:
    left, stays = await started(feed, 0), await started(feed, 0)
    left.cancel()
    store.emit(fact())
    feed.ring()
    async with asyncio.timeout(10):
        await stays
    assert left.cancelled()


class CountingStore(MemoryStore):
    """Counts what is asked of it, and lets nobody have an answer before it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.answers = asyncio.Event()
        self.answers.set()

    async def last_seq(self) -> int:
        self.asked += 1
        found = await super().last_seq()
        await self.answers.wait()
        return found


async def test_all_who_ask_the_same_at_once_are_answered_by_one_reading() -> None:
    store = CountingStore()
    feed = EventFeed(store)
    store.emit(fact(), ANA)
    store.answers.clear()
    streams = [
        asyncio.create_task(feed.after(0, session=None, types=(), limit=100)) for _ in range(250)
    ]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    streams[0].cancel()
    store.answers.set()
    pages = await asyncio.gather(*streams, return_exceptions=True)
    assert isinstance(pages[0], asyncio.CancelledError)
    assert all(isinstance(page, EventPage) and len(page.items) == 1 for page in pages[1:])
    assert store.asked == 1


async def test_who_asks_for_something_else_at_the_same_time_gets_an_answer_of_its_own() -> None:
    store, seldom = CountingStore(), EventType.SESSION_BANNED
    feed = EventFeed(store)
    for session in (ANA, BOB):
        for kind in (EventType.MESSAGE_RECEIVED, seldom):
            store.emit(fact(kind), session)
    store.answers.clear()
    asked = [
        asyncio.create_task(feed.after(seq, session=session, types=types, limit=limit))
        for seq, session, types, limit in (
            (0, None, (), 10),
            (1, None, (), 10),
            (0, BOB, (), 10),
            (0, None, (seldom,), 10),
            (0, None, (), 2),
        )
    ]
    await asyncio.sleep(0)
    store.answers.set()
    found = [[item.seq for item in (await page).items] for page in asked]
    assert found == [[1, 2, 3, 4], [2, 3, 4], [3, 4], [2, 4], [1, 2]]


async def test_who_asks_after_a_ring_is_not_answered_by_an_older_reading() -> None:
    store = CountingStore()
    feed = EventFeed(store)
    store.answers.clear()
    older = asyncio.create_task(feed.latest())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    store.emit(fact(), ANA)
    feed.ring()
    newer = asyncio.create_task(feed.latest())
    await asyncio.sleep(0)
    store.answers.set()
    assert (await older, await newer) == (0, 1)


async def test_a_reading_that_fails_fails_for_all_who_asked_and_for_nobody_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = MemoryStore()
    feed = EventFeed(store)
    with monkeypatch.context() as away:
        away.setattr(store, "last_seq", AsyncMock(side_effect=StorageUnavailable("away")))
        found = await asyncio.gather(feed.latest(), feed.latest(), return_exceptions=True)
        assert [type(one) for one in found] == [StorageUnavailable] * 2
    assert await feed.latest() == 0


@pytest.mark.requirement("C1")
async def test_what_is_seldom_is_looked_for_a_little_at_a_time() -> None:
    spans: list[tuple[int, int]] = []

    class Watched(MemoryStore):
        async def events_after(self, seq: int, **query: Any) -> Sequence[Row]:
            spans.append((seq, query["until"] or len(self.outbox)))
            return await super().events_after(seq, **query)

    store, seldom = Watched(), EventType.SESSION_BANNED
    for number in range(1, 96):
        store.emit(fact(seldom if number in {5, 17, 93} else EventType.MESSAGE_RECEIVED), ANA)
    feed = EventFeed(store, span=10)
    page = await feed.after(0, session=None, types=(seldom,), limit=2)
    assert ([item.seq for item in page.items], page.position) == ([5, 17], 17)
    assert spans == [(0, 10), (10, 20)], "the page is full"
    page = await feed.after(page.position, session=None, types=(seldom,), limit=2)
    assert ([item.seq for item in page.items], page.position) == ([93], 95)
    assert all(until - seq <= 10 for seq, until in spans)


@pytest.mark.requirement("C1")
async def test_events_that_are_gone_or_of_others_cost_a_search_nothing() -> None:
    asked: list[int] = []

    class Old(MemoryStore):
        """Has told a thousand million events, and kept a hundred of one session, and one."""

        async def events_after(self, seq: int, **query: Any) -> Sequence[Row]:
            asked.append(seq)
            return []

        async def reach(self, seq: int, **_: Any) -> int | None:
            return None if seq else 10**9 - 50

        async def last_seq(self) -> int:
            return 10**9

    feed = EventFeed(Old(), span=10)
    page = await feed.after(0, session=ANA, types=(EventType.SESSION_BANNED,), limit=10)
    assert (list(page.items), page.position) == ([], 10**9)
    assert asked == [0, 10**9 - 50]
