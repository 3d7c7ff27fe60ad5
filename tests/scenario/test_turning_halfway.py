"""A person stops or restarts a session that is halfway: it obeys at once, and leaves no socket."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from perene.core.events import EventType
from perene.core.outages import OutageEnd
from perene.core.sessions import Connection as State
from perene.core.sessions import Desired
from tests.support.network import Network
from tests.support.record import PATIENCE_S
from tests.support.world import DESK, World

Halfway = Callable[[World], Awaitable[None]]

AT_ONCE_S = 1.0


def network(change: Callable[[Network], None]) -> Halfway:
    """Get halfway by trouble of the network, from the next dial on."""

    async def halfway(world: World) -> None:
        await linked(world)
        change(world.network)
        await world.network.cut(DESK)
        await world.pass_time(5)

    return halfway


async def linked(world: World) -> str:
    phone = await world.user.pair()
    await world.pass_time(31)
    return phone


async def no_welcome(world: World) -> None:
    """The handshake is done, and the server says nothing more."""
    phone = await linked(world)
    world.simulator.add_fault("refuse_login", phone=phone, how="silence", count=2)
    await world.network.cut(DESK)
    await world.pass_time(5)
    assert world.perene.state() is State.LOGGING_IN


async def waiting(world: World) -> None:
    """Down for long, and the next attempt is minutes away."""
    await linked(world)
    await world.network.down()
    await world.pass_time(1200)
    assert world.perene.state() is State.WAITING


async def code_shown(world: World) -> None:
    """Nobody has scanned the code yet."""
    await world.user.create()
    await world.perene.sessions.current_qr(DESK, wait_s=PATIENCE_S)


async def replaced(world: World) -> None:
    """A person has to act."""
    world.simulator.disconnect(await linked(world), "replaced")
    await world.pass_time(1)
    assert world.perene.state() is State.NEEDS_ATTENTION


everywhere = pytest.mark.parametrize(
    "halfway",
    [
        pytest.param(network(Network.stall_connect), id="dialling"),
        pytest.param(network(Network.stall_handshake), id="handshake"),
        pytest.param(no_welcome, id="logging in"),
        pytest.param(waiting, id="waiting"),
        pytest.param(code_shown, id="code shown"),
        pytest.param(replaced, id="replaced"),
    ],
)


@pytest.mark.requirement("D5", "D9")
@everywhere
async def test_a_session_stops_at_once_wherever_it_is(world: World, halfway: Halfway) -> None:
    await halfway(world)
    began = world.clock.monotonic()
    async with asyncio.timeout(PATIENCE_S):
        await world.perene.sessions.stop(DESK)
    assert world.clock.monotonic() - began <= AT_ONCE_S
    assert world.perene.state() is State.STOPPED
    assert world.network.open_now(DESK) == 0
    dials = len(world.network.dials)
    world.network.up()
    await world.pass_time(3600)
    assert len(world.network.dials) == dials, "it stays so"
    assert world.perene.state() is State.STOPPED


@pytest.mark.requirement("D5", "D9")
@everywhere
async def test_a_session_restarts_at_once_wherever_it_is(world: World, halfway: Halfway) -> None:
    await halfway(world)
    world.network.up()
    world.simulator.faults.clear()
    was_linked = world.perene.live().paired
    dials = len(world.network.dials)
    await world.perene.sessions.restart(DESK)
    await world.pass_time(
        AT_ONCE_S,
        until=lambda: (
            len(world.network.dials) > dials
            and world.perene.state() is (State.OPEN if was_linked else State.PAIRING)
        ),
    )
    assert world.perene.state() is (State.OPEN if was_linked else State.PAIRING)
    await world.pass_time(35)
    assert world.network.most_at_once[DESK] == 1
    assert world.simulator.evidence.events["replaced"] == 0


@pytest.mark.requirement("C4", "D10")
async def test_a_stop_of_a_session_that_waits_for_a_person_since_before_the_service_ends_its_outage(
    world: World,
) -> None:
    await replaced(world)
    await world.perene.restart()
    await world.pass_time(1)
    assert world.perene.state() is State.NEEDS_ATTENTION
    position = await world.events.now()

    await world.perene.sessions.stop(DESK)

    page = await world.perene.sessions.outages(DESK, cursor=None, limit=10)
    assert [outage.end for outage in page.items] == [OutageEnd.STOPPED]
    told = [one.event.type for one in await world.events.seen(since=position)]
    assert told == [EventType.SESSION_STOPPED]


@pytest.mark.requirement("C4", "D10")
async def test_a_stop_that_the_service_did_not_live_to_obey_ends_the_outage_at_its_next_start(
    world: World,
) -> None:
    await waiting(world)
    await world.perene.store.set_desired(DESK, Desired.STOPPED)
    dials = len(world.network.dials)

    await world.perene.restart()
    await world.pass_time(60)

    page = await world.perene.sessions.outages(DESK, cursor=None, limit=10)
    assert page.items[0].end is OutageEnd.STOPPED
    assert len(world.network.dials) == dials
    assert world.perene.state() is State.STOPPED
    assert not world.perene.supervisor.roster.is_running(DESK)
    await world.perene.sessions.start(DESK)
    world.network.up()
    await world.pass_time(35, until=lambda: world.perene.state() is State.OPEN)
    assert world.perene.state() is State.OPEN, "nothing took its epoch away"


async def test_a_logout_while_a_restart_closes_the_connection_unlinks_the_device(
    tmp_path: Path, template: Path
) -> None:
    async with World.open(tmp_path, template) as world:
        phone = await linked(world)
        account = world.simulator.add_contact(phone).account
        ana = world.simulator.add_contact(name="Ana").account.phone
        world.perene.commits.hold()
        world.simulator.send_text(ana, phone, "on its way into the database")
        await world.settled()

        await world.perene.sessions.restart(DESK)
        leaving = asyncio.create_task(world.perene.sessions.logout(DESK))
        await world.settled()
        assert world.network.open_now(DESK) == 1, "it drains"
        world.perene.commits.release()
        await world.pass_time(30, until=leaving.done)

        assert leaving.done()
        assert account.companions == []
        assert world.perene.state() is State.STOPPED


@pytest.mark.parametrize(
    ("reachable", "still_linked"), [(True, False), (False, True)], ids=["reached", "out of reach"]
)
async def test_a_logout_tells_whether_the_phone_may_still_list_the_device(
    world: World, *, reachable: bool, still_linked: bool
) -> None:
    await waiting(world)
    if reachable:
        world.network.up()
    position = await world.events.now()
    leaving = asyncio.create_task(world.perene.sessions.logout(DESK))
    await world.pass_time(60, until=leaving.done)

    view = await leaving
    assert view.connection is State.STOPPED
    assert bool(view.last_error) is still_linked
    told = [
        one.event.payload
        for one in await world.events.seen(since=position)
        if one.event.type is EventType.SESSION_LOGGED_OUT
    ]
    assert told == [{"still_linked": still_linked}]
