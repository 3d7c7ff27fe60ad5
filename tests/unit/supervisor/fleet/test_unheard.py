"""Changes of which nobody knows what came of them."""

import asyncio

import pytest

from perene.core.errors import NotFound, StorageUnavailable
from perene.core.events import Event, EventType
from perene.core.ids import SessionId
from perene.core.notices import Opened
from perene.core.sessions import Desired
from tests.support.endings import LOST, STOPPED
from tests.support.turns import turns
from tests.unit.supervisor.fakes import World
from tests.unit.supervisor.fleet.life import (
    ANA,
    SlowAnswer,
    asked_about,
    fail_in_an_outage,
    fail_six_times,
    gone,
    outage_of,
    refused,
    started,
)


class Unsure:
    """Lets changes of a desire be stored, and says that the database did not answer."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        set_desired = world.store.set_desired

        async def unsure(session: SessionId, desired: Desired) -> None:
            if self.lasts:
                if self.stores:
                    await set_desired(session, desired)
                raise StorageUnavailable("no answer in time")
            await set_desired(session, desired)

        self.lasts = self.stores = True
        monkeypatch.setattr(world.store, "set_desired", unsure)


@pytest.mark.requirement("C3", "E8")
async def test_a_start_that_was_stored_unheard_is_followed_within_ten_seconds(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.store.add("ana", paired=True, desired=Desired.STOPPED)
    Unsure(running, monkeypatch)
    await refused(running, running.supervisor.start(ANA))
    assert not running.supervisor.roster.is_running(ANA)
    await running.clock.advance(10)
    await running.engine("ana")


@pytest.mark.requirement("C3", "E8")
async def test_a_start_that_was_stored_unheard_while_the_session_ends_is_followed_when_it_has(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await started(running, paired=True)
    engine.drains = False
    stopping = asyncio.create_task(running.supervisor.stop(ANA))
    await turns()
    stopping.cancel()
    await asyncio.wait([stopping])
    Unsure(running, monkeypatch)
    await refused(running, running.supervisor.start(ANA))
    await running.clock.advance(10)
    await turns()
    engine.end(STOPPED)
    await turns()
    await running.clock.advance(10)
    await running.engine("ana", 2)


@pytest.mark.requirement("C3", "E8")
async def test_a_stop_that_was_stored_unheard_is_followed_within_ten_seconds(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await started(running, paired=True)
    Unsure(running, monkeypatch)
    await refused(running, running.supervisor.stop(ANA))
    assert running.supervisor.roster.is_running(ANA)
    await running.clock.advance(10)
    await gone(running.supervisor, ANA)
    assert engine.stopped
    assert not engine.logged_out
    await running.clock.advance(60)
    await turns()
    assert len(running.engines[ANA]) == 1


@pytest.mark.requirement("C3", "E8")
async def test_a_logout_that_was_stored_unheard_is_followed_within_ten_seconds(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = await started(running, paired=True)
    engine.observer.notice(Opened(at=running.clock.now()))
    await turns()
    Unsure(running, monkeypatch)
    await refused(running, running.supervisor.logout(ANA))
    await running.clock.advance(10)
    await gone(running.supervisor, ANA)
    assert engine.logged_out
    assert running.store.destroyed == [ANA]


@pytest.mark.requirement("C3", "E8")
@pytest.mark.parametrize("change", ["start", "stop", "logout"])
async def test_a_change_that_was_not_stored_changes_nothing(
    running: World, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    engine = await started(running, paired=True)
    Unsure(running, monkeypatch).stores = False
    await refused(running, getattr(running.supervisor, change)(ANA))
    await running.clock.advance(60)
    await turns()
    assert running.supervisor.roster.is_running(ANA)
    assert not engine.stopped


@pytest.mark.requirement("C3", "E8")
async def test_a_start_whose_caller_goes_away_in_between_is_followed_all_the_same(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.store.add("ana", paired=True, desired=Desired.STOPPED)
    reading = SlowAnswer(running, monkeypatch, "get_session", 1)  # the first is for the desire
    starting = asyncio.create_task(running.supervisor.start(ANA))
    await reading.waiting.wait()
    starting.cancel()
    await asyncio.wait([starting])
    reading.go_on.set()
    assert not running.supervisor.roster.is_running(ANA)
    await running.clock.advance(10)
    await running.engine("ana")


@pytest.mark.requirement("C3", "E8")
async def test_the_outage_that_a_stop_cut_short_leaves_open_is_ended(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fail_in_an_outage(running)
    reading = SlowAnswer(running, monkeypatch, "get_session", 1)  # the first is for the desire
    stopping = asyncio.create_task(running.supervisor.stop(ANA))
    await reading.waiting.wait()
    stopping.cancel()
    await asyncio.wait([stopping])
    reading.go_on.set()
    assert outage_of(running) is not None
    await running.clock.advance(10)
    await gone(running.supervisor, ANA)
    assert outage_of(running) is None
    assert running.store.told(ANA)[-1] is EventType.SESSION_STOPPED
    assert len(running.engines[ANA]) == 1


@pytest.mark.requirement("C3", "E8")
async def test_a_stop_stored_unheard_ends_the_outage_of_a_session_that_had_died(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A task that died cannot tell how its outage ended: a second look has another do it."""
    (await fail_six_times(running)).end(LOST)
    await running.clock.until_asleep(1)
    await running.clock.advance(1)
    running.broken.add(ANA)
    (await running.engine("ana", 2)).end(LOST)
    await running.clock.until_asleep(65)
    running.broken.clear()
    assert outage_of(running) is not None
    Unsure(running, monkeypatch)
    await refused(running, running.supervisor.stop(ANA))
    assert running.supervisor.roster.task(ANA).died.is_set()
    for _ in range(2):
        await running.clock.advance(10)
        await turns()
    await gone(running.supervisor, ANA)
    assert outage_of(running) is None
    assert running.store.told(ANA).count(EventType.SESSION_STOPPED) == 1


@pytest.mark.requirement("C3", "E8")
@pytest.mark.parametrize("wish", ["start", "restart"])
async def test_what_is_asked_after_a_stop_that_was_stored_unheard_counts(
    running: World, monkeypatch: pytest.MonkeyPatch, wish: str
) -> None:
    await started(running, paired=True)
    unsure = Unsure(running, monkeypatch)
    await refused(running, running.supervisor.stop(ANA))
    unsure.lasts = False
    await getattr(running.supervisor, wish)(ANA)
    await running.clock.advance(30)
    await turns()
    assert running.store.records[ANA].desired is Desired.RUNNING
    assert running.supervisor.roster.is_running(ANA)


@pytest.mark.parametrize("change", ["start", "restart", "stop", "logout"])
@pytest.mark.parametrize("desired", [Desired.RUNNING, Desired.STOPPED])
async def test_what_was_found_out_is_not_asked_again(
    running: World, monkeypatch: pytest.MonkeyPatch, desired: Desired, change: str
) -> None:
    running.store.add("ana", paired=True, desired=desired)
    if desired is Desired.RUNNING:
        await running.supervisor.start(ANA)
        (await running.engine("ana")).observer.notice(Opened(at=running.clock.now()))
    Unsure(running, monkeypatch)
    await refused(running, getattr(running.supervisor, change)(ANA))
    for _ in range(2):  # a stop is looked at once more, when the session has stopped
        await running.clock.advance(10)
        await turns()
    assert await asked_about(running, monkeypatch) == []


@pytest.mark.requirement("E8")
@pytest.mark.parametrize("stores", [False, True])
async def test_a_deletion_waits_for_a_database_that_restarts(
    running: World, monkeypatch: pytest.MonkeyPatch, *, stores: bool
) -> None:
    """One that was stored unheard finds no session any more, and has done what it should."""
    await started(running, paired=True)
    delete, away = running.store.delete_session, True

    async def unsure(session: SessionId, *, event: Event) -> None:
        if stores or not away:
            await delete(session, event=event)
        if away:
            raise StorageUnavailable("no answer in time")

    monkeypatch.setattr(running.store, "delete_session", unsure)
    deleting = asyncio.create_task(running.supervisor.delete(ANA))
    await running.clock.until_asleep(2)
    away = False
    await running.clock.advance(2)
    await deleting
    assert running.store.records == {}
    assert running.store.told(ANA)[-1] is EventType.SESSION_DELETED
    assert running.forgotten == [ANA]
    with pytest.raises(NotFound):
        await running.supervisor.delete(ANA)


@pytest.mark.requirement("D9", "E8")
@pytest.mark.parametrize("stores", [False, True])
@pytest.mark.parametrize(
    ("change", "desired"),
    [
        ("start", Desired.RUNNING),
        ("stop", Desired.STOPPED),
        ("restart", Desired.RUNNING),
        ("logout", Desired.STOPPED),
    ],
)
async def test_a_change_waits_for_a_database_that_restarts(
    running: World, monkeypatch: pytest.MonkeyPatch, change: str, desired: Desired, *, stores: bool
) -> None:
    engine = await started(running, paired=True)
    engine.observer.notice(Opened(at=running.clock.now()))
    await turns()
    unsure = Unsure(running, monkeypatch)
    unsure.stores = stores
    changing = asyncio.create_task(getattr(running.supervisor, change)(ANA))
    await running.clock.until_asleep(2)
    unsure.lasts = False
    await running.clock.advance(2)
    await changing
    assert running.store.records[ANA].desired is desired
    assert running.supervisor.roster.is_running(ANA) is (desired is Desired.RUNNING)
    assert running.store.destroyed == ([ANA] if change == "logout" else [])
