"""What the payload of each event holds: a promise to whoever reads events by a program.

`PAYLOADS` names the members of each, `MEMBERS` says what a name means, wherever it stands. Nothing
is held that is not named here; members may be added, and are not taken away.
"""

from collections.abc import Mapping
from typing import Final

from perene.core.events import EventType

_ADDRESS: Final = ("pn", "lid")
_END: Final = ("cause", "code", "sentence", "attempt", "limit", "retry_in_s", "outage")
_MESSAGE: Final = ("message_id", "chat", "sender")

PAYLOADS: Final[Mapping[EventType, tuple[str, ...]]] = {
    EventType.SESSION_CREATED: ("name",),
    EventType.SESSION_QR: ("expires_at",),
    EventType.SESSION_PAIRING_CODE: ("expires_at",),
    EventType.SESSION_PAIRED: (*_ADDRESS, "platform"),
    EventType.SESSION_CONNECTED: _ADDRESS,
    EventType.SESSION_DISCONNECTED: (*_END, "until", "ban_code"),
    EventType.SESSION_NEEDS_PAIRING: ("cause", "sentence"),
    EventType.SESSION_STOPPED: (),
    EventType.SESSION_DELETED: (),
    EventType.SESSION_ERROR_515: _END,
    EventType.SESSION_ERROR_515_MAX_ATTEMPTS: _END,
    EventType.SESSION_RECOVERED: ("outage", "cause", "attempts", "lasted_s"),
    EventType.SESSION_NEEDS_ATTENTION: _END,
    EventType.SESSION_BANNED: (*_END, "until", "ban_code"),
    EventType.SESSION_LOCKED: _END,
    EventType.SESSION_REPLACED: _END,
    EventType.SESSION_OUTDATED: _END,
    EventType.SESSION_RATE_LIMITED: _END,
    EventType.SESSION_LIMITED: ("code", "meaning", "until", "told", "message_id", "enforcement"),
    EventType.SESSION_LIMIT_LIFTED: ("by", "code"),
    EventType.SESSION_DEAF: (
        "phase",
        "silent_s",
        "expected",
        "reason",
        "noticed_after_s",
        "next_not_before_s",
    ),
    EventType.SESSION_FAILED: ("error", "in_a_row"),
    EventType.SESSION_LOGGED_OUT: ("still_linked",),
    EventType.SESSION_PHONE_ABSENT: ("days",),
    EventType.SESSION_PHONE_BACK: (),
    EventType.MESSAGE_RECEIVED: (
        *_MESSAGE,
        "chat_pn",
        "sender_pn",
        "from_me",
        "kind",
        "text",
        "timestamp",
        "push_name",
    ),
    EventType.MESSAGE_SENT: ("message_id", "status"),
    EventType.MESSAGE_STATUS: ("message_id", "status"),
    EventType.MESSAGE_FAILED: ("message_id", "failure", "status", "chat", "error", "meaning"),
    EventType.MESSAGE_UNREADABLE: (*_MESSAGE, "reason", "retries", "resend_requested"),
    EventType.PEER_IDENTITY_CHANGED: _MESSAGE,
    EventType.DATABASE_WENT_BACK: ("kept", "noted"),
}

MEMBERS: Final[Mapping[str, str]] = {
    "attempt": "Which attempt in a row comes next, of those that are counted; 0 for none.",
    "attempts": "How many attempts the outage took.",
    "ban_code": "WhatsApp's sub-code of a temporary ban.",
    "by": "Who said so: `whatsapp`, or `request` for a person.",
    "cause": "Why a connection ended, as `perene policy` names it; of `session.recovered`, the"
    " first one.",
    "chat": "The chat, as in the API.",
    "chat_pn": "The phone number behind a chat with a person, as a JID; null if it is not known.",
    "code": "WhatsApp's code, or our own word for what was noticed here. Of a limit 463 or 475.",
    "days": "Days since the phone was last heard of.",
    "enforcement": "WhatsApp's own word for the lock; only if WhatsApp told of it.",
    "error": "Of a message: WhatsApp's code or a sentence, for the log. Of a session: what kind of"
    " bug it was.",
    "expected": "Messages that usually come in such a time.",
    "expires_at": "Until when the code can be used.",
    "failure": "`code` and `server_code`; [what they mean](message-failures.md).",
    "from_me": "Whether the account itself wrote it, on another of its devices.",
    "in_a_row": "How often it happened without a pause between.",
    "kept": "The last event that is still there.",
    "kind": "What it is: `text`, `image`, …, as in the API; `unknown` if this version cannot tell.",
    "lasted_s": "How long the outage lasted, in seconds.",
    "lid": "The account's LID; null if it is not known.",
    "limit": "After how many attempts a limit is reached; null for none.",
    "meaning": "What the code says, for people.",
    "message_id": "WhatsApp's id of the message. Of a limit: the one that was refused, if it was"
    " one.",
    "name": "The name for people; null for none.",
    "next_not_before_s": "After a false alarm: for how long nothing is suspected.",
    "noted": "The last event that is known to have been there.",
    "noticed_after_s": "Once confirmed: seconds from the first message that was not delivered.",
    "outage": "The id of the outage, while there is one.",
    "phase": "`suspected`, and what came of it: `confirmed` or `false_alarm`.",
    "platform": "What the phone runs on, in WhatsApp's word.",
    "pn": "The account's phone number, as a JID.",
    "push_name": "The name that the sender goes by; null if none came along.",
    "reason": "Of a message: why it could not be read. Of a deaf connection: `silence`, or"
    " `unanswered` messages of ours.",
    "resend_requested": "Whether the sender was asked to send it again.",
    "retries": "How often the sender was asked.",
    "retry_in_s": "Seconds until the next attempt; null if none is to come.",
    "sender": "Who wrote it, as in the API.",
    "sender_pn": "The sender's phone number, as a JID; null if it is not known.",
    "sentence": "The cause, for people.",
    "silent_s": "Seconds of silence.",
    "status": "How far it has come: `sent`, `delivered`, `read`, `played` or `failed`.",
    "still_linked": "Whether the phone may still list the device.",
    "text": "Its text; null if it has none.",
    "timestamp": "When it was written, by WhatsApp's clock.",
    "told": "Whether WhatsApp itself named `until`; else it is our hold.",
    "until": "When the ban or the limit ends; of a ban only if WhatsApp named it.",
}
