"""The sessions as the API drives them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial

from perene.core.causes import Cause
from perene.core.clock import Clock
from perene.core.errors import Conflict, NotFound, PereneError, StorageError, StorageUnavailable
from perene.core.events import Event, EventType
from perene.core.ids import SessionId, new_session_id
from perene.core.sessions import Connection, Desired, SessionOptions, SessionRecord
from perene.core.twins import account_of, twins
from perene.supervisor.desks.cursors import row_of
from perene.supervisor.fleet.supervisor import Supervisor
from perene.supervisor.ports import (
    AlreadyExists,
    AlreadyPaired,
    NotRunning,
    OutagePage,
    PairingNotReady,
    QrView,
    SessionView,
)
from perene.supervisor.session.live import LiveState
from perene.supervisor.storage.impatient_reads import ImpatientReads
from perene.supervisor.storage.retries import Retries
from perene.supervisor.storage.store import Sessions

_PATIENCE_S = 2.0
"""To read a thousand sessions takes a part of a second; then memory tells what it can."""


class SessionDesk:
    """Implements `ports.Gateway` on the store and the supervisor.

    `at_once` is the same store, for what is told from memory when it does not answer soon. For
    everything else a database that restarts is waited for (`retries`).
    """

    def __init__(
        self,
        store: Sessions,
        supervisor: Supervisor,
        clock: Clock,
        retries: Retries,
        *,
        at_once: Sessions,
        ring: Callable[[], None],
    ) -> None:
        self._ring = ring
        self._retries = retries
        self._store = store
        self._at_once = at_once
        self._supervisor = supervisor
        self._roster = supervisor.roster
        self._clock = clock
        self._reads = ImpatientReads(clock, patience_s=_PATIENCE_S)

    async def create_session(
        self, session: SessionId | None, *, name: str | None, options: SessionOptions, start: bool
    ) -> SessionView:
        session = session or new_session_id()
        event = Event(type=EventType.SESSION_CREATED, at=self._clock.now(), payload={"name": name})
        create = partial(
            self._store.create_session,
            session,
            name=name,
            desired=Desired.RUNNING if start else Desired.STOPPED,
            options=options,
            event=event,
        )
        try:
            await self._retries.ask(create)
            self._roster.known(session)
            self._ring()
            if start:
                await self._supervisor.start(session)
        except Conflict as error:
            raise AlreadyExists(f"There is a session {session} already.") from error
        except (StorageError, asyncio.CancelledError):
            self._supervisor.doubt(session)  # it may have been made all the same
            raise
        return await self._stored(session)

    async def list_sessions(self) -> Sequence[SessionView]:
        asked_at = self._clock.now()
        try:
            records = await self._reads.ask(self._at_once.list_sessions)
        except StorageUnavailable as error:
            return self._remembered(error)
        for record in records:
            self._remember(record, asked_at)
        others = _twins(records)
        return [self._view(record, others.get(record.id, ())) for record in records]

    async def session(self, session: SessionId) -> SessionView:
        try:
            return await self._reads.ask(partial(self._read, self._at_once, session))
        except StorageUnavailable as error:
            for view in self._remembered(error):
                if view.record.id == session:
                    return view
            raise  # it may have been made unheard

    async def _stored(self, session: SessionId) -> SessionView:
        """Return a session as it is stored now: what was changed is never told from memory."""
        return await self._read(self._store, session)

    async def _read(self, store: Sessions, session: SessionId) -> SessionView:
        asked_at = self._clock.now()
        record = await store.get_session(session)
        self._remember(record, asked_at)
        return self._view(record, await store.twins(session))

    def _remember(self, record: SessionRecord, asked_at: datetime) -> None:
        if self._roster.remembered is not None and record.id not in self._roster.lives:
            # Made by a transaction that was given up, and was committed after all; or deleted by
            # now. Whoever drives sessions finds out.
            self._supervisor.doubt(record.id)
        self._roster.remember(record, asked_at)

    def _remembered(self, error: StorageUnavailable) -> Sequence[SessionView]:
        """Return every session as far as memory knows it; raises the error when it does not."""
        remembered = self._roster.remembered
        if remembered is None:
            raise error
        remembered = sorted(remembered, key=lambda one: (one.record.created_at, one.record.id))
        others = _twins([one.record for one in remembered])
        return [
            self._view(one.record, others.get(one.record.id, ()), as_of=one.at)
            for one in remembered
        ]

    async def start(self, session: SessionId) -> SessionView:
        await self._store.get_session(session)
        await self._supervisor.start(session)
        return await self._stored(session)

    async def stop(self, session: SessionId) -> SessionView:
        await self._store.get_session(session)
        await self._supervisor.stop(session)
        return await self._stored(session)

    async def restart(self, session: SessionId) -> SessionView:
        await self._store.get_session(session)
        await self._supervisor.restart(session)
        return await self._stored(session)

    async def logout(self, session: SessionId) -> SessionView:
        await self._store.get_session(session)
        await self._supervisor.logout(session)
        return await self._stored(session)

    async def outages(self, session: SessionId, *, cursor: str | None, limit: int) -> OutagePage:
        rows = await self._store.outages(session, before=row_of(cursor), limit=limit + 1)
        page = rows[:limit]
        return OutagePage(
            items=[row.outage for row in page],
            next_cursor=str(page[-1].row) if len(rows) > limit else None,
        )

    async def delete(self, session: SessionId) -> None:
        await self._supervisor.delete(session)

    async def current_qr(self, session: SessionId, *, wait_s: float) -> QrView:
        live = await self._to_be_paired(session)
        await self._look_for_codes(session, live)
        try:
            async with asyncio.timeout(wait_s):
                while (qr := self._scannable(live)) is None:
                    await live.changed()
                    live = await self._to_be_paired(session)
        except TimeoutError as error:
            raise PairingNotReady("The server offers no QR code at this moment.") from error
        return qr

    async def _look_for_codes(self, session: SessionId, live: LiveState) -> None:
        """Connect at once for new codes, if the session rests because nobody scanned the last."""
        if live.connection is Connection.WAITING and live.outlook.cause is Cause.PAIRING_EXPIRED:
            await self._supervisor.hurry(session)

    async def request_pairing_code(self, session: SessionId, phone: str) -> str:
        live = await self._to_be_paired(session)
        await self._look_for_codes(session, live)
        if live.qr is None:
            raise PairingNotReady("The server is not ready for pairing yet.")
        try:
            engine = self._roster.task(session).engine
        except NotFound as error:
            raise NotRunning(f"Session {session} is stopped.") from error
        if engine is None:
            raise PairingNotReady("The session is not connected at this moment.")
        try:
            return await engine.request_pairing_code(phone)
        except PereneError as error:
            raise PairingNotReady(f"The server gave no pairing code: {error}") from error

    async def _to_be_paired(self, session: SessionId) -> LiveState:
        record = await self._store.get_session(session)
        if record.paired:
            raise AlreadyPaired(f"Session {session} is linked to a phone.")
        if not self._roster.is_running(session):
            if record.desired is Desired.RUNNING and self._roster.remembered is None:
                return self._roster.known(session)  # the service has just begun, and starts it soon
            raise NotRunning(f"Session {session} is stopped.")
        return self._roster.live(session)

    def _scannable(self, live: LiveState) -> QrView | None:
        """Return the code that is shown, unless its time is over: a typed one may outlive it."""
        if live.qr is None or live.qr.expires_at <= self._clock.now():
            return None
        return live.qr

    def _typable_until(self, live: LiveState) -> datetime | None:
        until = live.code_expires_at
        return None if until is None or until <= self._clock.now() else until

    def _view(
        self,
        record: SessionRecord,
        others: Sequence[SessionId],
        *,
        as_of: datetime | None = None,
    ) -> SessionView:
        live = self._roster.live(record.id)
        return SessionView(
            record=record,
            twins=others,
            as_of=as_of,
            connection=live.connection,
            connected_at=live.connected_at if live.connection is Connection.OPEN else None,
            last_error=live.last_error,
            qr_available=self._scannable(live) is not None,
            code_expires_at=self._typable_until(live),
            alive_at=live.alive_at,
            phone_seen_at=live.phone_seen_at,
            outlook=live.outlook,
            deaf_suspicions=live.deaf_suspicions,
        )


def _twins(records: Sequence[SessionRecord]) -> Mapping[SessionId, Sequence[SessionId]]:
    accounts = {record.id: account_of(record) for record in records}
    return twins({session: number for session, number in accounts.items() if number is not None})
