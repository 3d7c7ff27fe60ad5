"""A store in memory and connections that a test ends, for the shell around the sessions."""

import asyncio
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from perene.core.causes import Ending
from perene.core.errors import Conflict, NotFound, StaleEpoch, StorageError
from perene.core.events import Event, EventType
from perene.core.ids import CommitId, Epoch, SessionId
from perene.core.notices import Observer
from perene.core.policy import POLICIES
from perene.core.sessions import Desired, SessionOptions, SessionRecord
from perene.core.unit import Committed, Unit
from perene.engine.ports import SessionStore
from perene.supervisor.fleet.owner import StoreOwner, Versions
from perene.supervisor.fleet.supervisor import Supervisor
from perene.supervisor.gate.start_gate import StartGate
from perene.supervisor.metrics import Metrics
from perene.supervisor.session.means import Means
from perene.supervisor.storage.committer import Committer, Lane
from perene.supervisor.storage.retries import Retries
from perene.supervisor.storage.saver import SavePolicy, Saver
from perene.supervisor.storage.store import OutageRow
from tests.support.commits import nothing_unheard
from tests.support.endings import STOPPED
from tests.support.virtual_clock import START, VirtualClock

PN = "5511900000001:7@s.whatsapp.net"
LID = "100000000000099:7@lid"

BEGUN_AT_ONCE = 20
"""So many sessions a world's gate lets begin in one moment: a tenth of those of a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An event of the outbox under its number."""

    seq: int
    session: SessionId | None
    event: Event


class MemoryStore:
    """The sessions and the outbox of a store; can be told to be out of reach."""

    def __init__(self) -> None:
        self.records: dict[SessionId, SessionRecord] = {}
        self.outbox: list[Row] = []
        self.archived: list[SessionId] = []
        self.destroyed: list[SessionId] = []
        self.failing: StorageError | None = None
        self.on_look: Callable[[], None] = lambda: None
        """Called after the outbox has been looked at, before the answer arrives."""

    def add(self, name: str, *, desired: Desired = Desired.RUNNING, paired: bool = False) -> None:
        self.records[SessionId(name)] = SessionRecord(
            id=SessionId(name),
            name=None,
            desired=desired,
            epoch=Epoch(0),
            created_at=START,
            has_credentials=paired,
            pn=PN if paired else None,
        )

    def emit(self, event: Event, session: SessionId | None = None) -> None:
        self.outbox.append(Row(seq=len(self.outbox) + 1, session=session, event=event))

    def told(self, session: SessionId) -> list[EventType]:
        return [row.event.type for row in self.outbox if row.session == session]

    # The sessions

    async def create_session(
        self,
        session: SessionId,
        *,
        name: str | None,
        desired: Desired,
        options: SessionOptions,
        event: Event,
    ) -> SessionRecord:
        if session in self.records:
            if event in (row.event for row in self.outbox):
                return self.records[session]
            raise Conflict("there is one already")
        self.add(session, desired=desired)
        record = replace(self.records[session], name=name, options=options)
        self.records[session] = record
        self.emit(event, session)
        return record

    async def list_sessions(self) -> Sequence[SessionRecord]:
        if self.failing is not None:
            raise self.failing
        return list(self.records.values())

    async def get_session(self, session: SessionId) -> SessionRecord:
        if session not in self.records:
            raise NotFound(f"no session {session}")
        return self.records[session]

    async def twins(self, session: SessionId) -> list[SessionId]:
        await self.get_session(session)
        return []

    async def set_desired(self, session: SessionId, desired: Desired) -> None:
        record = await self.get_session(session)
        self.records[session] = replace(record, desired=desired)

    async def delete_session(self, session: SessionId, *, event: Event) -> None:
        await self.get_session(session)
        del self.records[session]
        self.emit(event, session)

    async def epochs(self) -> Mapping[SessionId, Epoch]:
        if self.failing is not None:
            raise self.failing
        return {session: record.epoch for session, record in self.records.items()}

    async def fence(self, found: Mapping[SessionId, Epoch]) -> bool:
        return True

    async def acquire(self, session: SessionId, held: Epoch | None) -> Epoch:
        if self.failing is not None:
            raise self.failing
        record = await self.get_session(session)
        if held is not None and held != record.epoch:
            raise StaleEpoch("taken over")
        epoch = Epoch(record.epoch + 1)
        self.records[session] = replace(record, epoch=epoch)
        return epoch

    async def archive_credentials(
        self,
        session: SessionId,
        epoch: Epoch,
        reason: str,
        *,
        events: Sequence[Event] = (),
    ) -> bool:
        if self.failing is not None:
            raise self.failing
        self.archived.append(session)
        for event in events:
            self.emit(event, session)
        self.records[session] = replace(
            self.records[session], has_credentials=False, pn=None, lid=None
        )
        return True

    async def destroy_credentials(
        self,
        session: SessionId,
        epoch: Epoch,
        *,
        events: Sequence[Event] = (),
    ) -> None:
        if self.failing is not None:
            raise self.failing
        self.destroyed.append(session)
        for event in events:
            self.emit(event, session)
        self.records[session] = replace(
            self.records[session],
            has_credentials=False,
            pn=None,
            lid=None,
            desired=Desired.STOPPED,
        )

    async def outages(
        self, session: SessionId, *, before: int | None, limit: int
    ) -> Sequence[OutageRow]:
        return []

    # The outbox

    async def events_after(
        self,
        seq: int,
        *,
        limit: int,
        session: SessionId | None,
        types: Collection[EventType],
        until: int | None,
    ) -> Sequence[Row]:
        found = [
            row
            for row in self.outbox[seq:until]
            if session in (None, row.session) and (not types or row.event.type in types)
        ]
        self.on_look()
        return found[:limit]

    async def reach(
        self,
        seq: int,
        *,
        count: int,
        session: SessionId | None,
        types: Collection[EventType],
    ) -> int | None:
        places = [
            place
            for place, row in enumerate(self.outbox, 1)
            if place > seq and session in (None, row.session)
        ]
        return places[count - 1] if len(places) >= count else None

    async def last_seq(self) -> int:
        last = len(self.outbox)
        self.on_look()
        return last


class FakeEngine:
    """A connection that lives until a test ends it, or until it is stopped."""

    def __init__(self, observer: Observer) -> None:
        self.observer = observer
        self.ending: asyncio.Future[Ending] = asyncio.get_running_loop().create_future()
        self.woken = 0
        self.checked = 0
        self.pinged = 0
        self.stopped = False
        self.logged_out = False
        self.drains = True
        """False for a connection that takes its time to end."""
        self.pairing_code: str | Exception = "ABCD-EFGH"

    async def run(self) -> Ending:
        return await self.ending

    def wake_sender(self) -> None:
        self.woken += 1

    async def request_pairing_code(self, phone: str) -> str:
        if isinstance(self.pairing_code, Exception):
            raise self.pairing_code
        return self.pairing_code

    def check(self) -> None:
        self.checked += 1

    def ping_phone(self) -> None:
        self.pinged += 1

    def stop(self, *, log_out: bool = False) -> None:
        self.logged_out = log_out
        self.stopped = True
        if self.drains:
            self.end(STOPPED)

    def end(self, ending: Ending) -> None:
        if not self.ending.done():
            self.ending.set_result(ending)


class FakeSessionStore:
    """All that a session's task asks of the store of one connection."""

    def __init__(self, session: SessionId, epoch: Epoch, store: MemoryStore) -> None:
        self.session = session
        self.epoch = epoch
        self._store = store

    def submit(self, unit: Unit) -> "asyncio.Future[Committed]":
        for event in unit.events:
            self._store.emit(event, unit.session)
        if unit.standing is not None:
            record = self._store.records[unit.session]
            self._store.records[unit.session] = replace(record, standing=unit.standing)
        future: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()
        future.set_result(Committed(new_messages=0))
        return future


class Even(random.Random):
    """Always in the middle, so that jitter changes nothing."""

    def random(self) -> float:
        return 0.5


@dataclass
class World:
    """A supervisor and what is around it."""

    store: MemoryStore = field(default_factory=MemoryStore)
    clock: VirtualClock = field(default_factory=VirtualClock)
    engines: dict[SessionId, list[FakeEngine]] = field(
        default_factory=dict[SessionId, list[FakeEngine]]
    )
    options: dict[SessionId, SessionOptions] = field(
        default_factory=dict[SessionId, SessionOptions]
    )
    """Those of each session's last connection."""
    broken: set[SessionId] = field(default_factory=set[SessionId])
    """Sessions whose task ends in an error that nobody expected."""
    versions: Versions | None = None
    rung: int = 0
    forgotten: list[SessionId] = field(default_factory=list[SessionId])
    """Sessions that are gone, as others are told."""
    metrics: Metrics = field(default_factory=Metrics)

    def __post_init__(self) -> None:
        self._made = asyncio.Event()
        self.committer = Committer(
            Saver(
                commit=self._commit,
                recall=nothing_unheard,
                clock=self.clock,
                policy=SavePolicy(),
            ),
            on_commit=self.ring,
        )
        self.supervisor = self.another()

    def another(self) -> Supervisor:
        """Return a supervisor as the next start of the service makes one."""
        owner = StoreOwner(
            store=self.store,
            open_store=self._open,
            committer=self.committer,
            clock=self.clock,
            policies=POLICIES,
            versions=self.versions,
            ring=self.ring,
        )
        means = Means(
            ownership=owner,
            connect=self._connect,
            gate=StartGate(self.clock, at_once=50, per_second=10 * BEGUN_AT_ONCE),
            clock=self.clock,
            rng=Even(),
            metrics=self.metrics,
            policies=POLICIES,
        )
        self.retries = Retries(self.clock, SavePolicy())
        return Supervisor(
            self.store,
            means,
            self.retries,
            ring=self.ring,
            reach=self.reach,
            forget=self.forgotten.append,
        )

    async def reach(self) -> bool:
        """The network is there: what fails is something else."""
        return True

    async def engine(self, name: str, number: int = 1) -> FakeEngine:
        """Return a session's n-th connection (from 1) once it is made."""
        async with asyncio.timeout(10):
            while len(self.engines.get(SessionId(name), [])) < number:
                self._made.clear()
                await self._made.wait()
        return self.engines[SessionId(name)][number - 1]

    async def _commit(self, units: Sequence[Unit], _commit_id: CommitId) -> Sequence[Committed]:
        return [Committed(new_messages=0) for _ in units]

    def ring(self) -> None:
        self.rung += 1

    def _open(self, session: SessionId, epoch: Epoch, lane: Lane) -> SessionStore:
        if session in self.broken:
            raise ZeroDivisionError
        return FakeSessionStore(session, epoch, self.store)  # pyright: ignore[reportReturnType]  # all that a task uses

    def _connect(
        self, store: SessionStore, options: SessionOptions, observer: Observer
    ) -> FakeEngine:
        engine = FakeEngine(observer)
        self.engines.setdefault(store.session, []).append(engine)
        self.options[store.session] = options
        self._made.set()
        return engine
