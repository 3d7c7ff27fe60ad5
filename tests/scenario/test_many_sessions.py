"""Many sessions at once: whoever restarts, all of them come back, and it is no stampede."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from perene.core.events import EventType
from perene.core.ids import SessionId
from perene.core.policy import STABLE_AFTER
from perene.core.sessions import Connection as State
from perene.sim import Settings
from perene.supervisor.gate.start_gate import HOLD_S
from tests.support.world import World

SESSIONS = 300
AT_ONCE, PER_SECOND = 50, 200
"""Fewer than are shipped: with those, so few sessions as these would not have to wait."""
FAILING = 60
"""More than may log in at once: if these held every place, nobody else could."""
DOWN_S = 120.0

CHEAP: dict[str, Any] = {"first_pre_keys": 20, "keepalive_s": 600.0, "heartbeat_s": 600.0}
"""Instead of 812, 10 s and 30 s: what is of no account here, and would take most of the time."""

NAMES = [SessionId(f"s{number}") for number in range(SESSIONS)]
READY = NAMES[FAILING:]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.requirement("C4", "C13", "E6", "F1")
async def test_all_of_300_sessions_come_back_after_a_restart_of_the_server_or_of_perene(
    tmp_path: Path, template: Path
) -> None:
    async with World.open(
        tmp_path, template, settings=Settings(initial_sync=False), seed=300, **CHEAP
    ) as world:
        phones = await world.user.pair_many(SESSIONS)
        world.perene.start_at_once, world.perene.start_per_second = AT_ONCE, PER_SECOND
        await perene_restarts(world)
        await the_server_restarts(world, phones)


async def the_server_restarts(world: World, phones: Sequence[str]) -> None:
    """The server is away for two minutes; after it, some sessions are let in only at the third
    attempt, and each attempt of theirs takes a minute to fail."""
    friends = [world.simulator.add_contact(name=f"Friend {n}").account.phone for n in range(2)]
    since, handshakes = await world.events.now(), len(world.network.handshakes)
    world.network.refuse()
    await world.network.cut_all()
    expected = {name: [f"{n} to {name}" for n in range(2)] for name in NAMES}
    for name, phone in zip(NAMES, phones, strict=True):
        for friend, text in zip(friends, expected[name], strict=True):
            world.simulator.send_text(friend, phone, text)
    await world.pass_time(DOWN_S)
    for phone in phones[:FAILING]:
        world.simulator.add_fault("iq_drop", phone=phone, xmlns="passive", count=2)
    world.network.up()
    await world.pass_time(900, until=lambda: world.perene.all_open(READY))
    assert world.perene.all_open(READY)
    await world.pass_time(STABLE_AFTER.total_seconds())
    assert not world.perene.all_open(NAMES), "those that fail still do"
    await one_is_cut(world, READY[0])
    await world.pass_time(900, until=lambda: world.perene.all_open(NAMES))
    assert world.perene.all_open(NAMES)
    made = world.network.handshakes[handshakes:]
    assert len(made) == SESSIONS + 2 * FAILING + 1, "each logs in once, or at the third attempt"
    assert most_in(1.0, made) <= PER_SECOND
    late = await waited_for_their_turn(world, since)
    # All had failed as often when the server came back, so none could go first for that; but
    # whoever is stuck holds a place for so long at most.
    assert max(late[name] for name in READY) < timedelta(seconds=HOLD_S)
    for phone in phones:
        await world.server.answered(phone)
    for name in NAMES:
        assert Counter(await world.stored.texts(session=name)) == Counter(expected[name])


async def one_is_cut(world: World, name: SessionId) -> None:
    """A session that was up goes before all that fail: it is back after its one second."""
    since = await world.events.now()
    await world.network.cut(name)
    took = await world.pass_time(10, until=lambda: world.perene.state(name) is State.OPEN)
    assert world.perene.state(name) is State.OPEN, await world.events.seen(since=since)
    assert took < 1.2


async def waited_for_their_turn(world: World, since: int) -> dict[SessionId, timedelta]:
    """Return how long after its planned time each session was open: a login takes no time here."""
    planned = {name: timedelta() for name in NAMES}
    late: dict[SessionId, timedelta] = {}
    start = world.clock.now()
    ends = (EventType.SESSION_CONNECTED, EventType.SESSION_DISCONNECTED)
    for stored in await world.events.seen(*ends, since=since):
        assert stored.session is not None
        at = stored.event.at - start
        if stored.event.type is EventType.SESSION_CONNECTED:
            late[stored.session] = at - planned[stored.session]
        else:
            wait = stored.event.payload["retry_in_s"]
            assert isinstance(wait, float)
            planned[stored.session] = at + timedelta(seconds=wait)
    return late


async def perene_restarts(world: World) -> None:
    before = len(world.network.handshakes)
    await world.perene.restart()
    took = await world.pass_time(60, until=lambda: world.perene.all_open(NAMES))
    assert world.perene.all_open(NAMES)
    handshakes = world.network.handshakes[before:]
    assert len(handshakes) == SESSIONS, "each logs in once"
    assert most_in(1.0, handshakes) <= PER_SECOND
    assert took < 5


def most_in(seconds: float, times: list[float]) -> int:
    return max(sum(begin <= at < begin + seconds - 1e-6 for at in times) for begin in times)
