"""What follows from each cause: reaction, schedule, limit. Data, which settings can override."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from perene.core.causes import Cause
from perene.core.schedules import Growth, Schedule


class Reaction(StrEnum):
    """What follows from a cause."""

    RETRY = "retry"
    """Connect again, by the schedule."""
    WAIT_UNTIL = "wait_until"
    """Make no attempt before the time that the server gave; then one."""
    REPAIR = "re_pair"
    """Set the credentials aside, and offer a new QR code."""
    NEW_CODE = "new_code"
    """Connect again for fresh QR codes; there are no credentials to lose."""
    NEW_VERSION = "new_version"
    """Find the client version that WhatsApp accepts; then one attempt."""
    STOP = "stop"
    """Make no attempt before a person acts. Credentials are kept, or set aside, never destroyed."""
    NONE = "none"
    """The end was asked for."""


class Exhausted(StrEnum):
    """What follows the last attempt that a limit allows."""

    GO_ON_SLOWLY = "go_on_slowly"
    """Ask for attention, and go on every half an hour, or by a schedule that waits longer."""
    STOP = "stop"
    """Ask for attention, and make no further attempt."""
    REPAIR = "re_pair"
    """Set the credentials aside, and offer a new QR code."""


class Count(StrEnum):
    """Which attempts are counted together."""

    RESTARTS = "restarts"
    NETWORK = "network"
    UNKNOWN = "unknown"
    FAULTS = "faults"
    UNTRUSTED = "untrusted"
    """Apart from the network's: its waits are long, and a hundred lost packets are no reason."""
    VERSIONS = "versions"
    PAIRINGS = "pairings"
    SAVES = "saves"


class Relief(StrEnum):
    """What can take the reason from a wait before its time (decision 11)."""

    WAY = "network"
    """The way to WhatsApp is open again."""
    CLOCK = "clock"
    """The clock of this machine was set: a certificate may be good that was not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What follows from one cause, and the sentence that a person reads.

    `archive` sets the credentials aside at once. `holds` keeps a wait or a stop over a restart of
    the service; everything else is tried anew then. `relief` is what ends a wait before its time.
    """

    reaction: Reaction
    sentence: str
    schedule: Schedule | None = None
    limit: int | None = None
    count: Count = Count.NETWORK
    then: Exhausted = Exhausted.GO_ON_SLOWLY
    archive: bool = False
    holds: bool = False
    relief: frozenset[Relief] = frozenset()


STABLE_AFTER = timedelta(seconds=30)
"""How long a connection must be open for counts to start anew (whatsapp-rust, 2026-08)."""

SLOWLY = Schedule(growth=Growth.FIXED, step=timedelta(minutes=30))
"""After the last attempt of a limit that does not stop."""

LOOK_FOR_VERSION = Schedule(growth=Growth.FIXED, step=timedelta(hours=1))
"""Between two looks for a client version that WhatsApp accepts; none is an attempt to connect."""

STORE_RETRY = Schedule(
    growth=Growth.FIBONACCI, step=timedelta(seconds=2), cap=timedelta(seconds=30)
)
"""Between two questions to a database that does not answer."""

_REFUSED = replace(STORE_RETRY, cap=timedelta(minutes=5))
"""It takes the session, and refuses what comes: a storm of logins would not change its mind."""

_NETWORK = Schedule(growth=Growth.FIBONACCI, step=timedelta(seconds=1), cap=timedelta(seconds=900))
_RATE_LIMITED = replace(_NETWORK, skip=5)  # whatsapp-rust adds five steps on 429
_SLOW = Schedule(growth=Growth.FIBONACCI, step=timedelta(minutes=2), cap=timedelta(hours=2))
_RESTART = Schedule(growth=Growth.LINEAR, step=timedelta(minutes=5))
_BAN_WITHOUT_END = Schedule(growth=Growth.FIXED, step=timedelta(hours=1))
_CODE = replace(_NETWORK, cap=timedelta(minutes=30))
"""WhatsApp answers 429 to who asks for code after code that nobody scans (adiwajshing/Baileys#577);
its own page stops after six. Whoever asks for one gets one at once."""

_BUG = Schedule(growth=Growth.FIBONACCI, step=timedelta(seconds=5), cap=timedelta(seconds=900))


def _retry(sentence: str, schedule: Schedule = _NETWORK, **more: object) -> Policy:
    policy = Policy(reaction=Reaction.RETRY, sentence=sentence, schedule=schedule, limit=30)
    return replace(policy, **more)


def _way(sentence: str, schedule: Schedule = _NETWORK, **more: object) -> Policy:
    """Something on the way to WhatsApp is wrong."""
    return _retry(sentence, schedule, **({"relief": frozenset({Relief.WAY})} | more))


def _stop(sentence: str, *, archive: bool = False, holds: bool = False) -> Policy:
    return Policy(reaction=Reaction.STOP, sentence=sentence, archive=archive, holds=holds)


POLICIES: Mapping[Cause, Policy] = {
    Cause.RESTART_REQUIRED: Policy(
        reaction=Reaction.RETRY,
        schedule=_RESTART,
        limit=10,
        count=Count.RESTARTS,
        then=Exhausted.REPAIR,
        holds=True,
        sentence="WhatsApp asked for a new stream (515); the session logs in anew.",
    ),
    Cause.STREAM_ENDED: _retry("WhatsApp ended the stream, to begin it anew."),
    Cause.NETWORK: _way("The network connection was lost."),
    Cause.DNS: _way(
        "The name of WhatsApp's server could not be resolved; check this machine's network and its"
        " name servers."
    ),
    Cause.UNREACHABLE: _way(
        "WhatsApp's server could not be reached; check the network, any firewall, and whether the"
        " network wants a login on a page of its own."
    ),
    Cause.TLS: _way(
        "TLS could not be made: the server's certificate is not one to trust (a network that wants"
        " a login, or a firewall that opens TLS, shows its own), or the file of those to trust"
        " cannot be read. `perene doctor` tells which.",
        relief=frozenset(Relief),
    ),
    Cause.PROXY: _way("The proxy did not make the connection; check its address and password."),
    Cause.OPEN_FILES: _retry(
        "This machine lets Perene open no more files and sockets; raise the limit of open files."
    ),
    Cause.HANDSHAKE_TIMEOUT: _way(
        "The server did not complete the handshake. If that goes on, check the network, and that"
        " large packets pass (its MTU)."
    ),
    Cause.KEEPALIVE: _way(
        "The server no longer answered keepalives. If that goes on, check the network, and that"
        " large packets pass (its MTU)."
    ),
    Cause.HALF_OPEN: _way("The socket took nothing more, though nobody had closed it."),
    Cause.DEAF: _retry("The connection answered, but delivered nothing."),
    Cause.MALFORMED: _retry("One side sent something that the other could not read."),
    Cause.CLOCK_JUMP: _way(
        "The machine's clock jumped, or it slept, and the connection did not survive it."
    ),
    Cause.SERVER_UNAVAILABLE: _way(
        "WhatsApp's server refused the connection for now, or had an error of its own."
    ),
    Cause.RATE_LIMITED: _retry("WhatsApp asked for fewer connections.", _RATE_LIMITED, holds=True),
    Cause.TEMPORARY_BAN: Policy(
        reaction=Reaction.WAIT_UNTIL,
        schedule=_BAN_WITHOUT_END,
        holds=True,
        sentence="WhatsApp has banned this number for a time; nothing is tried before it is over.",
    ),
    Cause.LOCKED: _stop(
        "WhatsApp has locked this account or device; look at the phone, then pair again.",
        archive=True,
        holds=True,
    ),
    Cause.BANNED: _stop(
        "WhatsApp has banned this number; appeal in WhatsApp on the phone, then start this"
        " session.",
        holds=True,
    ),
    Cause.UNLINKED: Policy(
        reaction=Reaction.REPAIR,
        schedule=_NETWORK,
        # Not the network's: a new code must not wait because of an outage before.
        count=Count.PAIRINGS,
        archive=True,
        sentence="The device was unlinked; a new QR code has to be scanned.",
    ),
    Cause.REPLACED: _stop(
        "The same credentials connected elsewhere; end the other process, then start this session.",
        holds=True,
    ),
    Cause.OUTDATED: Policy(
        reaction=Reaction.NEW_VERSION,
        schedule=LOOK_FOR_VERSION,
        limit=1,
        count=Count.VERSIONS,
        then=Exhausted.STOP,
        sentence="WhatsApp refuses this client version as too old. If Perene finds no newer one,"
        " set PERENE_CLIENT_VERSION, or update Perene.",
    ),
    Cause.FAULTY: _retry(
        "WhatsApp refused the login with a general error. If that goes on, check for a newer"
        " Perene, then start this session.",
        _SLOW,
        limit=10,
        count=Count.FAULTS,
        then=Exhausted.STOP,
        holds=True,
    ),
    Cause.REFUSED: _stop(
        "WhatsApp refused the login for a reason of its own, which its code tells; check for a"
        " newer Perene, then start this session."
    ),
    Cause.UNTRUSTED_SERVER: _way(
        "The server could not prove that it is WhatsApp; nothing was sent to it. Check the clock,"
        " a proxy on the way, and with a simulator PERENE_NOISE_ROOT_KEY.",
        _SLOW,
        count=Count.UNTRUSTED,
        relief=frozenset(Relief),
    ),
    Cause.STORAGE: Policy(
        reaction=Reaction.RETRY,
        schedule=_REFUSED,
        count=Count.SAVES,
        sentence="The database could not be written; WhatsApp keeps what was not stored. Check it"
        " with `perene doctor`.",
    ),
    Cause.OWNERSHIP_LOST: _stop(
        "Another Perene process has taken this session over; end one of the two, then start this"
        " session."
    ),
    Cause.PAIRING_EXPIRED: Policy(
        reaction=Reaction.NEW_CODE,
        schedule=_CODE,
        count=Count.PAIRINGS,
        sentence="Nobody scanned the QR code in time; who asks for another one gets it at once.",
    ),
    Cause.PAIRING_REFUSED: Policy(
        reaction=Reaction.NEW_CODE,
        schedule=_NETWORK,
        count=Count.PAIRINGS,
        sentence="The phone's answer to the pairing did not verify; scan the next QR code.",
    ),
    Cause.PHONE_OUTDATED: Policy(
        reaction=Reaction.NEW_CODE,
        schedule=_NETWORK,
        count=Count.PAIRINGS,
        sentence="The phone that scanned the code cannot link devices like this one. Update"
        " WhatsApp on it, then scan the next QR code.",
    ),
    Cause.PASSKEY_REQUIRED: _stop(
        "WhatsApp links this account only with its passkey, which Perene cannot use; another code"
        " would change nothing."
    ),
    Cause.UNREADABLE_STATE: _stop(
        "What is stored of the session cannot be read; nothing was changed. Check the master key"
        " with `perene doctor`, then start this session."
    ),
    Cause.INTERNAL: _retry("Perene made a mistake; the log holds the details.", _BUG),
    Cause.UNKNOWN: _retry(
        "WhatsApp ended the connection with an unknown code. If that goes on, check for a newer"
        " Perene, then start this session.",
        limit=5,
        count=Count.UNKNOWN,
        then=Exhausted.STOP,
    ),
    Cause.RESTARTED: Policy(
        reaction=Reaction.NONE, sentence="The session was restarted on request."
    ),
    Cause.STOPPED: Policy(reaction=Reaction.NONE, sentence="The session was stopped on request."),
    Cause.SERVICE_ENDED: Policy(
        reaction=Reaction.NONE,
        sentence="Perene itself ended; the session comes back when it runs again.",
    ),
}
