"""Asking the account's phone for what this device could not read.

The phone has it, and gives it without its owner (docs/reference/protocol.md §4.5). It is asked when
WhatsApp had nothing for this device in the first place (`<unavailable>`), when the sender has been
asked in vain as often as may be, and when the sender does not answer. As whatsmeow (retry.go
`delayedRequestMessageFromPhone`, send.go `BuildUnavailableMessageRequest`, 2026-08-21) and
whatsapp-rust do (pull request 506, 2026-04-08).

For what it is still to be asked is kept in the ledger until the server has the request: the next
connection goes on with it.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta

import structlog
from google.protobuf.message import DecodeError

from perene.core.errors import StorageUnavailable
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
from perene.wire.node import Node
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
_AT_ONCE = 32
"""Messages in one request (zapo src/client/coordinators/WaRetryCoordinator.ts, 2026-08-19)."""

_LEFT = 256
"""Messages that an earlier connection has left, and that this one asks for."""

_NOT_FOR_US = ("view_once", "bot", "hosted")
"""What `<unavailable>` says of content that no linked device is given (Baileys
src/Socket/messages-recv.ts, 2026-05-21)."""

Ask = Callable[[wa_pb2.Message, Callable[[], object]], Awaitable[bool]]


class PhoneResends:
    """Asks for each message once per connection, and takes what the phone answers.

    `ask` sends a peer message to the phone, and calls what it is given when the server has it; it
    may raise QueryFailed and QueryTimedOut.
    """

    def __init__(self, line: Line, *, ask: Ask) -> None:
        self._stage = line.stage
        self._answers = line.answers
        self._clock = line.clock
        self._later = line.later
        self._ask = ask
        self._wanted: OrderedDict[MessageKey, bool] = OrderedDict()
        """Messages that are missing, and whether the phone was asked for each."""

    def wants(self, incoming: Incoming) -> bool:
        """Tell whether the phone is to be asked for a message; note it in its ledger entry."""
        if incoming.envelope.category == "peer" or is_status(incoming.node):
            return False
        now = self._clock.now()
        if now - (incoming.envelope.timestamp or now) > _KEPT_FOR:
            return False
        has_ciphertext = any(child.tag == "enc" for child in incoming.node.children)
        return has_ciphertext or _is_given(incoming.node)

    def want(self, incoming: Incoming, *, resend_requested: bool = False) -> None:
        """Ask for a message that could not be read: at once, unless its sender was asked for it."""
        key = incoming.key
        if not self.wants(incoming) or (resend_requested and key in self._wanted):
            return
        wanted = {key: _as_it_came(incoming)}

        async def ask() -> Rest | None:
            return await self._ask_for(wanted)

        async def ask_later() -> Rest:
            return Rest(after_s=SENDER_ANSWERS_WITHIN_S, work=ask)

        if self._later(ask_later if resend_requested else ask):
            self._remember([key])

    def resume(self) -> None:
        """Go on with what the connections before were to ask for, once senders had their time."""

        async def look_later() -> Rest:
            return Rest(after_s=SENDER_ANSWERS_WITHIN_S, work=self._look)

        self._later(look_later)

    async def _look(self) -> Rest | None:
        since = self._clock.now() - _KEPT_FOR
        try:
            found = await self._stage.store.wanted_of_phone(since=since, limit=_LEFT)
            left = [entry.key for entry in found if entry.key not in self._wanted]
            wanted = {key: await self._as_stored(key) for key in left}
        except StorageUnavailable:
            return Rest(after_s=_ASKED_AGAIN_AFTER_S, work=self._look)
        if not wanted:
            return None
        self._remember(wanted)
        return await self._ask_for(wanted)

    def _remember(self, keys: Iterable[MessageKey]) -> None:
        for key in keys:
            self._wanted.setdefault(key, False)
        while len(self._wanted) > _REMEMBERED:
            self._wanted.popitem(last=False)

    async def _ask_for(
        self, wanted: Mapping[MessageKey, wa_pb2.MessageKey], attempt: int = 1
    ) -> Rest | None:
        try:
            missing = [key for key in wanted if await self._is_missing(key)]
            for first in range(0, len(missing), _AT_ONCE):
                await self._ask_at_once(missing[first : first + _AT_ONCE], wanted)
        except (QueryFailed, QueryTimedOut, StorageUnavailable):
            # The server did not give the phone's keys, or the database is away, for which no
            # connection is given up.
            if attempt == _ATTEMPTS:
                return None
            return Rest(
                after_s=_ASKED_AGAIN_AFTER_S, work=lambda: self._ask_for(wanted, attempt + 1)
            )
        return None

    async def _is_missing(self, key: MessageKey) -> bool:
        entry = await self._stage.ledger_entry(key)
        return not self._wanted.get(key) and entry is not None and entry.fate.is_open

    async def _ask_at_once(
        self, keys: list[MessageKey], wanted: Mapping[MessageKey, wa_pb2.MessageKey]
    ) -> None:
        request = _request(wanted[key] for key in keys)
        asked = await self._ask(request, lambda: self._later(lambda: self._note_asked(keys)))
        self._wanted.update(dict.fromkeys(keys, asked))
        if asked:
            log.info("messages_asked_of_phone", count=len(keys))

    async def _note_asked(self, keys: Iterable[MessageKey]) -> None:
        """Let no later connection ask for these: the server has the request for the phone."""
        async with self._stage.lock:
            draft = Draft(self._stage)
            try:
                entries = [await self._stage.ledger_entry(key) for key in keys]
            except StorageUnavailable:
                return  # asked once more by the next connection, which the phone does not mind
            draft.ledger.extend(
                replace(entry, wants_phone=False)
                for entry in entries
                if entry is not None and entry.fate.is_open
            )
            self._answers.put(draft.submit())

    async def _as_stored(self, key: MessageKey) -> wa_pb2.MessageKey:
        """Name a message by its canonical addresses, or by number if the account does."""
        book, chat, sender = self._stage.book, Jid.parse(key.chat), Jid.parse(key.sender)
        await book.load([jid for jid in (chat, sender) if is_person(jid)])
        if self._stage.credentials.writes_by_number(self._clock.now()):
            chat, sender = book.phone_number(chat) or chat, book.phone_number(sender) or sender
        named = wa_pb2.MessageKey(remoteJid=str(chat), fromMe=key.from_me, id=key.id)
        if not is_person(chat) and not key.from_me:
            named.participant = str(sender)
        return named

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


def _is_given(node: Node) -> bool:
    """Tell whether the phone gives what a placeholder stands for.

    It does not if that is of a bot, of a hosted device, or to be seen once (zapo pull request 221,
    2026-07-31, for the forms in which a stanza says so).
    """
    unavailable = node.child("unavailable")
    if unavailable is None or node.child("bot") is not None:
        return False
    kind, is_hosted = unavailable.attrs.get("type", ""), unavailable.attrs.get("hosted") == "true"
    return not is_hosted and not any(word in kind for word in _NOT_FOR_US)


def _as_it_came(incoming: Incoming) -> wa_pb2.MessageKey:
    """Name a message by the addresses that it came with."""
    envelope = incoming.envelope
    key = wa_pb2.MessageKey(
        remoteJid=str(envelope.chat), fromMe=envelope.from_me, id=str(envelope.id)
    )
    if envelope.is_group and not envelope.from_me:
        key.participant = str(envelope.sender.bare)
    return key


def _request(keys: Iterable[wa_pb2.MessageKey]) -> wa_pb2.Message:
    """Return a request for these messages."""
    message = wa_pb2.Message()
    content = message.protocolMessage
    content.type = _PROTOCOL.PEER_DATA_OPERATION_REQUEST_MESSAGE
    request = content.peerDataOperationRequestMessage
    request.peerDataOperationRequestType = _REQUEST.PLACEHOLDER_MESSAGE_RESEND
    for key in keys:
        request.placeholderMessageResendRequest.add().messageKey.CopyFrom(key)
    return message
