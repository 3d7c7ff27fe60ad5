"""How the sessions begin with the service, and end with it."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from perene.core.errors import StorageUnavailable
from perene.core.events import EventType
from perene.core.notices import Opened
from perene.core.sessions import Connection, Desired, SessionRecord
from tests.support.endings import LOST, STOPPED
from tests.support.turns import turns
from tests.unit.supervisor.fakes import World
from tests.unit.supervisor.fleet.life import (
    ANA,
    BOB,
    SlowAnswer,
    begin,
    begin_many,
    end,
    fail_in_an_outage,
    outage_of,
)


@pytest.mark.requirement("C4")
async def test_when_the_service_starts_every_session_with_saved_credentials_connects(
    world: World,
) -> None:
    for number in range(45):
        world.store.add(f"s{number}", paired=True)
    life = await begin(world)
    assert len(world.engines) < 45
    await world.clock.advance(1)
    await turns()
    assert world.engines.keys() == world.store.records.keys()
    assert all(len(engines) == 1 for engines in world.engines.values())
    await end(world, life)


@pytest.mark.requirement("C4", "E8")
async def test_a_database_that_comes_late_delays_the_sessions_and_ends_nothing(
    world: World,
) -> None:
    world.store.add("ana", paired=True)
    world.store.failing = StorageUnavailable("the database is starting")
    life = await begin(world)
    await world.clock.until_asleep(2)
    assert not world.engines
    world.store.failing = None
    await world.clock.advance(2)
    await turns()
    assert world.supervisor.roster.is_running(ANA)
    await end(world, life)


async def test_a_session_that_was_stopped_stays_stopped_when_the_service_starts(
    world: World,
) -> None:
    world.store.add("ana", paired=True)
    world.store.add("bob", paired=True, desired=Desired.STOPPED)
    life = await begin(world)
    assert world.engines.keys() == {ANA}
    assert world.supervisor.roster.live(BOB).connection is Connection.STOPPED
    await end(world, life)


async def test_a_session_that_is_stopped_while_others_start_is_not_started(world: World) -> None:
    life, (last,) = await begin_many(world, waiting=1)
    await world.supervisor.stop(last)
    await world.clock.advance(0.2)
    await turns()
    assert last not in world.engines
    await end(world, life)


async def test_a_session_that_is_deleted_while_others_start_is_passed_over(world: World) -> None:
    life, (deleted, last) = await begin_many(world, waiting=2)
    await world.supervisor.delete(deleted)
    await world.clock.advance(0.2)
    await world.engine(last)
    await end(world, life)


async def test_a_session_that_was_started_meanwhile_is_not_started_twice(world: World) -> None:
    life, (last,) = await begin_many(world, waiting=1)
    await world.supervisor.start(last)
    await world.clock.advance(0.2)
    await turns()
    assert len(world.engines[last]) == 1
    await end(world, life)


async def test_closing_drains_every_connection_and_keeps_every_desire(world: World) -> None:
    world.store.add("ana")
    world.store.add("bob")
    life = await begin(world)
    engine = await world.engine("ana")
    engine.drains = False
    world.supervisor.close()
    await turns()
    assert engine.stopped
    assert not life.done()
    engine.end(STOPPED)
    async with asyncio.timeout(10):
        await life
    assert {one.desired for one in world.store.records.values()} == {Desired.RUNNING}
    assert EventType.SESSION_STOPPED not in world.store.told(ANA), "no person wanted it"
    assert world.supervisor.roster.live(ANA).connection is Connection.STOPPED


@pytest.mark.parametrize(
    ("wish", "desired"),
    [
        ("start", Desired.RUNNING),
        ("restart", Desired.RUNNING),
        ("logout", Desired.LOGGED_OUT),
    ],
)
async def test_nothing_starts_once_the_service_is_closing_but_is_wanted_of_the_next(
    world: World, wish: str, desired: Desired
) -> None:
    world.store.add("ana", paired=True, desired=Desired.STOPPED)
    world.store.add("bob", paired=True)
    life = await begin(world)
    bob = await world.engine("bob")
    bob.drains = False
    world.supervisor.close()
    await turns()
    await getattr(world.supervisor, wish)(ANA)
    await turns()
    assert world.engines.keys() == {BOB}
    bob.end(STOPPED)
    async with asyncio.timeout(10):
        await life
    assert world.store.records[ANA].desired is desired


async def test_a_session_that_was_started_before_all_could_be_read_ends_with_the_service(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unread() -> Sequence[SessionRecord]:
        raise StorageUnavailable("the list takes too long")

    world.store.add("ana")
    monkeypatch.setattr(world.store, "list_sessions", unread)
    life = await begin(world)
    await world.supervisor.start(ANA)
    engine = await world.engine(ANA)
    world.supervisor.close()
    await turns()
    assert engine.stopped
    engine.end(STOPPED)
    async with asyncio.timeout(10):
        await life


@pytest.mark.requirement("C16")
async def test_a_session_that_never_ran_is_known_from_the_start(world: World) -> None:
    world.store.add("ana", desired=Desired.STOPPED)
    life = await begin(world)
    assert world.supervisor.roster.lives[ANA].connection is Connection.STOPPED
    remembered = world.supervisor.roster.remembered
    assert remembered is not None
    assert [one.record.id for one in remembered] == [ANA]
    await end(world, life)


async def test_what_is_wanted_before_the_service_lives_is_done_when_it_does(world: World) -> None:
    world.store.add("ana", paired=True, desired=Desired.STOPPED)
    world.store.add("bob", paired=True)
    await world.supervisor.start(ANA)
    await world.supervisor.logout(BOB)
    assert not world.engines
    life = await begin(world)
    await world.engine("ana")
    (await world.engine("bob")).observer.notice(Opened(at=world.clock.now()))
    await turns()
    assert world.store.destroyed == [BOB]
    await end(world, life)


@pytest.mark.parametrize("was_linked", [True, False])
async def test_only_a_session_that_was_linked_before_needs_to_be_linked_again(
    world: World, *, was_linked: bool
) -> None:
    world.store.add("ana")
    world.store.records[ANA] = replace(world.store.records[ANA], was_linked=was_linked)
    life = await begin(world)
    assert world.supervisor.roster.live(ANA).needs_pairing is was_linked
    await end(world, life)


async def test_a_logout_cut_short_by_the_end_of_the_service_is_finished_by_the_next(
    running: World,
) -> None:
    running.store.add("ana", desired=Desired.LOGGED_OUT, paired=True)
    again = running.another()
    life = asyncio.create_task(again.run())
    (await running.engine("ana")).end(LOST)
    await turns()
    assert running.store.destroyed == [ANA]
    assert running.store.records[ANA].desired is Desired.STOPPED
    again.close()
    await life


async def test_a_session_that_is_started_before_the_list_is_read_gets_one_task(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.store.add("ana", desired=Desired.STOPPED)
    listing = SlowAnswer(world, monkeypatch, "list_sessions")
    desiring = SlowAnswer(world, monkeypatch, "set_desired")
    # The API answers already; the service is still starting.
    starting = asyncio.create_task(world.supervisor.start(ANA))
    await desiring.waiting.wait()
    life = await begin(world)
    await listing.waiting.wait()
    desiring.go_on.set()
    await starting
    listing.go_on.set()
    await turns()
    assert len(world.engines[ANA]) == 1
    await end(world, life)


async def killed_before_it_could_stop(world: World) -> World:
    """Kill a service after the wish to stop a session in an outage was stored; return the next."""
    life = await begin(world)
    await fail_in_an_outage(world)
    await world.store.set_desired(ANA, Desired.STOPPED)
    life.cancel()
    await asyncio.wait([life])
    return World(store=world.store)


async def test_an_outage_that_nobody_came_to_end_is_ended_when_the_service_starts(
    world: World,
) -> None:
    heir = await killed_before_it_could_stop(world)
    life = await begin(heir)
    assert outage_of(heir) is None
    assert heir.store.told(ANA)[-1] is EventType.SESSION_STOPPED
    assert not heir.engines
    assert not heir.supervisor.roster.is_running(ANA)
    await end(heir, life)


async def test_a_start_while_the_service_finishes_a_logout_is_wanted_afterwards(
    world: World,
) -> None:
    world.store.add("ana", desired=Desired.LOGGED_OUT, paired=True)
    life = await begin(world)
    goodbye = await world.engine("ana")
    starting = asyncio.create_task(world.supervisor.start(ANA))
    await turns()
    goodbye.end(LOST)
    await starting
    await world.engine("ana", 2)
    assert world.store.destroyed == [ANA]
    assert world.store.records[ANA].desired is Desired.RUNNING
    await end(world, life)


async def test_a_service_that_ends_before_its_database_answers_ends_in_order(world: World) -> None:
    world.store.add("ana", paired=True)
    world.store.failing = StorageUnavailable("the database is starting")
    life = await begin(world)
    await world.clock.until_asleep(2)
    world.supervisor.close()
    await world.clock.advance(2)
    await life
    assert not world.engines


@pytest.mark.requirement("C1", "C4")
@pytest.mark.parametrize("wish", ["stop", "logout"])
async def test_what_a_person_ends_while_the_list_is_read_is_not_begun_by_it(
    world: World, monkeypatch: pytest.MonkeyPatch, wish: str
) -> None:
    world.store.add("ana")
    world.store.add("bob")
    listing = SlowAnswer(world, monkeypatch, "list_sessions")
    life = await begin(world)
    await listing.waiting.wait()
    await getattr(world.supervisor, wish)(ANA)
    connections = len(world.engines.get(ANA, ()))
    listing.go_on.set()
    await world.engine("bob")
    await turns()
    assert not world.supervisor.roster.is_running(ANA)
    assert len(world.engines.get(ANA, ())) == connections
    await end(world, life)


@pytest.mark.requirement("C1", "C4")
async def test_what_a_person_starts_while_the_list_is_read_is_not_ended_by_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that was stopped in an outage is listed as one whose outage is to be ended."""
    heir = await killed_before_it_could_stop(world)
    listing = SlowAnswer(heir, monkeypatch, "list_sessions")
    life = await begin(heir)
    await listing.waiting.wait()
    await heir.supervisor.start(ANA)
    await heir.engine("ana")
    listing.go_on.set()
    await turns()
    assert heir.supervisor.roster.is_running(ANA)
    assert EventType.SESSION_STOPPED not in heir.store.told(ANA)
    assert len(heir.engines[ANA]) == 1
    await end(heir, life)
