"""The send path: a queued message, encrypted for every device, committed, then on the wire."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from perene.core.events import Event, EventType
from perene.core.failures import Failure, FailureCode
from perene.core.ids import MessageId
from perene.core.messages import Message, Status, StatusChange
from perene.core.unit import Committed, HolderChange
from perene.engine.addresses import signal_address
from perene.engine.bundles import device_identity
from perene.engine.content import parse_message
from perene.engine.credentials import Credentials
from perene.engine.device_hashes import DeviceHashes, participant_hash
from perene.engine.device_proofs import fetch_looked_at
from perene.engine.devices import Devices
from perene.engine.draft import Draft
from perene.engine.encrypt import Addressed, Sealed, seal_for_devices, without_ratchet
from perene.engine.errors import CannotSend, Overtaking, QueryFailed, QueryTimedOut
from perene.engine.group_key import give_up, key_message, own_key, set_own_key
from perene.engine.groups import Group, Groups
from perene.engine.line import Line
from perene.engine.outgoing import (
    copy_for_own_devices,
    media_attrs,
    message_stanza,
)
from perene.engine.privacy_tokens import PrivacyTokens
from perene.engine.recipients import Recipients
from perene.engine.wire_forms import WireForms, also_known_as, in_form_of
from perene.signal.address import Address
from perene.signal.bundle import PreKeyBundle
from perene.signal.padding import pad
from perene.signal.sender_key import group_encrypt
from perene.wire.errors import WireError
from perene.wire.jid import Jid
from perene.wire.node import Node
from perene.wire.proto import wa_pb2

_ATTEMPTS = 3
"""How often a message is made ready whose recipients change meanwhile, before others go first."""


class Sender:
    """Encrypts and sends own messages in order. One at a time per connection."""

    def __init__(
        self,
        line: Line,
        *,
        devices: Devices,
        groups: Groups,
        tokens: PrivacyTokens,
        hashes: DeviceHashes,
        forms: WireForms,
    ) -> None:
        self._stage = line.stage
        self._answers = line.answers
        self._queries = line.queries
        self._clock = line.clock
        self._devices = devices
        self._recipients = Recipients(line, devices)
        self._groups = groups
        self._tokens = tokens
        self._hashes = hashes
        self._forms = forms
        self._was_in_doubt = False
        """Whether the message at hand is the only one of its chat under way."""

    async def send(self, message: Message) -> None:
        """Encrypt a queued message, and queue its stanza behind the commit of its ratchets.

        Raises CannotSend when there is nobody to send it to; QueryFailed, QueryTimedOut when the
        server does not tell who, and may tell later; Overtaking when one that is ahead of it in its
        chat is to go out again first. The same message sent again keeps its id, so that recipients
        recognise it.
        """
        content = parse_message(message.body)
        if content is None:
            raise CannotSend(FailureCode.UNREADABLE_MESSAGE, "the stored message is not readable")
        try:
            chat = Jid.parse(message.key.chat)
            attempt = self._send_group if chat.is_group else self._send_direct
            self._was_in_doubt = self._forms.may_be_refused(chat)
            for _ in range(_ATTEMPTS):
                if await attempt(message, chat, content):
                    return
            raise QueryTimedOut("whom it is for has changed each time that it was known")
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
            # Sent before, perhaps, and never answered: nobody can be sure to have the key in it.
            draft.holders.answered(message.key.id, refused=True)
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

    async def _send_direct(self, message: Message, chat: Jid, content: wa_pb2.Message) -> bool:
        """Send to a person, False if their address or devices turn out to be others meanwhile."""
        own, book = self._stage.credentials, self._stage.book
        theirs, ours = await self._recipients.between(chat)
        if not theirs:
            raise CannotSend(FailureCode.NO_DEVICES, "the recipient has no devices on WhatsApp")
        # Now, while the book has them at hand: it may know others by the time that the keys come.
        to, number = self._forms.address(book, chat), book.phone_number(book.canonical(chat.bare))
        recipients = self._readers(message, to, content, theirs, ours)
        self._forms.sent(message.key.id, to, book)
        bundles = await self._missing_bundles([recipient.device for recipient in recipients])
        if bundles is None:
            return False
        token = await self._tokens.shown_to(chat)
        async with self._stage.lock:
            self._keep_order(chat)
            if self._has_moved(recipient.device for recipient in recipients):
                return False
            draft = Draft(self._stage)
            sealed = await seal_for_devices(draft, recipients, bundles, own, media_attrs(content))
            if not set(theirs).intersection(sealed.reached):
                raise CannotSend(
                    FailureCode.NO_KEYS, "no device of the recipient could be encrypted for"
                )
            node = message_stanza(
                message,
                to,
                Node("participants", {}, sealed.nodes),
                *token,
                *_introduction(sealed, own),
                **also_known_as(to, number),
            )
            self._hashes.sent(message.key.id, participant_hash(r.wire for r in recipients))
            self._answers.put(draft.submit(), node)
        await self._tokens.wrote_to(chat)
        return True

    def _readers(
        self,
        message: Message,
        to: Jid,
        content: wa_pb2.Message,
        theirs: Sequence[Jid],
        ours: Sequence[Jid],
    ) -> list[Addressed]:
        """Return who reads a message to a person: their devices, and our own other ones."""
        own = self._stage.credentials
        copy = copy_for_own_devices(str(to), content).SerializeToString()
        others = [device for device in ours if device.device != own.own_pn.device]
        if own.is_own(to):
            # A note to oneself: own devices are the recipients, and there is nobody else.
            return self._addressed(others, to, message.body)
        return self._addressed(theirs, to, message.body) + self._addressed(others, to, copy)

    async def _send_group(self, message: Message, chat: Jid, content: wa_pb2.Message) -> bool:
        """Send to all in a group, False if that changes before the message is encrypted."""
        own = self._stage.credentials
        group = await self._groups.get(chat)
        devices = await self._recipients.in_group(group)
        names = {device: str(signal_address(device)) for device in devices}
        async with self._stage.lock:
            newcomers = await self._newcomers(message.key.id, chat, group, names)
        bundles = await self._missing_bundles(newcomers)
        if bundles is None:
            return False
        async with self._stage.lock:
            # While the bundles came, somebody may have left and taken our key along. Nobody else is
            # to have that one any more, and who has left is not to have the next.
            self._keep_order(chat)
            if not self._groups.is_current(chat, group) or self._has_moved(devices):
                return False
            newcomers = await self._newcomers(message.key.id, chat, group, names)
            draft = Draft(self._stage)
            if await self._has_lost_members(chat, group, names):
                give_up(draft, str(chat), own)
            key = await own_key(draft, str(chat), own)
            plaintext = key_message(str(chat), key)
            sealed = await seal_for_devices(
                draft,
                [Addressed(device=d, wire=devices[d], plaintext=plaintext) for d in newcomers],
                bundles,
                own,
                {},
            )
            if sealed.reached:
                added = tuple(str(signal_address(device)) for device in sealed.reached)
                draft.holders.give(message.key.id, HolderChange(group=str(chat), added=added))
            encrypted = group_encrypt(key, pad(message.body))
            set_own_key(draft, str(chat), own, encrypted.record)
            enc = Node("enc", {"v": "2", "type": "skmsg", **media_attrs(content)}, encrypted.data)
            this = own.own_device if group.addressing_mode == "lid" else own.own_pn
            phash = participant_hash([*devices.values(), this])
            node = message_stanza(
                message,
                chat,
                *((Node("participants", {}, sealed.nodes),) if sealed.nodes else ()),
                enc,
                *_introduction(sealed, own),
                phash=phash,
                addressing_mode=group.addressing_mode,
            )
            self._hashes.sent(message.key.id, phash)
            self._answers.put(draft.submit(), node)
        return True

    def _keep_order(self, chat: Jid) -> None:
        """Send nothing if a message to the chat was refused for its form meanwhile."""
        if not self._was_in_doubt and self._forms.may_be_refused(chat):
            raise Overtaking

    def _has_moved(self, devices: Iterable[Jid]) -> bool:
        """Tell whether the LID of one of these is known by now, and its ratchet kept under that."""
        return any(self._stage.book.canonical(device) != device for device in devices)

    async def _newcomers(
        self, message_id: MessageId, chat: Jid, group: Group, names: Mapping[Jid, str]
    ) -> list[Jid]:
        """Return those of these devices that lack our sender key, or may. Hold the lock.

        A message that is sent again may not have arrived, nor the key that went with it. All lack
        the new key that there is to be once somebody has left.
        """
        if await self._has_lost_members(chat, group, names):
            return list(names)
        holders = await self._stage.holders.of(str(chat))
        given = self._stage.holders.given_with(message_id)
        sure = holders.difference(given.added if given is not None else ())
        return [device for device, name in names.items() if name not in sure]

    async def _has_lost_members(self, chat: Jid, group: Group, names: Mapping[Jid, str]) -> bool:
        """Tell whether our key is held by somebody who is not in the group. Hold the lock.

        The notification that gives it up may be behind what the connection has brought so far, or
        never come: then the server calls groups dirty. With another number a member is another one,
        too, and WhatsApp Web makes a new key (whatsapp-rust src/handlers/notification/groups.rs,
        2026-08-21). A device that is gone is no such sign: lists of devices come and go.
        """
        holders = await self._stage.holders.of(str(chat))
        others = holders.difference(names.values())
        if not others:
            return False
        book, own = self._stage.book, self._stage.credentials
        people = {own.own_pn.user, own.own_lid.user}
        for member in group.members:
            canonical = book.canonical(member)
            number = book.phone_number(canonical)
            people.update(one.user for one in (member, canonical, number) if one is not None)
        # The name is the user, with the domain behind it; a holder may be known by either address.
        users = (Address.parse(other).name.partition("_")[0] for other in others)
        return any(user not in people for user in users)

    def _addressed(self, devices: Iterable[Jid], to: Jid, plaintext: bytes) -> list[Addressed]:
        book = self._stage.book
        return [
            Addressed(device=d, wire=in_form_of(to, d, book), plaintext=plaintext) for d in devices
        ]

    async def _missing_bundles(self, devices: Sequence[Jid]) -> Mapping[Jid, PreKeyBundle] | None:
        """Fetch the keys that are needed; None if the devices are to be asked for anew first."""
        async with self._stage.lock:
            missing = await without_ratchet(Draft(self._stage), devices)
        try:
            fetched = await fetch_looked_at(self._stage, self._queries, missing)
        except QueryFailed as error:
            if not error.is_final:
                raise
            # Those without a ratchet are not reached; the others are.
            return {}
        if fetched.gone and await self._devices.are_gone(self._stage.book, fetched.gone):
            # Who is linked anew has another number, which the old list does not name.
            return None
        return fetched.bundles


def _introduction(sealed: Sealed, own: Credentials) -> tuple[Node, ...]:
    """Return our device identity if somebody needs it, who hears from this device first."""
    return (device_identity(own),) if sealed.first_contact else ()
