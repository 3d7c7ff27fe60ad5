"""Asking the account's phone for what this device could not read.

The phone has it, and gives it without its owner (docs/reference/protocol.md §4.5). It is asked when
WhatsApp had nothing for this device in the first place (`<unavailable>`), when the sender has been
asked in vain as often as may be, and when the sender does not answer. As whatsmeow (retry.go
`delayedRequestMessageFromPhone`, send.go `BuildUnavailableMessageRequest`, 2026-08-21) and
whatsapp-rust do (pull request 506, 2026-04-08).
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta

import structlog
from google.protobuf.message import DecodeError

from perene.core.ids import MessageId
from perene.core.messages import Fate, LedgerEntry, MessageKey
from perene.engine.addresses import is_person
from perene.engine.content import describe, parse_message
from perene.engine.draft import Draft
from perene.engine.errors import QueryFailed, QueryTimedOut
from perene.engine.incoming import Incoming, message_from
from perene.engine.line import Line
from perene.engine.stanza import MAX_ID, is_status
from perene.engine.stanza import timestamp as read_time
from perene.engine.work_queue import Rest
from perene.wire.errors import JidError
from perene.wire.jid import Jid
from perene.wire.proto import wa_pb2

log = structlog.stdlib.get_logger()

_REQUEST = wa_pb2.Message.PeerDataOperationRequestType
_PROTOCOL = wa_pb2.Message.ProtocolMessage

SENDER_ANSWERS_WITHIN_S = 20.0
"""How long the sender is given before the phone is asked, too."""

_KEPT_FOR = timedelta(days=14)
"""Of what is older the phone is not asked (whatsapp-rust PR 506; the age of the queue)."""

_ATTEMPTS, _ASKED_AGAIN_AFTER_S = 5, 60.0
_REMEMBERED = 1024
_NOT_FOR_US = ("view_once", "bot", "hosted")
"""What `<unavailable>` says of content that no linked device is given (Baileys
src/Socket/messages-recv.ts, 2026-05-21)."""


class PhoneResends:
    """Asks for each message once per connection, and takes what the phone answers.

    `ask` sends a peer message to the phone; it may raise QueryFailed and QueryTimedOut.
    """

    def __init__(self, line: Line, *, ask: Callable[[wa_pb2.Message], Awaitable[bool]]) -> None:
        self._stage = line.stage
        self._clock = line.clock
        self._later = line.later
        self._ask = ask
        self._wanted: OrderedDict[MessageKey, bool] = OrderedDict()
        """Messages that are missing, and whether the phone was asked for each."""

    def unavailable(self, incoming: Incoming) -> None:
        """WhatsApp had nothing of a message for this device."""
        node = incoming.node.child("unavailable")
        kind = node.attrs.get("type", "") if node is not None else "nothing"
        if node is not None and not any(word in kind for word in _NOT_FOR_US):
            self._want(incoming, wait=False)

    def unreadable(self, incoming: Incoming, *, resend_requested: bool) -> None:
        """A message could not be decrypted; its sender was asked to send it again, or not."""
        self._want(incoming, wait=resend_requested)

    def _want(self, incoming: Incoming, *, wait: bool) -> None:
        key, envelope = incoming.key, incoming.envelope
        if envelope.category == "peer" or is_status(incoming.node):
            return
        now = self._clock.now()
        if now - (envelope.timestamp or now) > _KEPT_FOR or (wait and key in self._wanted):
            return
        request = _request(incoming)

        async def ask(attempt: int = 1) -> Rest | None:
            entry = await self._stage.ledger_entry(key)
            if self._wanted.get(key) or entry is None or not entry.fate.is_open:
                return None
            try:
                self._wanted[key] = await self._ask(request)
            except (QueryFailed, QueryTimedOut):
                # The server did not give the phone's keys.
                again = Rest(after_s=_ASKED_AGAIN_AFTER_S, work=lambda: ask(attempt + 1))
                return again if attempt < _ATTEMPTS else None
            log.info("message_asked_of_phone", sender_was_given_time=wait)
            return None

        async def ask_later() -> Rest:
            return Rest(after_s=SENDER_ANSWERS_WITHIN_S, work=ask)

        if self._later(ask_later if wait else ask):
            self._wanted.setdefault(key, False)
            while len(self._wanted) > _REMEMBERED:
                self._wanted.popitem(last=False)

    async def take(self, content: wa_pb2.Message, draft: Draft) -> list[MessageKey]:
        """Stage what the phone answers of messages that are missing here; return which these are.

        Only an own device's word may come to this.
        """
        taken: list[MessageKey] = []
        for info in _answered(content):
            key = await self._key(info)
            entry = await self._stage.ledger_entry(key) if key is not None else None
            # As it would have been read itself, with odd characters mended.
            message = parse_message(info.message.SerializeToString())
            if key is None or entry is None or message is None or not entry.fate.is_open:
                continue
            described, now = describe(message), self._clock.now()
            if described.kind is None or key in taken:
                continue
            draft.messages.append(
                message_from(
                    key,
                    described,
                    message.SerializeToString(),
                    book=self._stage.book,
                    timestamp=read_time(str(info.messageTimestamp)) or now,
                    push_name=info.pushName or None,
                    sender_device=0,
                    now=now,
                )
            )
            draft.ledger.append(LedgerEntry(key=key, fate=Fate.DELIVERED, at=now))
            taken.append(key)
        return taken

    async def _key(self, info: wa_pb2.WebMessageInfo) -> MessageKey | None:
        """Return the canonical key of an answered message, None if it names no chat or sender."""
        own, book = self._stage.credentials.own_pn.bare, self._stage.book
        try:
            chat = Jid.parse(info.key.remoteJid).bare
            other = info.key.participant or info.participant
            sender = own if info.key.fromMe else Jid.parse(other).bare if other else chat
        except JidError:
            return None
        if not 0 < len(info.key.id) <= MAX_ID:
            return None
        await book.load([jid for jid in (chat, sender) if is_person(jid)])
        return MessageKey(
            chat=str(book.canonical(chat)),
            sender=str(book.canonical(sender)),
            id=MessageId(info.key.id),
            from_me=info.key.fromMe,
        )


def is_answer(content: wa_pb2.Message) -> bool:
    """Tell whether a peer message answers a request for messages."""
    response = content.protocolMessage.peerDataOperationRequestResponseMessage
    return response.peerDataOperationRequestType == _REQUEST.PLACEHOLDER_MESSAGE_RESEND


def _answered(content: wa_pb2.Message) -> Iterator[wa_pb2.WebMessageInfo]:
    response = content.protocolMessage.peerDataOperationRequestResponseMessage
    for result in response.peerDataOperationResult:
        info = wa_pb2.WebMessageInfo()
        try:
            info.ParseFromString(result.placeholderMessageResendResponse.webMessageInfoBytes)
        except DecodeError:
            continue
        yield info


def _request(incoming: Incoming) -> wa_pb2.Message:
    """Return a request for a message, named by the addresses that it came with."""
    envelope = incoming.envelope
    message = wa_pb2.Message()
    content = message.protocolMessage
    content.type = _PROTOCOL.PEER_DATA_OPERATION_REQUEST_MESSAGE
    request = content.peerDataOperationRequestMessage
    request.peerDataOperationRequestType = _REQUEST.PLACEHOLDER_MESSAGE_RESEND
    key = request.placeholderMessageResendRequest.add().messageKey
    key.remoteJid, key.fromMe, key.id = str(envelope.chat), envelope.from_me, envelope.id
    if envelope.is_group and not envelope.from_me:
        key.participant = str(envelope.sender.bare)
    return message
