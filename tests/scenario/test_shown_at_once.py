"""What is shown of a connection while nothing can be saved: what is true of it at this moment."""

from collections.abc import AsyncGenerator, Mapping

import pytest

from perene.core.events import EventType
from perene.core.outages import OutageEnd
from perene.core.sessions import Connection as State
from perene.supervisor.metrics import Metrics
from tests.support.storage import Health
from tests.support.watch import Watch, watched
from tests.support.world import DESK, World

SEEN_S = 1.0
SAVING_S = 36.0
"""Three attempts of 10 s at most, and 2 s and 4 s between them: so long may a step be kept up."""

BACK_S = 35.0
"""One look at the database in 30 s at most, and the connection."""

sick = pytest.mark.parametrize("health", [one for one in Health if one is not Health.WELL])


class Onlooker:
    """Looks at all that is told of the one session's connection from memory."""

    def __init__(self, world: World, watch: Watch) -> None:
        self._world = world
        self._watch = watch
        self._metrics = Metrics()
        self._metrics.watch_sessions(watch.vitals.count)

    async def sees(self) -> Mapping[str, object]:
        """Return the state of the connection, by who tells it."""
        health, detailed = await self._watch.vitals.health(), await self._watch.vitals.detailed()
        (counted,) = health.sessions
        (session,) = detailed.sessions
        return {
            "live": self._world.perene.state(),
            "health": counted,
            "detailed": session.connection,
            "metrics": self._gauge(),
            "connected": session.connected_at is not None,
        }

    def _gauge(self) -> list[State]:
        read = self._metrics.registry.get_sample_value
        return [state for state in State if read("perene_sessions", {"state": state.value}) == 1.0]


def everywhere(state: State) -> Mapping[str, object]:
    """Return what an onlooker sees when all tell the same."""
    told = {"live": state, "health": state, "detailed": state, "metrics": [state]}
    return {**told, "connected": state is State.OPEN}


@pytest.fixture
async def onlooker(world: World) -> AsyncGenerator[Onlooker]:
    async with watched(world) as watch:
        yield Onlooker(world, watch)
        # To end takes time, too, if something waits to be saved; and nobody lets it pass then.
        world.storage.recovers()
        await world.pass_time(60, until=lambda: world.perene.state() is State.OPEN)


@sick
@pytest.mark.requirement("C16", "E8")
async def test_a_connection_that_is_cut_is_shown_so_at_once_and_told_when_it_is_saved(
    world: World, onlooker: Onlooker, health: Health
) -> None:
    await world.user.pair()
    await world.pass_time(60)
    since, cut_at = await world.events.now(), world.clock.now()
    assert await onlooker.sees() == everywhere(State.OPEN)
    world.storage.falls_ill(health)
    await world.network.cut(DESK)
    await world.pass_time(SEEN_S)
    assert await onlooker.sees() == everywhere(State.WAITING)
    for _ in range(20):
        await world.pass_time(SAVING_S / 8)
        # That it is being claimed for the next attempt counts as connecting.
        assert await onlooker.sees() in (everywhere(State.WAITING), everywhere(State.CONNECTING))
    world.storage.recovers()
    took = await world.pass_time(60, until=lambda: world.perene.state() is State.OPEN)
    assert took <= BACK_S
    assert await onlooker.sees() == everywhere(State.OPEN)
    await world.pass_time(60)
    told = [one.event.type for one in await world.events.seen(since=since)]
    assert told.index(EventType.SESSION_DISCONNECTED) < told.index(EventType.SESSION_RECOVERED)
    (outage,) = (await world.perene.sessions.outages(DESK, cursor=None, limit=10)).items
    assert outage.end is OutageEnd.RECOVERED
    assert abs((outage.began_at - cut_at).total_seconds()) <= SEEN_S


@pytest.mark.parametrize("health", [Health.HANGING, Health.MUTE])
@pytest.mark.requirement("C16", "E8", "F1")
async def test_a_message_under_way_keeps_nothing_from_being_shown(
    world: World, onlooker: Onlooker, health: Health
) -> None:
    phone = await world.user.pair()
    friend = world.simulator.add_contact(name="Ana").account.phone
    world.simulator.send_text(friend, phone, "before")
    await world.server.answered(phone)
    world.storage.falls_ill(health)
    world.simulator.send_text(friend, phone, "while it is silent")
    await world.pass_time(SEEN_S)
    await world.network.cut(DESK)
    await world.pass_time(SEEN_S)
    assert await onlooker.sees() == everywhere(State.WAITING)
    await world.pass_time(SAVING_S)
    world.storage.recovers()
    await world.pass_time(60, until=lambda: world.perene.state() is State.OPEN)
    await world.server.answered(phone)
    assert await world.stored.texts() == ["before", "while it is silent"]


@sick
@pytest.mark.requirement("C16", "E8")
async def test_a_connection_that_the_database_has_ended_is_shown_so_at_once(
    world: World, onlooker: Onlooker, health: Health
) -> None:
    phone = await world.user.pair()
    friend = world.simulator.add_contact(name="Ana").account.phone
    world.storage.falls_ill(health)
    world.simulator.send_text(friend, phone, "that cannot be looked up")
    await world.pass_time(60, until=lambda: world.network.open_now(DESK) == 0)
    await world.pass_time(SEEN_S)
    assert await onlooker.sees() == everywhere(State.WAITING)


@sick
@pytest.mark.requirement("C16", "E8")
async def test_it_is_shown_so_also_while_an_earlier_step_of_the_session_waits_to_be_saved(
    world: World, onlooker: Onlooker, health: Health
) -> None:
    await world.user.pair()
    await world.pass_time(60)
    await world.network.cut(DESK)
    await world.pass_time(SEEN_S)
    await world.pass_time(10, until=lambda: world.perene.state() is State.OPEN)
    world.storage.falls_ill(health)
    # Open for 30 s, it counts as stable: that the outage is over is to be saved, and cannot be.
    await world.pass_time(31)
    assert await onlooker.sees() == everywhere(State.OPEN)
    await world.network.cut(DESK)
    await world.pass_time(SEEN_S)
    assert await onlooker.sees() == everywhere(State.WAITING)
    world.storage.recovers()
    took = await world.pass_time(60, until=lambda: world.perene.state() is State.OPEN)
    assert took <= BACK_S
