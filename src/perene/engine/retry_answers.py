"""Sending again what a recipient could not read: answers to retry receipts."""

from collections import OrderedDict

import structlog

from perene.core.ids import MessageId
from perene.core.messages import Message
from perene.engine.addresses import signal_address
from perene.engine.answers import acknowledge
from perene.engine.bundles import Fetched
from perene.engine.device_proofs import fetch_looked_at, tell_of_unproven
from perene.engine.devices import Devices
from perene.engine.draft import Draft
from perene.engine.errors import QueryFailed, QueryTimedOut
from perene.engine.groups import Group, Groups
from perene.engine.line import Line
from perene.engine.pace import resends_into_groups
from perene.engine.privacy_tokens import PrivacyTokens
from perene.engine.repairs import Repairs
from perene.engine.resend import Due, content_for, resend_to
from perene.engine.retry_receipt import RetryReceipt, read_retry
from perene.engine.work_queue import Rest
from perene.signal.bundle import PreKeyBundle
from perene.wire.errors import WireError
from perene.wire.jid import Jid
from perene.wire.node import Node

log = structlog.stdlib.get_logger()

_LIMIT = 5
"""Resends of one message to one device; Baileys stops at 5, whatsmeow at 10
(docs/reference/protocol.md §4.5)."""

_REMEMBERED = 1024

_ASKED_AGAIN_AFTER_S = (5.0, 20.0)
"""Waits until a server that could not help is asked again what a request needs. The asker has no
clock for it: it asks once for each time that it cannot read the message
(docs/reference/protocol.md §4.5)."""


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
        self._repairs = Repairs(line)
        self._pace = resends_into_groups(line.clock)
        self._cached = cached
        self._recent: OrderedDict[MessageId, Message] = OrderedDict()
        """Messages that were asked for lately."""
        self._counts: OrderedDict[tuple[Jid, MessageId], int] = OrderedDict()
        """How often each device has asked for each message."""

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
            await self._look_at_keys(request)
        message = None if request is None else await self._message(request.message_id)
        if request is not None and message is not None and self._allowed(request):
            return await self._in_turn(request, message)
        if request is not None and message is None:
            await self._repairs.repair(request)
        self._answers.put(None, acknowledge(node))
        return None

    async def _look_at_keys(self, request: RetryReceipt) -> None:
        if request.bundle is not None:
            proofs = {} if request.proof is None else {request.device: request.proof}
            carried = Fetched({request.device: request.bundle}, proofs=proofs)
            await tell_of_unproven(self._stage, carried)

    async def _in_turn(self, request: RetryReceipt, message: Message) -> Rest | None:
        """Grant a request when its turn has come.

        For whom that would be too long, what follows in the group is made readable.
        """
        chat = message.key.chat
        wait_s = self._pace.turn(chat) if Jid.parse(chat).is_group else 0.0
        if wait_s is None:
            log.warning("resend_refused", reason="too_many_in_group")
            await self._repairs.take_key_back(request)
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

    async def _answer(self, due: Due) -> bool:
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
    ) -> Due | None:
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
        return Due(request=request, message=message, bundle=bundle, token=token, group=group)

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
        if ratchet.has_current and (request.count < 2 or self._repairs.was_made(request.device)):
            return None
        found = await fetch_looked_at(self._stage, self._queries, [request.device])
        self._repairs.note(request.device)
        return found.bundles.get(request.device)

    async def _resend(self, draft: Draft, due: Due) -> Node | None:
        """Encrypt for who asked; None if that device cannot be reached."""
        own = self._stage.credentials
        content = await content_for(draft, due, own)
        if content is None:
            return None
        # Once more: the LID may have shown while the keys came, and the ratchet moved to it.
        device = self._stage.book.canonical(due.request.device)
        resend = await resend_to(draft, device, due, content, own)
        if resend is None:
            self._devices.forget(device)
        return resend
