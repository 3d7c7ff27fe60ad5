"""The ports in memory: what the API is tested against."""

import asyncio
import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from perene.api import Ports, Streams
from perene.core.alerts import Alert
from perene.core.causes import Cause, Kind
from perene.core.errors import (
    IdempotencyConflict,
    InvalidRequest,
    NotFound,
    StorageUnavailable,
)
from perene.core.events import Event, EventType
from perene.core.failures import Failure
from perene.core.ids import Epoch, MessageId, SessionId, new_session_id
from perene.core.machines.outlook import Outlook
from perene.core.messages import Message, MessageKey, Status
from perene.core.outages import Loss, Outage, OutageId
from perene.core.sessions import Connection, Desired, SessionOptions, SessionRecord
from perene.supervisor.ports import (
    Accepted,
    AccountView,
    AlertTestUnderWay,
    AlreadyExists,
    AlreadyPaired,
    Caller,
    ComponentHealth,
    ConversationPage,
    ConversationView,
    DetailedHealth,
    EventPage,
    Health,
    MessagePage,
    MessageView,
    NotPaired,
    NotRunning,
    OutagePage,
    PairingNotReady,
    QrView,
    ReachOutLimited,
    SessionHealth,
    SessionView,
    StoredEvent,
    Tried,
)

KEY = "pk_right"
NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
QR = "2@" + "x" * 200 + ",a,b,c"


class FakeGateway:
    """Sessions that do what they are told at once. `calls` counts what could touch one."""

    def __init__(self) -> None:
        self.sessions: dict[SessionId, SessionView] = {}
        self.qr: dict[SessionId, str] = {}
        self.calls: list[str] = []
        self.waited_s: list[float] = []
        self.codes = 0
        self.lost: dict[SessionId, list[Outage]] = {}

    def add(self, session: str, *, paired: bool = True, running: bool = True) -> SessionView:
        view = SessionView(
            record=SessionRecord(
                id=SessionId(session),
                name=None,
                desired=Desired.RUNNING if running else Desired.STOPPED,
                epoch=Epoch(1),
                created_at=NOW,
                has_credentials=paired,
                pn="5511999990000:3@s.whatsapp.net" if paired else None,
            ),
            connection=Connection.OPEN if paired and running else Connection.STOPPED,
        )
        self.sessions[view.record.id] = view
        return view

    def lose(self, session: str, cause: Cause = Cause.DNS) -> Outage:
        """Begin an outage of a session."""
        outages = self.lost.setdefault(SessionId(session), [])
        outage = Outage(
            id=OutageId(f"outage{len(outages)}"),
            session=SessionId(session),
            began_at=NOW,
            cause=cause,
            kind=Kind.LOCAL,
            code="dns",
            attributes={"reason": "***"},
            attempts=2,
            last_cause=cause,
            retry_at=NOW + timedelta(seconds=5),
        )
        loss = Loss(
            cause=cause,
            kind=Kind.LOCAL,
            code="dns",
            attributes=outage.attributes,
            first_at=NOW,
            last_at=NOW,
        )
        outages.insert(0, outage.lost(loss))
        return outages[0]

    async def create_session(
        self, session: SessionId | None, *, name: str | None, options: SessionOptions, start: bool
    ) -> SessionView:
        self.calls.append("create")
        if session in self.sessions:
            raise AlreadyExists(f"There is a session {session} already.")
        view = self.add(session or new_session_id(), paired=False, running=start)
        record = replace(view.record, name=name, options=options)
        self.sessions[record.id] = replace(view, record=record)
        return self.sessions[record.id]

    async def list_sessions(self) -> Sequence[SessionView]:
        return tuple(self.sessions.values())

    async def session(self, session: SessionId) -> SessionView:
        try:
            return self.sessions[session]
        except KeyError:
            raise NotFound("there is no such session") from None

    async def start(self, session: SessionId) -> SessionView:
        return await self._want(session, Desired.RUNNING)

    async def stop(self, session: SessionId) -> SessionView:
        return await self._want(session, Desired.STOPPED)

    async def restart(self, session: SessionId) -> SessionView:
        return await self._want(session, Desired.RUNNING)

    async def logout(self, session: SessionId) -> SessionView:
        view = await self._want(session, Desired.STOPPED)
        record = replace(view.record, has_credentials=False, pn=None)
        self.sessions[session] = replace(view, record=record, connection=Connection.STOPPED)
        return self.sessions[session]

    async def outages(self, session: SessionId, *, cursor: str | None, limit: int) -> OutagePage:
        await self.session(session)
        if cursor is not None and not (cursor.isascii() and cursor.isdigit()):
            raise InvalidRequest("This cursor was not made here.", field="cursor")
        found = self.lost.get(session, [])
        end = int(cursor or 0) + limit
        return OutagePage(
            items=found[int(cursor or 0) : end], next_cursor=str(end) if end < len(found) else None
        )

    async def _want(self, session: SessionId, desired: Desired) -> SessionView:
        self.calls.append(desired)
        view = await self.session(session)
        view = replace(view, record=replace(view.record, desired=desired), connected_at=None)
        if desired is not Desired.RUNNING:
            view = replace(view, connection=Connection.STOPPED)
        elif not view.record.has_credentials:
            view = replace(view, connection=Connection.PAIRING, qr_available=True)
        else:
            at = NOW + timedelta(seconds=len(self.calls))
            view = replace(view, connection=Connection.OPEN, connected_at=at)
        self.sessions[session] = view
        return view

    async def delete(self, session: SessionId) -> None:
        self.calls.append("delete")
        await self.session(session)
        del self.sessions[session]

    async def current_qr(self, session: SessionId, *, wait_s: float) -> QrView:
        await self._pairable(session)
        self.waited_s.append(wait_s)
        if session not in self.qr:
            raise PairingNotReady("The server has not offered a QR code yet.")
        return QrView(text=self.qr[session], expires_at=NOW + timedelta(seconds=60))

    async def request_pairing_code(self, session: SessionId, phone: str) -> str:
        await self._pairable(session)
        self.codes += 1
        view = replace(self.sessions[session], code_expires_at=NOW + timedelta(seconds=self.codes))
        self.sessions[session] = view
        return f"CODE-{phone[-4:]}"  # as the engine makes it

    async def _pairable(self, session: SessionId) -> None:
        view = await self.session(session)
        if view.record.has_credentials:
            raise AlreadyPaired("The session is linked to a phone.")
        if view.record.desired is Desired.STOPPED:
            raise NotRunning("The session is stopped.")


def _status(from_me: bool, failure: Failure | None) -> Status:
    if failure is not None:
        return Status.FAILED
    return Status.QUEUED if from_me else Status.RECEIVED


class FakeMessages:
    """Messages in lists, with cursors that are plain offsets."""

    def __init__(self, gateway: FakeGateway) -> None:
        self._gateway = gateway
        self.stored: dict[str, list[MessageView]] = {}
        self.refusal: ReachOutLimited | None = None
        self._keys: dict[tuple[SessionId, str], tuple[bytes, MessageView]] = {}

    def add(
        self,
        session: str,
        text: str,
        *,
        chat: str,
        message_id: str = "",
        from_me: bool = False,
        failure: Failure | None = None,
    ) -> MessageView:
        stored = self.stored.setdefault(session, [])
        message = Message(
            key=MessageKey(
                chat=chat,
                sender=chat,
                id=MessageId(message_id or f"3EB0{len(stored):018X}"),
                from_me=from_me,
            ),
            kind="text",
            text=text,
            body=text.encode("utf-8", "replace"),
            timestamp=NOW,
            status=_status(from_me, failure),
        )
        view = MessageView(message=message, content={"conversation": text}, failure=failure)
        stored.append(view)
        return view

    async def send_text(
        self,
        session: SessionId,
        *,
        to: str,
        text: str,
        idempotency_key: str | None,
        request_hash: bytes,
    ) -> Accepted:
        view = await self._gateway.session(session)
        if self.refusal is not None:
            raise self.refusal
        if not view.record.has_credentials:
            raise NotPaired("The session is not linked to a phone.")
        assert len(request_hash) == 32
        known = None if idempotency_key is None else self._keys.get((session, idempotency_key))
        if known is not None:
            if known[0] != request_hash:
                raise IdempotencyConflict("The key was used for another message.")
            return Accepted(message=known[1], repeated=True)
        message = self.add(session, text, chat=to, from_me=True)
        if idempotency_key is not None:
            self._keys[session, idempotency_key] = request_hash, message
        return Accepted(message=message, repeated=False)

    async def list_messages(
        self,
        session: SessionId,
        *,
        chat: str | None,
        cursor: str | None,
        limit: int,
        newest_first: bool,
    ) -> MessagePage:
        await self._gateway.session(session)
        found = [
            view for view in self.stored.get(session, []) if chat in (None, view.message.key.chat)
        ]
        start = self._offset(cursor)
        ordered = found[::-1] if newest_first else found
        end = start + limit
        return MessagePage(
            items=ordered[start:end], next_cursor=str(end) if end < len(ordered) else None
        )

    async def messages_with_id(
        self, session: SessionId, message: MessageId
    ) -> Sequence[MessageView]:
        await self._gateway.session(session)
        return [view for view in self.stored.get(session, []) if view.message.key.id == message]

    async def list_conversations(
        self, session: SessionId, *, cursor: str | None, limit: int
    ) -> ConversationPage:
        await self._gateway.session(session)
        chats = dict.fromkeys(view.message.key.chat for view in self.stored.get(session, []))
        start = self._offset(cursor)
        items = [ConversationView(chat=chat, last_message_at=NOW) for chat in chats]
        end = start + limit
        return ConversationPage(
            items=items[start:end], next_cursor=str(end) if end < len(items) else None
        )

    def _offset(self, cursor: str | None) -> int:
        if cursor is None:
            return 0
        if not (cursor.isascii() and cursor.isdigit()):
            raise InvalidRequest("This cursor was not made here.", field="cursor")
        return int(cursor)


class FakeEvents:
    """An outbox in a list; an event's seq is its place, from 1."""

    def __init__(self) -> None:
        self.stored: list[StoredEvent] = []
        self.waiting = 0
        self._news = asyncio.Condition()
        self._waits = asyncio.Event()
        self._idle = asyncio.Event()

    async def emit(self, kind: EventType, session: str = "one", **payload: str) -> StoredEvent:
        event = Event(type=kind, at=NOW, payload=dict(payload))
        item = StoredEvent(seq=len(self.stored) + 1, session=SessionId(session), event=event)
        self.stored.append(item)
        async with self._news:
            self._news.notify_all()
        return item

    async def after(
        self, seq: int, *, session: SessionId | None, types: Collection[EventType], limit: int
    ) -> EventPage:
        found = [
            item
            for item in self.stored[seq:]
            if session in (None, item.session) and (not types or item.event.type in types)
        ]
        if len(found) > limit:
            return EventPage(items=found[:limit], position=found[limit - 1].seq)
        return EventPage(items=found, position=len(self.stored))

    async def latest(self) -> int:
        return len(self.stored)

    async def wait_for_new(self, seq: int) -> None:
        self.waiting += 1
        self._waits.set()
        self._idle.clear()
        try:
            async with self._news:
                await self._news.wait_for(lambda: len(self.stored) != seq)
        finally:
            self.waiting -= 1
            if not self.waiting:
                self._waits.clear()
                self._idle.set()

    async def go_back(self, *, to: int) -> None:
        """Forget the newest events, as a database does that is restored from a backup."""
        del self.stored[to:]
        async with self._news:
            self._news.notify_all()

    async def somebody_waits(self) -> None:
        """Return once a stream has read everything and waits for more."""
        async with asyncio.timeout(10):
            await self._waits.wait()

    async def nobody_waits(self) -> None:
        """Return once no stream waits."""
        async with asyncio.timeout(10):
            await self._idle.wait()


class FakeKeys:
    """One key; it is remembered when the database is `away`, and can be revoked."""

    def __init__(self) -> None:
        self.away = False
        self._revoked = asyncio.Event()

    async def verify(self, key: str) -> Caller | None:
        if self.away:
            raise StorageUnavailable("the database gave no answer")
        return await self.recognise(key)

    async def recognise(self, key: str) -> Caller | None:
        digest = hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
        known = digest == hashlib.sha256(KEY.encode()).digest() and not self._revoked.is_set()
        return Caller(id="k_test", name="test") if known else None

    async def revoked(self, key_id: str) -> None:
        assert key_id == "k_test"
        await self._revoked.wait()

    def revoke(self) -> None:
        self._revoked.set()


def _unlimited() -> AccountView:
    return AccountView(
        limits=[], ban=None, new_chats_24h=0, allowance=None, pause_s=0.0, next_chat_at=None
    )


@dataclass
class FakeAccounts:
    """Accounts of which one thing is known, and messages that may be refused for it."""

    gateway: FakeGateway
    view: AccountView = field(default_factory=_unlimited)

    async def account(self, session: SessionId) -> AccountView:
        await self.gateway.session(session)
        return self.view

    async def lift(self, session: SessionId) -> AccountView:
        self.view = replace(await self.account(session), limits=[], next_chat_at=None)
        return self.view


@dataclass
class FakeHealth:
    """A service whose database can be said to be down."""

    database_ok: bool = True

    async def health(self) -> Health:
        return Health(
            components=[ComponentHealth(name="database", ok=self.database_ok)],
            sessions={Connection.OPEN: 1},
        )

    async def detailed(self) -> DetailedHealth:
        return DetailedHealth(
            components=[
                ComponentHealth(name="database", ok=self.database_ok),
                ComponentHealth(name="disk", ok=True, detail="9 MiB free."),
            ],
            sessions=[
                SessionHealth(
                    id=SessionId("one"),
                    connection=Connection.WAITING,
                    alive_at=NOW,
                    outlook=Outlook(
                        cause=Cause.DNS,
                        attempt=2,
                        limit=30,
                        retry_at=NOW + timedelta(seconds=5),
                        outage_began_at=NOW,
                    ),
                )
            ],
        )


@dataclass
class FakeAlerts:
    """Alerts in a list, the one that fired last first."""

    stored: list[Alert] = field(default_factory=list[Alert])

    async def alerts(
        self, *, open_only: bool, session: SessionId | None, limit: int
    ) -> Sequence[Alert]:
        return [
            alert
            for alert in self.stored
            if session in (None, alert.subject) and not (open_only and alert.resolved_at)
        ][:limit]


@dataclass
class FakeTrial:
    """A test of which the outcome is known before; it may be under way."""

    outcome: list[Tried] = field(default_factory=list[Tried])
    under_way: bool = False

    async def run(self) -> Sequence[Tried]:
        if self.under_way:
            raise AlertTestUnderWay("The receivers of alerts are being tested already.")
        return self.outcome


class FakeMetrics:
    """One metric."""

    def exposition(self) -> bytes:
        return b"# TYPE perene_sessions gauge\nperene_sessions 1.0\n"


@dataclass
class Fakes:
    """All of them, wired to each other."""

    gateway: FakeGateway = field(default_factory=FakeGateway)
    events: FakeEvents = field(default_factory=FakeEvents)
    health: FakeHealth = field(default_factory=FakeHealth)
    alerts: FakeAlerts = field(default_factory=FakeAlerts)
    trial: FakeTrial = field(default_factory=FakeTrial)
    keys: FakeKeys = field(default_factory=FakeKeys)
    streams: Streams = field(default_factory=Streams)

    def __post_init__(self) -> None:
        self.messages = FakeMessages(self.gateway)
        self.accounts = FakeAccounts(self.gateway)

    def ports(self) -> Ports:
        return Ports(
            gateway=self.gateway,
            messages=self.messages,
            accounts=self.accounts,
            events=self.events,
            keys=self.keys,
            health=self.health,
            metrics=FakeMetrics(),
            alerts=self.alerts,
            alert_trial=self.trial,
            streams=self.streams,
        )
