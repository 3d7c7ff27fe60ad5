"""A store in memory and a channel to nowhere: what the engine's parts are tested with."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import cast

from perene.core.account import ChatStanding
from perene.core.clock import Clock
from perene.core.errors import StorageError
from perene.core.events import Event
from perene.core.ids import Epoch, MessageId, SessionId
from perene.core.messages import LedgerEntry, Message, MessageKey
from perene.core.notices import Notice, Observer
from perene.core.privacy_tokens import PrivacyToken
from perene.core.unit import AddressPair, Committed, PeerMessage, PreKeyWrite, Unit
from perene.engine.addresses import AddressBook
from perene.engine.answers import Answers
from perene.engine.credentials import Credentials
from perene.engine.line import Line
from perene.engine.queries import Queries
from perene.engine.stage import Stage
from perene.engine.work_queue import Work
from perene.signal import LocalIdentity, PreKeyBundle, Ratchet, SignedPreKey, start_outgoing
from perene.wire.node import Node
from tests.support.units import ANA

OWN_PN = "15550000001:3@s.whatsapp.net"
OWN_LID = "100000000000001:3@lid"


def paired() -> Credentials:
    """Return the credentials of a linked device."""
    return Credentials.create().changed(pn=OWN_PN, lid=OWN_LID, account=b"account")


@dataclass
class History:
    """Events, all of which are about limits here."""

    events: Sequence[Event]
    position: int


class MemoryStore:
    """Implements the engine's SessionStore. Units become true when `settle` or `fail` says so."""

    def __init__(self, *, auto: bool = True) -> None:
        self.session: SessionId = ANA
        self.epoch = Epoch(1)
        self.auto = auto
        self.units: list[Unit] = []
        self.pending: list[tuple[Unit, asyncio.Future[Committed]]] = []
        self.stored_credentials: bytes | None = None
        self.ratchet_rows: dict[str, bytes] = {}
        self.sender_key_rows: dict[tuple[str, str], bytes] = {}
        self.holders: dict[str, set[str]] = {}
        self.pre_key_rows: dict[int, bytes] = {}
        self.uploaded: set[int] = set()
        self.hashes: set[bytes] = set()
        self.ledger: dict[MessageKey, LedgerEntry] = {}
        self.pairs: list[AddressPair] = []
        self.own: dict[MessageId, Message] = {}
        self.queued: list[Message] = []
        self.from_own_devices: list[PeerMessage] = []
        self.standings: dict[str, ChatStanding] = {}
        self.reads: list[str] = []

    async def require_ownership(self) -> None:
        return

    async def credentials(self) -> bytes | None:
        return self.stored_credentials

    async def ratchets(self, addresses: Collection[str]) -> Mapping[str, bytes]:
        self.reads.append("ratchets")
        return {a: self.ratchet_rows[a] for a in addresses if a in self.ratchet_rows}

    async def ratchet_addresses(self, names: Collection[str]) -> Sequence[str]:
        return [a for a in self.ratchet_rows if a.rpartition(".")[0] in names]

    async def sender_key(self, group: str, address: str) -> bytes | None:
        return self.sender_key_rows.get((group, address))

    async def sender_key_addresses(self, names: Collection[str]) -> Sequence[tuple[str, str]]:
        return [key for key in self.sender_key_rows if key[1].rpartition(".")[0] in names]

    async def sender_key_holders(self, group: str) -> frozenset[str]:
        return frozenset(self.holders.get(group, ()))

    async def pre_keys(self, ids: Collection[int]) -> Mapping[int, bytes]:
        self.reads.append("pre_keys")
        return {key_id: self.pre_key_rows[key_id] for key_id in ids if key_id in self.pre_key_rows}

    async def pre_keys_not_uploaded(self, limit: int) -> Sequence[PreKeyWrite]:
        left = sorted(set(self.pre_key_rows) - self.uploaded)[:limit]
        return [PreKeyWrite(id=key_id, private=self.pre_key_rows[key_id]) for key_id in left]

    async def known_ciphertexts(self, hashes: Collection[bytes]) -> frozenset[bytes]:
        return frozenset(self.hashes.intersection(hashes))

    async def ledger_entry(self, key: MessageKey) -> LedgerEntry | None:
        return self.ledger.get(key)

    async def wanted_of_phone(self, *, since: datetime, limit: int) -> Sequence[LedgerEntry]:
        self.reads.append("wanted_of_phone")
        found = [entry for entry in self.ledger.values() if entry.fate.is_open]
        return [entry for entry in found if entry.wants_phone and entry.at >= since][:limit]

    async def address_pairs(self, addresses: Collection[str]) -> Sequence[AddressPair]:
        return [pair for pair in self.pairs if {pair.pn, pair.lid}.intersection(addresses)]

    async def own_message(self, message_id: MessageId) -> Message | None:
        return self.own.get(message_id)

    async def queued_messages(self, limit: int) -> Sequence[Message]:
        return self.queued[:limit]

    async def peer_messages(self, kind: str, *, limit: int) -> Sequence[PeerMessage]:
        found = [one for one in reversed(self.from_own_devices) if one.kind == kind]
        return found[:limit]

    async def privacy_tokens(self, persons: Collection[str]) -> Sequence[PrivacyToken]:
        known: dict[str, PrivacyToken] = {}
        for change in (one for unit in self.units for one in unit.privacy_tokens):
            known[change.person] = known.get(change.person, change).changed(change)
        return [known[person] for person in persons if person in known]

    async def limit_history(self, after: int) -> History:
        found = [event for unit in self.units for event in unit.events]
        return History(events=found[after:], position=len(found))

    async def chat_standing(self, chat: str) -> ChatStanding:
        return self.standings.get(chat, ChatStanding.NEW)

    def submit(self, unit: Unit) -> "asyncio.Future[Committed]":
        future: asyncio.Future[Committed] = asyncio.get_running_loop().create_future()
        self.pending.append((unit, future))
        if self.auto:
            self.settle()
        return future

    def settle(self, count: int | None = None) -> None:
        """Commit what was submitted: all of it, or the first units."""
        for _ in range(len(self.pending) if count is None else count):
            unit, future = self.pending.pop(0)
            self.units.append(unit)
            self._apply(unit)
            future.set_result(Committed(new_messages=len(unit.messages)))

    def fail(self, error: StorageError) -> None:
        """Refuse everything that was submitted."""
        for _, future in self.pending:
            future.set_exception(error)
        self.pending.clear()

    def _apply(self, unit: Unit) -> None:
        if unit.credentials is not None:
            self.stored_credentials = unit.credentials.serialize()
        for write in unit.ratchets:
            if write.state is None:
                self.ratchet_rows.pop(write.address, None)
            else:
                self.ratchet_rows[write.address] = write.state.serialize()
        for key in unit.sender_keys:
            if key.state is None:
                self.sender_key_rows.pop((key.group, key.address), None)
            else:
                self.sender_key_rows[key.group, key.address] = key.state.serialize()
        for change in unit.holders:
            held = set() if change.forget_all else self.holders.get(change.group, set())
            self.holders[change.group] = (held | set(change.added)) - set(change.removed)
        for pre_key in unit.pre_keys_added:
            self.pre_key_rows[pre_key.id] = pre_key.private
        self.uploaded.update(unit.pre_keys_uploaded)
        for key_id in unit.pre_keys_consumed:
            self.pre_key_rows.pop(key_id, None)
        self.pairs.extend(unit.address_pairs)
        self.hashes.update(unit.ciphertexts)
        for entry in unit.ledger:
            old = self.ledger.get(entry.key)
            wants = entry.wants_phone
            if old is not None and (wants is None or old.wants_phone is False):
                wants = old.wants_phone
            self.ledger[entry.key] = replace(entry, wants_phone=wants)


def stage_on(store: MemoryStore, credentials: Credentials | None = None) -> Stage:
    """Return the stage of a connection on a store."""
    return Stage(store, AddressBook(store), credentials or paired())


async def committed(store: MemoryStore) -> None:
    """Commit what was submitted, and let the stage hear of it."""
    store.settle()
    await asyncio.sleep(0)


def some_ratchet() -> Ratchet:
    """Begin a ratchet with somebody new."""
    peer = LocalIdentity.generate()
    signed = SignedPreKey.generate(1, peer.key_pair)
    bundle = PreKeyBundle(
        registration_id=peer.registration_id,
        identity=peer.key_pair.public,
        signed_pre_key_id=1,
        signed_pre_key=signed.key_pair.public,
        signed_pre_key_signature=signed.signature,
        pre_key_id=None,
        pre_key=None,
    )
    return start_outgoing(Ratchet.empty, bundle, LocalIdentity.generate())


class Nowhere:
    """Answers that go nowhere, and nobody who watches."""

    def put(self, commit: object, *nodes: Node) -> None:
        """Their commit is all that is looked at."""

    def notice(self, notice: Notice) -> None:
        """Nobody is told."""


class Later:
    """Work that waits for the server until a test does it; when `full`, it takes none."""

    def __init__(self) -> None:
        self.waiting: list[Work] = []
        self.full = False

    def __call__(self, work: Work) -> bool:
        if not self.full:
            self.waiting.append(work)
        return not self.full

    async def work(self) -> None:
        """Do all that waits."""
        while self.waiting:
            await self.waiting.pop(0)()


def line_on(
    stage: Stage,
    *,
    queries: object,
    clock: Clock,
    answers: Answers | None = None,
    later: Callable[[Work], bool] | None = None,
    observer: Observer | None = None,
) -> Line:
    """Return the line of a connection; without `later`, work that waits is never done."""
    return Line(
        stage=stage,
        answers=answers or cast("Answers", Nowhere()),
        queries=cast("Queries", queries),
        later=later or Later(),
        clock=clock,
        observer=observer or Nowhere(),
    )


class Wire:
    """What a channel would have sent, in order."""

    def __init__(self) -> None:
        self.sent: list[Node] = []
        self.changed = asyncio.Event()

    async def send(self, *nodes: Node) -> None:
        self.sent.extend(nodes)
        self.changed.set()

    async def until(self, count: int) -> list[Node]:
        """Return what was sent, once there is so much."""
        async with asyncio.timeout(10):
            while len(self.sent) < count:
                self.changed.clear()
                await self.changed.wait()
        return self.sent
