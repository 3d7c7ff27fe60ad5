"""Numbers, API keys and housekeeping of the store."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from perene.core.events import Event
from perene.core.ids import SessionId
from perene.core.messages import Fate, LedgerEntry, Status
from perene.store import (
    alerts,
    api_keys,
    ciphertexts,
    conversations,
    ledger,
    messages,
    outages,
    outbox,
    pre_keys,
    sending,
)
from perene.store.api_keys import ApiKey
from perene.store.base import StoreBase
from perene.store.renewal import AT_ONCE, Place, Renewal, renew_keys

# One purge transaction holds the writer for milliseconds, so that no commit waits long for it.
_PURGE_ROWS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much a session holds: messages by status, inbound ids by fate, and the rest."""

    messages: dict[Status, int]
    fates: dict[Fate, int]
    conversations: int
    pre_keys: int


class Upkeep(StoreBase):
    """The part of the Store for those who run it: numbers, API keys, and what is removed."""

    async def probe(self) -> None:
        """Return when the database has taken a write, or raise StorageUnavailable."""
        await self.database.write(outbox.note_life, self._clock.now())

    async def last_life(self) -> datetime | None:
        """Return when a service is known to have run on this database last, None if never."""
        return await self.database.read(outbox.last_life)

    async def renew_keys(
        self, session: SessionId, renewal: Renewal, *, at_once: int = AT_ONCE
    ) -> None:
        """Never again send with the keys that a session has, `at_once` at a time: see `renewal`."""
        after: Place | None = None
        while True:
            after = await self.database.write(
                renew_keys, self.keyring, session, renewal, after=after, limit=at_once
            )
            if after is None:
                return

    async def skip_events(self, seq: int, event: Event) -> None:
        """Let this event, and all that follow, have numbers behind `seq`."""
        await self.database.write(_skip_events, seq, event)

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
        at_once: int = _PURGE_ROWS,
    ) -> int:
        """Delete what is older than its limit, `at_once` rows at a time; returns how many.

        Outages count from their end and alerts from their resolution: open ones stay.
        """
        gone = 0
        for fn, before in (
            (ciphertexts.purge_ciphertexts, ciphertexts_before),
            (outbox.purge_events, events_before),
            (outages.purge_outages, outages_before),
            (alerts.purge_alerts, alerts_before),
            (sending.purge_idempotency_keys, idempotency_keys_before),
        ):
            if before is not None:
                gone += await self._purge(fn, before, at_once)
        return gone

    async def _purge(self, fn: Callable[..., int], before: datetime, at_once: int) -> int:
        gone = 0
        while found := await self.database.write(fn, before, limit=at_once):
            gone += found
        return gone


def _skip_events(connection: Connection, seq: int, event: Event) -> None:
    outbox.skip_to(connection, seq)
    outbox.append_events(connection, [(None, event)])


def _counts(connection: Connection, session: int, since: datetime | None) -> Counts:
    return Counts(
        messages=messages.count_messages(connection, session),
        fates=ledger.count_ledger(connection, session, since=since),
        conversations=conversations.count_conversations(connection, session),
        pre_keys=pre_keys.count_pre_keys(connection, session),
    )
