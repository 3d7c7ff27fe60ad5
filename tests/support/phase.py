"""One phase of a connection, played in one world with a session for every way to end it.

Each session gets to the phase, its connection is ended, and it is watched until it is up again,
with the help of a person where that is due. Nothing is judged here; `Seen` is what there was to
see.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from perene.core.events import EventType, Json
from perene.core.ids import SessionId
from perene.core.outages import Outage
from perene.core.sessions import Connection as State
from perene.sim.endings import Ending
from tests.support.network import Weather
from tests.support.world import World

BAN_S = 90
_LOOK_S = 5.0
LONGEST_S = 240.0
"""Every wait of a first failure is over by then, and so is every silence."""


class After(Enum):
    """What becomes of the session."""

    BACK = "comes back by itself"
    HELD = "waits for a person, with its credentials"
    UNLINKED = "offers a new code"
    LOCKED = "waits for a person, without its credentials"


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """A way to end, and what must follow: the cause, and the first wait in seconds."""

    name: str
    cause: str
    wait: tuple[float, float] | None = (0.9, 1.1)
    after: After = After.BACK
    how: Ending | None = None
    code: int = 0
    weather: Weather | None = None
    told: str | None = None
    """The code in the evidence; that of the server unless something else is given."""

    @property
    def evidence(self) -> str:
        """Return the code that an outage shows."""
        if self.told is not None:
            return self.told
        return str(self.code) if self.code else ""


@dataclass(slots=True)
class Seen:
    """What was seen of one session. `then` is how it was before a person did anything."""

    ended: Mapping[str, Json] = field(default_factory=dict[str, Json])
    then: State = State.STOPPED
    is_linked: bool = False
    offers_code: bool = False
    told: Sequence[EventType] = ()
    at_last: State = State.STOPPED
    outages: Sequence[Outage] = ()
    texts: Sequence[str | None] = ()
    unanswered: int = 0
    most_at_once: int = 0


class OneVersion:
    """There is a newer version whenever one was refused, and it is accepted."""

    def current(self) -> tuple[int, int, int]:
        return (2, 3000, 1)

    async def renew(self) -> None:
        return None

    async def refresh(self, refused: tuple[int, int, int]) -> tuple[int, int, int] | None:
        major, minor, patch = refused
        return (major, minor, patch + 1)


class Phase(ABC):
    """One phase, and the sessions that get to it."""

    before: Sequence[str] = ("before",)
    """What is received before the end."""
    meanwhile: Sequence[str] = ("meanwhile",)
    """What is sent from the end on; a device that was unlinked gets none of it."""
    afterwards: Sequence[str] = ("afterwards",)

    def __init__(self, world: World, ways: Sequence[Way]) -> None:
        self.world = world
        self.ways = ways
        self.names = {way: SessionId(f"s{number}") for number, way in enumerate(ways)}
        self.phones: dict[Way, str] = {}
        self.seen = {way: Seen() for way in ways}
        self.ana = world.simulator.add_contact(name="Ana").account.phone
        self.position = 0

    async def play(self) -> Mapping[Way, Seen]:
        """Play it; return what was seen."""
        await self.arrive()
        self.position = await self.world.events.now()
        await self.end()
        await self.wait_for_the_patient()
        for way in self.ways:
            await self._note_then(way)
        await self._let_a_person_help()
        self.send(self.afterwards)
        await self.world.pass_time(31)
        for way in self.ways:
            await self._note_at_last(way)
        return self.seen

    @abstractmethod
    async def arrive(self) -> None:
        """Bring every session to the eve of the phase."""

    @abstractmethod
    async def end(self) -> None:
        """Let every session enter the phase, and its connection end there."""

    # --- what phases are made of ------------------------------------------------------------------

    async def open_all(self) -> None:
        """Pair every session, and let the connections become stable."""
        phones = await self.world.user.pair_many(len(self.ways))
        self.phones = dict(zip(self.ways, phones, strict=True))
        await self.world.pass_time(31)
        self.send(self.before)
        await self.world.pass_time(1)

    async def stop_all(self) -> None:
        """Let a person stop every session."""
        for name in self.names.values():
            await self.world.perene.sessions.stop(name)

    async def start(self, ways: Iterable[Way]) -> None:
        """Let a person start sessions."""
        for way in ways:
            await self.world.perene.sessions.start(self.names[way])

    async def create_all(self) -> None:
        """Create every session, up to its code."""
        for name in self.names.values():
            await self.world.user.create(name)
        await self.pass_until(lambda: all(self.has_code(way) for way in self.ways))

    async def pass_until(self, condition: Callable[[], bool]) -> None:
        """Let time pass until something holds; it must, before long."""
        await self.world.pass_time(LONGEST_S, until=condition)
        assert condition(), {way.name: self.state(way) for way in self.ways}

    def state(self, way: Way) -> State:
        """Return the state of a session."""
        return self.world.perene.state(self.names[way])

    def has_code(self, way: Way) -> bool:
        """Tell whether a session shows a code."""
        return self.world.perene.live(self.names[way]).qr is not None

    def send(self, texts: Sequence[str]) -> None:
        """Send messages to every session that is linked, or was."""
        for phone in self.phones.values():
            for text in texts:
                self.world.simulator.send_text(self.ana, phone, text)

    async def scan(self, way: Way) -> None:
        """Let the phone of a session scan its code."""
        qr = await self.world.perene.sessions.current_qr(self.names[way], wait_s=1)
        device = self.world.simulator.scan_qr(qr.text, self.phones.get(way))
        self.phones[way] = device.account.phone

    def is_up_to(self, way: Way) -> bool:
        """Tell whether a session has come as far as it can without a person."""
        match way.after:
            case After.BACK:
                return self.state(way) is State.OPEN
            case After.UNLINKED:
                return self.has_code(way)
            case After.HELD | After.LOCKED:
                return self.state(way) is State.NEEDS_ATTENTION

    async def wait_for_the_patient(self) -> None:
        """Wait until every session is as far as it comes by itself."""
        ended = await self._wait_for_ends()
        await self.world.pass_time(
            LONGEST_S, until=lambda: all(self.is_up_to(way) for way in self.ways)
        )
        for way in self.ways:
            self.seen[way].ended = ended.get(self.names[way], {})

    async def _wait_for_ends(self) -> Mapping[SessionId, Mapping[str, Json]]:
        """Wait for the first end of every session; return what was told of each."""
        until = self.world.clock.monotonic() + LONGEST_S
        while True:
            found: dict[SessionId, Mapping[str, Json]] = {}
            for one in await self.world.events.seen(
                EventType.SESSION_DISCONNECTED, since=self.position
            ):
                found.setdefault(one.session, one.event.payload)
            self.ended(found)
            if len(found) == len(self.ways) or self.world.clock.monotonic() >= until:
                return found
            await self.world.pass_time(_LOOK_S)

    def ended(self, names: Iterable[SessionId]) -> None:
        """Take note of sessions whose connections have ended once."""
        del names

    async def _note_then(self, way: Way) -> None:
        seen = self.seen[way]
        view = await self.world.perene.sessions.session(self.names[way])
        seen.then = view.connection
        seen.is_linked = view.record.paired
        seen.offers_code = view.qr_available
        told = await self.world.events.seen(since=self.position)
        seen.told = [one.event.type for one in told if one.session == self.names[way]]

    async def _let_a_person_help(self) -> None:
        await self.start(
            way for way in self.ways if self.state(way) in (State.NEEDS_ATTENTION, State.STOPPED)
        )
        await self.pass_until(
            lambda: all(self.state(way) is State.OPEN or self.has_code(way) for way in self.ways)
        )
        for way in self.ways:
            if self.has_code(way):
                await self.scan(way)
        await self.pass_until(lambda: all(self.state(way) is State.OPEN for way in self.ways))

    async def _note_at_last(self, way: Way) -> None:
        seen, name = self.seen[way], self.names[way]
        seen.at_last = self.state(way)
        page = await self.world.perene.sessions.outages(name, cursor=None, limit=50)
        seen.outages = list(reversed(page.items))
        seen.texts = await self.world.stored.texts(session=name)
        seen.unanswered = len(self.world.server.device(self.phones[way]).mailbox)
        seen.most_at_once = self.world.network.most_at_once[name]
