"""A draft: what one stanza changes, collected over the stage until its unit is handed over."""

import asyncio
from collections.abc import Iterable

from perene.core.events import Event
from perene.core.messages import LedgerEntry, Message, StatusChange
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
from perene.engine.credentials import Credentials
from perene.engine.stage import SenderKeyName, Stage
from perene.signal.address import Address
from perene.signal.bundle import PreKey
from perene.signal.ratchet import Ratchet
from perene.signal.sender_key import SenderKeyRecord


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
        # Looked at first: what is committed meanwhile may go from here, and is not in the answer.
        staged = [address for address in stage.ratchets if _belongs(address, name)]
        stored = () if stage.is_stranger(name) else await stage.store.ratchet_addresses([name])
        return {Address.parse(address) for address in (*stored, *staged)}

    async def sender_keys_of(self, name: str) -> set[tuple[str, Address]]:
        """Return the groups and addresses of a Signal name that may have a sender key."""
        stage = self._stage
        staged = [key for key in stage.sender_keys if _belongs(key[1], name)]
        stored = () if stage.is_stranger(name) else await stage.store.sender_key_addresses([name])
        return {(group, Address.parse(address)) for group, address in (*stored, *staged)}

    async def ratchet(self, address: Address) -> Ratchet:
        """Return the ratchet with a device as it stands in this draft, empty if there is none."""
        key = str(address)
        if key in self._ratchets:
            return self._ratchets[key] or Ratchet.empty
        staged = self._stage.ratchets.get(key)
        if staged is None:
            staged = await self._stage.read_ratchet(key)
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
            staged = await self._stage.read_sender_key(key)
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
