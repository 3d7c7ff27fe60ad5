"""The task that owns one session: it feeds `core.lifecycle`, and performs what that decides."""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Protocol, assert_never

import structlog

from perene.core.causes import Cause, Ending, Kind, Local
from perene.core.clock import Clock, instant
from perene.core.errors import NotFound, StaleEpoch, StorageError
from perene.core.ids import Epoch, SessionId
from perene.core.lifecycle import new_session, next_deadline, step
from perene.core.notices import Notice, Observer, Opened, PhoneLinked
from perene.core.outages import OutageEnd, new_outage_id
from perene.core.policy import POLICIES, Policy
from perene.core.sessions import SessionOptions, SessionRecord
from perene.core.standing import Standing
from perene.core.transitions import (
    Acquire,
    Acquired,
    Archive,
    Archived,
    Chances,
    Connect,
    Destroy,
    Destroyed,
    Disconnected,
    Down,
    Drain,
    Due,
    Effect,
    Ended,
    Event,
    FindVersion,
    Linked,
    LogOut,
    NotAcquired,
    Record,
    Recovered,
    Restart,
    SessionState,
    Start,
    Stop,
    VersionFound,
)
from perene.core.transitions import Opened as ConnectionOpened
from perene.core.unit import Unit
from perene.engine.ports import SessionStore
from perene.supervisor.live import LiveState
from perene.supervisor.start_gate import Priority, StartGate, Turn
from perene.supervisor.telling import (
    log_disconnected,
    show,
    told_of_disconnection,
    told_of_recovery,
)

log = structlog.stdlib.get_logger()


_AT_ONCE_S = 0.001


class Engine(Protocol):
    """One connection, as its owner drives it: all that the supervisor knows of an engine."""

    async def run(self) -> Ending: ...

    def wake_sender(self) -> None: ...

    async def request_pairing_code(self, phone: str) -> str: ...

    def check(self) -> None:
        """Prove soon that the connection is alive, or end it."""
        ...

    def stop(self, *, log_out: bool = False) -> None:
        """End in order; with `log_out`, ask WhatsApp to forget the device before."""
        ...


MakeEngine = Callable[[SessionStore, SessionOptions, Observer], Engine]
"""Makes an engine for one connection."""


ClientVersion = tuple[int, int, int]


class Ownership(Protocol):
    """What the task needs of the store besides the connection's own."""

    async def acquire(self, session: SessionId, held: Epoch | None) -> Epoch: ...

    def open_store(self, session: SessionId, epoch: Epoch) -> SessionStore: ...

    async def archive_credentials(self, session: SessionId, epoch: Epoch, reason: str) -> bool: ...

    async def destroy_credentials(self, session: SessionId, epoch: Epoch) -> None: ...

    def presented_version(self) -> ClientVersion | None:
        """Return the client version that a connection made now presents."""
        ...

    async def find_version(self, refused: ClientVersion | None) -> bool:
        """Look for a client version newer than the one that was refused; tell if there is one."""
        ...


class Watch(Protocol):
    """Counts what happens to sessions; returns at once and raises nothing."""

    def disconnected(self, cause: Cause) -> None: ...

    def recovered(self, seconds: float) -> None: ...

    def outage_ended(self, end: OutageEnd) -> None: ...


class SessionTask:
    """Runs a session until it is stopped. Transport ends never remove it (requirement D5)."""

    def __init__(
        self,
        *,
        record: SessionRecord,
        ownership: Ownership,
        connect: MakeEngine,
        clock: Clock,
        rng: random.Random,
        gate: StartGate,
        watch: Watch,
        policies: Mapping[Cause, Policy] = POLICIES,
        live: LiveState | None = None,
    ) -> None:
        self.session = record.id
        self.live = live or LiveState()
        paired = record.pn is not None and record.has_credentials
        self.live.paired = paired
        self.state: SessionState = new_session(record.id, paired=paired)
        self._stored = Standing.parse(record.standing)
        self._options = record.options
        self._ownership = ownership
        self._connect = connect
        self._clock = clock
        self._rng = rng
        self._gate = gate
        self._watch = watch
        self._policies = policies
        self._engine: Engine | None = None
        self._turn: Turn | None = None
        self._presented: ClientVersion | None = None
        self._events: deque[Event] = deque()
        self._arrived = asyncio.Event()
        self._jobs: set[asyncio.Task[None]] = set()
        self.stopping = False

    # --- what others ask ------------------------------------------------------------------------

    def start(self) -> None:
        """A person wants the session running now."""
        self.stopping = False
        self.tell(Start(by_person=True))

    def restart(self) -> None:
        """A person wants a new connection, whatever has been before."""
        self.tell(Restart())

    def stop(self, *, by_person: bool = True) -> None:
        """Ask the task to end in order; it drains its connection first."""
        self.stopping = True
        self.tell(Stop(by_person=by_person))

    def log_out(self) -> None:
        """Ask the task to unlink the device, destroy its credentials, and end."""
        self.stopping = True
        self.tell(LogOut())

    def check(self) -> None:
        """The machine slept, or its clock jumped: find out whether the connection still lives."""
        if self._engine is not None:
            self._engine.check()

    def wake_sender(self) -> None:
        """There may be a message to send."""
        if self._engine is not None:
            self._engine.wake_sender()

    @property
    def engine(self) -> Engine | None:
        """The connection of this moment."""
        return self._engine

    @property
    def overdue_s(self) -> float:
        """How long ago the task should have acted; 0 when nothing is due."""
        due = next_deadline(self.state)
        return 0.0 if due is None else max(0.0, self._clock.monotonic() - due)

    def tell(self, event: Event) -> None:
        """Take an event; a request that waits already is not taken twice."""
        if event not in self._events:
            self._events.append(event)
        self._arrived.set()

    async def rest(self, seconds: float) -> None:
        """Wait, unless somebody asks for something; for the time between a bug and a new task."""
        asked = asyncio.create_task(self._arrived.wait())
        sleeping = asyncio.create_task(self._clock.sleep(seconds))
        self._arrived.clear()
        try:
            await asyncio.wait((asked, sleeping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
            sleeping.cancel()

    # --- life -----------------------------------------------------------------------------------

    async def run(self, *, by_person: bool = False) -> None:
        """Own the session until it is stopped. A bug ends this with an exception, and all jobs."""
        with structlog.contextvars.bound_contextvars(session=self.session):
            fresh = new_session(self.session, paired=self.live.paired)
            self.state = replace(fresh, standing=self._stored)
            self._events.appendleft(Start(by_person=by_person))
            try:
                await self._live()
            finally:
                await self._end_jobs()

    async def _live(self) -> None:
        while True:
            event = self._events.popleft() if self._events else await self._next()
            if isinstance(event, Start) and self.stopping:
                continue
            await self._take(event)
            if isinstance(self.state.connection, Down) and not self._events:
                return

    async def _take(self, event: Event) -> None:
        before = self.state
        chances = Chances(
            jitter=self._rng.random(), outage_id=new_outage_id(), policies=self._policies
        )
        taken = step(before, event, instant(self._clock), chances)
        self.state = taken.state
        for effect in taken.effects:
            if isinstance(effect, Record | Recovered | Disconnected):
                await self._keep(effect)
        for effect in taken.effects:
            self._perform(effect)
        if before.connection != self.state.connection:
            show(self.live, self.state, self._policies)

    async def _next(self) -> Event:
        """Wait for an event or the deadline."""
        self._arrived.clear()
        due = next_deadline(self.state)
        if due is None:
            await self._arrived.wait()
            return self._events.popleft()
        wait = due - self._clock.monotonic()
        if wait <= _AT_ONCE_S:
            return Due()
        arriving = asyncio.create_task(self._arrived.wait())
        sleeping = asyncio.create_task(self._clock.sleep(wait))
        try:
            await asyncio.wait((arriving, sleeping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            arriving.cancel()
            sleeping.cancel()
        return self._events.popleft() if self._events else Due()

    # --- effects --------------------------------------------------------------------------------

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Acquire(held=held):
                self._begin(self._acquire(held))
            case Connect():
                log.info(
                    "connecting",
                    epoch=self.state.epoch,
                    attempt=effect.attempt.number,
                    limit=effect.attempt.limit,
                )
                self._begin(self._converse(effect))
            case Drain(log_out=log_out):
                if self._engine is not None:
                    self._engine.stop(log_out=log_out)
                else:
                    self._end_turn()
            case Archive(reason=reason):
                self._begin(self._archive(reason))
            case Destroy(held=held):
                self._begin(self._destroy(held))
            case FindVersion():
                self._begin(self._find_version())
            case Record() | Recovered() | Disconnected():
                pass  # kept before anything was performed
            case _:
                assert_never(effect)

    def _begin(self, job: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(job, name=f"job of {self.session}")
        self._jobs.add(task)
        task.add_done_callback(self._job_done)

    def _job_done(self, task: "asyncio.Task[None]") -> None:
        self._jobs.discard(task)
        if not task.cancelled() and task.exception() is not None:
            # A bug in the shell itself: the task must not wait for an event that never comes.
            self._events.append(Ended(ending=_bug(task.exception())))
            self._arrived.set()

    async def _end_jobs(self) -> None:
        for job in list(self._jobs):
            job.cancel()
        await asyncio.gather(*self._jobs, return_exceptions=True)
        self._engine = None

    async def _acquire(self, held: Epoch | None) -> None:
        """Take a new epoch for each connection.

        A transaction of the connection before may still hang in the database. Under a new epoch
        it can no longer land beneath what the next connection has read.
        """
        try:
            epoch = await self._ownership.acquire(self.session, held)
        except StaleEpoch:
            log.error("session_lost_to_another_owner")
            self.tell(NotAcquired(taken=True))
        except StorageError as error:
            log.warning("session_not_acquired", reason=str(error))
            self.live.last_error = str(error)
            self.tell(NotAcquired(taken=False))
        else:
            self.tell(Acquired(epoch=epoch))

    async def _converse(self, connect: Connect) -> None:
        failures = connect.attempt.number - 1 if self.live.cause is not None else 0
        async with self._gate.turn(Priority(failures)) as turn:
            self._turn = turn
            ending = await self._connection()
        self._turn = None
        self.tell(Ended(ending=ending))

    async def _connection(self) -> Ending:
        epoch = self.state.epoch
        assert epoch is not None  # the lifecycle connects under an epoch only
        if self.stopping:
            return Ending(kind=Kind.LOCAL, code=Local.STOPPED, sentence="Stopped on request.")
        store = self._ownership.open_store(self.session, epoch)
        try:
            self._presented = self._ownership.presented_version()
            self._engine = self._connect(store, self._options, self)
            return await self._engine.run()
        except Exception as error:  # the supervisor's edge: a bug ends one connection, no more
            log.exception("connection_failed_by_a_bug", error=type(error).__name__)
            return _bug(error)
        finally:
            self._engine = None

    def _end_turn(self) -> None:
        """End an attempt that still waits for its turn, or whose engine is not there yet."""
        for job in list(self._jobs):
            if not job.done():
                job.cancel()
        ending = Ending(kind=Kind.LOCAL, code=Local.STOPPED, sentence="Stopped on request.")
        self.tell(Ended(ending=ending))

    def notice(self, notice: Notice) -> None:
        """Take a notice of the connection: what is shown, and what moves the session."""
        self.live.notice(notice)
        match notice:
            case Opened():
                self._leave_gate()
                self.tell(ConnectionOpened(at=instant(self._clock)))
            case PhoneLinked():
                self.tell(Linked())
            case _:
                if self.live.qr is not None:
                    self._leave_gate()

    def _leave_gate(self) -> None:
        if self._turn is not None:
            self._turn.leave()

    async def _archive(self, reason: Cause) -> None:
        try:
            # What the connection left to commit must not bring them back: it fails from here on.
            epoch = await self._ownership.acquire(self.session, self.state.epoch)
            self.state = replace(self.state, epoch=epoch)
            await self._ownership.archive_credentials(self.session, epoch, reason.value)
        except StaleEpoch:
            log.error("session_lost_to_another_owner")
            self.tell(NotAcquired(taken=True))
        except StorageError as error:
            log.error("credentials_not_archived", reason=str(error))
            self.tell(Archived(ok=False))
        else:
            self.live.paired = False
            log.warning("credentials_archived", cause=reason.value)
            self.tell(Archived(ok=True))

    async def _destroy(self, held: Epoch | None) -> None:
        try:
            epoch = await self._ownership.acquire(self.session, held)
            await self._ownership.destroy_credentials(self.session, epoch)
        except (StaleEpoch, NotFound):
            log.error("session_lost_to_another_owner")
            self.tell(Destroyed(ok=True))
        except StorageError as error:
            log.error("credentials_not_destroyed", reason=str(error))
            self.tell(Destroyed(ok=False))
        else:
            self.live.paired = False
            log.warning("logged_out")
            self.tell(Destroyed(ok=True))

    async def _find_version(self) -> None:
        self.tell(VersionFound(found=await self._ownership.find_version(self._presented)))

    # --- what is kept and told ------------------------------------------------------------------

    async def _keep(self, effect: Record | Recovered | Disconnected) -> None:
        now = self._clock.now()
        epoch = self.state.epoch
        match effect:
            case Disconnected():
                log_disconnected(effect)
                self._watch.disconnected(effect.cause)
                events = told_of_disconnection(effect, now)
            case Recovered(outage=outage):
                events = told_of_recovery(outage, now)
                if outage.end is not None:
                    self._watch.outage_ended(outage.end)
                if outage.end is OutageEnd.RECOVERED:
                    self._watch.recovered((now - outage.began_at).total_seconds())
                log.info("outage_over", end=outage.end, attempts=outage.attempts)
            case Record():
                events = ()
        if epoch is None:
            return
        unit = Unit(
            session=self.session,
            epoch=epoch,
            events=tuple(events),
            outage=effect.outage,
            standing=effect.standing.serialize(),
        )
        try:
            await self._ownership.open_store(self.session, epoch).submit(unit)
        except StaleEpoch:
            log.error("session_lost_to_another_owner")
        except StorageError as error:
            # The log has it; a session must not stay down because its end cannot be written.
            log.warning("not_recorded", what=type(effect).__name__, reason=str(error))


def _bug(error: BaseException | None) -> Ending:
    return Ending(kind=Kind.LOCAL, code=Local.INTERNAL, sentence=type(error).__name__)
