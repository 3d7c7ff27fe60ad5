"""Limits of accounts are known from memory, as far as their events were read."""

import asyncio
from collections.abc import Collection
from datetime import timedelta

import pytest

from perene.core.account import limit_event
from perene.core.errors import StorageUnavailable
from perene.core.events import Event, EventType
from perene.core.ids import SessionId
from perene.supervisor.ports import EventPage, StoredEvent
from perene.supervisor.watches.limits import LimitWatch
from tests.support.virtual_clock import VirtualClock

ANA, BOB = SessionId("ana"), SessionId("bob")


class Feed:
    """An outbox in memory."""

    def __init__(self) -> None:
        self.events: list[StoredEvent] = []
        self.failing = False

    def add(self, session: SessionId, event: Event) -> None:
        self.events.append(StoredEvent(seq=len(self.events) + 1, session=session, event=event))

    async def after(
        self,
        seq: int,
        *,
        session: SessionId | None,
        types: Collection[EventType],
        limit: int,
    ) -> EventPage:
        if self.failing:
            raise StorageUnavailable("gone")
        assert session is None
        items = [one for one in self.events[seq:] if one.event.type in types][:limit]
        return EventPage(
            items=items, position=items[-1].seq if len(items) == limit else len(self.events)
        )

    async def latest(self) -> int:
        return len(self.events)

    async def wait_for_new(self, seq: int) -> None:
        assert seq < len(self.events), "nobody waits here"


@pytest.mark.requirement("F10")
async def test_a_limit_is_known_until_it_is_over_or_lifted() -> None:
    clock, feed = VirtualClock(), Feed()
    watch = LimitWatch(feed, clock)
    for session in (ANA, BOB):
        feed.add(session, limit_event("463", clock.now(), hold=timedelta(hours=1)))
    await watch.look()
    assert (watch.limited(ANA), watch.limited(BOB)) == (True, True)
    feed.add(BOB, Event(type=EventType.SESSION_LIMIT_LIFTED, at=clock.now()))
    await watch.look()
    assert (watch.limited(ANA), watch.limited(BOB)) == (True, False)
    await clock.advance(3600)
    assert not watch.limited(ANA)


async def test_a_session_that_was_deleted_is_not_limited() -> None:
    clock, feed = VirtualClock(), Feed()
    watch = LimitWatch(feed, clock)
    feed.add(ANA, limit_event("475", clock.now(), hold=timedelta(hours=1)))
    feed.add(ANA, Event(type=EventType.SESSION_DELETED, at=clock.now()))
    await watch.look()
    assert not watch.limited(ANA)


async def test_more_events_than_a_page_holds_are_all_read() -> None:
    clock, feed = VirtualClock(), Feed()
    watch = LimitWatch(feed, clock)
    for _ in range(2500):
        feed.add(BOB, limit_event("463", clock.now(), hold=timedelta(hours=1)))
    feed.add(ANA, limit_event("463", clock.now(), hold=timedelta(hours=1)))
    await watch.look()
    assert watch.limited(ANA)


async def test_an_outage_of_the_database_delays_the_news_and_ends_nothing() -> None:
    clock, feed = VirtualClock(), Feed()
    watch = LimitWatch(feed, clock)
    feed.failing = True
    feed.add(ANA, limit_event("463", clock.now(), hold=timedelta(hours=1)))
    life = asyncio.create_task(watch.run())
    await clock.until_asleep(10)
    assert not watch.limited(ANA)
    feed.failing = False
    await clock.advance(10)
    assert watch.limited(ANA)
    life.cancel()
