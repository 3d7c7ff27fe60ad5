"""The send path: a queued message, encrypted for every device, committed, then on the wire."""

import asyncio
import base64
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from perene.core.events import Event, EventType
from perene.core.failures import Failure, FailureCode
from perene.core.messages import Message, Status, StatusChange
from perene.core.unit import AddressPair, Committed, HolderChange
from perene.engine.addresses import signal_address
from perene.engine.content import describe, parse_message
from perene.engine.credentials import Credentials
from perene.engine.devices import Devices, fetch_bundles
from perene.engine.draft import Draft
from perene.engine.encrypt import Addressed, Sealed, seal_for_devices, without_ratchet
from perene.engine.errors import CannotSend, QueryFailed
from perene.engine.groups import Group, Groups
from perene.engine.line import Line
from perene.engine.moving import learn
from perene.engine.privacy_tokens import PrivacyTokens
from perene.signal.bundle import PreKeyBundle
from perene.signal.padding import pad
from perene.signal.sender_key import (
    SenderKeyRecord,
    create_sender_key,
    distribution_message,
    group_encrypt,
)
from perene.wire.errors import WireError
from perene.wire.jid import Jid
from perene.wire.node import Node
from perene.wire.proto import wa_pb2

_MEDIA_KINDS = {
    "image": "image",
    "sticker": "sticker",
    "document": "document",
    "audio": "audio",
    "video": "video",
    "contact": "vcard",
    "contacts_array": "contact_array",
    "location": "location",
    "live_location": "livelocation",
}
"""Our kinds that the stanza names as media, and the names that it uses (whatsmeow send.go
`getMediaTypeFromMessage`, 2026-08-21)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Route:
    """Where a message goes: each device under the address of the wire, and its plaintext."""

    to: Jid
    recipients: tuple[Addressed, ...]
    group: Group | None = None


class Sender:
    """Encrypts and sends own messages in order. One at a time per connection."""

    def __init__(
        self, line: Line, *, devices: Devices, groups: Groups, tokens: PrivacyTokens
    ) -> None:
        self._stage = line.stage
        self._answers = line.answers
        self._queries = line.queries
        self._clock = line.clock
        self._devices = devices
        self._groups = groups
        self._tokens = tokens

    async def send(self, message: Message) -> None:
        """Encrypt a queued message, and queue its stanza behind the commit of its ratchets.

        Raises CannotSend when there is nobody to send it to; QueryFailed, QueryTimedOut when the
        server does not tell who, and may tell later. The same message sent again keeps its id, so
        that recipients recognise it.
        """
        content = parse_message(message.body)
        if content is None:
            raise CannotSend(FailureCode.UNREADABLE_MESSAGE, "the stored message is not readable")
        try:
            chat = Jid.parse(message.key.chat)
            if chat.is_group:
                await self._send_group(message, chat)
            else:
                await self._send_direct(message, chat, content)
        except QueryFailed as error:
            if error.is_final:
                raise CannotSend(
                    FailureCode.RECIPIENTS_REFUSED,
                    f"the server refused: {error}",
                    server_code=str(error.status),
                ) from error
            raise
        except WireError as error:
            raise CannotSend(
                FailureCode.UNREADABLE_ANSWER, f"the server's answer makes no sense: {error}"
            ) from error

    async def refuse(
        self, message: Message, failure: Failure, error: str
    ) -> "asyncio.Future[Committed]":
        """Record that a message cannot be sent, and why; the future ends with the commit."""
        now = self._clock.now()
        async with self._stage.lock:
            draft = Draft(self._stage)
            draft.status_changes.append(
                StatusChange(
                    id=message.key.id,
                    status=Status.FAILED,
                    at=now,
                    failure=failure,
                    event=Event(
                        type=EventType.MESSAGE_FAILED,
                        at=now,
                        payload={
                            "message_id": message.key.id,
                            "chat": message.key.chat,
                            "error": error,
                            "failure": failure.to_json(),
                        },
                    ),
                )
            )
            committed = draft.submit()
            self._answers.put(committed)
        return committed

    async def _send_direct(self, message: Message, chat: Jid, content: wa_pb2.Message) -> None:
        own = self._stage.credentials
        await self._stage.book.load([chat])
        listed = await self._devices.of([chat, own.own_pn.bare])
        await self._learn(self._devices.take_learnt())
        await self._stage.book.load([chat, own.own_pn])
        if not listed.get(chat.bare):
            raise CannotSend(FailureCode.NO_DEVICES, "the recipient has no devices on WhatsApp")
        copy = wa_pb2.Message()
        copy.deviceSentMessage.destinationJid = str(chat)
        copy.deviceSentMessage.message.CopyFrom(content)
        copy_bytes = copy.SerializeToString()
        recipients = self._addressed(listed[chat.bare], message.body)
        for device in listed[own.own_pn.bare]:
            if device.device != own.own_pn.device:
                recipients += self._addressed([device], copy_bytes)
        if own.is_own(chat):
            # A note to oneself: own devices are the recipients, and there is nobody else.
            recipients = [r for r in recipients if r.device.device != own.own_pn.device]
            recipients = list({r.device: r for r in recipients}.values())
        route = _Route(to=chat, recipients=tuple(recipients))
        bundles = await self._missing_bundles(route.recipients)
        token = await self._tokens.shown_to(chat)
        async with self._stage.lock:
            draft = Draft(self._stage)
            sealed = await seal_for_devices(
                draft, route.recipients, bundles, own, _enc_attrs(message)
            )
            others = {self._stage.book.canonical(d) for d in listed[chat.bare]}
            if not others.intersection(sealed.reached):
                raise CannotSend(
                    FailureCode.NO_KEYS, "no device of the recipient could be encrypted for"
                )
            node = _stanza(
                message, chat, (*_participants(sealed), *token), own, sealed.first_contact
            )
            self._answers.put(draft.submit(), node)
        await self._tokens.wrote_to(chat)

    async def _send_group(self, message: Message, chat: Jid) -> None:
        own = self._stage.credentials
        group = await self._groups.get(chat)
        await self._learn(group.pairs)
        listed = await self._devices.of([*group.members, own.own_pn.bare])
        await self._learn(self._devices.take_learnt())
        devices = [device for found in listed.values() for device in found]
        await self._stage.book.load(devices)
        canonical = {self._stage.book.canonical(device): device for device in devices}
        canonical.pop(own.own_device, None)
        bundles = await self._missing_bundles(await self._newcomers(chat, canonical))
        async with self._stage.lock:
            # Asked again: while the bundles came, somebody may have left and taken our key along.
            newcomers = await self._newcomers(chat, canonical)
            draft = Draft(self._stage)
            name = signal_address(own.own_device)
            record = await draft.sender_key(str(chat), name)
            if record.is_empty:
                record = create_sender_key(record)
            plaintext = _distribution(chat, record)
            sealed = await seal_for_devices(
                draft,
                [Addressed(device=n.device, wire=n.wire, plaintext=plaintext) for n in newcomers],
                bundles,
                own,
                {},
            )
            encrypted = group_encrypt(record, pad(message.body))
            draft.set_sender_key(str(chat), name, encrypted.record)
            if sealed.reached:
                added = tuple(str(signal_address(device)) for device in sealed.reached)
                given = HolderChange(group=str(chat), added=added)
                draft.holders.give(message.key.id, given)
            children = _participants(sealed) if sealed.nodes else ()
            enc = Node("enc", {"v": "2", "type": "skmsg", **_enc_attrs(message)}, encrypted.data)
            node = _stanza(
                message,
                chat,
                (*children, enc),
                own,
                sealed.first_contact,
                phash=participant_hash(canonical.values()),
                addressing_mode=group.addressing_mode,
            )
            self._answers.put(draft.submit(), node)

    async def _newcomers(self, group: Jid, devices: Mapping[Jid, Jid]) -> list[Addressed]:
        """Return those of the devices (and their wire addresses) that lack our sender key."""
        holders = await self._stage.holders.of(str(group))
        return [
            Addressed(device=device, wire=wire, plaintext=b"")
            for device, wire in devices.items()
            if str(signal_address(device)) not in holders
        ]

    def _addressed(self, devices: Iterable[Jid], plaintext: bytes) -> list[Addressed]:
        canonical = self._stage.book.canonical
        return [Addressed(device=canonical(d), wire=d, plaintext=plaintext) for d in devices]

    async def _learn(self, pairs: Collection[AddressPair]) -> None:
        """Commit address pairs that are new to us."""
        if not pairs:
            return
        async with self._stage.lock:
            draft = Draft(self._stage)
            await learn(draft, pairs)
            if draft.pairs:
                self._answers.put(draft.submit())

    async def _missing_bundles(self, recipients: Sequence[Addressed]) -> Mapping[Jid, PreKeyBundle]:
        async with self._stage.lock:
            missing = await without_ratchet(
                Draft(self._stage), [recipient.device for recipient in recipients]
            )
        try:
            return await fetch_bundles(self._queries, missing)
        except QueryFailed as error:
            if not error.is_final:
                raise
            # Those without a ratchet are not reached; the others are.
            return {}


def participant_hash(devices: Iterable[Jid]) -> str:
    """Return the `phash` of a device list (facts/protocol.md §4.2)."""
    joined = "".join(sorted(str(device) for device in devices))
    return "2:" + base64.b64encode(hashlib.sha256(joined.encode()).digest()).decode()[:6]


def stanza_type(message: Message) -> str:
    """Return the `type` that a message stanza announces for this content."""
    if message.kind in _MEDIA_KINDS:
        return "media"
    if message.kind in ("reaction", "enc_reaction"):
        return "reaction"
    return "poll" if message.kind.startswith("poll") else "text"


def device_identity(own: Credentials) -> Node:
    """Return the proof that our device belongs to our account, for peers at first contact."""
    return Node("device-identity", {}, own.account or b"")


def _distribution(group: Jid, record: SenderKeyRecord) -> bytes:
    """Return the message that gives a device our sender key of a group."""
    message = wa_pb2.Message()
    message.senderKeyDistributionMessage.groupId = str(group)
    message.senderKeyDistributionMessage.axolotlSenderKeyDistributionMessage = distribution_message(
        record
    )
    return message.SerializeToString()


def _enc_attrs(message: Message) -> dict[str, str]:
    content = parse_message(message.body)
    kind = describe(content).kind if content is not None else None
    media = _MEDIA_KINDS.get(kind or "")
    return {"mediatype": media} if media else {}


def _participants(sealed: Sealed) -> tuple[Node, ...]:
    return (Node("participants", {}, sealed.nodes),)


def _stanza(
    message: Message,
    to: Jid,
    children: tuple[Node, ...],
    own: Credentials,
    first_contact: bool,
    *,
    phash: str | None = None,
    addressing_mode: str | None = None,
) -> Node:
    attrs = {"id": str(message.key.id), "to": str(to), "type": stanza_type(message)}
    if phash is not None:
        attrs["phash"] = phash
    if addressing_mode is not None:
        attrs["addressing_mode"] = addressing_mode
    if first_contact:
        children = (*children, device_identity(own))
    return Node("message", attrs, children)
