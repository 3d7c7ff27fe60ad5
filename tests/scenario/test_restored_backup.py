"""A database goes back in time: it does not know what was sent since; others do."""

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from perene.app.history import History
from perene.core.events import EventType
from perene.core.sessions import Connection as State
from perene.process.threads import Threads
from perene.store.store import Store
from tests.crash.processes import Service, Simulator, serving
from tests.support.world import World


class Backup:
    """A copy of the database, made and put back while the service is down.

    With it goes the note of how far the events had come, if it is one of the whole directory.
    """

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.of_all = False
        self._live = folder / "perene.db"
        self._copy = folder / "backup.db"
        self._noted = folder / "events.noted"
        self._noted_copy = folder / "backup.noted"
        self._key = folder / "master.key"

    async def make(self) -> None:
        """Copy the database between two runs."""
        await self.history(self.world.perene.store).save()
        await self.world.perene.stop()
        shutil.copyfile(self._live, self._copy)
        shutil.copyfile(self._noted, self._noted_copy)
        await self.world.perene.start()

    async def put_back(self) -> None:
        """Put the copy back between two runs, which look for what was lost as the service does."""
        await self.history(self.world.perene.store).save()
        await self.world.perene.stop()
        shutil.copyfile(self._copy, self._live)
        if self.of_all:
            self._noted_copy.replace(self._noted)
        await self.look_back()
        await self.world.perene.start()

    async def look_back(self) -> None:
        """Look whether the database went back, as each start does."""
        url = f"sqlite:///{self._live}"
        store = Store.open(url, clock=self.world.clock, key_file=self._key)
        try:
            history = self.history(store)
            await history.compare()
            await history.check()
        finally:
            await store.close()

    async def take_back(self, kept: sqlite3.Connection) -> None:
        """Put an earlier state in place of the present one, while the service uses it."""
        with closing(sqlite3.connect(self._live)) as live:
            await asyncio.to_thread(kept.backup, live)

    async def keep(self) -> sqlite3.Connection:
        """Return the present state, as a standby has it that is about to lag behind."""
        kept = sqlite3.connect(":memory:", check_same_thread=False)
        with closing(sqlite3.connect(self._live, check_same_thread=False)) as live:
            await asyncio.to_thread(live.backup, kept)
        return kept

    def history(self, store: Store) -> History:
        """Return what notes how far the events of a store have come."""
        return History(store, self._noted, self.world.clock, Threads(1, "note"))


@pytest.fixture
def backup(world: World, tmp_path: Path) -> Backup:
    return Backup(world, tmp_path)


@asynccontextmanager
async def newly_open(world: World) -> AsyncGenerator[None]:
    """Wait until the session is open again after what the block does."""
    before = await world.events.now()
    yield
    await world.events.wait(EventType.SESSION_CONNECTED, since=before)


async def said(world: World, to: str, *texts: str) -> None:
    """Send texts, and wait until the server has each."""
    for text in texts:
        sent = await world.user.send(to, text)
        await world.events.wait(EventType.MESSAGE_SENT, message_id=sent)


@pytest.mark.requirement("F4", "E6")
@pytest.mark.parametrize("of_all", [False, True])
async def test_after_a_restore_no_key_is_used_twice_and_every_message_is_read(
    world: World, backup: Backup, of_all: bool
) -> None:
    backup.of_all = of_all
    phone = await world.user.pair()
    ana, bia = (world.simulator.add_contact(name=name).account for name in ("Ana", "Bia"))
    group = world.simulator.create_group("Club", ana.phone, [bia.phone, phone]).jid
    await world.server.answered(phone)
    chats = (str(ana.jid("lid")), group)
    for chat in chats:
        await said(world, chat, "before")
    world.simulator.send_text(ana.phone, phone, "an answer")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="an answer")
    async with newly_open(world):
        await backup.make()

    for chat in chats:
        await said(world, chat, "lost 1", "lost 2", "lost 3")
    await world.pass_time(3600)  # nobody puts back what was copied just now
    async with newly_open(world):
        await backup.put_back()
    for chat in chats:
        await said(world, chat, "after 1", "after 2")
    world.simulator.send_text(bia.phone, phone, "from Bia")
    world.simulator.send_text(ana.phone, phone, "from Ana")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="from Bia")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="from Ana")

    texts = ["before", "lost 1", "lost 2", "lost 3", "after 1", "after 2"]
    assert sorted(filter(None, world.server.inbox(ana.phone))) == sorted(texts * 2)
    assert world.server.inbox(bia.phone) == texts
    assert world.simulator.evidence.reused_keys == []
    assert world.perene.state() is State.OPEN


@pytest.mark.requirement("F4", "F6")
async def test_after_a_restore_no_listener_misses_what_follows(
    world: World, backup: Backup
) -> None:
    await world.user.pair()
    ana = str(world.simulator.add_contact(name="Ana").account.jid("lid"))
    await said(world, ana, "before")
    kept = await world.events.now()
    async with newly_open(world):
        await backup.make()
    await said(world, ana, "lost")
    position = await world.events.now()

    await backup.put_back()
    await said(world, ana, "after")

    since = await world.events.seen(since=position)
    assert since[0].event.type is EventType.DATABASE_WENT_BACK
    told = since[0].event.payload
    assert kept <= int(str(told["kept"])) < int(str(told["noted"])) <= position
    assert EventType.MESSAGE_SENT in {one.event.type for one in since}
    # It is told once, and nothing is renewed again.
    await world.perene.stop()
    await backup.look_back()
    await world.perene.start()
    assert len(await world.events.seen(EventType.DATABASE_WENT_BACK)) == 1


@pytest.mark.requirement("F4", "E8")
async def test_after_a_fail_over_that_lost_commits_no_key_is_used_twice(
    world: World, backup: Backup
) -> None:
    phone = await world.user.pair()
    ana, bia = (world.simulator.add_contact(name=name).account for name in ("Ana", "Bia"))
    group = world.simulator.create_group("Club", ana.phone, [bia.phone, phone]).jid
    looking = asyncio.create_task(backup.history(world.perene.store).run())
    chats = (str(ana.jid("lid")), group)
    for chat in chats:
        await said(world, chat, "before")
    await world.settled()
    lagging = await backup.keep()
    for chat in chats:
        await said(world, chat, "lost 1", "lost 2", "lost 3")
    await world.settled()
    position = await world.events.now()

    await backup.take_back(lagging)
    await world.network.cut_all()  # what a connection knows by heart is not lost
    world.simulator.send_text(bia.phone, phone, "from Bia")
    await world.pass_time(60)
    assert world.perene.state() is State.OPEN
    for chat in chats:
        await said(world, chat, "after 1", "after 2")
    world.simulator.send_text(ana.phone, phone, "from Ana")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="from Bia")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="from Ana")
    await world.server.answered(phone)
    looking.cancel()

    texts = ["before", "lost 1", "lost 2", "lost 3", "after 1", "after 2"]
    assert sorted(filter(None, world.server.inbox(ana.phone))) == sorted(texts * 2)
    assert world.server.inbox(bia.phone) == texts
    assert world.simulator.evidence.reused_keys == []
    [went_back] = await world.events.seen(EventType.DATABASE_WENT_BACK)
    assert went_back.seq > position


async def test_an_ordinary_restart_renews_nothing(world: World, backup: Backup) -> None:
    await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account
    await said(world, str(ana.jid("lid")), "one")
    fetched = ana.devices[0].keys.handed_out
    await backup.history(world.perene.store).save()
    async with newly_open(world):
        await world.perene.stop()
        await backup.look_back()
        await world.perene.start()
    await said(world, str(ana.jid("lid")), "two")
    assert await world.events.seen(EventType.DATABASE_WENT_BACK) == []
    assert ana.devices[0].keys.handed_out == fetched


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.requirement("F4", "E6")
async def test_a_service_whose_database_was_put_back_says_so_and_comes_back(
    simulator: Simulator, tmp_path: Path
) -> None:
    perene = Service(tmp_path, simulator, None)
    live, copy = tmp_path / "data" / "perene.db", tmp_path / "backup.db"
    async with serving(perene):
        await perene.pair(simulator, "desk")
        await told_of(perene, "session.connected")
        await perene.stop()
        shutil.copyfile(live, copy)
        await perene.spawn()
        await perene.greeted()
        await told_of(perene, "session.connected", times=2)
        await perene.stop()
        shutil.copyfile(copy, live)
        await perene.spawn()
        await perene.greeted()
        await told_of(perene, "database.went_back")
        await told_of(perene, "session.connected", times=2)
        assert perene.errors() == []


async def told_of(perene: Service, kind: str, *, times: int = 1) -> None:
    """Return when a service has told of something so often."""
    assert perene.http is not None
    query = {"after": "0", "type": kind}
    async with perene.http.stream("GET", "/v1/events", params=query) as stream:
        async for line in stream.aiter_lines():
            times -= line.startswith("event:")
            if not times:
                return
    raise AssertionError("the stream has ended")
