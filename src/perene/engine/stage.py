"""Staged state: what the store holds, with the uncommitted changes of one connection over it.

A draft collects what one stanza changes. Submitting it makes it the state that the next stanza is
processed on, and hands its unit to the committer. It becomes true only by the commit: when that
fails the connection ends, and this whole stage with it, so that the next connection starts from
what is stored.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Iterable

from perene.core.errors import UnreadableState
from perene.core.events import Event
from perene.core.messages import LedgerEntry, Message, MessageKey, StatusChange
from perene.core.privacy_tokens import PrivacyToken
from perene.core.unit import (
    AddressPair,
    Committed,
    PeerMessage,
    PreKeyWrite,
    Profile,
    RatchetWrite,
    SenderKeyWrite,
    Unit,
)
from perene.crypto import KeyPair
from perene.engine.addresses import AddressBook
from perene.engine.credentials import Credentials
from perene.engine.holders import Holders
from perene.engine.ports import SessionStore
from perene.signal.address import Address
from perene.signal.bundle import PreKey
from perene.signal.errors import SignalError
from perene.signal.ratchet import Ratchet
from perene.signal.sender_key import SenderKeyRecord

_CACHED = 512
"""Ratchets and sender keys kept at hand per connection, once they are committed."""

SenderKeyName = tuple[str, str]


class Stage:
    """The staged state of one connection.

    `lock` is held from the first read of a draft to its submission, so that the receive path and
    the send path never advance the same ratchet from the same state.
    """

    def __init__(self, store: SessionStore, book: AddressBook, credentials: Credentials) -> None:
        self.store = store
        self.book = book
        self.credentials = credentials
        self.lock = asyncio.Lock()
        self.ratchets: OrderedDict[str, Ratchet] = OrderedDict()
        self.sender_keys: OrderedDict[SenderKeyName, SenderKeyRecord] = OrderedDict()
        self.holders = Holders(store)
        self.consumed: set[int] = set()
        self._pre_keys: dict[int, bytes] = {}
        self._strangers: set[str] = set()
        self.in_flight: dict[bytes, asyncio.Future[Committed]] = {}
        self._fates: dict[MessageKey, LedgerEntry] = {}
        self._uncommitted: dict[object, int] = {}

    def draft(self) -> "Draft":
        """Start collecting the changes of one stanza."""
        return Draft(self)

    async def load_ratchets(self, addresses: Iterable[Address]) -> None:
        """Read many ratchets in one go, so that a draft finds them at hand. Hold the lock."""
        missing = [key for key in map(str, addresses) if key not in self.ratchets]
        if missing:
            stored = await self.store.ratchets(missing)
            for key in missing:
                self.ratchets[key] = _parse_ratchet(stored[key]) if key in stored else Ratchet.empty

    async def look_for_strangers(self, names: Collection[str]) -> None:
        """Find out which of these Signal names the store has nothing of. Hold the lock.

        A name stays a stranger until a unit writes something under it.
        """
        self._strangers.clear()
        if names:
            stored = {Address.parse(a).name for a in await self.store.ratchet_addresses(names)}
            keys = await self.store.sender_key_addresses(names)
            stored.update(Address.parse(address).name for _group, address in keys)
            self._strangers.update(name for name in names if name not in stored)

    def is_stranger(self, name: str) -> bool:
        """Tell whether the store is known to have neither ratchet nor sender key of a name."""
        return name in self._strangers

    async def load_pre_keys(self, ids: Collection[int]) -> None:
        """Read many one-time pre-keys in one go; those read before are forgotten. Hold the lock."""
        # One whose use is being committed is still stored, and must not be found again afterwards.
        wanted = [key_id for key_id in ids if key_id not in self.consumed]
        self._pre_keys = dict(await self.store.pre_keys(wanted)) if wanted else {}

    async def pre_key(self, key_id: int) -> bytes | None:
        """Return the private half of a pre-key that this connection has not used up."""
        if key_id in self.consumed:
            return None
        found = self._pre_keys.get(key_id)
        return found or (await self.store.pre_keys([key_id])).get(key_id)

    async def ledger_entry(self, key: MessageKey) -> LedgerEntry | None:
        """Return the fate of an inbound message id, the one still being committed first."""
        return self._fates.get(key) or await self.store.ledger_entry(key)

    def submit(self, unit: Unit) -> "asyncio.Future[Committed]":
        """Hand a unit over; until it is committed, nothing that it changes is forgotten here."""
        future = self.store.submit(unit)
        for digest in unit.ciphertexts:
            self.in_flight[digest] = future
        for entry in unit.ledger:
            self._fates[entry.key] = entry
        for name in _names(unit):
            self._uncommitted[name] = self._uncommitted.get(name, 0) + 1
        for key_id in unit.pre_keys_consumed:
            self._pre_keys.pop(key_id, None)
        if self._strangers:
            for write in (*unit.ratchets, *unit.sender_keys):
                self._strangers.discard(Address.parse(write.address).name)
        future.add_done_callback(lambda _: self._settled(unit))
        return future

    def _settled(self, unit: Unit) -> None:
        for digest in unit.ciphertexts:
            self.in_flight.pop(digest, None)
        for entry in unit.ledger:
            if self._fates.get(entry.key) is entry:
                del self._fates[entry.key]
        self.consumed.difference_update(unit.pre_keys_consumed)
        for name in _names(unit):
            self._uncommitted[name] -= 1
            if not self._uncommitted[name]:
                del self._uncommitted[name]
        # Only what is committed may be forgotten: it can be read again.
        for cache in (self.ratchets, self.sender_keys, self.holders.staged):
            while len(cache) > _CACHED and next(iter(cache)) not in self._uncommitted:
                cache.popitem(last=False)


def _names(unit: Unit) -> list[object]:
    """Return the keys, in the caches of a stage, of what a unit changes."""
    return [
        *(write.address for write in unit.ratchets),
        *((write.group, write.address) for write in unit.sender_keys),
        *(change.group for change in unit.holders),
    ]


class Draft:
    """The changes of one stanza, laid over the stage. Dropping it undoes them."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._ratchets: dict[str, Ratchet | None] = {}
        self._sender_keys: dict[SenderKeyName, SenderKeyRecord | None] = {}
        self._consumed: list[int] = []
        self.credentials: Credentials | None = None
        self.profile: Profile | None = None
        self.pairs: list[AddressPair] = []
        self.holders = stage.holders.draft()
        self.pre_keys_added: list[PreKeyWrite] = []
        self.pre_keys_uploaded: list[int] = []
        self.messages: list[Message] = []
        self.status_changes: list[StatusChange] = []
        self.peer_messages: list[PeerMessage] = []
        self.ledger: list[LedgerEntry] = []
        self.ciphertexts: list[bytes] = []
        self.privacy_tokens: list[PrivacyToken] = []
        self.events: list[Event] = []

    def note(self, pairs: Iterable[AddressPair]) -> tuple[AddressPair, ...]:
        """Take note of address pairs and return those that are news; `moving.learn` does more."""
        fresh = self._stage.book.learn(pairs)
        self.pairs.extend(fresh)
        return fresh

    async def ratchets_of(self, name: str) -> set[Address]:
        """Return the addresses of a Signal name that have, or may have, a ratchet."""
        stage = self._stage
        stored = () if stage.is_stranger(name) else await stage.store.ratchet_addresses([name])
        staged = (address for address in stage.ratchets if _belongs(address, name))
        return {Address.parse(address) for address in (*stored, *staged)}

    async def sender_keys_of(self, name: str) -> set[tuple[str, Address]]:
        """Return the groups and addresses of a Signal name that may have a sender key."""
        stage = self._stage
        stored = () if stage.is_stranger(name) else await stage.store.sender_key_addresses([name])
        staged = (key for key in stage.sender_keys if _belongs(key[1], name))
        return {(group, Address.parse(address)) for group, address in (*stored, *staged)}

    async def ratchet(self, address: Address) -> Ratchet:
        """Return the ratchet with a device as it stands in this draft, empty if there is none."""
        key = str(address)
        if key in self._ratchets:
            return self._ratchets[key] or Ratchet.empty
        staged = self._stage.ratchets.get(key)
        if staged is None:
            stored = await self._stage.store.ratchets([key])
            staged = _parse_ratchet(stored[key]) if key in stored else Ratchet.empty
            self._stage.ratchets[key] = staged
        self._stage.ratchets.move_to_end(key)
        return staged

    async def load_ratchets(self, addresses: Iterable[Address]) -> None:
        """Read many ratchets in one go, so that `ratchet` finds them at hand."""
        await self._stage.load_ratchets(addresses)

    def set_ratchet(self, address: Address, ratchet: Ratchet) -> None:
        self._ratchets[str(address)] = ratchet

    def drop_ratchet(self, address: Address) -> None:
        self._ratchets[str(address)] = None

    async def sender_key(self, group: str, address: Address) -> SenderKeyRecord:
        """Return the key record of a sender in a group, empty if there is none."""
        key = (group, str(address))
        if key in self._sender_keys:
            return self._sender_keys[key] or SenderKeyRecord.empty
        staged = self._stage.sender_keys.get(key)
        if staged is None:
            stored = await self._stage.store.sender_key(*key)
            staged = SenderKeyRecord.empty if stored is None else _parse_sender_key(stored)
            self._stage.sender_keys[key] = staged
        self._stage.sender_keys.move_to_end(key)
        return staged

    def set_sender_key(self, group: str, address: Address, record: SenderKeyRecord) -> None:
        self._sender_keys[group, str(address)] = record

    def drop_sender_key(self, group: str, address: Address) -> None:
        self._sender_keys[group, str(address)] = None

    async def pre_key(self, key_id: int) -> PreKey | None:
        """Return a one-time pre-key that neither the store nor this connection has used up."""
        if key_id in self._consumed:
            return None
        private = await self._stage.pre_key(key_id)
        return (
            None if private is None else PreKey(id=key_id, key_pair=KeyPair.from_private(private))
        )

    def consume_pre_key(self, key_id: int) -> None:
        self._consumed.append(key_id)

    def submit(self) -> "asyncio.Future[Committed]":
        """Make this draft the stage, and hand its unit to the committer."""
        stage = self._stage
        for key, ratchet in self._ratchets.items():
            stage.ratchets[key] = ratchet or Ratchet.empty
        for name, record in self._sender_keys.items():
            stage.sender_keys[name] = record or SenderKeyRecord.empty
        stage.consumed.update(self._consumed)
        stage.holders.take(self.holders)
        if self.credentials is not None:
            stage.credentials = self.credentials
        return stage.submit(
            Unit(
                session=stage.store.session,
                epoch=stage.store.epoch,
                credentials=self.credentials,
                profile=self.profile,
                ratchets=tuple(
                    RatchetWrite(address=key, state=state) for key, state in self._ratchets.items()
                ),
                sender_keys=tuple(
                    SenderKeyWrite(group=group, address=address, state=state)
                    for (group, address), state in self._sender_keys.items()
                ),
                holders=tuple(self.holders.changes),
                pre_keys_added=tuple(self.pre_keys_added),
                pre_keys_uploaded=tuple(self.pre_keys_uploaded),
                pre_keys_consumed=tuple(self._consumed),
                address_pairs=tuple(self.pairs),
                messages=tuple(self.messages),
                status_changes=tuple(self.status_changes),
                peer_messages=tuple(self.peer_messages),
                ledger=tuple(self.ledger),
                ciphertexts=tuple(self.ciphertexts),
                privacy_tokens=tuple(self.privacy_tokens),
                events=tuple(self.events),
            )
        )


def _belongs(address: str, name: str) -> bool:
    # Most are told apart without parsing: this runs over all that is at hand for a new contact.
    return address.startswith(name) and Address.parse(address).name == name


def _parse_ratchet(data: bytes) -> Ratchet:
    try:
        return Ratchet.parse(data)
    except SignalError as error:
        raise UnreadableState("a stored ratchet is damaged or newer than this Perene") from error


def _parse_sender_key(data: bytes) -> SenderKeyRecord:
    try:
        return SenderKeyRecord.parse(data)
    except SignalError as error:
        raise UnreadableState("a stored sender key is damaged or newer than this Perene") from error
