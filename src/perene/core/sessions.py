"""A session as the store keeps it and the API shows it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from perene.core.ids import Epoch, SessionId


class Desired(StrEnum):
    """What the user wants of a session. Stored, so that it survives a restart."""

    RUNNING = "running"
    STOPPED = "stopped"
    LOGGED_OUT = "logged_out"
    """Unlinked and without credentials; once that is done, the session is wanted stopped."""


class Connection(StrEnum):
    """What is true of a session's connection at this moment. Never stored."""

    STOPPED = "stopped"
    CONNECTING = "connecting"
    PAIRING = "pairing"
    LOGGING_IN = "logging_in"
    OPEN = "open"
    WAITING = "waiting"
    """Down, and waiting for its next attempt, or until what follows is saved."""
    NEEDS_ATTENTION = "needs_attention"
    """Down, and no attempt will be made before a person acts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOptions:
    """Per-session settings. None takes the service's own setting."""

    history_sync: bool | None = None
    mark_online: bool | None = None
    proxy: str | None = None
    query_timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """The stored half of a session.

    `has_credentials` is true from the first connection on: keys are made before a code is shown.
    `was_linked` is true while credentials of a device that WhatsApp unlinked are in the archive.
    What is not `readable` has options that do not open, and must not be connected without them: a
    proxy is among them.
    """

    id: SessionId
    name: str | None
    desired: Desired
    epoch: Epoch
    created_at: datetime
    has_credentials: bool
    pn: str | None = None
    lid: str | None = None
    push_name: str | None = None
    platform: str | None = None
    options: SessionOptions = SessionOptions()
    was_linked: bool = False
    readable: bool = True
    standing: str | None = None
    """What an earlier run left to know about how connections ended; see `core.standing`."""

    @property
    def paired(self) -> bool:
        """Whether its device is linked to a phone: only then are its keys those of an account."""
        return self.has_credentials and self.pn is not None
