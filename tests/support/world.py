"""Perene and a simulated WhatsApp in one process: real engine, store, committer and supervisor.

    async with World.open(folder, template) as world:
        desk = await world.user.pair()
        ana = world.simulator.add_contact(name="Ana")
        world.simulator.send_text(ana.account.phone, desk, "hello")
        await world.events.wait(EventType.MESSAGE_RECEIVED, text="hello")
        await world.server.answered(desk)
        await world.perene.restart()
        await world.pass_time(30)
        assert await world.stored.texts() == ["hello"]

Nothing listens, nothing sleeps: waits end by what happens, and time passes by `world.clock`.
"""

import asyncio
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

from perene.core.events import EventType
from perene.core.ids import SessionId
from perene.core.sessions import Connection as State
from perene.sim import Settings, Simulator
from perene.supervisor.fleet.owner import Versions
from tests.support.events import Events
from tests.support.network import Network
from tests.support.passing import PassingTime
from tests.support.perene import DESK, Perene
from tests.support.record import PATIENCE_S
from tests.support.server import Server
from tests.support.storage import Storage
from tests.support.stored import Stored
from tests.support.user import User


class World(PassingTime):
    """One Perene, the WhatsApp that it meets, what lies between and beneath, and who uses it.

    Every random choice comes from `seed`; it is printed, so that a test that fails shows it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        url: str | None = None,
        settings: Settings | None = None,
        seed: int = 7,
        versions: Versions | None = None,
        **config: Any,
    ) -> None:
        print(f"seed {seed}")
        super().__init__()
        self.seed = seed
        self.simulator = Simulator(
            now=self.clock.now_elsewhere,
            seed=seed,
            settings=settings or Settings(initial_sync=False),
        )
        self.clock.on_move = self.simulator.run_due
        self.network = Network(self.clock, self.simulator)
        self.storage = Storage(self.clock)
        self.perene = Perene(
            self,
            self.network,
            self.storage,
            folder=folder,
            url=url or f"sqlite:///{folder / 'perene.db'}",
            root_key=self.simulator.root_key,
            seed=seed,
            versions=versions,
            config=config,
        )
        self.events = Events(self.perene, self)
        self.stored = Stored(self.perene)
        self.server = Server(self.simulator, self)
        self.user = User(self.perene, self.events, self.simulator, self)
        self.resends_expected = False
        """Whether this test is about healing, which hides faults of reading from any other."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        folder: Path,
        template: Path,
        *,
        url: str | None = None,
        settings: Settings | None = None,
        seed: int = 7,
        versions: Versions | None = None,
        **config: Any,
    ) -> AsyncGenerator[Self]:
        """Start on a copy of an empty database, or at a URL; `config` goes to the engine."""
        if url is None:
            shutil.copyfile(template, folder / "perene.db")
        world = cls(folder, url=url, settings=settings, seed=seed, versions=versions, **config)
        world.watch_threads()
        await world.perene.start()
        try:
            yield world
        finally:
            await world.perene.stop()
        assert world.resends_expected or not world.resends, (
            "a message was read only when sent again"
        )

    @property
    def resends(self) -> int:
        """How many messages the sessions could not read at first, and asked for again."""
        devices = self.simulator.evidence.devices.items()
        return sum(found.retries_asked for name, found in devices if not name.endswith(":0"))

    async def explain(self) -> str:
        return await self.events.recent()

    async def come_back(self, session: SessionId = DESK, *, since: int) -> None:
        """Wait out the delay before the next connection, and wait until that is open."""
        await self.events.wait(EventType.SESSION_DISCONNECTED, since=since, session=session)
        while True:
            changed = self.listen()
            ends = await self.events.seen(
                EventType.SESSION_CONNECTED, EventType.SESSION_DISCONNECTED, since=since
            )
            last = [one for one in ends if one.session == session][-1].event
            if last.type is EventType.SESSION_CONNECTED:
                return
            delay = last.payload["retry_in_s"]
            assert isinstance(delay, int | float), f"no attempt will be made: {last}"
            if self.perene.state(session) is State.WAITING and any(
                abs(seconds - delay) < 0.001 for seconds in self.clock.asleep
            ):
                await self.clock.advance(delay)
                continue
            async with asyncio.timeout(PATIENCE_S):
                await changed.wait()
