"""What can befall Perene in a moment."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Final

from perene.core.errors import StorageUnavailable
from perene.core.machines.inputs import Due
from tests.moments.moments import WRITE, Befall
from tests.support.former import Former
from tests.support.perene import Bug
from tests.support.storage import Health
from tests.support.truth import Truth
from tests.support.world import DESK, World

_OUTAGE_S: Final = 15.0
_OUTLIVED_S: Final = (0.0, 0.1, 1.0, 12.0)
"""How long a service may live on after another one has taken its place."""

_LAPSED_S: Final = (0.0, 1.0, 20.0)
"""How long the server of the database takes to give up a service that it does not hear any more:
somebody may end it by hand."""

_LATE_S: Final = (0.0, 0.0, 0.1, 1.0, 12.0, 300.0)
"""How long after the other one has begun a service comes back to what it was at."""

_HOLD_ANSWERS_S: Final = (0.0, 0.1, 3.0, 10.0)
"""How long a service may take to learn whether it still has its database."""


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
    FROZEN = "frozen"
    """The service stands still, with all that it has in hand, until another one has taken its
    database; then it goes on with that."""
    PARTED = "parted"
    """The service is parted from its database, and from nothing else, until another one has taken
    that."""
    UNANSWERED = "unanswered"
    """What was just committed gets its answer only when another service has taken the database."""
    DEPLOYED = "deployed"
    """The service is told to stop, and another one takes the database while this one drains."""

    def places(self, moments: Sequence[str]) -> Sequence[int]:
        """Return the numbers of those moments of a story in which this can happen."""
        if self not in _IN:
            return range(1, len(moments) + 1)
        return [number for number, name in enumerate(moments, 1) if name in _IN[self]]


OF_TWO: Final = (Trouble.FROZEN, Trouble.PARTED, Trouble.UNANSWERED, Trouble.DEPLOYED)
"""Those in which two services live at the same time."""

_IN: Final[Mapping[Trouble, Sequence[str]]] = {
    Trouble.UNHEARD: (WRITE,),
    Trouble.ENGINE_BUG: ("dial", "send"),
    Trouble.UNANSWERED: (WRITE,),
}
"""Which moments, by their names, a trouble is of that cannot happen in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """From a service that was left to itself to another one."""

    former: Former
    lapsed_s: float
    """After how long the database is free for the other one."""
    late_s: float
    """How long after the other one has begun the former comes back."""
    is_over: asyncio.Event = field(default_factory=asyncio.Event)

    def end(self) -> None:
        """Let the former come back."""
        self.former.wake()
        self.former.join()
        self.is_over.set()


class Troubles:
    """Lets them befall a world; `kill` and `restart` end Perene. `truth` is told of bugs.

    `leave` has another service take the place of the one that runs, which is left to itself.
    """

    def __init__(
        self,
        world: World,
        truth: Truth,
        *,
        kill: Callable[[], None],
        restart: Callable[[], None],
        leave: Callable[[Handover], None],
        seed: int,
    ) -> None:
        self._world = world
        self._truth = truth
        self._kill = kill
        self._restart = restart
        self._leave = leave
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
            Trouble.FROZEN: self._frozen,
            Trouble.PARTED: self._parted,
            Trouble.UNANSWERED: self._unanswered,
            Trouble.DEPLOYED: self._deployed,
        }
        return {at: partial(self._befallen, acts[trouble]) for at, trouble in troubles.items()}

    async def _befallen(self, act: Befall, moment: str) -> None:
        if not self._world.perene.is_left:  # nor does it matter any more to one that is
            await act(moment)

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

    async def _frozen(self, _: str) -> None:
        self._hand_over(freeze=True)
        await asyncio.sleep(0)  # it stands still in this moment, not in the next

    async def _parted(self, _: str) -> None:
        silent = self._dice.choice((False, True))
        self._hand_over().former.part(silent=silent)

    async def _unanswered(self, moment: str) -> None:
        if moment == WRITE:
            heard = self._dice.choice((False, True))
            await self._hand_over().is_over.wait()
            if not heard:
                raise StorageUnavailable("the answer was lost")

    async def _deployed(self, _: str) -> None:
        self._hand_over(drain=True)

    def _hand_over(self, *, freeze: bool = False, drain: bool = False) -> Handover:
        former = self._world.perene.leave()
        former.holder.answers_after_s = self._dice.choice(_HOLD_ANSWERS_S)
        handover = Handover(
            former=former,
            lapsed_s=self._dice.choice(_LAPSED_S),
            late_s=self._dice.choice(_LATE_S),
        )
        if freeze:
            former.freeze()
        if drain:
            former.drain()
        else:
            former.go_on()
        self._leave(handover)
        return handover
