"""Staged state: what the store holds, with the uncommitted changes of one connection over it.

A draft (`engine.draft`) collects what one stanza changes. Submitting it makes it the state that the
next stanza is processed on, and hands its unit to the committer. It becomes true only by the
commit: when that fails the connection ends, and this whole stage with it, so that the next
connection starts from what is stored.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator

from perene.core.errors import UnreadableState
from perene.core.messages import LedgerEntry, MessageKey
from perene.core.unit import Committed, Unit
from perene.engine.addresses import AddressBook
from perene.engine.credentials import Credentials
from perene.engine.holders import Holders
from perene.engine.ports import SessionStore
from perene.signal.address import Address
from perene.signal.errors import SignalError
from perene.signal.ratchet import Ratchet
from perene.signal.sender_key import SenderKeyRecord

_CACHED = 512
"""Ratchets and sender keys kept at hand per connection, once they are committed."""

SenderKeyName = tuple[str, str]
"""A group, and the Signal address of who writes in it."""


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
        """Pre-keys that were used up, and that the store still has: it is not committed yet."""
        self.in_flight: dict[bytes, asyncio.Future[Committed]] = {}
        """By the hashes of ciphertexts that were read: the commits that their units wait for."""
        self._pre_keys: dict[int, bytes] = {}
        """Those that the batch of stanzas at hand names."""
        self._strangers: set[str] = set()
        """Signal names in that batch of which the store has nothing."""
        self._fates: dict[MessageKey, LedgerEntry] = {}
        """Fates of inbound messages that are not committed yet."""
        self._uncommitted: dict[object, int] = {}
        """By the keys of ratchets, sender keys and holders: how many units change one, and wait."""

    async def load_ratchets(self, addresses: Iterable[Address]) -> None:
        """Read many ratchets in one go, so that a draft finds them at hand. Hold the lock."""
        missing = [key for key in map(str, addresses) if key not in self.ratchets]
        if missing:
            stored = await self.store.ratchets(missing)
            for key in missing:
                self.ratchets[key] = _parse_ratchet(stored[key]) if key in stored else Ratchet.empty

    async def read_ratchet(self, key: str) -> Ratchet:
        """Read a ratchet that is not at hand, empty if there is none. Hold the lock."""
        stored = await self.store.ratchets([key])
        ratchet = _parse_ratchet(stored[key]) if key in stored else Ratchet.empty
        self.ratchets[key] = ratchet
        return ratchet

    async def read_sender_key(self, name: SenderKeyName) -> SenderKeyRecord:
        """Read a sender key that is not at hand, empty if there is none. Hold the lock."""
        stored = await self.store.sender_key(*name)
        record = SenderKeyRecord.empty if stored is None else _parse_sender_key(stored)
        self.sender_keys[name] = record
        return record

    async def look_for_strangers(self, names: Collection[str]) -> None:
        """Find out which of these Signal names the store has nothing of. Hold the lock.

        A name stays a stranger until a unit writes something under it.
        """
        self._strangers.clear()
        if names:
            # What is being committed now is in the store by the time that it may go from here.
            known = {Address.parse(address).name for address in self._uncommitted_addresses()}
            stored = await self.store.ratchet_addresses(names)
            keys = await self.store.sender_key_addresses(names)
            known.update(Address.parse(a).name for a in (*stored, *(key[1] for key in keys)))
            self._strangers.update(name for name in names if name not in known)

    def _uncommitted_addresses(self) -> Iterator[str]:
        yield from (key for key in self.ratchets if key in self._uncommitted)
        yield from (key[1] for key in self.sender_keys if key in self._uncommitted)

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
