"""The store as one object: everything that the application asks of the database, awaited."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, text

from perene.core.account import ChatStanding
from perene.core.clock import Clock
from perene.core.errors import NotFound, StaleEpoch
from perene.core.events import Event, EventType
from perene.core.ids import Epoch, MessageId, SessionId
from perene.core.messages import Fate, LedgerEntry, Message, Status
from perene.core.outages import Outage
from perene.core.sessions import Desired, SessionOptions, SessionRecord
from perene.core.unit import Committed, PeerMessage, Unit
from perene.store import (
    account,
    alerts,
    api_keys,
    ciphertexts,
    conversations,
    credentials,
    ledger,
    messages,
    outages,
    outbox,
    peer_messages,
    pre_keys,
    sending,
    sessions,
    units,
)
from perene.store.api_keys import ApiKey
from perene.store.caches import Caches
from perene.store.conversations import Conversation
from perene.store.credentials import ArchivedCredentials
from perene.store.database import Database
from perene.store.evidence import Evidence
from perene.store.gathering import Gathering
from perene.store.keyring import Keyring, in_use
from perene.store.master_key import find_master_key
from perene.store.messages import StoredMessage
from perene.store.opening import OpeningReads
from perene.store.outbox import StoredEvent
from perene.store.sealing import Sealer
from perene.store.sending import Queued
from perene.store.session_store import SessionReader
from perene.store.unlinking import Farewell, log_out, unlink

P = ParamSpec("P")
T = TypeVar("T")

# One purge transaction holds the writer for milliseconds, so that no commit waits long for it.
_PURGE_ROWS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much a session holds: messages by status, inbound ids by fate, and the rest."""

    messages: dict[Status, int]
    fates: dict[Fate, int]
    conversations: int
    pre_keys: int


class Store(Evidence):
    """One database with its keyring.

    Every method raises StorageUnavailable when the database cannot be used at this moment, and
    UnreadableState when a sealed row does not open. Methods that name a session raise NotFound
    when there is none.
    """

    def __init__(self, database: Database, keyring: Keyring, clock: Clock) -> None:
        super().__init__(database)
        self.keyring = keyring
        self.caches = Caches()
        self.opening = OpeningReads(database, keyring)
        self._acquiring = Gathering[tuple[SessionId, Epoch | None], Epoch](self._acquire)
        self._clock = clock

    @classmethod
    def open(
        cls,
        url: str,
        *,
        clock: Clock,
        key_file: Path,
        master_key: str | None = None,
        migrate: bool = True,
    ) -> "Store":
        """Open the database and its keyring, or raise a RefusedToStart and leave both as found.

        `master_key` is base64; without it the key file is used, and made for a fresh database.
        Blocking.
        """
        database = Database.open(url, migrate=migrate)
        try:
            used = database.write_now(in_use)
            key = find_master_key(master_key, key_file, database_in_use=used)
            return cls(database, Keyring.open(database, key), clock)
        except BaseException:  # whatever refused the start, its file must be let go
            database.close_now()
            raise

    async def close(self) -> None:
        """Let running work end and close the database."""
        await self.database.close()

    async def ping(self) -> None:
        """Return when the database answers, or raise StorageUnavailable."""
        await self.database.read(_ping)

    async def probe(self) -> None:
        """Return when the database has taken a write, or raise StorageUnavailable."""
        await self.database.write(outbox.count_probe)

    # The owner of a session

    async def commit(self, batch: Sequence[Unit]) -> list[Committed | StaleEpoch]:
        """Commit units in one transaction: see `units.commit_units`."""
        return await self.database.write(
            units.commit_units, self.keyring, self.caches, batch, now=self._clock.now()
        )

    async def acquire(self, session: SessionId, held: Epoch | None = None) -> Epoch:
        """Become the session's owner; every earlier owner's writes are refused from now on.

        With `held` only while that is still the epoch, else StaleEpoch is raised.
        """
        return await self._acquiring.ask((session, held))

    async def _acquire(
        self, asked: Sequence[tuple[SessionId, Epoch | None]]
    ) -> list[Epoch | StaleEpoch | NotFound]:
        return await self.database.write(sessions.acquire, asked)

    def reader(self, session: SessionId, epoch: Epoch) -> SessionReader:
        """Return the reads of the engine's SessionStore for one session."""
        return SessionReader(self.database, self.keyring, self.opening, session, epoch)

    async def archive_credentials(
        self,
        session: SessionId,
        epoch: Epoch,
        reason: str,
        *,
        events: Sequence[Event] = (),
        outage: Outage | None = None,
    ) -> bool:
        """Move a session's credentials to the archive, with the end of all that belonged to them.

        `events` and the last state of an `outage` are committed with it; an outage that is still
        open then ends as logged out. The same call again repeats no event. Returns whether there
        were any credentials. Raises StaleEpoch when the caller is not the owner.
        """
        farewell = Farewell(events=events, outage=outage, now=self._clock.now())
        return await self.database.write(unlink, self.keyring, session, epoch, reason, farewell)

    async def destroy_credentials(
        self,
        session: SessionId,
        epoch: Epoch,
        *,
        events: Sequence[Event] = (),
        outage: Outage | None = None,
    ) -> None:
        """Delete a session's credentials, archived ones too, with all that belonged to them.

        For an explicit logout only. `events`, `outage` and the error as in `archive_credentials`.
        """
        farewell = Farewell(events=events, outage=outage, now=self._clock.now())
        await self.database.write(log_out, session, epoch, farewell)

    async def archived_credentials(self, session: SessionId) -> list[ArchivedCredentials]:
        """Return the session's unlinked credentials, newest first."""
        return await self._read_sealed(session, credentials.read_archive)

    async def peer_messages(self, session: SessionId, *, limit: int) -> list[PeerMessage]:
        """Return stored messages between own devices, oldest first."""
        return await self._read_sealed(session, peer_messages.read_peer_messages, limit=limit)

    # Sessions

    async def create_session(
        self,
        session: SessionId,
        *,
        name: str | None = None,
        desired: Desired = Desired.RUNNING,
        options: SessionOptions | None = None,
        event: Event | None = None,
    ) -> SessionRecord:
        """Create a session; raises Conflict when the id is taken."""
        return await self.database.write(
            sessions.create_session,
            self.keyring,
            session,
            name=name,
            desired=desired,
            options=options or SessionOptions(),
            now=self._clock.now(),
            event=event,
        )

    async def list_sessions(self) -> list[SessionRecord]:
        """Return every session, oldest first."""
        return await self.database.read(sessions.list_sessions, self.keyring)

    async def get_session(self, session: SessionId) -> SessionRecord:
        """Return one session."""
        found = await self.database.read(sessions.get_session, self.keyring, session)
        if found is None:
            raise NotFound(f"there is no session {session}")
        return found

    async def set_desired(self, session: SessionId, desired: Desired) -> None:
        """Store what is wanted of a session."""
        await self.database.write(sessions.set_desired, session, desired)

    async def set_name(self, session: SessionId, name: str | None) -> None:
        """Give a session another name."""
        await self.database.write(sessions.set_name, session, name)

    async def set_options(self, session: SessionId, options: SessionOptions) -> None:
        """Replace a session's options."""
        await self.database.write(sessions.set_options, self.keyring, session, options)

    async def delete_session(self, session: SessionId, *, event: Event | None = None) -> None:
        """Delete a session and everything of it; `event` is what remains in the outbox."""
        key = await self.database.write(sessions.delete_session, session, event=event)
        self.keyring.forget(key)

    # Messages

    async def queue_message(
        self,
        session: SessionId,
        message: Message,
        *,
        idempotency_key: str | None = None,
        request_hash: bytes = b"",
    ) -> Queued:
        """Store a message to be sent, once for each idempotency key: see `sending`."""
        return await self.database.write(
            sending.queue_message,
            self.keyring,
            session,
            message,
            idempotency_key=idempotency_key,
            request_hash=request_hash,
            now=self._clock.now(),
        )

    async def message_of_key(
        self, session: SessionId, idempotency_key: str, request_hash: bytes
    ) -> StoredMessage | None:
        """Return the message that an idempotency key has queued, None if it was not used."""
        return await self._read_sealed(
            session, sending.message_of_key, idempotency_key, request_hash
        )

    async def chat_standing(self, session: SessionId, chat: str) -> ChatStanding:
        """Return how far a chat with a person has come, by any of its addresses."""
        return await self._read(session, account.chat_standing, chat)

    async def chats_started(
        self, session: SessionId, since: datetime, own: Sequence[str] = ()
    ) -> list[datetime]:
        """Return when we began chats with people after `since`, oldest first."""
        return await self._read(session, account.chats_started, since, own)

    async def get_message(self, session: SessionId, row: int) -> StoredMessage:
        """Return one message by its row."""
        found = await self._read_sealed(session, messages.get_message, row)
        if found is None:
            raise NotFound(f"there is no message {row} in session {session}")
        return found

    async def find_messages(self, session: SessionId, message_id: MessageId) -> list[StoredMessage]:
        """Return every message with this WhatsApp id, oldest first."""
        return await self._read_sealed(session, messages.find_messages, message_id)

    async def list_messages(
        self,
        session: SessionId,
        *,
        chat: str | None = None,
        cursor: int | None = None,
        limit: int = 50,
        newest_first: bool = True,
    ) -> list[StoredMessage]:
        """Return a page of messages behind `cursor` (a row); `chat` is any of its addresses."""
        return await self._read_sealed(
            session,
            messages.list_messages,
            chat=chat,
            cursor=cursor,
            limit=limit,
            newest_first=newest_first,
        )

    async def list_conversations(
        self, session: SessionId, *, cursor: int | None = None, limit: int = 50
    ) -> list[Conversation]:
        """Return a page of conversations, the most recently used first."""
        return await self._read(
            session, conversations.list_conversations, cursor=cursor, limit=limit
        )

    # Events

    async def events_after(
        self,
        seq: int,
        *,
        limit: int = 100,
        session: SessionId | None = None,
        types: Collection[EventType] = (),
    ) -> list[StoredEvent]:
        """Return events behind `seq` in the order of their commits."""
        return await self.database.read(
            outbox.events_after, seq, limit=limit, session=session, types=types
        )

    async def last_seq(self) -> int:
        """Return the number of the newest event, 0 before the first."""
        return await self.database.read(outbox.last_seq)

    async def append_events(self, events: Sequence[tuple[SessionId | None, Event]]) -> None:
        """Put events into the outbox that belong to no unit."""
        await self.database.write(outbox.append_events, events)

    # Numbers, keys and housekeeping

    async def counts(self, session: SessionId, *, since: datetime | None = None) -> Counts:
        """Return how much a session holds; `since` limits the fates to ids first seen after it."""
        return await self._read(session, _counts, since)

    async def open_ledger(
        self, session: SessionId, *, fate: Fate = Fate.PENDING, limit: int = 100
    ) -> list[LedgerEntry]:
        """Return pending (or lost) inbound ids, oldest first."""
        return await self._read(session, ledger.open_entries, limit=limit, fate=fate)

    async def create_api_key(self, name: str) -> tuple[ApiKey, str]:
        """Make an API key; its text is returned only here."""
        return await self.database.write(api_keys.create_api_key, name, self._clock.now())

    async def verify_api_key(self, key: str) -> ApiKey | None:
        """Return the API key with this text."""
        return await self.database.read(api_keys.verify_api_key, key)

    async def list_api_keys(self) -> list[ApiKey]:
        """Return every API key, oldest first."""
        return await self.database.read(api_keys.list_api_keys)

    async def revoke_api_key(self, key_id: str) -> None:
        """Delete an API key, or raise NotFound."""
        await self.database.write(api_keys.revoke_api_key, key_id)

    async def purge(
        self,
        *,
        ciphertexts_before: datetime | None = None,
        idempotency_keys_before: datetime | None = None,
        events_before: datetime | None = None,
        outages_before: datetime | None = None,
        alerts_before: datetime | None = None,
    ) -> int:
        """Delete what is older than its limit, a little at a time; returns how many rows.

        Outages count from their end and alerts from their resolution: open ones stay.
        """
        gone = 0
        for fn, before in (
            (ciphertexts.purge_ciphertexts, ciphertexts_before),
            (outbox.purge_events, events_before),
            (outages.purge_outages, outages_before),
            (alerts.purge_alerts, alerts_before),
        ):
            if before is not None:
                gone += await self._purge(fn, before)
        if idempotency_keys_before is not None:
            gone += await self.database.write(
                sending.purge_idempotency_keys, idempotency_keys_before
            )
        return gone

    async def _purge(self, fn: Callable[..., int], before: datetime) -> int:
        gone = 0
        while found := await self.database.write(fn, before, limit=_PURGE_ROWS):
            gone += found
        return gone

    async def _read_sealed(
        self,
        session: SessionId,
        fn: Callable[Concatenate[Connection, int, Sealer, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        def read(connection: Connection) -> T:
            key = sessions.session_key(connection, session)
            sealer = self.keyring.sealer(connection, key, session)
            return fn(connection, key, sealer, *args, **kwargs)

        return await self.database.read(read)


def _ping(connection: Connection) -> None:
    connection.execute(text("SELECT 1"))


def _counts(connection: Connection, session: int, since: datetime | None) -> Counts:
    return Counts(
        messages=messages.count_messages(connection, session),
        fates=ledger.count_ledger(connection, session, since=since),
        conversations=conversations.count_conversations(connection, session),
        pre_keys=pre_keys.count_pre_keys(connection, session),
    )
