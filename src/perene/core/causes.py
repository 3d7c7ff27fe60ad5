"""Why a connection ended: every code, error and local fault, to one cause and one reaction.

The facts are docs/reference/protocol.md §2 (what each code means, and which of them are inventions
of one library). A cause is found once, here; nobody else looks at codes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum


class Kind(StrEnum):
    """Where an ending was noticed."""

    FAILURE = "failure"
    """`<failure reason=…>` in answer to the login."""
    STREAM_ERROR = "stream_error"
    """`<stream:error …>` during a connection."""
    STREAM_END = "stream_end"
    """The server closed the stream in order."""
    LOCAL = "local"
    """Noticed here; `code` is a `Local`."""


class Local(StrEnum):
    """Endings that are noticed on this side. Their values are the `code` of a LOCAL ending."""

    DNS = "dns"
    REFUSED = "refused"
    TLS = "tls"
    CONNECT_TIMEOUT = "connect_timeout"
    PROXY = "proxy"
    HTTP_REFUSED = "http_refused"
    INTERCEPTED = "intercepted"
    """Somebody on the way answered in the server's place."""
    UNREACHABLE = "unreachable"
    OPEN_FILES = "open_files"
    SOCKET_CLOSED = "socket_closed"
    HANDSHAKE_TIMEOUT = "handshake_timeout"
    HANDSHAKE_FAILED = "handshake_failed"
    CERTIFICATE = "certificate"
    MALFORMED = "malformed"
    KEEPALIVE = "keepalive"
    HALF_OPEN = "half_open"
    DEAF = "deaf"
    CLOCK_JUMP = "clock_jump"
    STORAGE = "storage"
    STALE_EPOCH = "stale_epoch"
    PAIRING_EXPIRED = "pairing_expired"
    PAIRING_REFUSED = "pairing_refused"
    PHONE_OUTDATED = "phone_outdated"
    PASSKEY = "passkey"
    UNREADABLE_STATE = "unreadable_state"
    INTERNAL = "internal"
    RESTARTED = "restarted"
    STOPPED = "stopped"
    LOGGED_OUT = "logged_out"
    """Stopped, after WhatsApp has said that it forgot the device."""
    SERVICE_ENDED = "service_ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """The raw evidence of how a connection ended.

    `code` is the server's code or a `Local` name, "" when there is none; of a stream error without
    one, the tag of the child that says why. `conflict` is the type of a `<conflict>` child.
    `attributes` are the raw attributes, for people who look for the reason.
    """

    kind: Kind
    code: str = ""
    conflict: str = ""
    sentence: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])


class Cause(StrEnum):
    """Why a connection ended. What follows from each is in `core.policy`."""

    RESTART_REQUIRED = "restart_required"
    STREAM_ENDED = "stream_ended"
    NETWORK = "network"
    DNS = "dns"
    UNREACHABLE = "unreachable"
    TLS = "tls"
    PROXY = "proxy"
    OPEN_FILES = "open_files"
    HANDSHAKE_TIMEOUT = "handshake_timeout"
    KEEPALIVE = "keepalive"
    HALF_OPEN = "half_open"
    DEAF = "deaf"
    MALFORMED = "malformed"
    CLOCK_JUMP = "clock_jump"
    SERVER_UNAVAILABLE = "server_unavailable"
    RATE_LIMITED = "rate_limited"
    TEMPORARY_BAN = "temporary_ban"
    LOCKED = "locked"
    BANNED = "banned"
    UNLINKED = "unlinked"
    REPLACED = "replaced"
    OUTDATED = "outdated"
    FAULTY = "faulty"
    REFUSED = "refused"
    UNTRUSTED_SERVER = "untrusted_server"
    STORAGE = "storage"
    OWNERSHIP_LOST = "ownership_lost"
    PAIRING_EXPIRED = "pairing_expired"
    PAIRING_REFUSED = "pairing_refused"
    PHONE_OUTDATED = "phone_outdated"
    PASSKEY_REQUIRED = "passkey_required"
    UNREADABLE_STATE = "unreadable_state"
    INTERNAL = "internal"
    UNKNOWN = "unknown"
    RESTARTED = "restarted"
    STOPPED = "stopped"
    SERVICE_ENDED = "service_ended"


FAILURES: Mapping[str, Cause] = {
    "400": Cause.FAULTY,
    "401": Cause.UNLINKED,
    "402": Cause.TEMPORARY_BAN,
    "403": Cause.LOCKED,
    "405": Cause.OUTDATED,
    "406": Cause.BANNED,
    "409": Cause.REFUSED,
    "413": Cause.UNKNOWN,
    "414": Cause.UNKNOWN,
    "415": Cause.REFUSED,
    "418": Cause.REFUSED,
    "429": Cause.RATE_LIMITED,
    "500": Cause.SERVER_UNAVAILABLE,
    "501": Cause.FAULTY,
    "503": Cause.SERVER_UNAVAILABLE,
}
"""Causes of a refused login, by its code."""

STREAM_ERRORS: Mapping[str, Cause] = {
    "401": Cause.UNKNOWN,  # only `device_removed` unlinks; whatsmeow connectionevents.go, 2026-08
    "409": Cause.REPLACED,
    "429": Cause.RATE_LIMITED,
    "500": Cause.SERVER_UNAVAILABLE,
    "503": Cause.SERVER_UNAVAILABLE,
    "515": Cause.RESTART_REQUIRED,
    "516": Cause.UNLINKED,
    # Without a code: the server waits for the answer to a stanza, or to a ping, and begins anew;
    # or it could not read what we sent (whatsapp-rust src/client/node_io.rs, 2026-08-21;
    # whatsmeow#1052). All three libraries just connect again.
    "ack": Cause.STREAM_ENDED,
    "ping": Cause.STREAM_ENDED,
    "xml-not-well-formed": Cause.MALFORMED,
}
"""Causes of a stream error, by its code; those without one by the child that says why."""

CONFLICTS: Mapping[str, Cause] = {
    "replaced": Cause.REPLACED,
    "device_removed": Cause.UNLINKED,
}
"""Causes of a stream error by the type of its `<conflict>`, which says more than its code."""

LOCALS: Mapping[str, Cause] = {
    Local.DNS: Cause.DNS,
    Local.REFUSED: Cause.UNREACHABLE,
    Local.TLS: Cause.TLS,
    Local.CONNECT_TIMEOUT: Cause.UNREACHABLE,
    Local.PROXY: Cause.PROXY,
    Local.HTTP_REFUSED: Cause.SERVER_UNAVAILABLE,
    Local.INTERCEPTED: Cause.UNREACHABLE,
    Local.UNREACHABLE: Cause.UNREACHABLE,
    Local.OPEN_FILES: Cause.OPEN_FILES,
    Local.SOCKET_CLOSED: Cause.NETWORK,
    Local.HANDSHAKE_TIMEOUT: Cause.HANDSHAKE_TIMEOUT,
    Local.HANDSHAKE_FAILED: Cause.UNTRUSTED_SERVER,
    Local.CERTIFICATE: Cause.UNTRUSTED_SERVER,
    Local.MALFORMED: Cause.MALFORMED,
    Local.KEEPALIVE: Cause.KEEPALIVE,
    Local.HALF_OPEN: Cause.HALF_OPEN,
    Local.DEAF: Cause.DEAF,
    Local.CLOCK_JUMP: Cause.CLOCK_JUMP,
    Local.STORAGE: Cause.STORAGE,
    Local.STALE_EPOCH: Cause.OWNERSHIP_LOST,
    Local.PAIRING_EXPIRED: Cause.PAIRING_EXPIRED,
    Local.PAIRING_REFUSED: Cause.PAIRING_REFUSED,
    Local.PHONE_OUTDATED: Cause.PHONE_OUTDATED,
    Local.PASSKEY: Cause.PASSKEY_REQUIRED,
    Local.UNREADABLE_STATE: Cause.UNREADABLE_STATE,
    Local.INTERNAL: Cause.INTERNAL,
    Local.RESTARTED: Cause.RESTARTED,
    Local.STOPPED: Cause.STOPPED,
    Local.LOGGED_OUT: Cause.STOPPED,
    Local.SERVICE_ENDED: Cause.SERVICE_ENDED,
}
"""Causes of what is noticed on this side."""


def classify(ending: Ending) -> Cause:
    """Return the one cause of an ending. Total: what nobody has described is UNKNOWN."""
    match ending.kind:
        case Kind.LOCAL:
            if ending.code == Local.HTTP_REFUSED and ending.attributes.get("status") == "429":
                return Cause.RATE_LIMITED
            return LOCALS.get(ending.code, Cause.INTERNAL)
        case Kind.STREAM_END:
            return Cause.STREAM_ENDED
        case Kind.FAILURE:
            return FAILURES.get(ending.code, Cause.UNKNOWN)
        case Kind.STREAM_ERROR:
            if ending.conflict in CONFLICTS:
                return CONFLICTS[ending.conflict]
            if ending.conflict:
                return Cause.REPLACED
            return STREAM_ERRORS.get(ending.code, Cause.UNKNOWN)


_AS_A_DATE = 1_000_000_000


def banned_until(attributes: Mapping[str, str], now: datetime) -> datetime | None:
    """Return when a temporary ban (402) ends, None if the server did not say, or named the past.

    `expire` is a duration in seconds (docs/reference/protocol.md §2). No ban lasts 30 years: a
    number as large as that can only be a date.
    """
    try:
        seconds = int(attributes.get("expire", ""))
        if seconds <= 0:
            return None
        if seconds > _AS_A_DATE:
            until = datetime.fromtimestamp(seconds, UTC)
            return until if until > now else None
        return now + timedelta(seconds=seconds)
    except (ValueError, OverflowError, OSError):
        return None
