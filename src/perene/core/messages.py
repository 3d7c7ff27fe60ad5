"""A message as Perene keeps it, and the ledger of every inbound message id."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from perene.core.events import Event
from perene.core.failures import Failure
from perene.core.ids import MessageId


class Status(StrEnum):
    """How far a message has come. Only the moves of `advances` are made."""

    RECEIVED = "received"
    QUEUED = "queued"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    PLAYED = "played"
    FAILED = "failed"


_RANK = {
    Status.QUEUED: 0,
    Status.FAILED: 1,
    Status.SENT: 1,
    Status.DELIVERED: 2,
    Status.READ: 3,
    Status.PLAYED: 4,
}


def advances(old: Status, new: Status) -> bool:
    """Tell whether an own message may move from `old` to `new`.

    Receipts arrive late, doubled and out of order: a status only ever moves up. A failed message
    whose receipt arrives after all was delivered, so that move counts too.
    """
    if old is Status.RECEIVED or new is Status.RECEIVED:
        return False
    return _RANK[new] > _RANK[old]


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageKey:
    """What makes a message the same message: chat, sender, direction and WhatsApp's id.

    `chat` and `sender` are bare JIDs without device, in the canonical form known when the message
    was seen (LID where it is known). docs/reference/protocol.md §5.6.
    """

    chat: str
    sender: str
    id: MessageId
    from_me: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message, in or out.

    `body` is the whole `Message` protobuf as received or as it will be encrypted, before padding.
    `kind` names the content ("text", "image", …). `event` is put into the outbox only if this
    message is new to the database.
    """

    key: MessageKey
    kind: str
    text: str | None
    body: bytes
    timestamp: datetime
    status: Status
    push_name: str | None = None
    sender_device: int = 0
    event: Event | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusChange:
    """An own message has come further; applied only where `advances` allows it.

    `failure` says why it failed; a change without one takes back what an earlier one said. `event`
    is put into the outbox only if the change was made.
    """

    id: MessageId
    status: Status
    at: datetime
    failure: Failure | None = None
    event: Event | None = None


class Fate(StrEnum):
    """How an inbound message id has ended, so far."""

    DELIVERED = "delivered"
    RECOVERED = "recovered"
    PENDING = "pending"
    LOST = "lost"
    CONTROL = "control"
    """Decrypted, and addressed to the engine, not to a reader (key distribution, peer data)."""

    @property
    def is_open(self) -> bool:
        """True if the message can still come; every other fate is settled and never taken back."""
        return self in (Fate.PENDING, Fate.LOST)


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """What happened to one inbound message id.

    A later entry for the same key replaces an earlier one whose fate is open. `retries` counts the
    resends asked for. `wants_phone` says whether the account's phone is still to be asked for it:
    None leaves that as it is, and what was asked for once is not wanted again.
    """

    key: MessageKey
    fate: Fate
    at: datetime
    reason: str | None = None
    retries: int = 0
    wants_phone: bool | None = None


def new_message_id(own_user: str, now: datetime) -> MessageId:
    """Make an id for an own message, in the shape that WhatsApp Web's clients use.

    docs/reference/protocol.md §5.6: "3EB0" and 18 hex digits of a hash over time, own number and
    noise.
    """
    seed = int(now.timestamp()).to_bytes(8, "big") + f"{own_user}@c.us".encode()
    digest = hashlib.sha256(seed + secrets.token_bytes(16)).hexdigest()
    return MessageId(f"3EB0{digest[:18].upper()}")
