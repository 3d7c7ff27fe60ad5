"""What becomes of a message that cannot be read: its ledger row, its event, and its answer."""

import structlog

from perene.core.events import Event, EventType, Json
from perene.core.messages import Fate, LedgerEntry
from perene.engine.answers import UNKNOWN_STANZA, acknowledge, delivered, unread
from perene.engine.decrypt import REASONS, RetryReason
from perene.engine.draft import Draft
from perene.engine.incoming import Incoming, told_of
from perene.engine.line import Line
from perene.engine.phone_resends import PhoneResends
from perene.engine.retry_requests import RetryRequests
from perene.engine.stanza import MAX_ID
from perene.signal.errors import SignalError
from perene.wire.errors import WireError
from perene.wire.node import Node

log = structlog.stdlib.get_logger()

_NACK_PARSING = 487
_NACK_INVALID_PROTOBUF = 491
_NACK_NO_SECRET = 495
"""What a refusal says (docs/reference/protocol.md §2). The server drops what is refused, for good,
so only that is refused which no resend can mend."""


class Unreadable:
    """Keeps, tells and answers what nobody could read."""

    def __init__(
        self, line: Line, *, retries: RetryRequests, phone: PhoneResends, online: bool
    ) -> None:
        self._stage = line.stage
        self._answers = line.answers
        self._clock = line.clock
        self._retries = retries
        self._phone = phone
        self._online = online

    async def refuse(self, node: Node, error: WireError) -> None:
        """Refuse a message that says not from whom it is; unanswered it would come for ever."""
        log.warning("message_refused", reason=type(error).__name__)
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

    async def not_decrypted(self, incoming: Incoming, draft: Draft, failure: SignalError) -> None:
        """Ask the sender to send it again, up to the limit; then it is lost."""
        entry = await self._stage.ledger_entry(incoming.key)
        if entry is not None and not entry.fate.is_open:
            # A resend of what we have: nothing is missing.
            answer = delivered(incoming.node, incoming.envelope, online=self._online)
            self._answers.put(draft.submit(), *answer)
            return
        reason = REASONS.get(type(failure), RetryReason.UNKNOWN)
        request = await self._retries.build(incoming.node, incoming.key, entry, reason, draft)
        draft.ledger.append(
            LedgerEntry(
                key=incoming.key,
                fate=Fate.PENDING if request.node else Fate.LOST,
                at=self._clock.now(),
                reason=failure.code,
                retries=request.count,
                wants_phone=self._phone.wants(incoming) or None,
            )
        )
        details: dict[str, Json] = {
            "reason": failure.code,
            "retries": request.count,
            "resend_requested": request.node is not None,
        }
        draft.events.append(self._told(incoming, details))
        # The request first, then the ack: a connection cut in between makes the server deliver
        # the stanza again, and the resend is asked for again (docs/reference/protocol.md §4.5).
        answer = unread(incoming.node, incoming.envelope, online=self._online)
        if request.node is None:
            self._answers.put(draft.submit(), *answer)
        else:
            self._answers.put_delayed(draft.submit(), request.node, *answer)
        self._phone.want(incoming, resend_requested=request.node is not None)

    def key_used_before(self, incoming: Incoming, draft: Draft) -> None:
        """Note as lost what the ratchet says was read, and the ledger does not hold.

        Only a restored backup of one without the other does that: it is gone, and must be seen to
        be.
        """
        self._lose(incoming, draft, "key_used_before")
        self._retries.settled(incoming.key)
        answer = delivered(incoming.node, incoming.envelope, online=self._online)
        self._answers.put(draft.submit(), *answer)

    def unsupported(self, incoming: Incoming, draft: Draft, kind: str) -> None:
        """Refuse what is encrypted in a way that a resend would not change."""
        code = _NACK_NO_SECRET if kind == "msmsg" else UNKNOWN_STANZA
        self._refuse(incoming, draft, f"unsupported_{kind[:32]}", code)

    def malformed(self, incoming: Incoming, draft: Draft) -> None:
        """Refuse what was decrypted, and is no message."""
        self._refuse(incoming, draft, "invalid_protobuf", _NACK_INVALID_PROTOBUF)

    def _refuse(self, incoming: Incoming, draft: Draft, reason: str, code: int) -> None:
        self._lose(incoming, draft, reason)
        draft.ciphertexts.extend(incoming.digests)
        if incoming.envelope.from_me:
            # Only its receipt takes a copy of an own device out of the queue (whatsapp-rust pull
            # request 659, 2026-05-29).
            answer = unread(incoming.node, incoming.envelope, online=self._online)
        else:
            answer = (acknowledge(incoming.node, error=code),)
        self._answers.put(draft.submit(), *answer)

    def without_ciphertext(self, incoming: Incoming, draft: Draft) -> None:
        """Take a placeholder: what it stands for is not for this device, but the phone may have
        it."""
        unavailable = incoming.node.child("unavailable")
        reason = "no_ciphertext"
        if unavailable is not None:
            reason = f"unavailable_{unavailable.attrs.get('type', 'unknown')[:32]}"
        wants_phone = self._phone.wants(incoming) or None
        self._lose(incoming, draft, reason, wants_phone=wants_phone)
        answer = unread(incoming.node, incoming.envelope, online=self._online)
        self._answers.put(draft.submit(), *answer)
        self._phone.want(incoming)

    def _lose(
        self, incoming: Incoming, draft: Draft, reason: str, *, wants_phone: bool | None = None
    ) -> None:
        """Note that a message cannot be had, why, and whether the phone is to be asked for it."""
        draft.ledger.append(
            LedgerEntry(
                key=incoming.key,
                fate=Fate.LOST,
                at=self._clock.now(),
                reason=reason,
                wants_phone=wants_phone,
            )
        )
        draft.events.append(self._told(incoming, {"reason": reason}))

    def _told(self, incoming: Incoming, details: dict[str, Json]) -> Event:
        now = self._clock.now()
        return told_of(EventType.MESSAGE_UNREADABLE, incoming, details, now=now)
