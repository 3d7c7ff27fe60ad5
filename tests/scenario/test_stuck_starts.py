"""Most of many sessions get stuck on their way in: the others do not wait for them."""

import random
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
from tests.support.network import Weather
from tests.support.virtual_clock import START
from tests.support.world import World

SESSIONS = 100
STUCK = 60
PER_SECOND = 200
"""Fewer than are shipped, as these are few sessions."""
AWAY_S = 120.0
NAMES = [SessionId(f"s{number}") for number in range(SESSIONS)]

STALLS = {Weather.STALLING_HANDSHAKE: 20.0, Weather.STALLING_CONNECT: 90.0}
"""How long an attempt takes to fail by itself."""

MANY, FEW = 50, 10
"""Places: so many that those who are stuck all go on beside the others, or so few that they
must give way to them."""

WITHIN_S = {MANY: HOLD_S + 2, FEW: 19.0}
"""When those that can be open are, whatever the others are stuck in. With few places it is 7 s, and
more if by bad luck hardly any of those who come first can be open."""

CHEAP: dict[str, Any] = {"first_pre_keys": 20, "keepalive_s": 600.0, "heartbeat_s": 600.0}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.requirement("C4", "E6")
async def test_sessions_that_can_open_do_not_wait_for_those_that_are_stuck(
    tmp_path: Path, template: Path
) -> None:
    seed = random.randrange(10**6)  # another one each time; the world prints it
    async with World.open(
        tmp_path, template, settings=Settings(initial_sync=False), seed=seed, **CHEAP
    ) as world:
        chance = random.Random(seed)  # nothing secret
        await world.user.pair_many(SESSIONS)
        world.perene.start_per_second = PER_SECOND
        await perene_restarts(world, MANY, Weather.STALLING_CONNECT, chance)
        for stall in STALLS:
            await perene_restarts(world, FEW, stall, chance)
            await the_server_was_away(world, stall, chance)


async def perene_restarts(
    world: World, at_once: int, stall: Weather, chance: random.Random
) -> None:
    """All are ready, and come in any order; some find a server that says nothing."""
    await world.perene.stop()
    well = some_get_stuck(world, stall, chance)
    world.perene.start_at_once = at_once
    dials = len(world.network.dials)
    await world.perene.start()
    took = await opened(world, well, within_s=STALLS[stall])
    print(f"{at_once} places, {stall.value}: {took:.2f} s after a restart")
    assert took < WITHIN_S[at_once]
    assert most_in(1.0, world.network.dials[dials:]) <= PER_SECOND
    await all_come_back(world)


async def the_server_was_away(world: World, stall: Weather, chance: random.Random) -> None:
    """All have failed equally often when the server is back, but for some of them it is not."""
    since = await world.events.now()
    world.network.refuse()
    await world.network.cut_all()
    await world.pass_time(AWAY_S)
    well = some_get_stuck(world, stall, chance)
    dials = len(world.network.dials)
    world.network.up()
    await opened(world, well, within_s=10 * AWAY_S)
    late = await lateness(world, well, since=since)
    at_once = world.perene.start_at_once
    print(
        f"{at_once} places, {stall.value}: {late:.2f} s behind the plan after the server was away"
    )
    assert late < WITHIN_S[at_once]
    assert most_in(1.0, world.network.dials[dials:]) <= PER_SECOND
    await all_come_back(world)


def some_get_stuck(world: World, stall: Weather, chance: random.Random) -> list[SessionId]:
    """Let some sessions, chosen by chance, get stuck from now on; return the others."""
    stuck = set(chance.sample(NAMES, STUCK))
    for name in stuck:
        world.network.befall(name, stall)
    return [name for name in NAMES if name not in stuck]


async def opened(world: World, well: Sequence[SessionId], *, within_s: float) -> float:
    """Let time pass until these are open; never are too many on their way in."""

    def look() -> bool:
        entering = [
            name
            for name in NAMES
            if world.network.open_now(name) and world.perene.state(name) is not State.OPEN
        ]
        assert len(entering) <= world.perene.gate.most
        return world.perene.all_open(well)

    took = await world.pass_time(within_s, until=look)
    assert world.perene.all_open(well), f"not all were open after {took} s"
    return took


async def lateness(world: World, well: Sequence[SessionId], *, since: int) -> float:
    """Return by how many seconds the last of these was open after its planned time."""
    planned: dict[SessionId, timedelta] = {}
    late = {}
    ends = (EventType.SESSION_CONNECTED, EventType.SESSION_DISCONNECTED)
    for stored in await world.events.seen(*ends, since=since):
        assert stored.session is not None
        at = stored.event.at - START
        if stored.event.type is EventType.SESSION_DISCONNECTED:
            wait = stored.event.payload["retry_in_s"]
            assert isinstance(wait, float)
            planned[stored.session] = at + timedelta(seconds=wait)
        else:
            late[stored.session] = (at - planned[stored.session]).total_seconds()
    return max(late[name] for name in well)


async def all_come_back(world: World) -> None:
    """What was stuck is so no more: nobody has been forgotten, and nobody dialled twice at once."""
    for name in NAMES:
        world.network.clear(name)
    await world.pass_time(3600, until=lambda: world.perene.all_open(NAMES))
    assert world.perene.all_open(NAMES)
    assert max(world.network.most_at_once.values()) == 1
    assert (world.perene.gate.inside, world.perene.gate.waiting) == (0, 0)
    await world.pass_time(STABLE_AFTER.total_seconds() + 1)


def most_in(seconds: float, times: Sequence[float]) -> int:
    return max(sum(begin <= at < begin + seconds - 1e-6 for at in times) for begin in times)
