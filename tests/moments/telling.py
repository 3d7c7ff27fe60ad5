"""A story told while troubles befall Perene in chosen moments, from its start after each end."""

import asyncio
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Final

from tests.moments.databases import Databases
from tests.moments.life import Life
from tests.moments.moments import Moments
from tests.moments.outcome import Outcome, look
from tests.moments.stories import Story
from tests.moments.troubles import Handover, Trouble, Troubles
from tests.support.scratch import made
from tests.support.world import World

_PRE_KEYS: Final = 30
"""Instead of 812, which take most of the time; so few have to be supplied in the middle of it."""

_START_S: Final = 2.0
_AFTER_S: Final = 100.0
"""Enough for whatever is still open to be settled."""

_SHARP: Final = frozenset({Trouble.KILLED, Trouble.RESTARTED, Trouble.CUT, Trouble.BUG})
"""After one of these, alone, there is one truth about what was ended, or tried, in its moment."""

_OF_ONE: Final = frozenset({Trouble.CUT, Trouble.HALF_OPEN, Trouble.BUG, Trouble.ENGINE_BUG})
"""What befalls one session, and none beside it."""


async def tell(
    folder: Path, databases: Databases, story: Story, troubles: Mapping[int, Trouble], *, seed: int
) -> Outcome:
    """Tell a story; `troubles` befall in the moments with these numbers, which hang on the seed.

    The folder is made for it, and is gone in the end.
    """
    with made(folder), databases.fresh(folder.name) as url:
        async with World.open(
            folder, databases.template, url=url, first_pre_keys=_PRE_KEYS
        ) as world:
            world.resends_expected = True
            life = Life(world)
            await life.neighbour.link()
            return await _Telling(life, story, troubles, seed).told()


class _Telling:
    def __init__(
        self, life: Life, story: Story, troubles: Mapping[int, Trouble], seed: int
    ) -> None:
        self._life = life
        self._world = world = life.world
        self._story = story
        self._ended = asyncio.Event()
        """Perene is to end, or has: the story begins anew."""
        self._killed = False
        self._is_stopping = False
        self._troubles = len(troubles)
        alone = self._troubles < 2
        self._sharp = alone and _SHARP.issuperset(troubles.values())
        self._apart = alone and _OF_ONE.issuperset(troubles.values())
        self._left: Handover | None = None
        """What another service is to take over."""
        self._formers: list[Handover] = []
        """All from which one did."""
        acts = Troubles(
            world,
            life.truth,
            kill=self._kill,
            restart=self._restart,
            leave=self._leave,
            seed=seed,
        )
        self._moments = Moments(world, acts.befall(troubles), seed=seed)
        self._names: tuple[str, ...] = ()
        self._later: list[asyncio.Task[None]] = []

    async def told(self) -> Outcome:
        """Tell it to the end, and return what came of it."""
        while not await self._unless_ended(self._to_the_end()):
            if not self._killed and self._left is None:
                await self._stop()
            if self._left is not None and await self._is_taken_over(self._left):
                continue
            if self._killed:
                await self._world.perene.kill()
                for handover in self._formers:
                    await handover.former.kill()
                self._moments.thaw()
                self._killed = False
            self._ended.clear()
            await self._world.pass_time(_START_S)
            await self._world.perene.start()
        return await look(
            self._world,
            self._life,
            self._names,
            troubles=self._troubles,
            sharp=self._sharp,
            apart=self._apart,
            formers=[handover.former for handover in self._formers],
        )

    async def _to_the_end(self) -> None:
        await self._story(self._life)
        self._names = self._moments.enough()
        for handover in self._formers:
            handover.end()
        await self._world.pass_time(_AFTER_S)

    async def _is_taken_over(self, handover: Handover) -> bool:
        """Start another service as soon as it can have the database, unless all is killed before.

        The former comes back later.
        """
        self._formers.append(handover)
        self._left = None
        if not self._killed:
            self._ended.clear()
            await self._world.pass_time(handover.lapsed_s)
        if self._killed:
            return False
        self._world.perene.lose_hold()
        await self._world.perene.start()

        async def come_back() -> None:
            await self._world.clock.sleep(handover.late_s)
            handover.end()

        self._later.append(asyncio.create_task(come_back()))
        return True

    def _kill(self) -> None:
        self._killed = True
        self._moments.freeze()
        self._ended.set()

    def _leave(self, handover: Handover) -> None:
        self._left = handover
        self._ended.set()

    def _restart(self) -> None:
        if not self._is_stopping:
            self._ended.set()

    async def _stop(self) -> None:
        """Stop Perene, which may be killed over it."""
        self._ended.clear()
        self._is_stopping = True
        await self._unless_ended(self._life.finish(self._world.perene.stop()))
        self._is_stopping = False

    async def _unless_ended(self, doing: Awaitable[None]) -> bool:
        """Do something, but leave it as soon as Perene is to end; return whether it was done."""
        task = asyncio.ensure_future(doing)
        ending = asyncio.ensure_future(self._ended.wait())
        await asyncio.wait((task, ending), return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if self._ended.is_set():
            task.cancel()
            await asyncio.wait((task,))
            return False
        await task
        return True
