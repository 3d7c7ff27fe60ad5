"""What can befall Perene in a moment."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Final

from perene.core.errors import StorageUnavailable
from perene.core.machines.inputs import Due
from tests.moments.moments import WRITE, Befall
from tests.support.perene import Bug
from tests.support.storage import Health
from tests.support.truth import Truth
from tests.support.world import DESK, World

_OUTAGE_S: Final = 15.0
_OUTLIVED_S: Final = (0.0, 0.1, 1.0, 12.0)
"""How long a service may live on after another one has taken its place."""


class Trouble(StrEnum):
    """What befalls Perene."""

    KILLED = "killed"
    RESTARTED = "restarted"
    CUT = "cut"
    """The network ends the connection."""
    HALF_OPEN = "half-open"
    """The connection carries nothing any more, and nobody says so."""
    AWAY = "away"
    """The database refuses everything for a while."""
    UNHEARD = "unheard"
    """What was just committed is said to have failed."""
    BUG = "bug"
    """A bug ends the session's task."""
    TAKEN = "taken"
    """Another service becomes the owner of the session. This one lives on for a while, as one does
    that was given up too early; then it is gone, and the story goes on with the other."""
    ENGINE_BUG = "engine-bug"
    """A bug ends what was under way on the connection, or was to make one."""

    def places(self, moments: Sequence[str]) -> Sequence[int]:
        """Return the numbers of those moments of a story in which this can happen."""
        if self not in _IN:
            return range(1, len(moments) + 1)
        return [number for number, name in enumerate(moments, 1) if name in _IN[self]]


_IN: Final[Mapping[Trouble, Sequence[str]]] = {
    Trouble.UNHEARD: (WRITE,),
    Trouble.ENGINE_BUG: ("dial", "send"),
}
"""Which moments, by their names, a trouble is of that cannot happen in all."""


class Troubles:
    """Lets them befall a world; `kill` and `restart` end Perene. `truth` is told of bugs."""

    def __init__(
        self,
        world: World,
        truth: Truth,
        *,
        kill: Callable[[], None],
        restart: Callable[[], None],
        seed: int,
    ) -> None:
        self._world = world
        self._truth = truth
        self._kill = kill
        self._restart = restart
        self._dice = random.Random(seed)
        self._later: list[asyncio.Task[None]] = []

    def befall(self, troubles: Mapping[int, Trouble]) -> Mapping[int, Befall]:
        """Return what is to happen in moments, in place of its names."""
        acts: Mapping[Trouble, Befall] = {
            Trouble.KILLED: self._killed,
            Trouble.RESTARTED: self._restarted,
            Trouble.CUT: self._cut,
            Trouble.HALF_OPEN: self._half_open,
            Trouble.AWAY: self._away,
            Trouble.UNHEARD: self._unheard,
            Trouble.TAKEN: self._taken,
            Trouble.BUG: self._bug,
            Trouble.ENGINE_BUG: self._engine_bug,
        }
        return {at: acts[trouble] for at, trouble in troubles.items()}

    async def _killed(self, _: str) -> None:
        if not self._world.storage.is_ill:
            # As a service does every 15 s: it was alive till then.
            await self._world.perene.store.probe()
        self._kill()

    async def _restarted(self, _: str) -> None:
        self._restart()

    async def _cut(self, _: str) -> None:
        if self._world.network.is_connected(DESK):
            await self._world.network.cut(DESK)

    async def _half_open(self, _: str) -> None:
        if self._world.network.is_connected(DESK):
            self._world.network.half_open(DESK)

    async def _away(self, _: str) -> None:
        self._world.storage.falls_ill(Health.FAILING)

        async def heal() -> None:
            await self._world.clock.sleep(_OUTAGE_S)
            self._world.storage.recovers()

        self._later.append(asyncio.create_task(heal()))

    async def _unheard(self, moment: str) -> None:
        if moment == WRITE:
            raise StorageUnavailable("the answer was lost")

    async def _taken(self, _: str) -> None:
        self._world.perene.lose_to_another()
        left_s = self._dice.choice(_OUTLIVED_S)

        async def go() -> None:
            await self._world.clock.sleep(left_s)
            self._kill()

        self._later.append(asyncio.create_task(go()))

    async def _bug(self, _: str) -> None:
        task = self._world.perene.supervisor.roster.tasks.get(DESK)
        if task is not None and task.heeds:
            self._truth.ends.append(self._truth.now)
            self._world.perene.dice.loaded = True
            task.tell(Due())  # it draws before it does anything

    async def _engine_bug(self, moment: str) -> None:
        if moment != WRITE:
            raise Bug
