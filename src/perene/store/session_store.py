"""The stored state of one session, as its owner reads it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection

from perene.core.account import ChatStanding
from perene.core.ids import Epoch, MessageId, SessionId
from perene.core.messages import LedgerEntry, Message, MessageKey
from perene.core.privacy_tokens import PrivacyToken
from perene.core.unit import AddressPair, PeerMessage, PreKeyWrite
from perene.store import account, ciphertexts, ledger, messages, pre_keys, privacy_tokens, ratchets
from perene.store.account import LimitHistory
from perene.store.addresses import pairs_with
from perene.store.database import Database
from perene.store.keyring import Keyring
from perene.store.opening import OpeningReads
from perene.store.peer_messages import newest_peer_messages
from perene.store.sealing import Sealer
from perene.store.sessions import session_key

P = ParamSpec("P")
T = TypeVar("T")


class Source:
    """What the readers of all sessions have in common: where they read, and what opens it."""

    __slots__ = ("database", "keyring", "opening")

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self.database = database
        self.keyring = keyring
        self.opening = OpeningReads(database, keyring)


class SessionReader:
    """Every read of the engine's SessionStore, bound to one session and epoch.

    Holds no state but the session's key. The first read of a session that does not exist raises
    NotFound; when it is deleted later, reads find nothing and every unit is refused. A read of a
    database that cannot be asked raises StorageUnavailable, one of a row that does not open
    UnreadableState.
    """

    __slots__ = ("_epoch", "_key", "_looked", "_session", "_source")

    def __init__(self, source: Source, session: SessionId, epoch: Epoch) -> None:
        self._source = source
        self._session = session
        self._epoch = epoch
        self._key: int | None = None
        self._looked = False

    @property
    def session(self) -> SessionId:
        """The session's id."""
        return self._session

    @property
    def epoch(self) -> Epoch:
        """The epoch under which the owner writes."""
        return self._epoch

    async def require_ownership(self) -> None:
        """Raise StaleEpoch if another owner has taken the session by now.

        ForgottenEpoch if the database knows nothing of this owner, or of the session, any more.
        """
        await self._source.opening.require_owner(self._session, self._epoch)

    async def credentials(self) -> bytes | None:
        """Return the engine's own serialised credentials, None before the first are stored."""
        self._key, found = await self._source.opening.credentials(self._session)
        return found

    async def ratchets(self, addresses: Collection[str]) -> Mapping[str, bytes]:
        """Return the serialised ratchets that exist among these addresses ("name.device")."""
        return await self._read_sealed(ratchets.read_ratchets, addresses)

    async def ratchet_addresses(self, names: Collection[str]) -> Sequence[str]:
        """Return every address with a ratchet whose name (before the last dot) is given."""
        return await self._read(ratchets.ratchet_addresses, names)

    async def sender_key(self, group: str, address: str) -> bytes | None:
        """Return one sender's serialised key record in one group."""
        return await self._read_sealed(ratchets.read_sender_key, group, address)

    async def sender_key_addresses(self, names: Collection[str]) -> Sequence[tuple[str, str]]:
        """Return every (group, address) with a sender key whose sender's name is given."""
        return await self._read(ratchets.sender_key_addresses, names)

    async def sender_key_holders(self, group: str) -> frozenset[str]:
        """Return the addresses of the devices that hold our sender key of a group."""
        return await self._read(ratchets.read_holders, group)

    async def pre_keys(self, ids: Collection[int]) -> Mapping[int, bytes]:
        """Return the private halves of those of these one-time pre-keys that are not consumed."""
        return await self._read_sealed(pre_keys.read_pre_keys, ids)

    async def pre_keys_not_uploaded(self, limit: int) -> Sequence[PreKeyWrite]:
        """Return stored pre-keys that the server has not confirmed, lowest id first."""
        return await self._read_sealed(pre_keys.pre_keys_not_uploaded, limit)

    async def known_ciphertexts(self, hashes: Collection[bytes]) -> frozenset[bytes]:
        """Return those of these ciphertext hashes whose unit is committed."""
        return await self._read(ciphertexts.known_ciphertexts, hashes)

    async def ledger_entry(self, key: MessageKey) -> LedgerEntry | None:
        """Return the fate of one inbound message id, by any of its addresses."""
        return await self._read(ledger.ledger_entry, key)

    async def wanted_of_phone(self, *, since: datetime, limit: int) -> Sequence[LedgerEntry]:
        """Return open entries for which the account's phone is still to be asked, newest first.

        Only those first seen from `since` on.
        """
        return await self._read(ledger.wanted_of_phone, since=since, limit=limit)

    async def address_pairs(self, addresses: Collection[str]) -> Sequence[AddressPair]:
        """Return the known pairs in which one of these bare JIDs takes part, on either side."""
        return await self._read(pairs_with, addresses)

    async def own_message(self, message_id: MessageId) -> Message | None:
        """Return a message of ours by its id, to answer a retry receipt."""
        found = await self._read_sealed(messages.own_message, message_id)
        return None if found is None else found.message

    async def queued_messages(self, limit: int) -> Sequence[Message]:
        """Return own messages without a server's answer, oldest first."""
        if not self._looked:
            # A connection that opens mostly finds none, and opens together with others.
            self._looked = True
            if not await self._source.opening.has_queued(self._session):
                return []
        found = await self._read_sealed(messages.queued_messages, limit)
        return [stored.message for stored in found]

    async def peer_messages(self, kind: str, *, limit: int) -> Sequence[PeerMessage]:
        """Return the newest messages of a kind that own devices have sent us, newest first."""
        return await self._read_sealed(newest_peer_messages, kind, limit=limit)

    async def privacy_tokens(self, persons: Collection[str]) -> Sequence[PrivacyToken]:
        """Return what is known of the privacy tokens between us and these persons (bare JIDs)."""
        return await self._read_sealed(privacy_tokens.read_privacy_tokens, persons)

    async def limit_history(self, after: int) -> LimitHistory:
        """Return what was said of the account's limits behind a position (0 for all)."""
        return await self._source.database.read(account.limit_history, self._session, after)

    async def chat_standing(self, chat: str) -> ChatStanding:
        """Return how far a chat with a person has come, by any of its addresses."""
        return await self._read(account.chat_standing, chat)

    async def _read(
        self,
        fn: Callable[Concatenate[Connection, int, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        def read(connection: Connection) -> T:
            return fn(connection, self._session_key(connection), *args, **kwargs)

        return await self._source.database.read(read)

    async def _read_sealed(
        self,
        fn: Callable[Concatenate[Connection, int, Sealer, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        def read(connection: Connection) -> T:
            key = self._session_key(connection)
            sealer = self._source.keyring.sealer(connection, key, self._session)
            return fn(connection, key, sealer, *args, **kwargs)

        return await self._source.database.read(read)

    def _session_key(self, connection: Connection) -> int:
        if self._key is None:
            self._key = session_key(connection, self._session)
        return self._key
