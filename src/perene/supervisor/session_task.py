"""The task that owns one session: connect, live, find out why it ended, and go on."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

import structlog

from perene.core.causes import VERDICTS, Cause, Ending, Kind, Local, ban_duration, classify
from perene.core.clock import Clock
from perene.core.errors import StaleEpoch, StorageError
from perene.core.events import Event, EventType
from perene.core.ids import Epoch, SessionId
from perene.core.notices import Observer
from perene.core.reconnection import Attempts, Plan, plan
from perene.core.sessions import Connection, SessionOptions
from perene.core.unit import Unit
from perene.engine.ports import SessionStore
from perene.supervisor.live import LiveState

log = structlog.stdlib.get_logger()


class Engine(Protocol):
    """One connection, as its owner drives it: all that the supervisor knows of an engine."""

    async def run(self) -> Ending: ...

    def wake_sender(self) -> None: ...

    async def request_pairing_code(self, phone: str) -> str: ...

    def stop(self) -> None: ...


Connect = Callable[[SessionStore, SessionOptions, Observer], Engine]
"""Makes an engine for one connection."""


class Ownership(Protocol):
    """What the task needs of the store besides the connection's own."""

    async def acquire(self, session: SessionId, held: Epoch | None) -> Epoch: ...

    def open_store(self, session: SessionId, epoch: Epoch) -> SessionStore: ...

    async def archive_credentials(self, session: SessionId, epoch: Epoch, reason: str) -> bool: ...


class SessionTask:
    """Runs a session until it is stopped. Transport ends never remove it (requirement D5)."""

    def __init__(
        self,
        *,
        session: SessionId,
        options: SessionOptions,
        paired: bool,
        ownership: Ownership,
        connect: Connect,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self.session = session
        self.live = LiveState()
        self.live.paired = paired
        self._options = options
        self._ownership = ownership
        self._connect = connect
        self._clock = clock
        self._rng = rng
        self._engine: Engine | None = None
        self._stopping = asyncio.Event()
        self._attempts = Attempts()

    def stop(self) -> None:
        """Ask the task to end in order; it drains its connection first."""
        self._stopping.set()
        if self._engine is not None:
            self._engine.stop()

    def wake_sender(self) -> None:
        """There may be a message to send."""
        if self._engine is not None:
            self._engine.wake_sender()

    @property
    def stopping(self) -> bool:
        """True once the task was asked to end."""
        return self._stopping.is_set()

    @property
    def engine(self) -> Engine | None:
        """The connection of this moment."""
        return self._engine

    async def run(self) -> None:
        """Own the session until stopped; returns early only when a person has to act."""
        with structlog.contextvars.bound_contextvars(session=self.session):
            self.live.moved(Connection.CONNECTING)
            epoch = await self._acquire(None)
            while epoch is not None and not self._stopping.is_set():
                delay = await self._live_once(epoch)
                if delay is None:
                    break
                await self._wait(delay)
                epoch = await self._acquire(epoch)
            if self._stopping.is_set():
                self.live.moved(Connection.STOPPED)

    async def _acquire(self, held: Epoch | None) -> Epoch | None:
        """Take a new epoch for each connection, None if it is another owner's or we are stopping.

        A transaction of the connection before may still hang in the database. Under a new epoch
        it can no longer land beneath what the next connection has read.
        """
        while not self._stopping.is_set():
            try:
                return await self._ownership.acquire(self.session, held)
            except StaleEpoch:
                log.error("session_lost_to_another_owner")
                sentence = VERDICTS[Cause.OWNERSHIP_LOST].sentence
                self.live.moved(Connection.NEEDS_ATTENTION, error=sentence)
                return None
            except StorageError as error:
                # It may have been taken all the same: what was held is no longer known.
                held = None
                log.warning("session_not_acquired", reason=str(error))
                self.live.moved(Connection.WAITING, error=str(error))
                await self._wait(timedelta(seconds=5))
        return None

    async def _live_once(self, epoch: Epoch) -> timedelta | None:
        """Make one connection; return how long to wait before the next, None for a person."""
        store = self._ownership.open_store(self.session, epoch)
        self.live.moved(Connection.CONNECTING)
        log.info("connecting", epoch=epoch)
        ending = await self._connection(store)
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            # Before Python 3.13 a task group that fails while it is cancelled loses the latter.
            raise asyncio.CancelledError
        cause = classify(ending)
        open_for = self._clock.now() - self.live.connected_at if self.live.connected_at else None
        follow = plan(
            cause,
            self._attempts,
            open_for=open_for,
            jitter=self._rng.random(),
            ban=ban_duration(ending.attributes),
        )
        delay = follow.delay
        if follow.archive and not await self._archive(epoch, cause):
            # Neither told nor counted before it is done: the next connection ends the same way.
            follow = replace(follow, attempts=self._attempts, archive=False)
            delay = timedelta(seconds=5)
        self._attempts = follow.attempts
        await self._record(epoch, ending, cause, follow)
        if cause is Cause.STOPPED:
            self.live.moved(Connection.STOPPED)
        elif delay is None:
            self.live.moved(Connection.NEEDS_ATTENTION, error=VERDICTS[cause].sentence)
        else:
            self.live.moved(Connection.WAITING, error=VERDICTS[cause].sentence)
        return delay

    async def _connection(self, store: SessionStore) -> Ending:
        try:
            self._engine = self._connect(store, self._options, self.live)
            if self._stopping.is_set():
                self._engine.stop()
            return await self._engine.run()
        except Exception as error:  # the supervisor's edge: a bug ends one connection, no more
            log.exception("connection_failed_by_a_bug", error=type(error).__name__)
            return Ending(kind=Kind.LOCAL, code=Local.INTERNAL, sentence=type(error).__name__)
        finally:
            self._engine = None

    async def _record(self, epoch: Epoch, ending: Ending, cause: Cause, follow: Plan) -> None:
        retry_in_s = None if follow.delay is None else follow.delay.total_seconds()
        log.info(
            "disconnected",
            cause=cause.value,
            kind=ending.kind.value,
            code=ending.code,
            detail=ending.sentence,
            restarts=follow.attempts.restarts,
            failures=follow.attempts.failures,
            retry_in_s=retry_in_s,
        )
        payload = {
            "cause": cause.value,
            "code": ending.code,
            "sentence": VERDICTS[cause].sentence,
            "retry_in_s": retry_in_s,
        }
        now = self._clock.now()
        events = [Event(type=EventType.SESSION_DISCONNECTED, at=now, payload={**payload})]
        if cause is Cause.RESTART_REQUIRED:
            restart = {"attempt": follow.attempts.restarts, "retry_in_s": retry_in_s}
            events.append(Event(type=EventType.SESSION_ERROR_515, at=now, payload={**restart}))
        if follow.archive:
            events.append(Event(type=EventType.SESSION_NEEDS_PAIRING, at=now, payload={**payload}))
        if cause is Cause.STOPPED:
            events.append(Event(type=EventType.SESSION_STOPPED, at=now))
        store = self._ownership.open_store(self.session, epoch)
        try:
            await store.submit(Unit(session=self.session, epoch=epoch, events=tuple(events)))
        except StaleEpoch:
            log.error("session_lost_to_another_owner")
        except StorageError as error:
            # The log has it; a session must not stay down because its end cannot be written.
            log.warning("disconnect_not_recorded", reason=str(error))

    async def _archive(self, epoch: Epoch, cause: Cause) -> bool:
        try:
            await self._ownership.archive_credentials(self.session, epoch, cause.value)
        except StorageError as error:
            log.error("credentials_not_archived", reason=str(error))
            return False
        self.live.paired = False
        log.warning("credentials_archived", cause=cause.value)
        return True

    async def _wait(self, delay: timedelta) -> None:
        if delay <= timedelta():
            return
        stopping = asyncio.create_task(self._stopping.wait())
        sleeping = asyncio.create_task(self._clock.sleep(delay.total_seconds()))
        try:
            await asyncio.wait([stopping, sleeping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            sleeping.cancel()
