"""A month of many sessions in virtual time: everything goes wrong, and in the end all are up.

For speed the pings are an hour apart and the watchers look seldom (`tests.support.seldom`): what
hangs on these is shown elsewhere, and a half-open connection is noticed here within an hour. The
database does its work where it is asked, without threads.
"""

import heapq
import itertools
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from perene.core.alert_rules import SHIPPED
from perene.core.ids import SessionId
from perene.core.outages import Outage, OutageEnd
from perene.core.sessions import Connection as State
from perene.sim import Settings
from tests.soak.person import Action, Person
from tests.soak.plan import DAY, HOUR, Dice, Plan
from tests.soak.talk import Talk
from tests.soak.troubles import Disasters, Troubles
from tests.support.agreement import disagreements
from tests.support.comparison import alerts_untrue, counts_untrue, untrue
from tests.support.onlooker import Onlookers
from tests.support.seldom import ENGINE, seldom
from tests.support.truth import SAVED_WITHIN_S, Truth
from tests.support.world import World

PERSON_LOOKS_S = 3 * HOUR
"""How often somebody looks after sessions that need a person."""

GRACE = 3 * DAY
"""For the last ban to end and the last long wait to be over, when nothing goes wrong any more."""

GRAIN = 1e-5
"""Moments as near as this are the same: the clock counts in microseconds."""


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What happened, and what should not have."""

    virtual_days: float = 0.0
    took_s: float = 0.0
    troubles: Counter[str] = field(default_factory=Counter[str])
    outages: list[Outage] = field(default_factory=list[Outage])
    messages: dict[str, int] = field(default_factory=dict[str, int])
    connections: int = 0
    dials: int = 0
    looks: int = 0
    problems: list[str] = field(default_factory=list[str])


async def run(
    folder: Path,
    template: Path,
    plan: Plan,
    tell: Callable[[str], None] = lambda text: None,
    *,
    url: str | None = None,
) -> Outcome:
    """Live through a plan; `tell` hears how it goes. `url` names a database of a server."""
    with seldom():
        async with World.open(
            folder,
            template,
            url=url,
            settings=Settings(initial_sync=False),
            seed=plan.seed,
            **ENGINE,
        ) as world:
            world.storage.in_line = True
            return await Soak(world, plan, tell).run()


class Soak:
    """One run. Everything is drawn from the seed, and done one after the other."""

    def __init__(self, world: World, plan: Plan, tell: Callable[[str], None]) -> None:
        self._world = world
        self._plan = plan
        self._tell = tell
        self._dice = Dice(plan.seed)
        self._troubles = Troubles(world, self._dice)
        self._disasters = Disasters(world, self._dice)
        self._names = [SessionId(f"s{number}") for number in range(plan.sessions)]
        self._phones: dict[SessionId, str] = {}
        self._agenda: list[tuple[float, int, Action]] = []
        self._numbers = itertools.count()
        self._calm = False
        self._talk = Talk(world)
        self._truth = Truth(world)
        self._person = Person(world, self._names, self._phones, later=self._at)
        self._onlookers = Onlookers(world, rules=_RULES)
        self._outcome = Outcome()

    async def run(self) -> Outcome:
        began = time.monotonic()
        phones = await self._world.user.pair_many(self._plan.sessions)
        self._phones.update(zip(self._names, phones, strict=True))
        start = self._world.clock.monotonic()
        self._plan_everything()
        await self._live(until=start + self._plan.seconds)
        self._tell("nothing goes wrong any more")
        self._calm = True
        await self._live(until=start + self._plan.seconds + GRACE, enough=self._all_open)
        await self._look_at_the_end()
        self._outcome.virtual_days = (self._world.clock.monotonic() - start) / DAY
        self._outcome.took_s = time.monotonic() - began
        return self._outcome

    # --- what happens when ------------------------------------------------------------------------

    def _plan_everything(self) -> None:
        plan, many = self._plan, self._plan.sessions
        self._again(plan.received_a_day * many, self._receive)
        self._again(plan.sent_a_day * many, self._send)
        self._again(plan.troubles_a_day * many, self._trouble, stops=True)
        self._again(plan.disasters_a_day, self._disaster, stops=True)
        self._again(plan.looks_a_day, self._compare)
        self._at(DAY, self._day)
        self._at(PERSON_LOOKS_S, self._person_looks)

    def _at(self, seconds: float, action: Action) -> None:
        at = self._world.clock.monotonic() + seconds
        heapq.heappush(self._agenda, (at, next(self._numbers), action))

    def _again(self, a_day: float, action: Action, *, stops: bool = False) -> None:
        if a_day <= 0:
            return

        async def happen() -> None:
            if self._calm:
                return
            await action()
            self._at(self._dice.next_in(a_day), happen)

        self._at(self._dice.next_in(a_day), happen)

    async def _live(self, *, until: float, enough: Callable[[], bool] = lambda: False) -> None:
        clock = self._world.clock
        while clock.monotonic() < until - GRAIN and not (enough() and not self._agenda_has_ends()):
            at = min(self._agenda[0][0] if self._agenda else until, until)
            await self._world.pass_time(max(0.0, at - clock.monotonic()))
            if self._agenda and self._agenda[0][0] <= clock.monotonic() + GRAIN:
                await heapq.heappop(self._agenda)[2]()

    def _agenda_has_ends(self) -> bool:
        return self._going_on > 0

    _going_on = 0

    def _lasts(self, seconds: float, end: Action) -> None:
        self._going_on += 1

        async def over() -> None:
            await end()
            self._going_on -= 1

        self._at(seconds, over)

    def _some(self) -> SessionId:
        return self._dice.one_of(self._names)

    async def _receive(self) -> None:
        session = self._some()
        self._talk.receive(session, self._phones[session], self._dice.number(0, 99))

    async def _send(self) -> None:
        session, friend = self._some(), self._dice.number(0, 99)
        if self._world.perene.is_up:
            self._talk.send(session, friend)

    async def _trouble(self) -> None:
        kind, session = self._troubles.draw(), self._some()
        self._outcome.troubles[kind] += 1
        lasts, end = await self._troubles.befall(kind, session, self._phones[session])
        if lasts:
            self._lasts(lasts, end)

    async def _disaster(self) -> None:
        struck = await self._disasters.strike()
        if struck is None:
            return
        kind, (lasts, end) = struck
        if not self._world.perene.is_up:
            self._talk.give_up_requests()
        self._outcome.troubles[kind] += 1
        self._lasts(lasts, end)

    async def _day(self) -> None:
        world = self._world
        up = sum(
            world.perene.is_up and world.perene.state(name) is State.OPEN for name in self._names
        )
        day = world.clock.monotonic() / DAY
        self._tell(f"day {day:.0f}: {up} of {len(self._names)} up, {self._going_on} troubles")
        self._at(DAY, self._day)

    async def _compare(self) -> None:
        world, onlooker = self._world, self._onlookers.now
        saved = self._truth.now - self._truth.well_since > SAVED_WITHIN_S
        if onlooker is None or world.storage.is_ill or not saved:
            return
        self._outcome.looks += 1
        self._outcome.problems += await disagreements(onlooker, self._truth, self._names)

    async def _person_looks(self) -> None:
        self._at(HOUR if self._calm else PERSON_LOOKS_S, self._person_looks)
        if self._world.perene.is_up and not self._world.storage.is_ill:
            await self._person.looks()

    # --- the end ----------------------------------------------------------------------------------

    def _all_open(self) -> bool:
        return self._world.perene.is_up and self._world.perene.all_open(self._names)

    async def _look_at_the_end(self) -> None:
        world, outcome = self._world, self._outcome
        if not self._all_open():
            down = {name: world.perene.state(name).value for name in self._names}
            outcome.problems += [
                f"{name} is {state}" for name, state in down.items() if state != State.OPEN.value
            ]
        unnoticed = await self._end_deafness()
        await self._deliver_the_rest()
        outcome.problems += await self._talk.problems(self._names)
        outcome.problems += await self._wrong_outages()
        most = world.network.most_at_once
        outcome.problems += [
            f"{name} had {most[name]} connections" for name in most if most[name] > 1
        ]
        outcome.problems += await self._untold()
        evidence = world.simulator.evidence
        outcome.problems += [f"a message key was used twice: {one}" for one in evidence.reused_keys]
        outcome.connections, outcome.dials = len(world.network.handshakes), len(world.network.dials)
        outcome.messages = {
            "written to the sessions": self._talk.received,
            "accepted by the sessions": self._talk.accepted,
            "not taken": self._talk.not_taken,
            "deaf in the end, and not noticed": unnoticed,
        }

    async def _end_deafness(self) -> int:
        """Connect deaf sessions anew; return how many there were, counted and not hidden.

        A quiet session may be deaf for days before it can be noticed.
        """
        world = self._world
        sessions = world.simulator.service.gatekeeper.sessions.values()
        unnoticed = sum(session.deaf for session in sessions)
        if world.perene.is_up and unnoticed:
            await world.perene.restart()
            await world.pass_time(HOUR, until=self._all_open)
        return unnoticed

    async def _deliver_the_rest(self) -> None:
        """Send a last message to each: behind it comes what the server holds back until another."""
        world = self._world
        for fault in world.simulator.faults.pending():
            world.simulator.faults.cancel(fault.id)
        for name in self._names:
            self._talk.receive(name, self._phones[name], 0)
        await world.pass_time(6 * HOUR)
        await self._talk.answered()
        await world.settled()

    async def _wrong_outages(self) -> list[str]:
        """Collect the outages; tell of those that never ended, of sessions that are up."""
        world = self._world
        for name in self._names:
            page = await world.perene.sessions.outages(name, cursor=None, limit=1000)
            self._outcome.outages += page.items
        live = {name: world.perene.state(name) for name in self._names}
        return [
            f"{one.session}: the outage of {one.began_at:%d %H:%M} ({one.cause}) never ended"
            for one in self._outcome.outages
            if one.ended_at is None and live[one.session] is State.OPEN
        ]

    async def _untold(self) -> list[str]:
        """Compare what was told of sessions, in alerts and in numbers, with what was true."""
        counted = self._onlookers.counted()
        return [
            *await untrue(self._truth, self._names),
            *alerts_untrue(self._truth, self._onlookers.receiver.told),
            *await counts_untrue(self._truth, self._names, counted),
        ]


_RULES = [rule for rule in SHIPPED if rule.name != "session_heartbeat"]
"""With an hour between two pings there is no proof of life for long."""


def recovered_in_s(outcome: Outcome) -> list[float]:
    """Return how long the outages lasted that ended by themselves, shortest first."""
    return sorted(
        (one.ended_at - one.began_at).total_seconds()
        for one in outcome.outages
        if one.ended_at is not None and one.end is OutageEnd.RECOVERED
    )
