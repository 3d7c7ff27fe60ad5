"""Whoever drove the sessions before is kept out before anything of them is read."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from perene.core.errors import StorageUnavailable
from perene.core.ids import Epoch, SessionId
from perene.core.sessions import SessionRecord
from perene.supervisor.fleet.fence import Fence
from tests.support.turns import turns
from tests.unit.supervisor.fakes import MemoryStore, World

pytestmark = pytest.mark.requirement("D9")

ANA = SessionId("ana")
DOWN = StorageUnavailable("down")


class Watched(MemoryStore):
    """Notes what it is asked; `missed` times somebody has taken a session meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.fenced: list[Mapping[SessionId, Epoch]] = []
        self.missed = 0
        self.unheard = 0

    async def epochs(self) -> Mapping[SessionId, Epoch]:
        self.asked.append("epochs")
        return await super().epochs()

    async def fence(self, found: Mapping[SessionId, Epoch]) -> bool:
        self.asked.append("fence")
        self.fenced.append(found)
        if self.unheard:
            self.unheard -= 1
            raise DOWN
        if self.missed:
            self.missed -= 1
            return False
        return await super().fence(found)

    async def list_sessions(self) -> Sequence[SessionRecord]:
        self.asked.append("list")
        return await super().list_sessions()

    async def get_session(self, session: SessionId) -> SessionRecord:
        self.asked.append("get")
        return await super().get_session(session)

    async def acquire(self, session: SessionId, held: Epoch | None) -> Epoch:
        self.asked.append("acquire")
        return await super().acquire(session, held)


@pytest.fixture
def store() -> Watched:
    store = Watched()
    store.add("ana", paired=True)
    return store


async def test_it_is_raised_once(store: Watched) -> None:
    fence = Fence(store)
    await asyncio.gather(fence.up(), fence.up())
    await fence.up()
    assert store.asked == ["epochs", "fence"]
    assert fence.is_up


async def test_one_that_was_unheard_is_raised_again_at_the_same_epochs(store: Watched) -> None:
    store.unheard = 1
    fence = Fence(store)
    with pytest.raises(StorageUnavailable):
        await fence.up()
    assert not fence.is_up
    # Committed late, it must not keep out whoever has acquired the session by then.
    store.add("bob")
    await fence.up()
    assert store.fenced == [{ANA: Epoch(0)}, {ANA: Epoch(0)}]


async def test_one_that_missed_somebody_is_raised_at_what_is_found_then(store: Watched) -> None:
    store.missed = 2
    await Fence(store).up()
    assert store.asked == ["epochs", "fence"] * 3


async def test_sessions_are_read_only_behind_it(store: Watched) -> None:
    world = World(store=store)
    life = asyncio.create_task(world.supervisor.run())
    await world.engine("ana")
    assert store.asked[:4] == ["epochs", "fence", "list", "acquire"]
    world.supervisor.close()
    await life


async def test_a_database_that_takes_nothing_has_each_session_say_so(store: Watched) -> None:
    store.unheard = 3
    world = World(store=store)
    life = asyncio.create_task(world.supervisor.run())
    for wait_s in (2, 4):
        await world.clock.until_asleep(wait_s)
        await world.clock.advance(wait_s)
    await world.engine("ana")
    await world.supervisor.start(ANA)
    await turns()
    assert store.asked.count("fence") == 3, "by now it would keep out our own task"
    world.supervisor.close()
    await life


async def test_who_asks_before_the_sessions_are_read_raises_it_too(store: Watched) -> None:
    world = World(store=store)
    await world.supervisor.start(ANA)
    assert store.asked[-3:] == ["epochs", "fence", "get"]
    life = asyncio.create_task(world.supervisor.run())
    await turns()
    assert store.asked.count("fence") == 1
    world.supervisor.close()
    await life
