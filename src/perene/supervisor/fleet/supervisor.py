"""Many sessions under one task group: each desired one runs, whatever happens to the others."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

import structlog

from perene.core.causes import Local
from perene.core.errors import NotFound, StorageError, StorageUnavailable
from perene.core.events import Event, EventType
from perene.core.ids import SessionId
from perene.core.machines.state import Absence
from perene.core.sessions import Desired, SessionRecord
from perene.supervisor.fleet.changes import Changes
from perene.supervisor.fleet.fence import Fence
from perene.supervisor.fleet.monitor import Monitor
from perene.supervisor.fleet.roster import Roster
from perene.supervisor.fleet.runner import TaskRunner
from perene.supervisor.fleet.wanted import Wanted
from perene.supervisor.fleet.way_back import WayBack
from perene.supervisor.session.means import Means
from perene.supervisor.session.task import SessionTask
from perene.supervisor.storage.patient_reads import PatientReads
from perene.supervisor.storage.retries import Retries
from perene.supervisor.storage.store import Sessions

log = structlog.stdlib.get_logger()


class Supervisor:
    """Drives every session to its stored desire. `run` is its life; the rest is called meanwhile.

    `ring` is called when an event was committed that no unit carried; `reach` tells whether
    WhatsApp's server takes connections, and raises nothing. `last_life` is when the service is
    known to have run last before, None if nobody knows: sessions that were up count as down since
    this one began then. `forget` is called with each session that was deleted: what others remember
    of it goes, too. Browsers, API clients and event streams have no part in a session's life: they
    read, and ask for desires (C1); for these a database that restarts is waited for (`retries`).
    """

    def __init__(
        self,
        store: Sessions,
        means: Means,
        retries: Retries,
        *,
        ring: Callable[[], None],
        reach: Callable[[], Awaitable[bool]],
        last_life: datetime | None = None,
        forget: Callable[[SessionId], None] = lambda _: None,
    ) -> None:
        clock = means.clock
        self._store = store
        self._retries = retries
        self._clock = clock
        self._ring = ring
        self._forget = forget
        self._closing = asyncio.Event()
        self._fence = Fence(store)
        self._reads = PatientReads(store, clock, self._closing)
        self.roster = Roster(means.metrics)
        """Who is there; for others to look at, and to note what they have read."""
        self._runner = TaskRunner(self.roster, self._reads, means, closing=self._closing)
        self._way_back = WayBack(clock=clock, rng=means.rng, tasks=self.roster.tasks, reach=reach)
        self._monitor = Monitor(
            clock=clock,
            tasks=self.roster.tasks,
            astray=self._astray,
            guide=self._guide,
            clock_set=self._way_back.clock_set,
        )
        self._absence = Absence(since=last_life or clock.now(), local=Local.SERVICE_ENDED)
        self._changes = Changes()
        self._wanted = Wanted(self.roster, self._runner)

    # --- life -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Start every session that shall run, then live until `close` has drained them all."""
        async with asyncio.TaskGroup() as group:
            self._runner.open(group)
            try:
                await self._begin()
            except StorageError as error:
                # The service is closing; somebody may have started a session all the same.
                log.warning("sessions_not_read", reason=str(error))
            else:
                await self._look_on(group)
            for task in list(self.roster.tasks.values()):
                task.stop(by_person=False)

    async def _look_on(self, group: asyncio.TaskGroup) -> None:
        """Look after the sessions until the service is closing."""
        looking = (
            group.create_task(self._monitor.run(), name="monitor"),
            group.create_task(self._way_back.run(), name="way back"),
        )
        await self._closing.wait()
        for look in looking:
            look.cancel()

    async def _begin(self) -> None:
        """Read what sessions there are, and go on with each; whoever asks meanwhile comes first.

        Raises StorageError once the service is closing.
        """
        with self._changes.noted() as asked:
            records = await self._left_behind()
            for record in records:
                self.roster.known(record.id)
                self.roster.remember(record, self._clock.now())
            self.roster.listed()
            wanted = [record for record in records if record.desired is not Desired.STOPPED]
            log.info("sessions_found", total=len(records), starting=len(wanted))
            for record in wanted:
                if record.id not in asked and record.id not in self.roster.tasks:
                    self._wanted.resume(record, absence=self._absence)
            for record in records:
                if record.desired is Desired.STOPPED and record.id not in asked:
                    self._wanted.settle(record)

    async def _left_behind(self) -> Sequence[SessionRecord]:
        """Return every session, as whoever drove it before has left it for good."""
        found = await self._reads.epochs()
        try:
            await self._retries.ask(partial(self._fence.up, found))
        except StorageError as error:
            # It lets nobody acquire a session either; then each of them says so.
            log.warning("earlier_owners_not_kept_out", reason=str(error))
            self._fence.waive()
        return await self._reads.sessions()

    def close(self) -> None:
        """End `run`: every connection drains and closes."""
        self._closing.set()

    # --- desires --------------------------------------------------------------------------------

    async def start(self, session: SessionId) -> None:
        """Want a session running; one that waits for a person or for its time tries at once.

        Its next connection is made with the options that are stored by now.
        """
        async with self._changes.turn(session):
            await self._want(session, Desired.RUNNING)
            await self._started(await self._record(session))

    async def stop(self, session: SessionId) -> None:
        """Want a session stopped; returns when its connection has drained."""
        async with self._changes.turn(session):
            await self._want(session, Desired.STOPPED)
            self._wanted.discard(session)
            await self._wanted.halt(session)
            settled = self._wanted.settle(await self._record(session))
            if settled:
                await self._runner.ended(session)
        if settled:
            self.doubt(session)  # the database may have failed at just that

    async def restart(self, session: SessionId) -> None:
        """Want a new connection now; counts begin anew, but no ban ends by it."""
        async with self._changes.turn(session):
            await self._want(session, Desired.RUNNING)
            record = await self._record(session)
            task = self._heeding(session)
            if task is None:
                await self._started(record)
            else:
                task.restart(record)

    async def hurry(self, session: SessionId) -> None:
        """Let a session that waits try at once; one that somebody stops meanwhile rests."""
        async with self._changes.turn(session):
            task = self._heeding(session)
            if task is not None:
                task.start()

    async def logout(self, session: SessionId) -> None:
        """Unlink a session's device and destroy its credentials; it is stopped then.

        A logout that the end of the service cuts short is finished by the next one, and one that
        dies of a bug by the task that follows: this returns then, before it is done.
        """
        async with self._changes.turn(session):
            await self._want(session, Desired.LOGGED_OUT)
            self._wanted.discard(session)
            task = self._heeding(session)
            if task is None:
                await self._wanted.halt(session)
                task = self._wanted.resume(await self._record(session))
            else:
                task.log_out()
            if task is not None:
                await self._runner.ended_or_died(task)

    async def delete(self, session: SessionId) -> None:
        """Stop a session and delete everything of it."""
        async with self._changes.turn(session):
            try:
                await self._record(session)
                await self._wanted.halt(session)
                # Until it is gone it is wanted as before: the monitor revives one that is there.
                await self._delete(session)
            except NotFound:
                # Deleted by an earlier call, whose database did not say so in time; or gone with
                # the restore of a backup.
                await self._wanted.halt(session)
                self._let_go(session)
                raise
            self._let_go(session)
            self._ring()
        self._changes.forget(session)

    async def _delete(self, session: SessionId) -> None:
        """Delete a halted session from the store. Raises NotFound if it was gone before."""
        event = Event(type=EventType.SESSION_DELETED, at=self._clock.now())
        unheard = False

        async def attempt() -> None:
            nonlocal unheard
            try:
                await self._store.delete_session(session, event=event)
            except StorageUnavailable:
                unheard = True
                raise
            except NotFound:
                if not unheard:
                    raise

        await self._retries.ask(attempt)

    def _let_go(self, session: SessionId) -> None:
        """There is no such session: nobody wants it or remembers it any more."""
        self._wanted.discard(session)
        self.roster.forget(session)
        self._forget(session)

    async def _started(self, record: SessionRecord) -> None:
        session = record.id
        task = self._heeding(session)
        if task is not None:
            task.start(record)
            return
        if session in self.roster.tasks:
            await self._wanted.halt(session)
            record = await self._record(session)
        if record.desired is not Desired.RUNNING:
            # A logout that had to be finished first has left it to be stopped.
            await self._want(session, Desired.RUNNING)
            record = replace(record, desired=Desired.RUNNING)
        self._wanted.start(record, by_person=True)

    def _heeding(self, session: SessionId) -> SessionTask | None:
        """Return a session's task, if it has one that can take a wish."""
        task = self.roster.tasks.get(session)
        return task if task is not None and task.heeds else None

    async def _want(self, session: SessionId, desired: Desired) -> None:
        await self._retries.ask(partial(self._store.set_desired, session, desired))

    async def _record(self, session: SessionId) -> SessionRecord:
        if not self._fence.is_up:  # `run` has not come so far yet
            await self._retries.ask(self._fence.up)
        return await self._retries.ask(partial(self._store.get_session, session))

    def doubt(self, session: SessionId) -> None:
        """Nobody knows what is stored of a session: the next look finds out, and acts on it."""
        self._changes.cut_short.add(session)

    # --- what the monitor looks at --------------------------------------------------------------

    def _astray(self) -> Collection[SessionId]:
        """Return the sessions that may not be where they are wanted."""
        return {*self._wanted.missing(), *self._changes.cut_short}

    async def _guide(self, session: SessionId) -> None:
        """Have a session do what is stored that it shall, unless somebody changes that now.

        Such a change may take long, and the others would wait for it; it is looked at afterwards.
        """
        if self._changes.under_way(session):
            return
        async with self._changes.turn(session):
            asked_at = self._clock.now()
            try:
                record = await self._store.get_session(session)
            except NotFound:
                self._let_go(session)
                self._changes.forget(session)
                raise
            self.roster.known(session)  # it may have been made unheard
            self.roster.remember(record, asked_at)
            done = self._wanted.follow(record)
        if not done:
            self._changes.cut_short.add(session)

    # --- what others look at --------------------------------------------------------------------

    @property
    def clock_jump_s(self) -> float:
        """The last jump of the wall clock that the monitor saw, in seconds."""
        return self._monitor.clock_jump_s

    @property
    def task_failures(self) -> int:
        """How many tasks have ended by a bug."""
        return self._runner.failures
