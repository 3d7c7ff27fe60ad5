"""Whether the database is an older state of what this service had, as after a restore.

How many events there were is noted in the data directory, outside of the database, every few
seconds. A start that finds fewer makes every session safe before it connects: see `store.renewal`.
So does one that cannot tell, because the note is missing, or was copied as if out of a backup, and
the database was not in use minutes ago. So it is while the service runs, after a fail-over to a
server that lagged behind: until then no session can be acquired, and nothing be committed
(`store.progress`).
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Protocol

import structlog

from perene.core.clock import Clock
from perene.core.errors import NotFound, StorageError, UnreadableState
from perene.core.events import Event, EventType
from perene.core.ids import SessionId
from perene.core.sessions import SessionRecord
from perene.core.unit import Profile
from perene.engine.addresses import signal_address
from perene.process.high_water import read_mark, write_mark
from perene.signal.errors import SignalError
from perene.signal.ratchet import Ratchet
from perene.store.errors import CannotConnect
from perene.store.renewal import Renewal
from perene.wire.jid import Jid

log = structlog.stdlib.get_logger()

_EVERY_S = 2.0

_AHEAD = 1_000_000
"""More events than come between two notes: no number that was lost is given a second time, so that
a listener who knows it misses none of what follows."""


_AS_NEW_AS: Final = timedelta(minutes=15)
"""A service that stood for longer may have been put back to where it was: hardly anybody restores a
backup that is younger. Services that are moved to another machine stand for less, most of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loss:
    """How many events there are, and how many there were as far as is known."""

    kept: int
    noted: int | None


class HistoryStore(Protocol):
    """What holds the events and the keys. All raise StorageError."""

    async def last_seq(self) -> int: ...

    async def last_life(self) -> datetime | None:
        """Return when a service is known to have run last."""
        ...

    async def loss(self) -> tuple[int, int] | None: ...

    async def list_sessions(self) -> Sequence[SessionRecord]: ...

    async def renew_keys(self, session: SessionId, renewal: Renewal) -> None:
        """Raises NotFound, too."""
        ...

    async def skip_events(self, seq: int, event: Event) -> None: ...


class FreshKeys:
    """Implements `store.renewal.Renewal` on what the engine keeps."""

    def retired(self, ratchet: bytes) -> bytes | None:
        try:
            known = Ratchet.parse(ratchet)
        except SignalError:
            return None  # nothing is sent with it either
        return known.archive_current().serialize() if known.has_current else None

    def own_sender(self, profile: Profile) -> tuple[str, int] | None:
        if profile.pn is None or profile.lid is None:
            return None
        own = Jid.parse(profile.lid).with_device(Jid.parse(profile.pn).device)
        name, _dot, device = str(signal_address(own)).rpartition(".")
        return name, int(device)


class History:
    """Notes how far the events have come, and sees when they have gone back."""

    def __init__(self, store: HistoryStore, file: Path, clock: Clock, threads: Executor) -> None:
        self._store = store
        self._file = file
        self._clock = clock
        self._threads = threads
        self._noted: int | None = None
        self._loss: _Loss | None = None
        self._hindrance: str | None = None
        """Why sessions cannot be made safe at present; told once, though it is tried often."""

    async def compare(self) -> None:
        """See whether the database went back; before anybody can add an event to it.

        Raises CannotConnect when the database does not tell.
        """
        loop = asyncio.get_running_loop()
        mark = await loop.run_in_executor(self._threads, read_mark, self._file)
        try:
            kept = await self._store.last_seq()
            is_new = await self._is_as_new_as_can_be()
        except StorageError as error:
            raise CannotConnect(f"cannot look at what was restored: {error}") from error
        if mark is not None and not mark.is_copy:
            self._noted = mark.reached
        if mark is not None and kept < mark.reached:
            self._loss = _Loss(kept=kept, noted=mark.reached)
        elif kept and self._noted is None and not is_new:
            log.warning("database_may_have_gone_back", note="missing" if mark is None else "copied")
            self._loss = _Loss(kept=kept, noted=None)
            # From now on the database was in use just now; if this start fails, the next one has to
            # see it all the same.
            await self._note(kept + _AHEAD)

    async def _is_as_new_as_can_be(self) -> bool:
        """Tell whether the database was in use minutes ago, or never.

        In use in the future it was by a clock that has been set since: nothing is known then.
        """
        used_at = await self._store.last_life()
        return used_at is None or abs(self._clock.now() - used_at) < _AS_NEW_AS

    async def _note(self, reached: int) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._threads, write_mark, self._file, reached)
        except OSError as error:
            log.debug("events_not_noted", reason=str(error))
        else:
            self._noted = reached

    async def check(self) -> None:
        """Make every session safe if the database went back; before any of them connects.

        Call `compare` first. Raises CannotConnect when it cannot be stored: nothing may be sent
        then.
        """
        if self._loss is None:
            return
        try:
            await self._make_safe(self._loss)
        except StorageError as error:
            raise CannotConnect(f"cannot make safe what was restored: {error}") from error
        self._loss = None

    async def _make_safe(self, loss: _Loss) -> None:
        if self._hindrance is None and loss.noted is not None:
            log.warning("database_went_back", events=loss.kept, noted=loss.noted)
        renewal = FreshKeys()
        for record in await self._store.list_sessions():
            try:
                await self._store.renew_keys(record.id, renewal)
            except NotFound:
                continue  # deleted meanwhile
            except UnreadableState as error:  # it cannot connect either
                log.warning("keys_not_renewed", session=record.id, reason=str(error))
        event = Event(
            type=EventType.DATABASE_WENT_BACK,
            at=self._clock.now(),
            payload={"kept": loss.kept, "noted": loss.noted},
        )
        reached = loss.kept if loss.noted is None else loss.noted
        # Last: what is cut short before is done again, all of it.
        await self._store.skip_events(reached + _AHEAD, event)

    async def run(self) -> None:
        """Look, and note it, every few seconds, until cancelled."""
        while True:
            try:
                await self.look()
                await self.save()
            except Exception:  # a bug in one round must not leave every session refused for good
                log.exception("history_not_looked_at")
            await self._clock.sleep(_EVERY_S)

    async def look(self) -> None:
        """Make every session safe if the database went back since it was last written.

        Never fails: until it has succeeded, the store lets nobody go on.
        """
        try:
            loss = await self._store.loss()
        except StorageError as error:  # an outage, of which others tell
            log.debug("history_not_read", reason=str(error))
            return
        if loss is None:
            self._hindrance = None
            return
        try:
            await self._make_safe(_Loss(kept=loss[0], noted=loss[1]))
        except StorageError as error:
            if str(error) != self._hindrance:
                log.warning("keys_not_renewed", reason=str(error))
            self._hindrance = str(error)

    async def save(self) -> None:
        """Note how far the events have come. Never fails: the next one tells as much."""
        try:
            reached = await self._store.last_seq()
        except StorageError as error:
            log.debug("events_not_noted", reason=str(error))
            return
        if self._noted is None or reached > self._noted:
            await self._note(reached)
