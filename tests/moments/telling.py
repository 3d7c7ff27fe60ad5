"""A story told while troubles befall Perene in chosen moments, and what came of it."""

import asyncio
import shutil
from collections import Counter
from collections.abc import Awaitable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from perene.core.errors import StorageUnavailable
from perene.core.events import EventType
from tests.moments.life import OWN, PEOPLE, Life
from tests.moments.moments import WRITE, Befall, Moments
from tests.moments.stories import Story
from tests.support.comparison import untrue
from tests.support.storage import Health
from tests.support.truth import Truth
from tests.support.world import DESK, World

_PRE_KEYS: Final = 30
"""Instead of 812, which take most of the time; so few have to be supplied in the middle of it."""

_START_S: Final = 2.0
_OUTAGE_S: Final = 15.0
_BANNED: Final = ("failure", "402")
_BANNED_AT_MOST: Final = 2
"""One to learn of a ban, and one more for who died before that was stored."""

_AFTER_S: Final = 100.0
"""Enough for whatever is still open to be settled."""


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

    def places(self, moments: Sequence[str]) -> Sequence[int]:
        """Return the numbers of those moments of a story in which this can happen."""
        return [
            number
            for number, name in enumerate(moments, 1)
            if self is not Trouble.UNHEARD or name == WRITE
        ]


@dataclass(slots=True, kw_only=True)
class Outcome:
    """How it ended. Two tellings of a story without troubles are equal but for ids."""

    moments: list[str] = field(default_factory=list[str])
    stored: Counter[str] = field(default_factory=Counter[str])
    """The texts that the session has, with how far its own have come."""
    read: Mapping[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])
    """The texts that people have read, by number."""
    asked_again: int = 0
    """How many retry receipts were sent, by anybody."""
    problems: list[str] = field(default_factory=list[str])
    """What must not be, whatever has happened."""


async def tell(
    folder: Path, template: Path, story: Story, troubles: Mapping[int, Trouble], *, seed: int
) -> Outcome:
    """Tell a story; `troubles` befall in the moments with these numbers, which hang on the seed."""
    with _made(folder):
        async with World.open(folder, template, first_pre_keys=_PRE_KEYS) as world:
            world.resends_expected = True
            telling = _Telling(world, story, troubles, seed)
            await telling.run()
            return await telling.outcome()


@contextmanager
def _made(folder: Path) -> Generator[None]:
    """Have a folder until the block ends."""
    folder.mkdir()
    try:
        yield
    finally:
        shutil.rmtree(folder)


class _Telling:
    def __init__(
        self, world: World, story: Story, troubles: Mapping[int, Trouble], seed: int
    ) -> None:
        self._world = world
        self._story = story
        self._life = Life(world)
        self._truth = Truth(world)
        self._ended = asyncio.Event()
        """Perene is to end, or has: the story begins anew."""
        self._killed = False
        self._is_stopping = False
        self._healing: list[asyncio.Task[None]] = []
        acts = {trouble: self._act(trouble) for trouble in Trouble}
        alone = len(troubles) < 2
        sharp = {Trouble.KILLED, Trouble.RESTARTED, Trouble.CUT}.issuperset(troubles.values())
        self._is_comparable = alone and sharp
        """Whether there is one truth about what is ended, or tried, in such a moment."""
        befall = {at: acts[trouble] for at, trouble in troubles.items()}
        self._moments = Moments(world, befall, seed=seed)

    async def run(self) -> None:
        """Tell it, from the start after each end of Perene."""
        while not await self._unless_ended(self._story(self._life)):
            if not self._killed:
                await self._stop()
            if self._killed:
                await self._world.perene.kill()
                self._moments.thaw()
                self._killed = False
            self._ended.clear()
            await self._world.pass_time(_START_S)
            await self._world.perene.start()
        self._moments.enough()
        await self._world.pass_time(_AFTER_S)

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

    # --- troubles ---------------------------------------------------------------------------------

    def _act(self, trouble: Trouble) -> Befall:
        return {
            Trouble.KILLED: self._kill,
            Trouble.RESTARTED: self._restart,
            Trouble.CUT: self._cut,
            Trouble.HALF_OPEN: self._half_open,
            Trouble.AWAY: self._away,
            Trouble.UNHEARD: self._unheard,
        }[trouble]

    async def _kill(self) -> None:
        if not self._world.storage.is_ill:
            # As a service does every 15 s: it was alive till then.
            await self._world.perene.store.probe()
        self._killed = True
        self._moments.freeze()
        self._ended.set()

    async def _restart(self) -> None:
        if not self._is_stopping:
            self._ended.set()

    async def _cut(self) -> None:
        if self._world.network.is_connected(DESK):
            await self._world.network.cut(DESK)

    async def _half_open(self) -> None:
        if self._world.network.is_connected(DESK):
            self._world.network.half_open(DESK)

    async def _away(self) -> None:
        self._world.storage.falls_ill(Health.FAILING)

        async def heal() -> None:
            await self._world.clock.sleep(_OUTAGE_S)
            self._world.storage.recovers()

        self._healing.append(asyncio.create_task(heal()))

    async def _unheard(self) -> None:
        if self._moments.names[-1] == WRITE:
            raise StorageUnavailable("the answer was lost")

    # --- what came of it --------------------------------------------------------------------------

    async def outcome(self) -> Outcome:
        """Look at everything: the database, the events, the server, people."""
        world, life = self._world, self._life
        views = [view.message for view in await world.stored.messages()]
        devices = world.simulator.evidence.devices.values()
        outcome = Outcome(
            moments=self._moments.names,
            stored=Counter(
                f"{one.text}: {one.status}" if one.key.from_me else f"{one.text}" for one in views
            ),
            read={phone: Counter(map(str, world.server.inbox(phone))) for phone in (*PEOPLE, OWN)},
            asked_again=sum(one.retries_asked for one in devices),
        )
        if self._is_comparable:
            outcome.problems += await untrue(self._truth, [DESK])
        stored = Counter(str(one.text) for one in views)
        expected = Counter([*life.written, *life.said])
        if stored != expected:
            outcome.problems.append(f"has too much {stored - expected}, lacks {expected - stored}")
        events = await world.events.seen(EventType.MESSAGE_RECEIVED)
        heard = Counter(str(one.event.payload["text"]) for one in events)
        if heard != (written := Counter(life.written)):
            outcome.problems.append(f"told of {heard - written}, not of {written - heard}")
        if world.simulator.evidence.reused_keys:
            outcome.problems.append(f"keys used twice: {world.simulator.evidence.reused_keys}")
        refused = [one for one in self._truth.attempts[DESK] if one.evidence == _BANNED]
        if len(refused) > _BANNED_AT_MOST:
            outcome.problems.append(f"{len(refused)} logins while it was banned")
        if left := len(life.device.mailbox):
            outcome.problems.append(f"{left} stanzas have no answer")
        return outcome
