"""Sending again what a recipient could not read: answers to retry receipts."""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from perene.core.ids import MessageId
from perene.core.messages import Message
from perene.core.unit import HolderChange
from perene.engine.addresses import signal_address
from perene.engine.answers import acknowledge
from perene.engine.bundles import device_identity, fetch_bundles
from perene.engine.content import parse_message
from perene.engine.devices import Devices
from perene.engine.draft import Draft
from perene.engine.encrypt import Addressed, begin_anew, seal_enc
from perene.engine.errors import QueryFailed, QueryTimedOut
from perene.engine.group_key import attach, own_key, set_own_key
from perene.engine.groups import Group, Groups
from perene.engine.line import Line
from perene.engine.outgoing import copy_for_own_devices, media_attrs, stanza_type
from perene.engine.privacy_tokens import PrivacyTokens
from perene.engine.resend_pace import ResendPace
from perene.engine.retry_receipt import RetryReceipt, read_retry
from perene.engine.work_queue import Rest
from perene.signal.bundle import PreKeyBundle
from perene.wire.errors import WireError
from perene.wire.jid import Jid
from perene.wire.node import Node
from perene.wire.proto import wa_pb2

log = structlog.stdlib.get_logger()

_LIMIT = 5
"""Resends of one message to one device; Baileys stops at 5, whatsmeow at 10
(docs/reference/protocol.md §4.5)."""

_RECREATE_AFTER = timedelta(hours=1)
"""How often a device without usable keys may make us build a fresh ratchet (whatsmeow retry.go)."""

_REMEMBERED = 1024

_ASKED_AGAIN_AFTER_S = (5.0, 20.0)
"""Waits until a server that could not help is asked again what a request needs. The asker has no
clock for it: it asks once for each time that it cannot read the message
(docs/reference/protocol.md §4.5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Due:
    """A request that is to be granted; with `bundle`, on a fresh ratchet."""

    request: RetryReceipt
    message: Message
    bundle: PreKeyBundle | None
    token: tuple[Node, ...] = ()
    """What the person gave us, without which the resend may be refused (463)."""
    group: Group | None
    """As it was when the asker was found to be in it, None for a message to a person."""


class RetryAnswers:
    """Answers retry receipts from the stored plaintext, so that they work after a restart."""

    def __init__(
        self,
        line: Line,
        *,
        devices: Devices,
        groups: Groups,
        tokens: PrivacyTokens,
        cached: int,
    ) -> None:
        self._stage = line.stage
        self._answers = line.answers
        self._queries = line.queries
        self._clock = line.clock
        self._devices = devices
        self._groups = groups
        self._tokens = tokens
        self._pace = ResendPace(line.clock)
        self._cached = cached
        self._recent: OrderedDict[MessageId, Message] = OrderedDict()
        """Messages that were asked for lately."""
        self._counts: OrderedDict[tuple[Jid, MessageId], int] = OrderedDict()
        """How often each device has asked for each message."""
        self._recreated: OrderedDict[Jid, datetime] = OrderedDict()
        """When a device without usable keys last made us build a fresh ratchet."""

    async def answer(self, node: Node) -> Rest | None:
        """Send the message again to the device that asked, then acknowledge the receipt.

        Whatever cannot be answered is acknowledged all the same: the server would deliver the
        request for ever. The rest is to be done when the server may help again. Raises
        StorageError.
        """
        try:
            request = await read_retry(node, self._stage.book)
        except WireError:
            request = None
        if request is not None:
            await self._devices.named_by(self._stage.book, request.device)
        message = None if request is None else await self._message(request.message_id)
        if request is not None and message is not None and self._allowed(request):
            return await self._in_turn(request, message)
        if request is not None and message is None:
            await self._repair(request)
        self._answers.put(None, acknowledge(node))
        return None

    async def _repair(self, request: RetryReceipt) -> None:
        """Begin anew with a device that cannot read us, though there is nothing to send again.

        What follows could not be read either (whatsapp-rust pull request 1303, 2026-08-14), and of
        what goes to our own phone nothing is kept: the ratchet would stay broken for good. Once an
        hour for each device; keys that are not in the request are asked for in its case alone.

        In a group it may lack our key: it gets that with the next message (whatsapp-rust pull
        request 1300, 2026-08-13).
        """
        device, own = request.device, self._stage.credentials
        if request.chat.is_group:
            await self._take_key_back(request)
        if self._was_recreated(device):
            return
        bundle = request.bundle
        if bundle is None and own.is_own(device):
            try:
                bundle = (await fetch_bundles(self._queries, [device])).get(device)
            except (QueryFailed, QueryTimedOut):
                return  # it comes again with what is asked next
        if bundle is None:
            return
        async with self._stage.lock:
            draft = Draft(self._stage)
            if await begin_anew(draft, self._stage.book.canonical(device), bundle, own):
                self._recreate(device)
                self._answers.put(draft.submit())

    async def _take_key_back(self, request: RetryReceipt) -> None:
        group, holder = str(request.chat), str(signal_address(request.device))
        async with self._stage.lock:
            if holder in await self._stage.holders.of(group):
                draft = Draft(self._stage)
                draft.holders.change(HolderChange(group=group, removed=(holder,)))
                self._answers.put(draft.submit())

    def _was_recreated(self, device: Jid) -> bool:
        last = self._recreated.get(device)
        return last is not None and abs(self._clock.now() - last) < _RECREATE_AFTER

    def _recreate(self, device: Jid) -> None:
        self._recreated[device] = self._clock.now()
        while len(self._recreated) > _REMEMBERED:
            self._recreated.popitem(last=False)

    async def _in_turn(self, request: RetryReceipt, message: Message) -> Rest | None:
        """Grant a request when its turn has come.

        For whom that would be too long, what follows in the group is made readable.
        """
        chat = message.key.chat
        wait_s = self._pace.turn(chat) if Jid.parse(chat).is_group else 0.0
        if wait_s is None:
            log.warning("resend_refused", reason="too_many_in_group")
            await self._take_key_back(request)
            self._answers.put(None, acknowledge(request.node))
            return None
        if wait_s:
            return Rest(after_s=wait_s, work=lambda: self._grant(request, message))
        return await self._grant(request, message)

    async def _grant(
        self, request: RetryReceipt, message: Message, attempt: int = 0
    ) -> Rest | None:
        try:
            due = await self._due(request, message)
            while due is not None and not await self._answer(due):
                due = await self._due(request, message, due.bundle)
        except (QueryFailed, QueryTimedOut) as error:
            is_final = isinstance(error, QueryFailed) and error.is_final
            if not is_final and attempt < len(_ASKED_AGAIN_AFTER_S):
                wait_s = _ASKED_AGAIN_AFTER_S[attempt]
                log.warning("resend_waits", reason=str(error), retry_in_s=wait_s)
                return Rest(after_s=wait_s, work=lambda: self._grant(request, message, attempt + 1))
            due = None
        except WireError:
            due = None  # an answer that makes no sense helps as little
        if due is None:
            self._answers.put(None, acknowledge(request.node))
        return None

    async def _answer(self, due: _Due) -> bool:
        """Send what is due; False if the group has changed, and the asker may have left it.

        Who has is not to have the next key, which would come along.
        """
        async with self._stage.lock:
            chat = Jid.parse(due.message.key.chat)
            if due.group is not None and not self._groups.is_current(chat, due.group):
                return False
            draft = Draft(self._stage)
            resend = await self._resend(draft, due)
            ack = acknowledge(due.request.node)
            nodes = (resend, ack) if resend is not None else (ack,)
            self._answers.put(draft.submit(), *nodes)
        return True

    async def _due(
        self, request: RetryReceipt, message: Message, bundle: PreKeyBundle | None = None
    ) -> _Due | None:
        """Ask the server what is needed to grant a request, None if it is not to be granted."""
        chat = Jid.parse(message.key.chat)
        group = await self._groups.get(chat) if chat.is_group else None
        if not await self._was_addressed(request, chat, group):
            log.warning("resend_refused", reason="not_a_recipient")
            return None
        bundle = bundle or await self._bundle(request)
        own = self._stage.credentials
        is_theirs = group is None and not own.is_own(request.device)
        token = await self._tokens.shown_to(chat) if is_theirs else ()
        return _Due(request=request, message=message, bundle=bundle, token=token, group=group)

    async def _was_addressed(self, request: RetryReceipt, chat: Jid, group: Group | None) -> bool:
        """Tell whether the asker is one whom the message was for: nobody else may have it."""
        book, own = self._stage.book, self._stage.credentials
        await book.load(group.members if group is not None else [chat])
        # Once more: the LID may have shown since the request was read.
        asker = book.canonical(request.device).bare
        if group is not None:
            members = {book.canonical(member) for member in group.members}
            return request.chat == chat and (asker in members or own.is_own(asker))
        if asker != book.canonical(request.chat):
            return False  # asked for in a group, and that is where the answer would go
        return asker == book.canonical(chat) or own.is_own(asker)

    async def _message(self, message_id: MessageId) -> Message | None:
        # A message to a group may be asked for by many devices at once; the store has it for ever.
        message = self._recent.get(message_id)
        if message is None:
            message = await self._stage.store.own_message(message_id)
        if message is not None:
            self._recent[message_id] = message
            self._recent.move_to_end(message_id)
        while len(self._recent) > self._cached:
            self._recent.popitem(last=False)
        return message

    def _allowed(self, request: RetryReceipt) -> bool:
        key = (request.device, request.message_id)
        count = self._counts.get(key, 0) + 1
        self._counts[key] = count
        while len(self._counts) > _REMEMBERED:
            self._counts.popitem(last=False)
        return count <= _LIMIT

    async def _bundle(self, request: RetryReceipt) -> PreKeyBundle | None:
        if request.bundle is not None:
            return request.bundle
        async with self._stage.lock:
            ratchet = await Draft(self._stage).ratchet(signal_address(request.device))
        if ratchet.has_current and (request.count < 2 or self._was_recreated(request.device)):
            return None
        found = await fetch_bundles(self._queries, [request.device])
        self._recreate(request.device)
        return found.get(request.device)

    async def _resend(self, draft: Draft, due: _Due) -> Node | None:
        """Encrypt for who asked; None if that device cannot be reached."""
        request, own = due.request, self._stage.credentials
        content = await self._content(draft, due)
        if content is None:
            return None
        # Once more: the LID may have shown while the keys came, and the ratchet moved to it.
        device = self._stage.book.canonical(request.device)
        recipient = Addressed(
            device=device, wire=request.wire, plaintext=content.SerializeToString()
        )
        said = {"count": str(request.count), **media_attrs(content)}
        enc = await seal_enc(draft, recipient, due.bundle, own, said)
        if enc is None:
            self._devices.forget(device)
            return None
        chat = due.message.key.chat
        if Jid.parse(chat).is_group:
            holder = str(signal_address(device))
            draft.holders.change(HolderChange(group=chat, added=(holder,)))
        first_contact = enc.attrs["type"] == "pkmsg"
        introduction = (device_identity(own),) if first_contact else ()
        # The token as well (zapo pull request 167, 2026-06-10).
        return Node("message", _attrs(due), (enc, *due.token, *introduction))

    async def _content(self, draft: Draft, due: _Due) -> wa_pb2.Message | None:
        """Return what this device shall read, None if the stored message is not readable."""
        message, device, own = due.message, due.request.device, self._stage.credentials
        content = parse_message(message.body)
        if content is None:
            return None
        chat = message.key.chat
        if Jid.parse(chat).is_group:
            # It may have lost our sender key as well; that comes along, and counts as held again.
            key = await own_key(draft, chat, own)
            set_own_key(draft, chat, own, key)
            attach(content, chat, key)
            return content
        return copy_for_own_devices(chat, content) if own.is_own(device) else content


def _attrs(due: _Due) -> dict[str, str]:
    request, message = due.request, due.message
    attrs = {
        "id": str(request.message_id),
        "to": request.node.attr("from"),
        "type": stanza_type(message),
        "t": str(int(message.timestamp.timestamp())),
    }
    if not Jid.parse(message.key.chat).is_group:
        attrs["device_fanout"] = "false"
    for name in ("participant", "recipient"):
        if name in request.node.attrs:
            attrs[name] = request.node.attrs[name]
    return attrs
