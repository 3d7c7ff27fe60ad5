"""What a session has under way: a claim, a connection, an archive. Each ends in an input."""

import asyncio
from collections.abc import Callable, Coroutine

import structlog

from perene.core.causes import Ending, Kind, Local
from perene.core.errors import NotFound, StaleEpoch, StorageError
from perene.core.ids import Epoch, EventId, new_event_id
from perene.core.machines.effects import Acquire, Archive, Connect, Destroy
from perene.core.machines.inputs import (
    Acquired,
    Archived,
    Destroyed,
    Ended,
    Input,
    NotAcquired,
    VersionFound,
)
from perene.core.notices import Observer
from perene.core.sessions import SessionRecord
from perene.supervisor.gate.turns import GaveWay, Priority, Turn
from perene.supervisor.session.live import LiveState
from perene.supervisor.session.means import Means
from perene.supervisor.session.ports import ClientVersion, Engine

log = structlog.stdlib.get_logger()


class SessionJobs:
    """Does a session's deeds in the background, one of a kind at a time.

    How each went is told by `tell`. What a job did not expect is a bug: `ring` says so, and
    `raise_bug` raises it in the session's own task, which must not wait for ever.
    """

    def __init__(
        self,
        record: SessionRecord,
        means: Means,
        *,
        live: LiveState,
        observer: Observer,
        tell: Callable[[Input], None],
        ring: Callable[[], None],
    ) -> None:
        self.engine: Engine | None = None
        self._session = record.id
        self._options = record.options
        self._readable = record.readable
        self._ownership = means.ownership
        self._connect = means.connect
        self._gate = means.gate
        self._live = live
        self._observer = observer
        self._tell = tell
        self._ring = ring
        self._turn: Turn | None = None
        self._in_vain = 0
        """How many attempts have begun since one got through."""
        self._gave_way = False
        """Whether one of these gave way to another session."""
        self._presented: ClientVersion | None = None
        self._under_way: set[asyncio.Task[None]] = set()
        self._connecting: asyncio.Task[None] | None = None
        self._bug: BaseException | None = None
        self._farewell: tuple[Archive | Destroy | None, EventId] = (None, new_event_id())
        """The last end of credentials that was tried, and the event that tells of it."""
        self._refused: str | None = None
        """What the database said when the session could not be acquired lately."""

    # --- deeds ----------------------------------------------------------------------------------

    @property
    def route(self) -> str | None:
        """The proxy that is the session's own, None for the service's way."""
        return self._options.proxy

    def take_options(self, record: SessionRecord) -> None:
        """Connect with the options that were read by now, from the next connection on."""
        self._options, self._readable = record.options, record.readable

    def acquire(self, deed: Acquire) -> None:
        """Become the owner."""
        self._begin(self._acquire(deed))

    def connect(self, deed: Connect) -> None:
        """Make one connection, when its turn has come."""
        log.info("connecting", epoch=deed.epoch, attempt=deed.attempt, limit=deed.limit)
        self._connecting = self._begin(self._converse(deed))

    def drain(self, *, log_out: bool) -> None:
        """Close the connection in order, or the attempt that still waits for its turn."""
        if self.engine is not None:
            self.engine.stop(log_out=log_out)
        elif self._connecting is not None and self._connecting.cancel():
            self._tell(Ended(ending=_ended(Local.STOPPED, "Stopped before it began.")))

    def archive(self, deed: Archive) -> None:
        """Set the credentials aside."""
        self._begin(self._archive(deed))

    def destroy(self, deed: Destroy) -> None:
        """Delete the credentials."""
        self._begin(self._destroy(deed))

    def find_version(self) -> None:
        """Look for a client version that WhatsApp accepts."""
        self._begin(self._find_version())

    def leave_gate(self) -> None:
        """The connection got through, and no longer keeps others from beginning theirs."""
        self._in_vain = 0
        self._gave_way = False
        if self._turn is not None:
            self._turn.leave()

    def raise_bug(self) -> None:
        """Raise what a job did not expect, if there is such a thing."""
        if self._bug is not None:
            bug, self._bug = self._bug, None
            raise bug

    async def end(self) -> None:
        """End all that is under way."""
        for job in list(self._under_way):
            job.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)
        self.engine = None

    # --- how they are done ----------------------------------------------------------------------

    def _begin(self, job: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(job, name=f"job of {self._session}")
        self._under_way.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._bug = task.exception()
            self._ring()

    async def _acquire(self, deed: Acquire) -> None:
        try:
            epoch = await self._ownership.acquire(self._session, deed.held)
        except StaleEpoch:
            self._lost()
        except (StorageError, NotFound) as error:
            # Not found: who deletes a session ends this before. A backup that is just being
            # restored brings it back.
            log.warning("session_not_acquired", reason=str(error))
            self._live.last_error = self._refused = str(error)
            self._tell(NotAcquired(taken=False))
        else:
            # It is over now; a session that nobody links would tell of it for days.
            if self._live.last_error == self._refused:
                self._live.last_error = None
            self._refused = None
            self._tell(Acquired(epoch=epoch))

    async def _converse(self, deed: Connect) -> None:
        try:
            ending = await self._in_turn(deed)
        except GaveWay:
            log.info("gave_way")
            self._gave_way = True
            ending = _ended(
                Local.HANDSHAKE_TIMEOUT,
                "The server kept it waiting for so long that another session had its turn.",
            )
        self._tell(Ended(ending=ending))

    async def _in_turn(self, deed: Connect) -> Ending:
        if self._live.outlook.cause is None:
            failures = self._in_vain = 0  # nothing is wrong, or no longer
        else:
            # The first attempt after a loss is one of a session that was up just now.
            failures = max(deed.attempt - 1, self._in_vain)
        if not self._live.paired or self._is_expiring:
            await self._ownership.renew_version()  # before its turn, which others wait for
        async with self._gate.turn(
            Priority(failures), route=self._options.proxy, gave_way=self._gave_way
        ) as turn:
            self._turn = turn
            self._in_vain += 1  # until it gets through
            try:
                return await self._connection(deed.epoch)
            finally:
                self._turn = self._connecting = None

    @property
    def _is_expiring(self) -> bool:
        """Whether WhatsApp has said when it will refuse what would be presented now."""
        said = self._live.version_expires
        return said is not None and said.version == self._ownership.presented_version()

    async def _connection(self, epoch: Epoch) -> Ending:
        if not self._readable:
            return _ended(Local.UNREADABLE_STATE, "The session's options do not open.")
        store = self._ownership.open_store(self._session, epoch)
        try:
            self._presented = self._ownership.presented_version()
            self.engine = self._connect(store, self._options, self._observer)
            return await self.engine.run()
        except Exception as error:  # the supervisor's edge: a bug ends one connection, no more
            log.exception("connection_failed_by_a_bug", error=type(error).__name__)
            return _ended(Local.INTERNAL, type(error).__name__)
        finally:
            self.engine = None

    async def _archive(self, deed: Archive) -> None:
        try:
            await self._ownership.archive_credentials(
                self._session, deed.epoch, deed.reason, told=self._told(deed)
            )
        except StaleEpoch:
            self._lost()
        except (StorageError, NotFound) as error:
            log.error("credentials_not_archived", reason=str(error))
            self._tell(Archived(ok=False))
        else:
            log.warning("credentials_archived", cause=deed.reason.value)
            self._tell(Archived(ok=True))

    async def _destroy(self, deed: Destroy) -> None:
        try:
            await self._ownership.destroy_credentials(
                self._session,
                deed.epoch,
                still_linked=deed.still_linked,
                told=self._told(deed),
            )
        except StaleEpoch:
            self._lost()
        except (StorageError, NotFound) as error:
            log.error("credentials_not_destroyed", reason=str(error))
            self._tell(Destroyed(ok=False))
        else:
            log.warning("logged_out", still_linked=deed.still_linked)
            self._tell(Destroyed(ok=True))

    def _told(self, deed: Archive | Destroy) -> EventId:
        """Return the id of the event that tells of a deed: the same one when it is done again."""
        if self._farewell[0] != deed:
            self._farewell = deed, new_event_id()
        return self._farewell[1]

    async def _find_version(self) -> None:
        self._tell(VersionFound(found=await self._ownership.find_version(self._presented)))

    def _lost(self) -> None:
        log.error("session_lost_to_another_owner")
        self._tell(NotAcquired(taken=True))


def _ended(code: Local, sentence: str) -> Ending:
    return Ending(kind=Kind.LOCAL, code=code, sentence=sentence)
