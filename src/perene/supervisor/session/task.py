"""The task that owns one session: it feeds the machines of `core`, and has their effects done."""

import asyncio
from collections import deque
from typing import assert_never

import structlog

from perene.core.clock import happens_within, instant
from perene.core.ids import SessionId
from perene.core.machines.effects import (
    Acquire,
    Archive,
    Connect,
    Deed,
    Destroy,
    Drain,
    FindVersion,
    PingPhone,
)
from perene.core.machines.inputs import (
    Due,
    Ended,
    Input,
    LoggedIn,
    LogOut,
    PhoneAccepted,
    PhoneSeen,
    Relieved,
    Restart,
    Start,
    Stop,
)
from perene.core.machines.session import new_session, next_deadline, step
from perene.core.machines.state import (
    Absence,
    Chances,
    Connection,
    Down,
    Open,
    SessionState,
    Waiting,
)
from perene.core.notices import Notice, Opened, PhoneLinked
from perene.core.notices import PhoneSeen as PhoneNoticed
from perene.core.outages import new_outage_id
from perene.core.policy import Relief
from perene.core.sessions import SessionRecord
from perene.core.standing import Standing
from perene.supervisor.session.jobs import SessionJobs
from perene.supervisor.session.keeper import SessionKeeper
from perene.supervisor.session.live import LiveState
from perene.supervisor.session.means import Means
from perene.supervisor.session.ports import Engine
from perene.supervisor.session.showing import show, show_gone

log = structlog.stdlib.get_logger()


class SessionTask:
    """Runs a session until it is stopped. Transport ends never remove it (requirement D5).

    `absence` says since when it should have been driven, and was not.
    """

    def __init__(
        self,
        record: SessionRecord,
        means: Means,
        *,
        live: LiveState | None = None,
        absence: Absence | None = None,
    ) -> None:
        self.session: SessionId = record.id
        self.live = live or LiveState()
        self.stopping = False
        self.logging_out = False
        """Whether it ends by a logout, which a bug must not cut short."""
        self.died = asyncio.Event()
        """Set when it has died of a bug; it does nothing more than to wait for its successor."""
        self._fresh: SessionState = new_session(
            record.id,
            paired=record.paired,
            standing=Standing.parse(record.standing),
            absence=absence,
        )
        self.state = self._fresh
        self._clock = means.clock
        self._rng = means.rng
        self._policies = means.policies
        self._inputs: deque[Input] = deque()
        self._arrived = asyncio.Event()
        self._keeper = SessionKeeper(means, stored=record.epoch)
        self._jobs = SessionJobs(
            record, means, live=self.live, observer=self, tell=self.tell, ring=self._arrived.set
        )
        self.live.paired = self.state.paired
        self.live.needs_pairing = record.was_linked and not self.state.paired

    # --- what others ask ------------------------------------------------------------------------

    def start(self, record: SessionRecord | None = None) -> None:
        """A person wants the session running now, with the options of a record that was read."""
        self.stopping = self.logging_out = False
        self._take_options(record)
        self.tell(Start(by_person=True))

    def restart(self, record: SessionRecord | None = None) -> None:
        """A person wants a new connection, whatever has been before."""
        self._take_options(record)
        self.tell(Restart())

    def _take_options(self, record: SessionRecord | None) -> None:
        if record is not None:
            self._jobs.take_options(record)

    def stop(self, *, by_person: bool = True) -> None:
        """Ask the task to end in order; it drains its connection first."""
        self.stopping, self.logging_out = True, False
        self.tell(Stop(by_person=by_person))

    def log_out(self) -> None:
        """Ask the task to unlink the device, destroy its credentials, and end."""
        self.stopping = self.logging_out = True
        self.tell(LogOut())

    def check(self) -> None:
        """The machine slept, or its clock jumped: find out whether the connection still lives."""
        if self.engine is not None:
            self.engine.check()

    def relieve(self, by: Relief) -> None:
        """What many may have waited for has come."""
        self.tell(Relieved(by=by))

    def wake_sender(self) -> None:
        """There may be a message to send."""
        if self.engine is not None:
            self.engine.wake_sender()

    @property
    def heeds(self) -> bool:
        """Whether it can take a wish: it has not died, and nobody has asked it to end."""
        return not (self.stopping or self.died.is_set())

    @property
    def engine(self) -> Engine | None:
        """The connection of this moment."""
        return self._jobs.engine

    @property
    def route(self) -> str | None:
        """Its way to WhatsApp: the service's own, or a proxy that is the session's."""
        return self._jobs.route

    @property
    def is_open(self) -> bool:
        """Whether it is logged in."""
        return isinstance(self._connection, Open)

    @property
    def is_stable(self) -> bool:
        """Whether it has been logged in for long enough to count."""
        connection = self._connection
        return isinstance(connection, Open) and connection.stable

    def waits_for(self, relief: Relief) -> bool:
        """Tell whether it waits for something of which this may be the end."""
        connection = self._connection
        return isinstance(connection, Waiting) and relief in self._policies[connection.cause].relief

    @property
    def _connection(self) -> Connection | None:
        """What its connection is at; None once it has died, whatever its state was then."""
        return None if self.died.is_set() else self.state.connection

    @property
    def overdue_s(self) -> float:
        """How long ago the task should have acted; 0 when nothing is due."""
        due = None if self.died.is_set() else next_deadline(self.state)
        return 0.0 if due is None else max(0.0, self._clock.monotonic() - due)

    def tell(self, given: Input) -> None:
        """Take an input; a request that waits already is not taken twice.

        That a connection has ended is shown at once: to save what follows from it may take long.
        """
        if isinstance(given, Ended):
            show_gone(self.live, self.state)
        if given not in self._inputs:
            self._inputs.append(given)
        self._arrived.set()

    def notice(self, notice: Notice) -> None:
        """Take a notice of the connection: what is shown, and what moves the session."""
        self.live.notice(notice)
        match notice:
            case Opened(pn=pn, lid=lid):
                self._jobs.leave_gate()
                self.tell(LoggedIn(at=instant(self._clock), pn=pn, lid=lid))
            case PhoneLinked():
                log.info("paired")
                self.tell(PhoneAccepted())
            case PhoneNoticed(at=at):
                self.tell(PhoneSeen(at=at))
            case _:
                if self.live.qr is not None:
                    self._jobs.leave_gate()

    async def rest(self, seconds: float) -> None:
        """Wait, unless somebody asks for something; for the time between a bug and a new task."""
        self._arrived.clear()
        await self._arrival(seconds)

    # --- life -----------------------------------------------------------------------------------

    async def run(self, *, first: Input) -> None:
        """Own the session until it is stopped, beginning with that wish.

        A bug ends this with an exception, and all that was under way.
        """
        with structlog.contextvars.bound_contextvars(session=self.session):
            self.state = self._fresh
            self._inputs.appendleft(first)
            try:
                await self._live()
            finally:
                await self._jobs.end()

    async def _live(self) -> None:
        while True:
            given = await self._next()
            if isinstance(given, Start) and self.stopping:
                continue
            await self._take(given)
            rests = isinstance(self.state.connection, Down) and not self._inputs
            if rests and not self._keeper.owes(self.state):
                return

    async def _next(self) -> Input:
        """Return the next input, or `Due` when the deadline comes first."""
        while not self._inputs:
            self._arrived.clear()
            self._jobs.raise_bug()
            due, save = next_deadline(self.state), self._keeper.again_at
            now = self._clock.monotonic()
            if due is not None and due <= now:
                return Due()
            if save is not None and save <= now:
                await self._keeper.save(self.state)
                continue
            next_at = min((at for at in (due, save) if at is not None), default=None)
            await self._arrival(None if next_at is None else next_at - now)
        return self._inputs.popleft()

    async def _arrival(self, seconds: float | None) -> None:
        """Wait for something to arrive, no longer than so many seconds."""
        if seconds is None:
            await self._arrived.wait()
        else:
            await happens_within(self._clock, self._arrived, seconds)

    async def _take(self, given: Input) -> None:
        """Step, keep what must be kept, and only then do what follows."""
        before = self.state
        chances = Chances(
            jitter=self._rng.random(), outage_id=new_outage_id(), policies=self._policies
        )
        taken = step(before, given, instant(self._clock), chances)
        self.state = taken.state
        await self._keeper.keep(before, taken)
        for effect in taken.effects:
            if isinstance(effect, Deed):
                self._do(effect)
        if before != self.state:
            show(self.live, before, self.state, self._policies)

    def _do(self, deed: Deed) -> None:
        match deed:
            case Acquire():
                self._jobs.acquire(deed)
            case Connect():
                self._jobs.connect(deed)
            case Drain(log_out=log_out):
                self._jobs.drain(log_out=log_out)
            case Archive():
                self._jobs.archive(deed)
            case Destroy():
                self._jobs.destroy(deed)
            case FindVersion():
                self._jobs.find_version()
            case PingPhone():
                if self.engine is not None:
                    self.engine.ping_phone()
            case _:
                assert_never(deed)
