"""What the engine needs of the outside: a store bound to one session, and somebody to tell."""

from asyncio import Future
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from perene.core.account import ChatStanding
from perene.core.events import Event
from perene.core.ids import Epoch, MessageId, SessionId
from perene.core.messages import LedgerEntry, Message, MessageKey
from perene.core.privacy_tokens import PrivacyToken
from perene.core.unit import AddressPair, Committed, PeerMessage, PreKeyWrite, Unit


class LimitHistory(Protocol):
    """Events about an account's limits; the next look goes on behind `position`."""

    @property
    def events(self) -> Sequence[Event]: ...

    @property
    def position(self) -> int: ...


class SessionStore(Protocol):
    """The stored state of one session, as its owner sees it.

    Reads return what is committed; the engine lays its staged state over it. Every read raises
    StorageUnavailable when the database cannot be asked, and UnreadableState when a row cannot
    be opened: neither is ever reported as "absent".
    """

    @property
    def session(self) -> SessionId: ...

    @property
    def epoch(self) -> Epoch: ...

    async def require_ownership(self) -> None:
        """Raise StaleEpoch if another owner has taken the session by now."""
        ...

    async def credentials(self) -> bytes | None:
        """Return the engine's own serialised credentials, None before the first are stored."""
        ...

    async def ratchets(self, addresses: Collection[str]) -> Mapping[str, bytes]:
        """Return the serialised ratchets that exist among these addresses ("name.device")."""
        ...

    async def ratchet_addresses(self, names: Collection[str]) -> Sequence[str]:
        """Return every address with a ratchet whose name (before the last dot) is given."""
        ...

    async def sender_key(self, group: str, address: str) -> bytes | None:
        """Return one sender's serialised key record in one group."""
        ...

    async def sender_key_addresses(self, names: Collection[str]) -> Sequence[tuple[str, str]]:
        """Return every (group, address) with a sender key whose sender's name is given."""
        ...

    async def sender_key_holders(self, group: str) -> frozenset[str]:
        """Return the addresses of the devices that hold our sender key of a group."""
        ...

    async def pre_keys(self, ids: Collection[int]) -> Mapping[int, bytes]:
        """Return the private halves of those of these one-time pre-keys that are not consumed."""
        ...

    async def pre_keys_not_uploaded(self, limit: int) -> Sequence[PreKeyWrite]:
        """Return stored pre-keys that the server has not confirmed, lowest id first."""
        ...

    async def known_ciphertexts(self, hashes: Collection[bytes]) -> frozenset[bytes]:
        """Return those of these ciphertext hashes whose unit is committed."""
        ...

    async def ledger_entry(self, key: MessageKey) -> LedgerEntry | None:
        """Return the fate of one inbound message id."""
        ...

    async def wanted_of_phone(self, *, since: datetime, limit: int) -> Sequence[LedgerEntry]:
        """Return open entries for which the account's phone is still to be asked, newest first.

        Only those first seen from `since` on.
        """
        ...

    async def address_pairs(self, addresses: Collection[str]) -> Sequence[AddressPair]:
        """Return the known pairs in which one of these bare JIDs takes part, on either side."""
        ...

    async def own_message(self, message_id: MessageId) -> Message | None:
        """Return a message of ours by its id, to answer a retry receipt."""
        ...

    async def queued_messages(self, limit: int) -> Sequence[Message]:
        """Return own messages without a server's answer, oldest first."""
        ...

    async def peer_messages(self, kind: str, *, limit: int) -> Sequence[PeerMessage]:
        """Return the newest messages of a kind that own devices have sent us, newest first."""
        ...

    async def privacy_tokens(self, persons: Collection[str]) -> Sequence[PrivacyToken]:
        """Return what is known of the privacy tokens between us and these persons (bare JIDs)."""
        ...

    async def limit_history(self, after: int) -> LimitHistory:
        """Return what was said of the account's limits behind a position (0 for all)."""
        ...

    async def chat_standing(self, chat: str) -> ChatStanding:
        """Return how far a chat with a person has come, by any of its addresses."""
        ...

    def submit(self, unit: Unit) -> "Future[Committed]":
        """Hand a unit to the committer; the future ends when its transaction has.

        Units of one session commit in the order they were submitted. When one fails, every later
        one of the same connection fails with it, because it builds on state that never became true.
        """
        ...
