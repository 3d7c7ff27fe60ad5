"""A service that runs for months keeps nothing of the connections that have ended."""

import gc
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from perene.core.events import EventType
from perene.core.ids import SessionId
from perene.core.policy import STABLE_AFTER
from tests.support.world import World

NAMES = [SessionId(f"s{number}") for number in range(4)]
ROUNDS = 4
"""So often is each session lost in every way; once beforehand, for what is made but once."""
SIMULATOR_FORGETS_S = 3600
"""It looks for unanswered stanzas of every connection once more, 50 min after its end at most."""
QUICK: dict[str, Any] = {"first_pre_keys": 20, "keepalive_s": 600.0, "heartbeat_s": 600.0}


@pytest.mark.timeout(180)
@pytest.mark.requirement("C3")
async def test_what_has_ended_is_let_go(tmp_path: Path, template: Path) -> None:
    async with World.open(tmp_path, template, **QUICK) as world:
        phones = await world.user.pair_many(len(NAMES))
        ana = world.simulator.add_contact(name="Ana").account.phone
        await _live(world, phones, ana)
        before = await _kept(world)
        for _ in range(ROUNDS):
            await _live(world, phones, ana)
        after = await _kept(world)
    grown = {kind: count - before[kind] for kind, count in after.items()}
    # Whatever is kept of each connection, or of each message, would be there so often.
    limit = ROUNDS * len(NAMES)
    assert not {kind: count for kind, count in grown.items() if count >= limit}


async def _live(world: World, phones: Sequence[str], ana: str) -> None:
    """Lose every session in every way, and let a message come to each between."""
    for trouble in (_cut, _out_of_reach, _restart_required, _silent, _restarted, _stopped):
        await trouble(world, phones)
        await world.pass_time(3600, until=lambda: world.perene.all_open(NAMES))
        assert world.perene.all_open(NAMES), trouble.__name__
        since = await world.events.now()
        for phone in phones:
            world.simulator.send_text(ana, phone, "still there?")
        for name in NAMES:
            await world.events.wait(EventType.MESSAGE_RECEIVED, session=name, since=since)
        await world.pass_time(STABLE_AFTER.total_seconds() + 1)
    await world.settled()


async def _cut(world: World, phones: Sequence[str]) -> None:
    await world.network.cut_all()


async def _out_of_reach(world: World, phones: Sequence[str]) -> None:
    await world.network.down()
    await world.pass_time(60)
    world.network.up()


async def _restart_required(world: World, phones: Sequence[str]) -> None:
    for phone in phones:
        world.simulator.disconnect(phone, "stream_error", 515)


async def _silent(world: World, phones: Sequence[str]) -> None:
    for name in NAMES:
        world.network.half_open(name)
    await world.pass_time(1800, until=lambda: not world.perene.all_open(NAMES))


async def _restarted(world: World, phones: Sequence[str]) -> None:
    for name in NAMES:
        await world.perene.sessions.restart(name)


async def _stopped(world: World, phones: Sequence[str]) -> None:
    for name in NAMES:
        await world.perene.sessions.stop(name)
    await world.settled()
    for name in NAMES:
        await world.perene.sessions.start(name)


async def _kept(world: World) -> Counter[str]:
    """Return how many objects of Perene's and of asyncio's kinds there are, by kind."""
    await world.pass_time(SIMULATOR_FORGETS_S)
    gc.collect()
    kinds = Counter(type(one) for one in gc.get_objects())
    return Counter({name: n for kind, n in kinds.items() if (name := _name(kind)) is not None})


def _name(kind: type) -> str | None:
    """Return the name of a kind that counts; the simulator keeps all that was ever sent."""
    name = repr(kind).removeprefix("<class '").removesuffix("'>")
    ours = name.startswith(("perene.", "asyncio.", "_asyncio."))
    return name if ours and not name.startswith(("perene.sim.", "perene.wire.proto.")) else None
