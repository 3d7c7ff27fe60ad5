"""Which devices people have."""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from google.protobuf.message import DecodeError

from perene.core.clock import Clock
from perene.core.unit import AddressPair
from perene.engine.addresses import AddressBook
from perene.engine.queries import Queries
from perene.engine.questions import Questions
from perene.engine.stanza import address_pairs, small_number
from perene.wire.errors import WireError
from perene.wire.jid import HOSTED_DEVICE, Jid
from perene.wire.node import Node
from perene.wire.proto import wa_pb2

_FRESH = timedelta(minutes=5)
"""How long a device list is trusted (Baileys' cache, docs/reference/protocol.md §4.2); a
notification or a hash mismatch ends it sooner."""

_CACHED = 1024
_MAX_DEVICE = 255
"""An address on the wire has one byte for the device."""

_MAX_KEY_INDEX = 2**32 - 1

_MAX_USERS = 200
"""Users per question; larger groups are asked in parts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    devices: tuple[int, ...]
    at: datetime
    lid: str | None = None
    """The LID of somebody who was asked for by number: their devices are the same."""


class Devices:
    """The device lists of one connection, asked from the server when they are not fresh."""

    def __init__(self, queries: Queries, clock: Clock) -> None:
        self._queries = queries
        self._clock = clock
        self._lists: OrderedDict[str, _Entry] = OrderedDict()
        self._questions = Questions()
        self._learnt: list[AddressPair] = []
        self._gone: OrderedDict[Jid, datetime] = OrderedDict()
        """Devices whose keys the server refused, and when."""

    def take_learnt(self) -> list[AddressPair]:
        """Return the address pairs that answers have shown since the last call."""
        learnt, self._learnt = self._learnt, []
        return learnt

    def forget(self, user: Jid) -> None:
        """Ask again next time: the list of this user has changed."""
        self._lists.pop(str(user.bare), None)
        self._questions.forget(str(user.bare))

    async def forget_person(self, book: AddressBook, *addresses: Jid) -> None:
        """Ask again next time, whichever of the person's addresses is asked for."""
        for user in addresses:
            await book.load([user])
            for address in (user, book.canonical(user), book.phone_number(user)):
                if address is not None:
                    self.forget(address)

    async def named_by(self, book: AddressBook, device: Jid) -> None:
        """Take note that a device is there: a list at hand without it is old.

        Of whoever asks for a message again, as WhatsApp Web does (whatsapp-rust pull request 802,
        2026-06-09).
        """
        person = device.bare
        for address in (person, book.canonical(person), book.phone_number(person)):
            entry = self._lists.get(str(address))
            if entry is not None and device.device not in (*entry.devices, HOSTED_DEVICE):
                await self.forget_person(book, person)
                return

    async def are_gone(self, book: AddressBook, devices: Collection[Jid]) -> bool:
        """Take note of devices that the server has no keys of: they are not there any more.

        True if the lists that name them are to be asked for anew. If that was done lately, and
        these still do, it is not: the server would be asked with every message.
        """
        now = self._clock.now()
        news = [
            device
            for device in devices
            if device not in self._gone or abs(now - self._gone[device]) > _FRESH
        ]
        self._gone.update(dict.fromkeys(news, now))
        for device in devices:
            self._gone.move_to_end(device)
        # None of these: the answer to the next question may name all of them again.
        while len(self._gone) > max(_CACHED, len(devices)):
            self._gone.popitem(last=False)
        await self.forget_person(book, *dict.fromkeys(device.bare for device in news))
        return bool(news)

    def forget_all(self) -> None:
        self._lists.clear()
        self._questions.forget_all()

    async def of(self, users: Iterable[Jid]) -> dict[Jid, tuple[Jid, ...]]:
        """Return the devices of each user; a user without an answer has none.

        Raises QueryFailed, QueryTimedOut.
        """
        wanted = list(dict.fromkeys(user.bare for user in users))
        now = self._clock.now()
        # Kept apart: what is forgotten while others are asked for is old, but not empty.
        entries = {
            str(user): entry
            for user in wanted
            if (entry := self._lists.get(str(user))) is not None and abs(now - entry.at) <= _FRESH
        }
        stale = [user for user in wanted if str(user) not in entries]
        for start in range(0, len(stale), _MAX_USERS):
            entries |= await self._ask(stale[start : start + _MAX_USERS])
        found: dict[Jid, tuple[Jid, ...]] = {}
        for user in wanted:
            entry = entries.get(str(user))
            found[user] = tuple(user.with_device(d) for d in entry.devices) if entry else ()
        while len(self._lists) > max(_CACHED, len(wanted)):
            self._lists.popitem(last=False)
        return found

    async def _ask(self, users: Sequence[Jid]) -> dict[str, _Entry]:
        with self._questions.asking([str(user) for user in users]) as is_last_word:
            query = _usync(users, self._queries.next_id())
            told = self._read(await self._queries.ask("usync", "get", query))
            for user, entry in told.items():
                if is_last_word(user):
                    self._lists[user] = entry
                    if entry.lid is not None and entry.devices:
                        self._lists[entry.lid] = entry
        return told

    def _read(self, answer: Node) -> dict[str, _Entry]:
        usync = answer.child("usync")
        listed = usync.child("list") if usync is not None else None
        now = self._clock.now()
        told: dict[str, _Entry] = {}
        for node in listed.children if listed is not None else ():
            try:
                user = Jid.parse(node.attr("jid")).bare
                devices = _device_ids(node)
                pair = self._learn(user, node)
                told[str(user)] = _Entry(devices=devices, at=now, lid=pair.lid if pair else None)
            except WireError:
                # One malformed row says nothing about the others; its user counts as unlisted.
                continue
        return told

    def _learn(self, user: Jid, node: Node) -> AddressPair | None:
        lid = node.child("lid")
        value = lid.attrs.get("val") if lid is not None else None
        pairs = address_pairs(user, value)
        self._learnt += pairs
        return pairs[0] if pairs else None


def _usync(users: Sequence[Jid], sid: str) -> Node:
    query = Node("query", {}, (Node("devices", {"version": "2"}), Node("lid")))
    people = Node("list", {}, tuple(Node("user", {"jid": str(user)}) for user in users))
    return Node(
        "usync",
        {"sid": sid, "mode": "query", "last": "true", "index": "0", "context": "message"},
        (query, people),
    )


def _device_ids(user: Node) -> tuple[int, ...]:
    devices = user.child("devices")
    listed = devices.child("device-list") if devices is not None else None
    index = _key_index_list(devices)
    ids: list[int] = []
    for device in listed.children if listed is not None else ():
        number = small_number(device.attr("id"), most=_MAX_DEVICE)
        if device.tag != "device" or number is None:
            continue
        if number == HOSTED_DEVICE or device.attrs.get("is_hosted") == "true":
            # They are left out from person to person by WhatsApp Web (whatsapp-rust PR 524,
            # 2026-04-13), and in groups by whatsmeow (send.go, 2026-08-21).
            continue
        # A companion without a key index is not confirmed by its phone
        # (docs/reference/protocol.md §4.2).
        if number == 0 or _is_confirmed(device.attrs.get("key-index"), index):
            ids.append(number)
    return tuple(ids)


def _key_index_list(devices: Node | None) -> wa_pb2.ADVKeyIndexList | None:
    """Return what the phone has signed of its companions, None if it is not there."""
    node = devices.child("key-index-list") if devices is not None else None
    if node is None or not isinstance(node.content, bytes):
        return None
    try:
        signed = wa_pb2.ADVSignedKeyIndexList.FromString(node.content)
        index = wa_pb2.ADVKeyIndexList.FromString(signed.details)
    except DecodeError:
        return None
    return index if index.HasField("timestamp") else None


def _is_confirmed(key_index: str | None, listed: wa_pb2.ADVKeyIndexList | None) -> bool:
    """Tell whether a phone stands by a companion: it lists it, or has listed none since.

    As WhatsApp Web does (whatsapp-rust issue 468, 2026-03-31). One that is listed no more has no
    keys to fetch (406), and is asked for them with every message.
    """
    if key_index is None or listed is None:
        return key_index is not None
    number = small_number(key_index, most=_MAX_KEY_INDEX)
    return number is not None and (number in listed.validIndexes or number > listed.currentIndex)
