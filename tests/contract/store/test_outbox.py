"""The outbox: every event under a number that follows the order of commits."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from perene.core.account import ACCOUNT_EVENTS
from perene.core.events import EventType
from perene.core.ids import SessionId
from perene.store.store import Store
from tests.support.units import ANA, START, ManualClock, event, message, unit

pytestmark = pytest.mark.usefixtures("ana")

BOB = SessionId("bob")


async def test_a_probe_writes_and_is_no_event(store: Store) -> None:
    before = await store.last_seq()
    await store.probe()
    await store.probe()
    assert await store.last_seq() == before
    assert await store.events_after(0) == []


async def test_the_last_life_of_a_service_is_known_by_its_probes_and_its_events(
    store: Store, clock: ManualClock
) -> None:
    clock.time = START + timedelta(minutes=1)
    await store.probe()
    assert await store.last_life() == START + timedelta(minutes=1)
    clock.time = START
    await store.probe()
    assert await store.last_life() == START, "a clock that was set back is believed"
    at = START + timedelta(seconds=7)
    await store.append_events([(ANA, event()), (ANA, replace(event(), at=at))])
    assert await store.last_life() == at


async def test_events_are_read_in_the_order_of_their_commits(store: Store) -> None:
    assert await store.last_seq() == 0
    events = [event(number=n) for n in range(10)]
    await store.commit([unit(events=tuple(events[:3]))])
    await store.append_events([(None, events[3]), (ANA, events[4])])
    await store.commit([unit(events=(one,)) for one in events[5:]])
    stored = await store.events_after(0)
    assert [one.event for one in stored] == events
    assert [one.session for one in stored[2:6]] == [ANA, None, ANA, ANA]
    numbers = [one.seq for one in stored]
    assert numbers == sorted(set(numbers))
    assert await store.last_seq() == numbers[-1]
    assert [one.seq for one in await store.events_after(numbers[3], limit=2)] == numbers[4:6]
    assert await store.events_after(numbers[-1]) == []


async def test_events_are_chosen_by_session_and_type(store: Store) -> None:
    await store.create_session(BOB)
    for session in (ANA, BOB):
        await store.commit(
            [
                unit(
                    session=session,
                    messages=(message(),),
                    events=(event(EventType.SESSION_PAIRED), event(EventType.SESSION_QR)),
                )
            ]
        )
    first, second, *_ = [one.seq for one in await store.events_after(0)]
    assert [one.seq for one in await store.events_after(0, until=second)] == [first, second]
    chosen = await store.events_after(0, session=BOB)
    assert {one.session for one in chosen} == {BOB}
    assert len(chosen) == 3
    kinds = [EventType.SESSION_QR, EventType.SESSION_PAIRED]
    assert len(await store.events_after(0, types=kinds)) == 4
    assert len(await store.events_after(0, session=ANA, types=kinds[:1])) == 1


async def test_an_event_is_put_in_once(store: Store) -> None:
    one = event()
    await store.append_events([(ANA, one)])
    await store.append_events([(ANA, one), (ANA, one)])
    assert [stored.event for stored in await store.events_after(0)] == [one]


async def test_a_payload_comes_back_as_it_was(store: Store) -> None:
    one = event(text="\0 \ud800 \N{GRINNING FACE}", number=2**60, list=[None, True, {"a": 1.5}])
    await store.append_events([(ANA, replace(one, at=START + timedelta(microseconds=1)))])
    [stored] = await store.events_after(0)
    assert stored.event.payload == one.payload
    assert stored.event.at == START + timedelta(microseconds=1)


async def test_no_event_appears_behind_a_reader_that_has_passed_it(
    store: Store, open_store: Callable[[], Store]
) -> None:
    """Several processes commit; whoever reads to the end at any moment misses nothing later."""
    random_ = random.Random(7)
    stores = [store, open_store(), open_store()]
    count = 30

    async def write(one: Store) -> None:
        for _ in range(count):
            await one.append_events([(ANA, event()) for _ in range(random_.randint(1, 4))])

    async def follow() -> list[int]:
        seen: list[int] = []
        while not writing.done() or await store.events_after(seen[-1] if seen else 0):
            found = await store.events_after(seen[-1] if seen else 0, limit=1000)
            seen += [one.seq for one in found]
        return seen

    writing = asyncio.gather(*(write(one) for one in stores))
    seen = await follow()
    await writing
    assert seen == [one.seq for one in await store.events_after(0, limit=10_000)]


async def test_old_events_are_purged_from_the_front(store: Store) -> None:
    old = [replace(event(), at=START + timedelta(minutes=n)) for n in range(5)]
    await store.append_events([(ANA, one) for one in old])
    assert await store.purge(events_before=START) == 0
    assert [stored.event for stored in await store.events_after(0)] == old
    assert await store.purge(events_before=START + timedelta(minutes=3)) == 3
    assert [stored.event for stored in await store.events_after(0)] == old[3:]
    assert await store.purge(events_before=START) == 0
    assert await store.last_seq() == 5
    await store.append_events([(ANA, event())])
    assert await store.last_seq() == 6


async def test_a_reach_holds_as_many_events_as_are_asked_for_whatever_their_numbers(
    store: Store,
) -> None:
    await store.create_session(BOB)
    for _ in range(3):
        await store.append_events([(ANA, event()), (BOB, event()), (BOB, event())])
    seqs = [one.seq for one in await store.events_after(0)]
    assert await store.reach(0, count=4) == seqs[3]
    assert await store.reach(seqs[3], count=5) == seqs[8]
    assert await store.reach(seqs[3], count=6) is None
    assert await store.reach(0, count=2, session=ANA) == seqs[3]
    assert await store.reach(0, count=3, session=ANA, types=(EventType.MESSAGE_SENT,)) == seqs[6]
    assert await store.reach(0, count=4, session=ANA) is None
    assert await store.reach(0, count=1, session=ANA, types=ACCOUNT_EVENTS) is None
    assert await store.reach(0, count=1, types=ACCOUNT_EVENTS) == seqs[0]
