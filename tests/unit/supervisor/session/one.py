"""One session's task and everything around it, which a test moves."""

import asyncio
import random
from collections.abc import Sequence

from perene.core.causes import Cause, Ending
from perene.core.errors import StorageUnavailable
from perene.core.events import EventType
from perene.core.ids import Epoch, EventId, SessionId
from perene.core.notices import Observer, Opened
from perene.core.policy import POLICIES
from perene.core.sessions import Connection, Desired, SessionOptions, SessionRecord
from perene.core.unit import Committed, Unit
from perene.engine.ports import SessionStore
from perene.supervisor.gate.start_gate import StartGate
from perene.supervisor.metrics import Metrics
from perene.supervisor.session.means import Means
from perene.supervisor.session.task import SessionTask
from tests.support.units import ANA
from tests.support.virtual_clock import START, VirtualClock
from tests.unit.supervisor.fakes import FakeEngine


class FakeStore:
    """Commits at once, or when it is told to, or refuses."""

    session = ANA

    def __init__(self, owner: "OneSession", epoch: Epoch) -> None:
        self.epoch = epoch
        self._owner = owner

    def submit(self, unit: Unit) -> "asyncio.Future[Committed]":
        future: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()
        if self._owner.storage_down:
            future.set_exception(StorageUnavailable("down"))
        else:
            self._owner.submitted(unit, future)
        return future


def record_of(standing: str | None) -> SessionRecord:
    """Return what is stored of a paired session that shall run."""
    return SessionRecord(
        id=ANA,
        name=None,
        desired=Desired.RUNNING,
        epoch=Epoch(0),
        created_at=START,
        has_credentials=True,
        pn="5511900000001:7@s.whatsapp.net",
        standing=standing,
    )


class OneSession:
    """A session task and everything around it."""

    def __init__(self, standing: str | None = None, *, at_once: int = 10) -> None:
        self.clock = VirtualClock()
        self.gate = StartGate(self.clock, at_once=at_once, per_second=1000)
        self.engines: list[FakeEngine] = []
        self.units: list[Unit] = []
        self.archived: list[str] = []
        self.refusals: list[Exception] = []
        """What the store says to those who archive or destroy, one after the other, before it does
        what they ask."""
        self.epochs = 0
        self.acquisitions_to_fail = 0
        self.acquiring = asyncio.Event()
        self.acquiring.set()
        self.storage_down = False
        self.storage_hangs = False
        self.unsaved: list[tuple[Unit, asyncio.Future[Committed]]] = []
        self._submitted = asyncio.Event()
        self.broken_connect = False
        self.broken_acquire = False
        self._made = asyncio.Event()
        self.destroyed = 0
        self.renewals = 0
        """How often a version was wanted that is new enough to link a device by."""
        self.versions: list[bool] = []
        """What each look for a newer client version finds; nothing when it is empty."""
        self.metrics = Metrics()
        means = Means(
            ownership=self,
            connect=self.connect,
            gate=self.gate,
            clock=self.clock,
            rng=random.Random(1),
            metrics=self.metrics,
            policies=POLICIES,
        )
        self.task = SessionTask(record_of(standing), means)
        self.running: asyncio.Task[None] | None = None

    # What the task needs

    async def acquire(self, session: SessionId, held: Epoch | None) -> Epoch:
        assert session == ANA
        assert held in (None, self.epochs)
        await self.acquiring.wait()
        if self.broken_acquire:
            raise ZeroDivisionError
        if self.acquisitions_to_fail:
            self.acquisitions_to_fail -= 1
            raise StorageUnavailable("down")
        self.epochs += 1
        return Epoch(self.epochs)

    def open_store(self, session: SessionId, epoch: Epoch) -> SessionStore:
        assert session == ANA
        return FakeStore(self, epoch)  # pyright: ignore[reportReturnType]  # all that the task uses

    async def archive_credentials(
        self, session: SessionId, epoch: Epoch, reason: Cause, *, told: EventId
    ) -> None:
        assert (session, epoch) == (ANA, self.epochs)
        self._may_refuse()
        self.archived.append(reason.value)

    async def destroy_credentials(
        self, session: SessionId, epoch: Epoch, *, still_linked: bool, told: EventId
    ) -> None:
        assert (session, epoch) == (ANA, self.epochs)
        self._may_refuse()
        self.destroyed += 1

    def _may_refuse(self) -> None:
        if self.refusals:
            raise self.refusals.pop(0)

    def presented_version(self) -> tuple[int, int, int]:
        return (2, 3000, 1)

    async def renew_version(self) -> None:
        self.renewals += 1

    async def find_version(self, refused: tuple[int, int, int] | None) -> bool:
        assert refused == (2, 3000, 1)
        return self.versions.pop(0) if self.versions else False

    def connect(
        self, store: SessionStore, options: SessionOptions, observer: Observer
    ) -> FakeEngine:
        assert (store.session, options) == (ANA, SessionOptions())
        if self.broken_connect:
            self.broken_connect = False
            raise ZeroDivisionError
        engine = FakeEngine(observer)
        self.engines.append(engine)
        self._made.set()
        return engine

    # What a test does

    async def engine(self, number: int) -> FakeEngine:
        """Return the n-th connection (from 1) once it is made."""
        while len(self.engines) < number:
            self._made.clear()
            await self._made.wait()
        return self.engines[number - 1]

    async def end(self, number: int, ending: Ending) -> None:
        """End the n-th connection."""
        (await self.engine(number)).ending.set_result(ending)

    async def opened(self, number: int) -> FakeEngine:
        """Let the n-th connection log in; return it once it is known to be open."""
        engine = await self.engine(number)
        engine.observer.notice(Opened(at=self.clock.now()))
        await self.clock.until_asleep(30)
        return engine

    async def next_attempt(self) -> None:
        """Wait until the next attempt is planned, and out the delay before it."""
        async with asyncio.timeout(10):
            while self.task.live.outlook.retry_at is None:
                await self.task.live.changed()
        assert self.state is Connection.WAITING
        delay = self.events(EventType.SESSION_DISCONNECTED)[-1]["retry_in_s"]
        assert isinstance(delay, float)
        await self.clock.until_asleep(delay, within=0.01)
        await self.clock.advance(delay)

    async def settled(self, state: Connection) -> None:
        """Wait until the session is in a state."""
        async with asyncio.timeout(10):
            while self.state is not state:
                await self.task.live.changed()

    async def ended(self) -> None:
        """Wait until the task has ended by itself."""
        assert self.running is not None
        await self.running

    async def end_while_storage_hangs(self, number: int, ending: Ending) -> None:
        """End the n-th connection; return when what follows from it waits to be saved."""
        self.storage_hangs = True
        await self.end(number, ending)
        await self.until_unsaved()

    async def until_unsaved(self) -> None:
        """Wait until something waits to be saved."""
        async with asyncio.timeout(10):
            while not self.unsaved:
                self._submitted.clear()
                await self._submitted.wait()

    def submitted(self, unit: Unit, future: "asyncio.Future[Committed]") -> None:
        """Commit a unit, or let it wait."""
        self.unsaved.append((unit, future))
        self._submitted.set()
        if not self.storage_hangs:
            self.save()

    def save(self) -> None:
        """Commit what waits."""
        self.storage_hangs = False
        unsaved, self.unsaved = self.unsaved, []
        for unit, future in unsaved:
            self.units.append(unit)
            future.set_result(Committed(new_messages=0))

    @property
    def state(self) -> Connection:
        return self.task.live.connection

    def events(self, kind: EventType) -> Sequence[dict[str, object]]:
        return [
            dict(event.payload)
            for unit in self.units
            for event in unit.events
            if event.type is kind
        ]
