"""Events: what Perene tells the world, committed with the unit that made them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from perene.core.ids import EventId, new_event_id

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]


class EventType(StrEnum):
    """Every kind of event, by its stable name. `DESCRIPTIONS` says what each tells."""

    SESSION_CREATED = "session.created"
    SESSION_QR = "session.qr"
    SESSION_PAIRING_CODE = "session.pairing_code"
    SESSION_PAIRED = "session.paired"
    SESSION_CONNECTED = "session.connected"
    SESSION_DISCONNECTED = "session.disconnected"
    SESSION_NEEDS_PAIRING = "session.needs_pairing"
    SESSION_STOPPED = "session.stopped"
    SESSION_DELETED = "session.deleted"
    SESSION_ERROR_515 = "session.error.515"
    SESSION_ERROR_515_MAX_ATTEMPTS = "session.error.515.max_attempts"
    SESSION_RECOVERED = "session.recovered"
    SESSION_NEEDS_ATTENTION = "session.needs_attention"
    SESSION_BANNED = "session.banned"
    SESSION_LOCKED = "session.locked"
    SESSION_REPLACED = "session.replaced"
    SESSION_OUTDATED = "session.outdated"
    SESSION_RATE_LIMITED = "session.rate_limited"
    SESSION_LIMITED = "session.limited"
    SESSION_LIMIT_LIFTED = "session.limit_lifted"
    SESSION_DEAF = "session.deaf"
    SESSION_FAILED = "session.failed"
    SESSION_LOGGED_OUT = "session.logged_out"
    SESSION_PHONE_ABSENT = "session.phone_absent"
    SESSION_PHONE_BACK = "session.phone_back"
    MESSAGE_RECEIVED = "message.received"
    MESSAGE_SENT = "message.sent"
    MESSAGE_STATUS = "message.status"
    MESSAGE_FAILED = "message.failed"
    MESSAGE_UNREADABLE = "message.unreadable"
    PEER_IDENTITY_CHANGED = "peer.identity_changed"
    DATABASE_WENT_BACK = "database.went_back"


DESCRIPTIONS: Mapping[EventType, str] = {
    EventType.SESSION_CREATED: "A session was created.",
    EventType.SESSION_QR: "A QR code is ready to be scanned; it replaces the one before.",
    EventType.SESSION_PAIRING_CODE: "A pairing code is ready to be typed on the phone.",
    EventType.SESSION_PAIRED: "The phone accepted this session as its linked device; the stream"
    " of the pairing ends then, as it should, and the login follows.",
    EventType.SESSION_CONNECTED: "The session is logged in and receives.",
    EventType.SESSION_DISCONNECTED: "A connection ended, or could not be made; `cause` says why.",
    EventType.SESSION_NEEDS_PAIRING: "The credentials are of no use any more, mostly because the"
    " device was unlinked (`cause`); a new QR code is needed.",
    EventType.SESSION_STOPPED: "The session was stopped on request.",
    EventType.SESSION_DELETED: "The session and all that belongs to it was deleted.",
    EventType.SESSION_ERROR_515: "The server asked for a restart of the stream, for the `attempt`th"
    " time in a row. The one that ends a pairing is none of them.",
    EventType.SESSION_ERROR_515_MAX_ATTEMPTS: "The last restart was in vain: the credentials are"
    " set aside, and a new QR code is offered.",
    EventType.SESSION_RECOVERED: "A connection has stayed stable; the outage is over.",
    EventType.SESSION_NEEDS_ATTENTION: "A person is needed: no attempt will be made before"
    " (`retry_in_s` is null), or so many were in vain that the next ones come seldom.",
    EventType.SESSION_BANNED: (
        "WhatsApp banned the number: for a time (`cause` is temporary_ban; `until` if WhatsApp said"
        " how long) or for good."
    ),
    EventType.SESSION_LOCKED: "WhatsApp locked the account or device.",
    EventType.SESSION_REPLACED: "The same credentials connected elsewhere; Perene stays away.",
    EventType.SESSION_OUTDATED: "WhatsApp refused the client version; a newer one is looked for.",
    EventType.SESSION_RATE_LIMITED: "WhatsApp asked for fewer connections; the next waits longer.",
    EventType.SESSION_LIMITED: "WhatsApp limits whom this account may write to; `code` says how.",
    EventType.SESSION_LIMIT_LIFTED: "WhatsApp, or a person, says that the limit is over.",
    EventType.SESSION_DEAF: "An open connection seems to deliver nothing, and is reopened (`phase`"
    " is suspected); told again when it has shown whether that was so (confirmed, false_alarm).",
    EventType.SESSION_FAILED: "A bug in Perene ended the session's task; it is started again.",
    EventType.SESSION_LOGGED_OUT: (
        "The session was logged out on request; its keys are gone. With `still_linked`, WhatsApp"
        " did not confirm it: if the phone still lists the device, remove it there."
    ),
    EventType.SESSION_PHONE_ABSENT: "The phone has not been heard of for so many `days`; WhatsApp"
    " unlinks its devices after about 14. Open WhatsApp on the phone.",
    EventType.SESSION_PHONE_BACK: "A phone that was absent has been heard of again.",
    EventType.MESSAGE_RECEIVED: "A message was stored, and only then acknowledged.",
    EventType.MESSAGE_SENT: "The server accepted a message of ours.",
    EventType.MESSAGE_STATUS: "A message of ours was delivered, read or played.",
    EventType.MESSAGE_FAILED: "A message of ours was refused, or there was nobody to send it to;"
    " the `code` of `failure` says why.",
    EventType.MESSAGE_UNREADABLE: "A message could not be read; `reason` says why. With"
    " `resend_requested` its sender was asked to send it again; else it is lost, unless the"
    " account's phone gives it.",
    EventType.PEER_IDENTITY_CHANGED: "A contact's device has new identity keys.",
    EventType.DATABASE_WENT_BACK: "The database is an older state of itself, as after the restore"
    " of a backup or a fail-over that lost commits: the events behind `kept` are lost, with all"
    " that they tell of. Or it may be (`noted` is null), for nothing shows how far they had come.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One fact in the past tense. `payload` is JSON and holds no key material.

    The store adds the sequence number under which the event can be read again.
    """

    type: EventType
    at: datetime
    payload: Mapping[str, Json] = field(default_factory=dict[str, "Json"])
    id: EventId = field(default_factory=new_event_id)
