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
async def one(world: World) -> World:
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
    one: World, trouble: Any, away_s: float
) -> None:
    failing = trouble(one.network)
    if failing is not None:
        await failing
    await one.network.cut_all()
    await one.pass_time(away_s + random.Random(away_s).uniform(0, HOUR))
    before = len(one.network.dialled_by[DESK])

    one.network.up()
    took = await one.pass_time(HOUR, until=lambda: one.perene.state() is State.OPEN)

    assert took <= SEEN_S + 1
    assert len(one.network.dialled_by[DESK]) <= before + 1, "one attempt was enough"
    await one.pass_time(STABLE_S + 1)
    (outage,) = (await one.perene.sessions.outages(DESK, cursor=None, limit=10)).items
    assert outage.end is OutageEnd.RECOVERED


@pytest.mark.requirement("C3", "C5", "D9")
@pytest.mark.timeout(120)
async def test_a_few_go_ahead_and_the_others_follow_them(several: World) -> None:
    await several.network.down()
    await several.pass_time(5 * HOUR)
    assert min(waits(several)) > 0
    dials = len(several.network.dials)

    several.network.up()
    took = await several.pass_time(HOUR, until=lambda: len(several.network.dials) > dials)
    await several.pass_time(1)
    ahead = len(several.network.dials) - dials
    took += await several.pass_time(HOUR, until=lambda: several.perene.all_open(SEVERAL))

    assert ahead <= 5, "three that were sent, and who was due"
    assert took <= SEEN_S + FOLLOWED_S + 2
    assert len(several.network.dials) == dials + len(SEVERAL), "each is tried once"
    assert max(several.network.most_at_once.values()) == 1


@pytest.mark.requirement("C5", "D9")
@pytest.mark.timeout(120)
async def test_who_cannot_get_in_while_others_are_open_keeps_to_its_schedule(
    several: World,
) -> None:
    alone, *others = SEVERAL
    several.network.befall(alone, Weather.REFUSING)
    await several.network.cut(alone)
    for other in others * 3:
        await several.pass_time(5 * MINUTE)
        await several.network.cut(other)  # it is back, and stable, before the next one is cut
    hours = len(others) * 15 / 60
    attempts = [at for at in several.network.dialled_by[alone] if at > 0]
    assert len(attempts) <= 17 + hours * HOUR / (0.9 * 15 * MINUTE)


@pytest.mark.requirement("C5", "D9")
@pytest.mark.parametrize("trouble", [Weather.REFUSING, Weather.IMPOSTOR], ids=lambda one: one.value)
@pytest.mark.timeout(120)
async def test_one_that_comes_and_goes_makes_no_storm_of_those_that_cannot_get_in(
    several: World, trouble: Weather
) -> None:
    restless, *others = SEVERAL
    for name in others:
        several.network.befall(name, trouble)
    await several.network.cut_all()
    for _ in range(2 * 60):
        several.network.befall(restless, Weather.REFUSING)
        await several.network.cut(restless)
        await several.pass_time(LOOK_S + 1)
        several.network.clear(restless)
        await several.pass_time(MINUTE - LOOK_S)  # it is open, and stable, before it is cut again
    by_schedule = 17 + 2 * HOUR / (0.9 * 15 * MINUTE)
    told = 9 + 2 * HOUR / (0.9 * 30 * MINUTE)
    for name in others:
        attempts = [at for at in several.network.dialled_by[name] if at > STABLE_S]
        assert len(attempts) <= by_schedule + told, "about as many again, and no more"


@pytest.mark.requirement("C3", "C5")
@pytest.mark.timeout(120)
async def test_a_server_that_is_reached_again_before_it_lets_in_is_asked_again_soon(
    one: World,
) -> None:
    """The first who went ahead were in vain: the cable is in, and somebody is still at work."""
    await one.network.down()
    await one.pass_time(9 * HOUR)
    one.network.tls_broken()
    await one.pass_time(SEEN_S + 10 * MINUTE)
    one.network.up()
    took = await one.pass_time(HOUR, until=lambda: one.perene.state() is State.OPEN)
    assert took <= 1.1 * 5 * MINUTE + LOOK_S, "1, 1, 2, 3 and 5 minutes after each other"


@pytest.mark.requirement("C3", "C5")
@pytest.mark.timeout(120)
async def test_a_server_that_refused_everybody_is_used_by_all_once_one_has_got_in(
    several: World,
) -> None:
    """It could be reached all the time, so that nothing but a login tells."""
    for name in SEVERAL:
        several.network.befall(name, Weather.HTTP_UNAVAILABLE)
    await several.network.cut_all()
    await several.pass_time(5 * HOUR)
    await follow_the_first(several, SEVERAL)


@pytest.mark.requirement("C3", "C5")
@pytest.mark.timeout(120)
async def test_who_has_a_proxy_follows_those_who_share_it(several: World) -> None:
    far, near = SEVERAL[:4], SEVERAL[4:]
    for name in far:
        await several.perene.store.set_options(name, SessionOptions(proxy="http://proxy.example"))
        await several.perene.supervisor.restart(name)
    await several.pass_time(2 * MINUTE)
    for name in far:
        several.network.befall(name, Weather.PROXY_REFUSING)
        await several.network.cut(name)
    await several.pass_time(5 * HOUR)
    assert several.perene.all_open(near)
    await follow_the_first(several, far)


@pytest.mark.requirement("C3", "C5")
@pytest.mark.parametrize(
    "trouble", [Weather.TLS_BROKEN, Weather.IMPOSTOR], ids=["tls", "certificate"]
)
async def test_certificates_are_looked_at_again_when_the_clock_was_set(
    one: World, trouble: Weather
) -> None:
    one.network.befall(DESK, trouble)
    await one.network.cut(DESK)
    await one.pass_time(6 * HOUR)
    assert waits(one, [DESK])[0] > MINUTE

    one.network.clear(DESK)
    one.clock.jump(DAY)
    took = await one.pass_time(HOUR, until=lambda: one.perene.state() is State.OPEN)
    assert took <= LOOK_S * 2 + 1


@pytest.mark.requirement("C3", "C5")
@pytest.mark.timeout(120)
async def test_a_clock_that_is_set_just_after_an_attempt_in_vain_is_heard_of_all_the_same(
    one: World,
) -> None:
    """A machine that starts without a network gets that first, and the right time by it."""
    await one.network.down()
    await one.pass_time(9 * HOUR)
    one.network.tls_broken()
    before = len(one.network.dials)
    await one.pass_time(HOUR, until=lambda: len(one.network.dials) > before)
    await one.pass_time(1)
    one.network.up()
    one.clock.jump(DAY)
    took = await one.pass_time(HOUR, until=lambda: one.perene.state() is State.OPEN)
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
async def test_a_clock_that_is_set_again_and_again_makes_no_storm(one: World) -> None:
    one.network.befall(DESK, Weather.TLS_BROKEN)
    await one.network.cut(DESK)
    await one.pass_time(HOUR)
    before = len(one.network.dialled_by[DESK])
    for _ in range(6 * 60):
        one.clock.jump(60)
        await one.pass_time(LOOK_S)
    attempts = len(one.network.dialled_by[DESK]) - before
    assert 4 <= attempts <= 12, "in an hour: about as many as the longest waits allow, and a few"
