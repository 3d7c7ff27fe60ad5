"""Why a connection ended: every code, error and local fault, to one cause and one reaction.

The facts are facts/protocol.md §2 (what each code means, and which of them are inventions of one
library). A cause is found once, here; nobody else looks at codes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
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
    """Noticed here; `code` is one of the `LOCAL_…` names below."""


class Local(StrEnum):
    """Endings that are noticed on this side. Their values are the `code` of a LOCAL ending."""

    UNREACHABLE = "unreachable"
    SOCKET_CLOSED = "socket_closed"
    HANDSHAKE_TIMEOUT = "handshake_timeout"
    HANDSHAKE_FAILED = "handshake_failed"
    CERTIFICATE = "certificate"
    MALFORMED = "malformed"
    KEEPALIVE = "keepalive"
    STORAGE = "storage"
    STALE_EPOCH = "stale_epoch"
    PAIRING_EXPIRED = "pairing_expired"
    PAIRING_REFUSED = "pairing_refused"
    UNREADABLE_STATE = "unreadable_state"
    INTERNAL = "internal"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """The raw evidence of how a connection ended.

    `code` is the server's code or a `Local` name, "" when there is none. `conflict` is the type of
    a `<conflict>` child. `attributes` are the raw attributes, for people who look for the reason.
    """

    kind: Kind
    code: str = ""
    conflict: str = ""
    sentence: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])


class Cause(StrEnum):
    """Why a connection ended."""

    RESTART_REQUIRED = "restart_required"
    STREAM_ENDED = "stream_ended"
    NETWORK = "network"
    SERVER_UNAVAILABLE = "server_unavailable"
    RATE_LIMITED = "rate_limited"
    TEMPORARY_BAN = "temporary_ban"
    LOCKED = "locked"
    BANNED = "banned"
    UNLINKED = "unlinked"
    REPLACED = "replaced"
    OUTDATED = "outdated"
    REFUSED = "refused"
    UNTRUSTED_SERVER = "untrusted_server"
    STORAGE = "storage"
    OWNERSHIP_LOST = "ownership_lost"
    PAIRING_EXPIRED = "pairing_expired"
    PAIRING_REFUSED = "pairing_refused"
    UNREADABLE_STATE = "unreadable_state"
    INTERNAL = "internal"
    UNKNOWN = "unknown"
    STOPPED = "stopped"


class Reaction(StrEnum):
    """What follows from a cause."""

    RESTART = "restart"
    """Reconnect at once the first time, then on the 515 schedule."""
    RETRY = "retry"
    """Reconnect with jittered, capped backoff."""
    WAIT_UNTIL = "wait_until"
    """Make no attempt before a given time; then one."""
    REPAIR = "re_pair"
    """Set the credentials aside, and offer a new QR code."""
    NEW_CODE = "new_code"
    """Connect again for fresh QR codes; there are no credentials to lose."""
    STOP = "stop"
    """Make no attempt before a person acts. Credentials are kept."""
    NONE = "none"
    """The end was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The reaction to a cause, and the sentence that a person reads."""

    reaction: Reaction
    sentence: str


VERDICTS: Mapping[Cause, Verdict] = {
    Cause.RESTART_REQUIRED: Verdict(
        reaction=Reaction.RESTART,
        sentence="WhatsApp asked for a new stream; this is normal, above all after pairing.",
    ),
    Cause.STREAM_ENDED: Verdict(
        reaction=Reaction.RETRY, sentence="WhatsApp closed the connection in order."
    ),
    Cause.NETWORK: Verdict(
        reaction=Reaction.RETRY, sentence="The network connection was lost or could not be made."
    ),
    Cause.SERVER_UNAVAILABLE: Verdict(
        reaction=Reaction.RETRY, sentence="WhatsApp's servers had an error of their own."
    ),
    Cause.RATE_LIMITED: Verdict(
        reaction=Reaction.RETRY, sentence="WhatsApp asked for fewer connections."
    ),
    Cause.TEMPORARY_BAN: Verdict(
        reaction=Reaction.WAIT_UNTIL,
        sentence="WhatsApp has banned this number for a time; nothing is tried before it is over.",
    ),
    Cause.LOCKED: Verdict(
        reaction=Reaction.STOP, sentence="WhatsApp has locked this account or device."
    ),
    Cause.BANNED: Verdict(reaction=Reaction.STOP, sentence="WhatsApp has banned this number."),
    Cause.UNLINKED: Verdict(
        reaction=Reaction.REPAIR,
        sentence="The device was unlinked; a new QR code has to be scanned.",
    ),
    Cause.REPLACED: Verdict(
        reaction=Reaction.STOP,
        sentence="The same credentials connected elsewhere; find the other process.",
    ),
    Cause.OUTDATED: Verdict(
        reaction=Reaction.STOP,
        sentence="WhatsApp refuses this client version; set a newer one.",
    ),
    Cause.REFUSED: Verdict(
        reaction=Reaction.STOP, sentence="WhatsApp refused the login for a reason of its own."
    ),
    Cause.UNTRUSTED_SERVER: Verdict(
        reaction=Reaction.RETRY,
        sentence="The server could not prove that it is WhatsApp; nothing was sent to it.",
    ),
    Cause.STORAGE: Verdict(
        reaction=Reaction.RETRY,
        sentence="The database could not be written; WhatsApp keeps what was not stored.",
    ),
    Cause.OWNERSHIP_LOST: Verdict(
        reaction=Reaction.STOP, sentence="Another Perene process has taken this session over."
    ),
    Cause.PAIRING_EXPIRED: Verdict(
        reaction=Reaction.NEW_CODE, sentence="Nobody scanned the QR code in time."
    ),
    Cause.PAIRING_REFUSED: Verdict(
        reaction=Reaction.NEW_CODE, sentence="The phone's answer to the pairing did not verify."
    ),
    Cause.UNREADABLE_STATE: Verdict(
        reaction=Reaction.STOP,
        sentence="The stored credentials cannot be read; nothing was changed.",
    ),
    Cause.INTERNAL: Verdict(
        reaction=Reaction.RETRY, sentence="Perene made a mistake; the log holds the details."
    ),
    Cause.UNKNOWN: Verdict(
        reaction=Reaction.RETRY, sentence="WhatsApp ended the connection with an unknown code."
    ),
    Cause.STOPPED: Verdict(reaction=Reaction.NONE, sentence="The session was stopped on request."),
}

_FAILURES: Mapping[str, Cause] = {
    "400": Cause.REFUSED,
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
    "501": Cause.SERVER_UNAVAILABLE,
    "503": Cause.SERVER_UNAVAILABLE,
}

_STREAM_ERRORS: Mapping[str, Cause] = {
    "401": Cause.UNKNOWN,  # only `device_removed` unlinks; whatsmeow connectionevents.go, 2026-08
    "409": Cause.REPLACED,
    "429": Cause.RATE_LIMITED,
    "500": Cause.SERVER_UNAVAILABLE,
    "503": Cause.SERVER_UNAVAILABLE,
    "515": Cause.RESTART_REQUIRED,
    "516": Cause.UNLINKED,
}

_CONFLICTS: Mapping[str, Cause] = {
    "replaced": Cause.REPLACED,
    "device_removed": Cause.UNLINKED,
}

_LOCAL: Mapping[str, Cause] = {
    Local.UNREACHABLE: Cause.NETWORK,
    Local.SOCKET_CLOSED: Cause.NETWORK,
    Local.HANDSHAKE_TIMEOUT: Cause.NETWORK,
    Local.HANDSHAKE_FAILED: Cause.UNTRUSTED_SERVER,
    Local.CERTIFICATE: Cause.UNTRUSTED_SERVER,
    Local.MALFORMED: Cause.NETWORK,
    Local.KEEPALIVE: Cause.NETWORK,
    Local.STORAGE: Cause.STORAGE,
    Local.STALE_EPOCH: Cause.OWNERSHIP_LOST,
    Local.PAIRING_EXPIRED: Cause.PAIRING_EXPIRED,
    Local.PAIRING_REFUSED: Cause.PAIRING_REFUSED,
    Local.UNREADABLE_STATE: Cause.UNREADABLE_STATE,
    Local.INTERNAL: Cause.INTERNAL,
    Local.STOPPED: Cause.STOPPED,
}


def classify(ending: Ending) -> Cause:
    """Return the one cause of an ending. Total: what nobody has described is UNKNOWN."""
    match ending.kind:
        case Kind.LOCAL:
            return _LOCAL.get(ending.code, Cause.INTERNAL)
        case Kind.STREAM_END:
            return Cause.STREAM_ENDED
        case Kind.FAILURE:
            return _FAILURES.get(ending.code, Cause.UNKNOWN)
        case Kind.STREAM_ERROR:
            if ending.conflict in _CONFLICTS:
                return _CONFLICTS[ending.conflict]
            if ending.conflict:
                return Cause.REPLACED
            return _STREAM_ERRORS.get(ending.code, Cause.UNKNOWN)


def ban_duration(attributes: Mapping[str, str]) -> timedelta | None:
    """Return how long a temporary ban (402) lasts, None if the server did not say.

    `expire` is a duration in seconds (facts/protocol.md §2); no ban lasts 30 years, so a larger
    number can only be a date, which the caller cannot tell from here and is refused as None.
    """
    try:
        seconds = int(attributes.get("expire", ""))
    except ValueError:
        return None
    if seconds <= 0 or seconds > 1_000_000_000:
        return None
    return timedelta(seconds=seconds)
