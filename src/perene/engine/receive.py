"""The receive path: one `<message>`, from the wire to a unit and its answers.

Persist, then acknowledge: nothing here is answered before its unit is committed, and every message
gets exactly one terminal answer (docs/reference/protocol.md §5.1). Since July 2026 status updates
come as `<status>`, which is the same but for its tag (whatsapp-rust src/client/node_io.rs,
2026-08-21).
"""

from collections.abc import Collection

from perene.core.events import EventType
from perene.core.messages import Fate, LedgerEntry, Message, MessageKey
from perene.core.unit import PeerMessage
from perene.engine.addresses import is_person
from perene.engine.answers import delivered, unread
from perene.engine.content import Content, describe, parse_message
from perene.engine.draft import Draft
from perene.engine.incoming import Incoming, digests_of, identify, message_of, told_of
from perene.engine.line import Line
from perene.engine.outgoing import original_of
from perene.engine.phone_resends import PhoneResends, is_answer
from perene.engine.reading import READABLE, read_parts
from perene.engine.retry_requests import RetryRequests
from perene.engine.stanza import read_envelope
from perene.engine.unreadable import Unreadable
from perene.wire.errors import WireError
from perene.wire.jid import Jid
from perene.wire.node import Node
from perene.wire.proto import wa_pb2

_Protocol = wa_pb2.Message.ProtocolMessage
_PEER_ONLY = frozenset(
    (
        _Protocol.HISTORY_SYNC_NOTIFICATION,
        _Protocol.APP_STATE_SYNC_KEY_SHARE,
        _Protocol.APP_STATE_SYNC_KEY_REQUEST,
        _Protocol.APP_STATE_FATAL_EXCEPTION_NOTIFICATION,
        _Protocol.INITIAL_SECURITY_NOTIFICATION_SETTING_SYNC,
        _Protocol.PEER_DATA_OPERATION_REQUEST_MESSAGE,
        _Protocol.PEER_DATA_OPERATION_REQUEST_RESPONSE_MESSAGE,
        _Protocol.LID_MIGRATION_MAPPING_SYNC,
    )
)
"""Kinds that only an own device may send; from anybody else they are forged
(docs/reference/protocol.md §4.1)."""


class Receiver:
    """Turns incoming messages into units and answers, in arrival order."""

    def __init__(self, line: Line, *, phone: PhoneResends, max_retries: int, online: bool) -> None:
        self._stage = line.stage
        self._answers = line.answers
        self._clock = line.clock
        self._retries = RetryRequests(line.stage, line.clock, limit=max_retries)
        self._phone = phone
        self._unreadable = Unreadable(line, retries=self._retries, phone=phone, online=online)
        self._online = online

    async def receive(self, node: Node, known: Collection[bytes]) -> None:
        """Process one message; `known` are the committed ciphertext hashes of its batch.

        Returns when its unit is handed over; the answer follows the commit. Raises StorageError
        when stored state cannot be read.
        """
        try:
            envelope = read_envelope(node, self._stage.credentials)
        except WireError as error:
            await self._unreadable.refuse(node, error)
            return
        digests = digests_of(node)
        pending = [self._stage.in_flight[d] for d in digests if d in self._stage.in_flight]
        if digests and all(d in known or d in self._stage.in_flight for d in digests):
            # Read before, and delivered again; what is not committed yet is answered once it is.
            answer = delivered(node, envelope, online=self._online)
            self._answers.put(pending[-1] if pending else None, *answer)
            return
        async with self._stage.lock:
            draft = Draft(self._stage)
            incoming = await identify(node, envelope, digests, book=self._stage.book, draft=draft)
            await self._process(incoming, draft)

    async def _process(self, incoming: Incoming, draft: Draft) -> None:
        encs = [child for child in incoming.node.children if child.tag == "enc"]
        if not encs:
            self._without_ciphertext(incoming, draft)
            return
        if not any(enc.attrs.get("type") in READABLE for enc in encs):
            self._unreadable.unsupported(incoming, draft, encs[0].attrs.get("type", ""))
            return
        reading = await read_parts(draft, incoming, encs, self._stage.credentials)
        if reading.new_identity:
            now = self._clock.now()
            draft.events.append(told_of(EventType.PEER_IDENTITY_CHANGED, incoming, {}, now=now))
        if reading.failure is not None and not reading.is_understood:
            await self._unreadable.not_decrypted(incoming, draft, reading.failure)
        elif reading.malformed and reading.kind is None:
            self._unreadable.malformed(incoming, draft)
        elif reading.content is not None:
            draft.ciphertexts.extend(incoming.digests)
            await self._accept(incoming, draft, reading.content, reading.body)
        else:
            await self._duplicate(incoming, draft)

    def _without_ciphertext(self, incoming: Incoming, draft: Draft) -> None:
        """Take a message that is not encrypted for us: a channel's post, or a placeholder."""
        plaintext = incoming.node.child("plaintext")
        content = parse_message(plaintext.data) if plaintext is not None else None
        if content is None or plaintext is None or not incoming.chat.is_newsletter:
            self._unreadable.without_ciphertext(incoming, draft)
            return
        described = describe(content)
        draft.messages.append(self._message(incoming, incoming.key, described, plaintext.data))
        draft.ledger.append(
            LedgerEntry(key=incoming.key, fate=Fate.DELIVERED, at=self._clock.now())
        )
        answer = unread(incoming.node, incoming.envelope, online=self._online)
        self._answers.put(draft.submit(), *answer)

    async def _accept(
        self, incoming: Incoming, draft: Draft, content: wa_pb2.Message, body: bytes
    ) -> None:
        key = incoming.key
        if content.HasField("deviceSentMessage"):
            if not incoming.envelope.from_me:
                self._settle(incoming, draft, Fate.CONTROL, "device_sent_by_stranger")
                return
            sent = content.deviceSentMessage
            content = original_of(content)
            body = content.SerializeToString()
            chat = await self._destination(sent.destinationJid)
            if chat is not None:
                key = MessageKey(chat=str(chat), sender=key.sender, id=key.id, from_me=True)
        described = describe(content)
        if content.protocolMessage.type in _PEER_ONLY:
            await self._accept_peer(incoming, draft, described.kind or "", content, body)
            return
        if described.kind is None:
            self._settle(incoming, draft, Fate.CONTROL, "no_content")
            return
        draft.messages.append(self._message(incoming, key, described, body))
        self._settle(incoming, draft, Fate.DELIVERED, None)

    async def _destination(self, text: str) -> Jid | None:
        """Return the canonical chat that a copy of an own message names, None if it names none."""
        try:
            chat = Jid.parse(text).bare
        except WireError:
            return None
        if not chat.user:
            return None
        await self._stage.book.load([chat] if is_person(chat) else [])
        return self._stage.book.canonical(chat)

    def _message(
        self, incoming: Incoming, key: MessageKey, described: Content, body: bytes
    ) -> Message:
        book, now = self._stage.book, self._clock.now()
        return message_of(incoming, key, described, body, book=book, now=now)

    async def _accept_peer(
        self, incoming: Incoming, draft: Draft, kind: str, content: wa_pb2.Message, body: bytes
    ) -> None:
        if not incoming.envelope.from_me:
            self._settle(incoming, draft, Fate.CONTROL, "peer_data_by_stranger")
            return
        if is_answer(content) and not incoming.sender.device:
            # What it holds is stored as what it is; kept twice, it would be there for ever.
            for key in await self._phone.take(content, draft):
                self._retries.settled(key)
        else:
            draft.peer_messages.append(PeerMessage(id=incoming.key.id, kind=kind, body=body))
        extra: tuple[Node, ...] = ()
        if kind == "history_sync_notification":
            own = self._stage.credentials.own_pn.bare
            extra = (Node("receipt", {"id": incoming.key.id, "to": str(own), "type": "hist_sync"}),)
        self._settle(incoming, draft, Fate.CONTROL, kind, extra=extra)

    def _settle(
        self,
        incoming: Incoming,
        draft: Draft,
        fate: Fate,
        reason: str | None,
        *,
        extra: tuple[Node, ...] = (),
    ) -> None:
        draft.ledger.append(
            LedgerEntry(key=incoming.key, fate=fate, at=self._clock.now(), reason=reason)
        )
        self._retries.settled(incoming.key)
        answer = delivered(incoming.node, incoming.envelope, online=self._online)
        self._answers.put(draft.submit(), *answer, *extra)

    async def _duplicate(self, incoming: Incoming, draft: Draft) -> None:
        """Answer a message whose key was used before (docs/reference/protocol.md §0, fact 6)."""
        entry = await self._stage.ledger_entry(incoming.key)
        if entry is None or entry.fate.is_open:
            self._unreadable.key_used_before(incoming, draft)
            return
        draft.ciphertexts.extend(incoming.digests)
        answer = delivered(incoming.node, incoming.envelope, online=self._online)
        self._answers.put(draft.submit(), *answer)
