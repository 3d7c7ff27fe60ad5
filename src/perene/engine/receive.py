"""The receive path: one `<message>`, from the wire to a unit and its answers.

Persist, then acknowledge: nothing here is answered before its unit is committed, and every
message gets exactly one terminal answer (facts/protocol.md §5.1).
"""

from collections.abc import Collection
from dataclasses import dataclass

import structlog

from perene.core.clock import Clock
from perene.core.events import Event, EventType, Json
from perene.core.messages import Fate, LedgerEntry, Message, MessageKey, Status
from perene.core.unit import PeerMessage
from perene.engine.addresses import is_person, signal_address
from perene.engine.answers import Answers, acknowledge, receipt
from perene.engine.content import Content, describe, parse_message
from perene.engine.decrypt import REASONS, Opened, RetryReason, digest, open_enc
from perene.engine.resend import RetryRequests
from perene.engine.stage import Draft, Stage
from perene.engine.stanza import MAX_ID, Envelope, read_envelope
from perene.signal.errors import DuplicateMessage, SignalError
from perene.signal.sender_key import process_distribution
from perene.wire.errors import WireError
from perene.wire.jid import Jid
from perene.wire.node import Node
from perene.wire.proto import wa_pb2

log = structlog.stdlib.get_logger()

_NACK_PARSING = 487
_NACK_UNKNOWN_STANZA = 488
_NACK_INVALID_PROTOBUF = 491
_NACK_NO_SECRET = 495
"""What a refusal says (facts/protocol.md §2). The server drops what is refused, for good, so only
that is refused which no resend can mend."""

_SETTLED = (Fate.DELIVERED, Fate.RECOVERED, Fate.CONTROL)
_DIRECT = ("pkmsg", "msg")
_READABLE = (*_DIRECT, "skmsg")

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Incoming:
    """A message on its way through: its stanza, and its canonical addresses."""

    node: Node
    envelope: Envelope
    chat: Jid
    sender: Jid
    key: MessageKey
    digests: tuple[bytes, ...]


@dataclass(slots=True)
class Received:
    """Counts of one connection, for health and metrics."""

    messages: int = 0
    redelivered: int = 0
    unreadable: int = 0


class Receiver:
    """Turns incoming messages into units and answers, in arrival order."""

    def __init__(
        self,
        *,
        stage: Stage,
        answers: Answers,
        retries: RetryRequests,
        clock: Clock,
        online: bool,
    ) -> None:
        self._stage = stage
        self._answers = answers
        self._retries = retries
        self._clock = clock
        self._online = online
        self.counts = Received()

    def digests(self, node: Node) -> tuple[bytes, ...]:
        """Return the ciphertext hashes of a message stanza."""
        sender = node.attrs.get("participant") or node.attrs.get("from", "")
        return tuple(digest(sender, child) for child in node.children if child.tag == "enc")

    async def receive(self, node: Node, known: Collection[bytes]) -> None:
        """Process one `<message>`; `known` are the committed ciphertext hashes of its batch.

        Returns when its unit is handed over; the answer follows the commit. Raises StorageError
        when stored state cannot be read.
        """
        try:
            envelope = read_envelope(node, self._stage.credentials)
        except WireError as error:
            await self._refuse(node, error)
            return
        digests = self.digests(node)
        pending = [self._stage.in_flight[d] for d in digests if d in self._stage.in_flight]
        if digests and all(d in known or d in self._stage.in_flight for d in digests):
            self.counts.redelivered += 1
            self._answers.put(pending[-1] if pending else None, self._delivered(node, envelope))
            return
        async with self._stage.lock:
            draft = self._stage.draft()
            incoming = await self._identify(node, envelope, draft, digests)
            await self._process(incoming, draft)

    async def _refuse(self, node: Node, error: WireError) -> None:
        """Refuse a message that says not from whom it is; unanswered it would come for ever."""
        log.warning("message_refused", reason=type(error).__name__)
        self.counts.unreadable += 1
        async with self._stage.lock:
            draft = self._stage.draft()
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

    async def _identify(
        self, node: Node, envelope: Envelope, draft: Draft, digests: tuple[bytes, ...]
    ) -> _Incoming:
        book = self._stage.book
        if envelope.pairs:
            await draft.learn(envelope.pairs)
        await book.load([jid for jid in (envelope.chat, envelope.sender) if is_person(jid)])
        chat, sender = book.canonical(envelope.chat), book.canonical(envelope.sender)
        return _Incoming(
            node=node,
            envelope=envelope,
            chat=chat,
            sender=sender,
            key=MessageKey(
                chat=str(chat),
                sender=str(sender.bare),
                id=envelope.id,
                from_me=envelope.from_me,
            ),
            digests=digests,
        )

    async def _process(self, incoming: _Incoming, draft: Draft) -> None:
        encs = [child for child in incoming.node.children if child.tag == "enc"]
        if not encs:
            self._without_ciphertext(incoming, draft)
            return
        if not any(enc.attrs.get("type") in _READABLE for enc in encs):
            self._unsupported(incoming, draft, encs[0].attrs.get("type", ""))
            return
        # Direct parts first: they carry the sender key that the group part needs (§4.1).
        encs.sort(key=lambda enc: enc.attrs.get("type") not in _DIRECT)
        group = str(incoming.chat) if incoming.envelope.is_group else None
        content: wa_pb2.Message | None = None
        body = b""
        failure: SignalError | None = None
        duplicate = False
        new_identity = False
        for enc in encs:
            try:
                opened = await open_enc(
                    draft,
                    enc,
                    sender=incoming.sender,
                    group=group,
                    own=self._stage.credentials,
                )
            except DuplicateMessage:
                duplicate = True
                continue
            except SignalError as error:
                # A failed direct part explains the failure of the group part behind it.
                failure = failure or error
                continue
            new_identity |= opened.new_identity
            message = await self._parse(opened, incoming, draft)
            if message is None:
                self._malformed(incoming, draft)
                return
            if content is None or describe(message).kind is not None:
                content, body = message, opened.plaintext
        if new_identity:
            draft.events.append(self._event(EventType.PEER_IDENTITY_CHANGED, incoming, {}))
        has_content = content is not None and describe(content).kind is not None
        if failure is not None and not has_content:
            await self._unreadable(incoming, draft, failure)
        elif content is not None:
            draft.ciphertexts.extend(incoming.digests)
            await self._accept(incoming, draft, content, body)
        elif duplicate:
            await self._duplicate(incoming, draft)

    async def _parse(
        self, opened: Opened, incoming: _Incoming, draft: Draft
    ) -> wa_pb2.Message | None:
        message = parse_message(opened.plaintext)
        if message is None:
            return None
        if message.HasField("senderKeyDistributionMessage"):
            await self._take_sender_key(message.senderKeyDistributionMessage, incoming, draft)
        return message

    async def _take_sender_key(
        self,
        distribution: wa_pb2.Message.SenderKeyDistributionMessage,
        incoming: _Incoming,
        draft: Draft,
    ) -> None:
        if not incoming.envelope.is_group:
            # A key is for the group that it came in; anywhere else it would only fill the store.
            return
        group = str(incoming.chat)
        address = signal_address(incoming.sender)
        record = await draft.sender_key(group, address)
        try:
            record = process_distribution(record, distribution.axolotlSenderKeyDistributionMessage)
        except SignalError:
            # The content beside it is readable all the same; what is encrypted with the key will
            # fail on its own, and ask for the key then.
            return
        draft.set_sender_key(group, address, record)

    async def _accept(
        self, incoming: _Incoming, draft: Draft, content: wa_pb2.Message, body: bytes
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
        self, incoming: _Incoming, key: MessageKey, described: Content, body: bytes
    ) -> Message:
        """Return the message with the event that tells of it."""
        envelope = incoming.envelope
        now = self._clock.now()
        timestamp = envelope.timestamp or now
        kind = described.kind or "unknown"
        book = self._stage.book
        sender_pn = book.phone_number(incoming.sender.bare)
        chat_pn = sender_pn
        if key.chat != key.sender:
            chat = Jid.parse(key.chat)
            chat_pn = book.phone_number(chat) if is_person(chat) else None
        payload: dict[str, Json] = {
            "message_id": key.id,
            "chat": key.chat,
            "chat_pn": str(chat_pn) if chat_pn else None,
            "sender": key.sender,
            "sender_pn": str(sender_pn) if sender_pn else None,
            "from_me": key.from_me,
            "kind": kind,
            "text": described.text,
            "timestamp": timestamp.isoformat(),
            "push_name": envelope.push_name,
        }
        return Message(
            key=key,
            kind=kind,
            text=described.text,
            body=body,
            timestamp=timestamp,
            status=Status.SENT if key.from_me else Status.RECEIVED,
            push_name=envelope.push_name,
            sender_device=incoming.sender.device,
            event=Event(type=EventType.MESSAGE_RECEIVED, at=now, payload=payload),
        )

    def _accept_peer(self, incoming: _Incoming, draft: Draft, kind: str, body: bytes) -> None:
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
        incoming: _Incoming,
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
        self._answers.put(draft.submit(), answer, *extra)

    async def _duplicate(self, incoming: _Incoming, draft: Draft) -> None:
        """Answer a message whose key was used before (facts/protocol.md §0, fact 6)."""
        entry = await self._stage.ledger_entry(incoming.key)
        if entry is None or entry.fate not in _SETTLED:
            # The ratchet says that it was read, and the ledger does not hold it: only a restored
            # backup of one without the other does that. It is gone, and must be seen to be.
            draft.events.append(
                self._event(EventType.MESSAGE_UNREADABLE, incoming, {"reason": "key_used_before"})
            )
            self._settle(incoming, draft, Fate.LOST, "key_used_before")
            return
        self.counts.redelivered += 1
        draft.ciphertexts.extend(incoming.digests)
        answer = self._delivered(incoming.node, incoming.envelope)
        self._answers.put(draft.submit(), answer)

    async def _unreadable(self, incoming: _Incoming, draft: Draft, failure: SignalError) -> None:
        entry = await self._stage.ledger_entry(incoming.key)
        if entry is not None and entry.fate in _SETTLED:
            # A resend of what we have: nothing is missing.
            self._answers.put(draft.submit(), self._delivered(incoming.node, incoming.envelope))
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
            self._event(
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
            self._answers.put(draft.submit(), answer)
        else:
            self._answers.put_delayed(draft.submit(), request.node, answer)

    def _unsupported(self, incoming: _Incoming, draft: Draft, kind: str) -> None:
        """Refuse what is encrypted in a way that a resend would not change."""
        code = _NACK_NO_SECRET if kind == "msmsg" else _NACK_UNKNOWN_STANZA
        self._lose(incoming, draft, f"unsupported_{kind[:32]}")
        draft.ciphertexts.extend(incoming.digests)
        self._answers.put(draft.submit(), acknowledge(incoming.node, error=code))

    def _malformed(self, incoming: _Incoming, draft: Draft) -> None:
        self._lose(incoming, draft, "invalid_protobuf")
        draft.ciphertexts.extend(incoming.digests)
        refusal = acknowledge(incoming.node, error=_NACK_INVALID_PROTOBUF)
        self._answers.put(draft.submit(), refusal)

    def _without_ciphertext(self, incoming: _Incoming, draft: Draft) -> None:
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
        self._answers.put(draft.submit(), self._taken(incoming.node, incoming.envelope))

    def _lose(self, incoming: _Incoming, draft: Draft, reason: str) -> None:
        """Note that a message cannot be had, and why."""
        draft.ledger.append(
            LedgerEntry(key=incoming.key, fate=Fate.LOST, at=self._clock.now(), reason=reason)
        )
        draft.events.append(self._event(EventType.MESSAGE_UNREADABLE, incoming, {"reason": reason}))

    def _delivered(self, node: Node, envelope: Envelope) -> Node:
        if envelope.from_me:
            return receipt(node, "peer_msg" if envelope.category == "peer" else "sender")
        return receipt(node, None if self._online else "inactive")

    def _taken(self, node: Node, envelope: Envelope) -> Node:
        """Answer for a message that was not read; an own one needs its receipt all the same.

        A bare ack does not drain copies from own devices (facts/protocol.md §5.1).
        """
        return self._delivered(node, envelope) if envelope.from_me else acknowledge(node)

    def _event(self, kind: EventType, incoming: _Incoming, details: dict[str, Json]) -> Event:
        return Event(
            type=kind,
            at=self._clock.now(),
            payload={
                "message_id": incoming.key.id,
                "chat": incoming.key.chat,
                "sender": incoming.key.sender,
                **details,
            },
        )
