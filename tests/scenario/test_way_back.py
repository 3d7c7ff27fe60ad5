"""The network, or the clock, is put right: nobody waits out what was right while it was wrong."""

import random
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from perene.core.ids import SessionId
from perene.core.outages import OutageEnd
from perene.core.policy import STABLE_AFTER
from perene.core.sessions import Connection as State
from perene.core.sessions import SessionOptions
from perene.sim import Settings
from tests.support.network import Network, Weather
from tests.support.world import DESK, World

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
LOOK_S = 10.0
STABLE_S = STABLE_AFTER.total_seconds()
SEEN_S = STABLE_S + 2 * LOOK_S
"""From the return of the network to the first attempt: one look that finds it back, and as many as
it takes to see that it stays."""
FOLLOWED_S = STABLE_S + LOOK_S
"""From the first session that is open to all the others."""

SEVERAL = [SessionId(f"s{number}") for number in range(8)]
CHEAP: dict[str, Any] = {"first_pre_keys": 20}


@pytest.fixture
async def linked(world: World) -> World:
    """Have one session linked and stable."""
    await world.user.pair()
    await world.pass_time(STABLE_S + 1)
    return world


@pytest.fixture
async def several(tmp_path: Path, template: Path) -> AsyncIterator[World]:
    """Have several sessions linked and stable."""
    settings = Settings(initial_sync=False)
    async with World.open(tmp_path, template, settings=settings, seed=21, **CHEAP) as world:
        await world.user.pair_many(len(SEVERAL))
        await world.pass_time(STABLE_S + 1)
        yield world


async def follow_the_first(world: World, sessions: Sequence[SessionId]) -> None:
    """Check that all of these are open soon after the first of them was due."""
    planned = waits(world, sessions)
    for name in sessions:
        world.network.clear(name)
    took = await world.pass_time(HOUR, until=lambda: world.perene.all_open(sessions))
    assert took <= min(planned) + FOLLOWED_S + 2
    assert max(planned) > took, "else it would show nothing"


def waits(world: World, sessions: Sequence[SessionId] = SEVERAL) -> list[float]:
    """Return for how many seconds each of these is to wait still."""
    retries = [world.perene.live(session).outlook.retry_at for session in sessions]
    return [(at - world.clock.now()).total_seconds() for at in retries if at is not None]


@pytest.mark.requirement("C3", "C5")
@pytest.mark.parametrize("away_s", [2 * HOUR, 3 * DAY], ids=["2 h", "3 d"])
@pytest.mark.parametrize(
    "trouble",
    [Network.down, Network.dns_broken, Network.refuse, Network.stall_connect],
    ids=["down", "dns", "refused", "stalled"],
)
@pytest.mark.timeout(120)
async def test_a_network_that_is_back_is_used_within_a_minute(
    linked: World, trouble: Any, away_s: float
) -> None:
    world = linked
    failing = trouble(world.network)
    if failing is not None:
        await failing
    await world.network.cut_all()
    await world.pass_time(away_s + random.Random(away_s).uniform(0, HOUR))
    before = len(world.network.dialled_by[DESK])

    world.network.up()
    took = await world.pass_time(HOUR, until=lambda: world.perene.state() is State.OPEN)

    assert took <= SEEN_S + 1
    assert len(world.network.dialled_by[DESK]) <= before + 1, "one attempt was enough"
    await world.pass_time(STABLE_S + 1)
    (outage,) = (await world.perene.sessions.outages(DESK, cursor=None, limit=10)).items
    assert outage.end is OutageEnd.RECOVERED


@pytest.mark.requirement("C3", "C5", "D9")
@pytest.mark.timeout(120)
async def test_a_few_go_ahead_and_the_others_follow_them(several: World) -> None:
    world = several
    await world.network.down()
    await world.pass_time(5 * HOUR)
    assert min(waits(world)) > 0
    dials = len(world.network.dials)

    world.network.up()
    took = await world.pass_time(HOUR, until=lambda: len(world.network.dials) > dials)
    await world.pass_time(1)
    ahead = len(world.network.dials) - dials
    took += await world.pass_time(HOUR, until=lambda: world.perene.all_open(SEVERAL))

    assert ahead <= 5, "three that were sent, and who was due"
    assert took <= SEEN_S + FOLLOWED_S + 2
    assert len(world.network.dials) == dials + len(SEVERAL), "each is tried once"
    assert max(world.network.most_at_once.values()) == 1


@pytest.mark.requirement("C5", "D9")
@pytest.mark.timeout(120)
async def test_who_cannot_get_in_while_others_are_open_keeps_to_its_schedule(
    several: World,
) -> None:
    world = several
    alone, *others = SEVERAL
    world.network.befall(alone, Weather.REFUSING)
    await world.network.cut(alone)
    for other in others * 3:
        await world.pass_time(5 * MINUTE)
        await world.network.cut(other)  # it is back, and stable, before the next one is cut
    hours = len(others) * 15 / 60
    attempts = [at for at in world.network.dialled_by[alone] if at > 0]
    assert len(attempts) <= 17 + hours * HOUR / (0.9 * 15 * MINUTE)


@pytest.mark.requirement("C5", "D9")
@pytest.mark.parametrize("trouble", [Weather.REFUSING, Weather.IMPOSTOR], ids=lambda one: one.value)
@pytest.mark.timeout(120)
async def test_one_that_comes_and_goes_makes_no_storm_of_those_that_cannot_get_in(
    several: World, trouble: Weather
) -> None:
    world = several
    one, *others = SEVERAL
    for name in others:
        world.network.befall(name, trouble)
    await world.network.cut_all()
    for _ in range(2 * 60):
        world.network.befall(one, Weather.REFUSING)
        await world.network.cut(one)
        await world.pass_time(LOOK_S + 1)
        world.network.clear(one)
        await world.pass_time(MINUTE - LOOK_S)  # it is open, and stable, before it is cut again
    by_schedule = 17 + 2 * HOUR / (0.9 * 15 * MINUTE)
    told = 9 + 2 * HOUR / (0.9 * 30 * MINUTE)
    for name in others:
        attempts = [at for at in world.network.dialled_by[name] if at > STABLE_S]
        assert len(attempts) <= by_schedule + told, "about as many again, and no more"


@pytest.mark.requirement("C3", "C5")
@pytest.mark.timeout(120)
async def test_a_server_that_is_reached_again_before_it_lets_in_is_asked_again_soon(
    linked: World,
) -> None:
    """The first who went ahead were in vain: the cable is in, and somebody is still at work."""
    world = linked
    await world.network.down()
    await world.pass_time(9 * HOUR)
    world.network.tls_broken()
    await world.pass_time(SEEN_S + 10 * MINUTE)
    world.network.up()
    took = await world.pass_time(HOUR, until=lambda: world.perene.state() is State.OPEN)
    assert took <= 1.1 * 5 * MINUTE + LOOK_S, "1, 1, 2, 3 and 5 minutes after each other"


@pytest.mark.requirement("C3", "C5")
@pytest.mark.timeout(120)
async def test_a_server_that_refused_everybody_is_used_by_all_once_one_has_got_in(
    several: World,
) -> None:
    """It could be reached all the time, so that nothing but a login tells."""
    world = several
    for name in SEVERAL:
        world.network.befall(name, Weather.HTTP_UNAVAILABLE)
    await world.network.cut_all()
    await world.pass_time(5 * HOUR)
    await follow_the_first(world, SEVERAL)


@pytest.mark.requirement("C3", "C5")
@pytest.mark.timeout(120)
async def test_who_has_a_proxy_follows_those_who_share_it(several: World) -> None:
    world = several
    far, near = SEVERAL[:4], SEVERAL[4:]
    for name in far:
        await world.perene.store.set_options(name, SessionOptions(proxy="http://proxy.example"))
        await world.perene.supervisor.restart(name)
    await world.pass_time(2 * MINUTE)
    for name in far:
        world.network.befall(name, Weather.PROXY_REFUSING)
        await world.network.cut(name)
    await world.pass_time(5 * HOUR)
    assert world.perene.all_open(near)
    await follow_the_first(world, far)


@pytest.mark.requirement("C3", "C5")
@pytest.mark.parametrize(
    "trouble", [Weather.TLS_BROKEN, Weather.IMPOSTOR], ids=["tls", "certificate"]
)
async def test_certificates_are_looked_at_again_when_the_clock_was_set(
    linked: World, trouble: Weather
) -> None:
    world = linked
    world.network.befall(DESK, trouble)
    await world.network.cut(DESK)
    await world.pass_time(6 * HOUR)
    assert waits(world, [DESK])[0] > MINUTE

    world.network.clear(DESK)
    world.clock.jump(DAY)
    took = await world.pass_time(HOUR, until=lambda: world.perene.state() is State.OPEN)
    assert took <= LOOK_S * 2 + 1


@pytest.mark.requirement("C3", "C5")
@pytest.mark.timeout(120)
async def test_a_clock_that_is_set_just_after_an_attempt_in_vain_is_heard_of_all_the_same(
    linked: World,
) -> None:
    """A machine that starts without a network gets that first, and the right time by it."""
    world = linked
    await world.network.down()
    await world.pass_time(9 * HOUR)
    world.network.tls_broken()
    before = len(world.network.dials)
    await world.pass_time(HOUR, until=lambda: len(world.network.dials) > before)
    await world.pass_time(1)
    world.network.up()
    world.clock.jump(DAY)
    took = await world.pass_time(HOUR, until=lambda: world.perene.state() is State.OPEN)
    assert took <= 1.1 * MINUTE + LOOK_S


@pytest.mark.requirement("C1", "C3")
async def test_a_look_that_fails_by_a_bug_ends_nothing(
    tmp_path: Path, template: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(network: Network) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as broken_look:
        broken_look.setattr(Network, "is_reached", broken)
        async with World.open(tmp_path, template) as world:
            await world.user.pair()
            await world.network.down()
            await world.pass_time(MINUTE)
            world.network.up()
            await world.pass_time(2 * MINUTE)
            assert world.perene.state() is State.OPEN


@pytest.mark.requirement("C5", "D9")
async def test_a_clock_that_is_set_again_and_again_makes_no_storm(linked: World) -> None:
    world = linked
    world.network.befall(DESK, Weather.TLS_BROKEN)
    await world.network.cut(DESK)
    await world.pass_time(HOUR)
    before = len(world.network.dialled_by[DESK])
    for _ in range(6 * 60):
        world.clock.jump(60)
        await world.pass_time(LOOK_S)
    attempts = len(world.network.dialled_by[DESK]) - before
    assert 4 <= attempts <= 12, "in an hour: about as many as the longest waits allow, and a few"
