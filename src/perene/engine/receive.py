"""The receive path: one `<message>`, from the wire to a unit and its answers.

Persist, then acknowledge: nothing here is answered before its unit is committed, and every
message gets exactly one terminal answer (facts/protocol.md §5.1). Since July 2026 status updates
come as `<status>`, which is the same but for its tag (whatsapp-rust src/client/node_io.rs,
2026-08-21).
"""

from collections.abc import Collection
from dataclasses import dataclass

import structlog

from perene.core.events import Event, EventType, Json
from perene.core.messages import Fate, LedgerEntry, Message, MessageKey
from perene.core.unit import PeerMessage
from perene.engine.addresses import is_person
from perene.engine.answers import UNKNOWN_STANZA, acknowledge, receipt
from perene.engine.content import Content, describe, parse_message
from perene.engine.decrypt import REASONS, RetryReason
from perene.engine.draft import Draft
from perene.engine.incoming import Incoming, digests_of, identify, message_of, told_of
from perene.engine.line import Line
from perene.engine.reading import READABLE, read_parts
from perene.engine.resend import RetryRequests
from perene.engine.stanza import MAX_ID, Envelope, read_envelope
from perene.signal.errors import SignalError
from perene.wire.errors import WireError
from perene.wire.jid import Jid
from perene.wire.node import Node
from perene.wire.proto import wa_pb2

log = structlog.stdlib.get_logger()

_NACK_PARSING = 487
_NACK_INVALID_PROTOBUF = 491
_NACK_NO_SECRET = 495
"""What a refusal says (facts/protocol.md §2). The server drops what is refused, for good, so only
that is refused which no resend can mend."""

_SETTLED = (Fate.DELIVERED, Fate.RECOVERED, Fate.CONTROL)

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
"""Kinds that only an own device may send; from anybody else they are forged (§4.1)."""


@dataclass(slots=True)
class Received:
    """Counts of one connection, for health and metrics."""

    messages: int = 0
    redelivered: int = 0
    unreadable: int = 0


class Receiver:
    """Turns incoming messages into units and answers, in arrival order."""

    def __init__(self, line: Line, *, retries: RetryRequests, online: bool) -> None:
        self._stage = line.stage
        self._answers = line.answers
        self._clock = line.clock
        self._retries = retries
        self._online = online
        self.counts = Received()

    async def receive(self, node: Node, known: Collection[bytes]) -> None:
        """Process one message; `known` are the committed ciphertext hashes of its batch.

        Returns when its unit is handed over; the answer follows the commit. Raises StorageError
        when stored state cannot be read.
        """
        try:
            envelope = read_envelope(node, self._stage.credentials)
        except WireError as error:
            await self._refuse(node, error)
            return
        digests = digests_of(node)
        pending = [self._stage.in_flight[d] for d in digests if d in self._stage.in_flight]
        if digests and all(d in known or d in self._stage.in_flight for d in digests):
            self.counts.redelivered += 1
            self._answers.put(pending[-1] if pending else None, *self._delivered(node, envelope))
            return
        async with self._stage.lock:
            draft = Draft(self._stage)
            incoming = await identify(node, envelope, digests, book=self._stage.book, draft=draft)
            await self._process(incoming, draft)

    async def _refuse(self, node: Node, error: WireError) -> None:
        """Refuse a message that says not from whom it is; unanswered it would come for ever."""
        log.warning("message_refused", reason=type(error).__name__)
        self.counts.unreadable += 1
        async with self._stage.lock:
            draft = Draft(self._stage)
            draft.events.append(
                Event(
                    type=EventType.MESSAGE_UNREADABLE,
                    at=self._clock.now(),
                    payload={
                        "message_id": node.attrs.get("id", "")[:MAX_ID],
                        "chat": None,
                        "sender": None,
                        "reason": "malformed_envelope",
                    },
                )
            )
            self._answers.put(draft.submit(), acknowledge(node, error=_NACK_PARSING))

    async def _process(self, incoming: Incoming, draft: Draft) -> None:
        encs = [child for child in incoming.node.children if child.tag == "enc"]
        if not encs:
            self._without_ciphertext(incoming, draft)
            return
        if not any(enc.attrs.get("type") in READABLE for enc in encs):
            self._unsupported(incoming, draft, encs[0].attrs.get("type", ""))
            return
        reading = await read_parts(draft, incoming, encs, self._stage.credentials)
        if reading.malformed:
            self._malformed(incoming, draft)
            return
        if reading.new_identity:
            draft.events.append(self._told(EventType.PEER_IDENTITY_CHANGED, incoming, {}))
        if reading.failure is not None and not reading.has_content:
            await self._unreadable(incoming, draft, reading.failure)
        elif reading.content is not None:
            draft.ciphertexts.extend(incoming.digests)
            await self._accept(incoming, draft, reading.content, reading.body)
        elif reading.duplicate:
            await self._duplicate(incoming, draft)

    async def _accept(
        self, incoming: Incoming, draft: Draft, content: wa_pb2.Message, body: bytes
    ) -> None:
        key = incoming.key
        if content.HasField("deviceSentMessage"):
            if not incoming.envelope.from_me:
                self._settle(incoming, draft, Fate.CONTROL, "device_sent_by_stranger")
                return
            sent = content.deviceSentMessage
            content, body = sent.message, sent.message.SerializeToString()
            chat = await self._destination(sent.destinationJid)
            if chat is not None:
                key = MessageKey(chat=str(chat), sender=key.sender, id=key.id, from_me=True)
        described = describe(content)
        if content.HasField("protocolMessage") and content.protocolMessage.type in _PEER_ONLY:
            self._accept_peer(incoming, draft, described.kind or "", body)
            return
        if described.kind is None:
            self._settle(incoming, draft, Fate.CONTROL, "no_content")
            return
        self.counts.messages += 1
        message = self._message(incoming, key, described, body)
        draft.messages.append(message)
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

    def _accept_peer(self, incoming: Incoming, draft: Draft, kind: str, body: bytes) -> None:
        if not incoming.envelope.from_me:
            self._settle(incoming, draft, Fate.CONTROL, "peer_data_by_stranger")
            return
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
        answer = self._delivered(incoming.node, incoming.envelope)
        self._answers.put(draft.submit(), *answer, *extra)

    async def _duplicate(self, incoming: Incoming, draft: Draft) -> None:
        """Answer a message whose key was used before (facts/protocol.md §0, fact 6)."""
        entry = await self._stage.ledger_entry(incoming.key)
        if entry is None or entry.fate not in _SETTLED:
            # The ratchet says that it was read, and the ledger does not hold it: only a restored
            # backup of one without the other does that. It is gone, and must be seen to be.
            draft.events.append(
                self._told(EventType.MESSAGE_UNREADABLE, incoming, {"reason": "key_used_before"})
            )
            self._settle(incoming, draft, Fate.LOST, "key_used_before")
            return
        self.counts.redelivered += 1
        draft.ciphertexts.extend(incoming.digests)
        answer = self._delivered(incoming.node, incoming.envelope)
        self._answers.put(draft.submit(), *answer)

    async def _unreadable(self, incoming: Incoming, draft: Draft, failure: SignalError) -> None:
        entry = await self._stage.ledger_entry(incoming.key)
        if entry is not None and entry.fate in _SETTLED:
            # A resend of what we have: nothing is missing.
            self._answers.put(draft.submit(), *self._delivered(incoming.node, incoming.envelope))
            return
        self.counts.unreadable += 1
        reason = REASONS.get(type(failure), RetryReason.UNKNOWN)
        request = await self._retries.build(incoming.node, incoming.key, entry, reason, draft)
        draft.ledger.append(
            LedgerEntry(
                key=incoming.key,
                fate=Fate.PENDING if request.node else Fate.LOST,
                at=self._clock.now(),
                reason=failure.code,
                retries=request.count,
            )
        )
        draft.events.append(
            self._told(
                EventType.MESSAGE_UNREADABLE,
                incoming,
                {
                    "reason": failure.code,
                    "retries": request.count,
                    "resend_requested": request.node is not None,
                },
            )
        )
        # The request first, then the ack: a connection cut in between makes the server deliver
        # the stanza again, and the resend is asked for again (facts/protocol.md §4.5).
        answer = self._taken(incoming.node, incoming.envelope)
        if request.node is None:
            self._answers.put(draft.submit(), *answer)
        else:
            self._answers.put_delayed(draft.submit(), request.node, *answer)

    def _unsupported(self, incoming: Incoming, draft: Draft, kind: str) -> None:
        """Refuse what is encrypted in a way that a resend would not change."""
        code = _NACK_NO_SECRET if kind == "msmsg" else UNKNOWN_STANZA
        self._lose(incoming, draft, f"unsupported_{kind[:32]}")
        draft.ciphertexts.extend(incoming.digests)
        self._answers.put(draft.submit(), acknowledge(incoming.node, error=code))

    def _malformed(self, incoming: Incoming, draft: Draft) -> None:
        self._lose(incoming, draft, "invalid_protobuf")
        draft.ciphertexts.extend(incoming.digests)
        refusal = acknowledge(incoming.node, error=_NACK_INVALID_PROTOBUF)
        self._answers.put(draft.submit(), refusal)

    def _without_ciphertext(self, incoming: Incoming, draft: Draft) -> None:
        """Take a message that is not encrypted for us: a channel's post, or a placeholder."""
        plaintext = incoming.node.child("plaintext")
        content = parse_message(plaintext.data) if plaintext is not None else None
        if content is not None and plaintext is not None and incoming.chat.is_newsletter:
            described = describe(content)
            draft.messages.append(self._message(incoming, incoming.key, described, plaintext.data))
            draft.ledger.append(
                LedgerEntry(key=incoming.key, fate=Fate.DELIVERED, at=self._clock.now())
            )
        else:
            unavailable = incoming.node.child("unavailable")
            reason = "no_ciphertext"
            if unavailable is not None:
                reason = f"unavailable_{unavailable.attrs.get('type', 'unknown')[:32]}"
            self._lose(incoming, draft, reason)
        self._answers.put(draft.submit(), *self._taken(incoming.node, incoming.envelope))

    def _lose(self, incoming: Incoming, draft: Draft, reason: str) -> None:
        """Note that a message cannot be had, and why."""
        draft.ledger.append(
            LedgerEntry(key=incoming.key, fate=Fate.LOST, at=self._clock.now(), reason=reason)
        )
        draft.events.append(self._told(EventType.MESSAGE_UNREADABLE, incoming, {"reason": reason}))

    def _delivered(self, node: Node, envelope: Envelope) -> tuple[Node, ...]:
        if envelope.from_me:
            answer = receipt(node, "peer_msg" if envelope.category == "peer" else "sender")
        else:
            answer = receipt(node, None if self._online else "inactive")
        # A receipt settles a `<message>`; whatever else carries one is acknowledged besides.
        return (answer,) if node.tag == "message" else (answer, acknowledge(node))

    def _taken(self, node: Node, envelope: Envelope) -> tuple[Node, ...]:
        """Answer for a message that was not read; an own one needs its receipt all the same.

        A bare ack does not drain copies from own devices (facts/protocol.md §5.1).
        """
        return self._delivered(node, envelope) if envelope.from_me else (acknowledge(node),)

    def _told(self, kind: EventType, incoming: Incoming, details: dict[str, Json]) -> Event:
        return told_of(kind, incoming, details, now=self._clock.now())
