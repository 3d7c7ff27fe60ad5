"""What a session needs: connections, made by an engine, and somebody to own it in the store."""

from collections.abc import Callable
from typing import Protocol

from perene.core.causes import Cause, Ending
from perene.core.ids import Epoch, EventId, SessionId
from perene.core.notices import Observer
from perene.core.sessions import SessionOptions
from perene.engine.ports import SessionStore


class Engine(Protocol):
    """One connection, as its owner drives it: all that the supervisor knows of an engine."""

    async def run(self) -> Ending: ...

    def wake_sender(self) -> None: ...

    async def request_pairing_code(self, phone: str) -> str: ...

    def check(self) -> None:
        """Prove soon that the connection is alive, or end it."""
        ...

    def ping_phone(self) -> None:
        """Ask the phone for something that it answers by itself."""
        ...

    def stop(self, *, log_out: bool = False) -> None:
        """End in order; with `log_out`, ask WhatsApp to forget the device before."""
        ...


MakeEngine = Callable[[SessionStore, SessionOptions, Observer], Engine]
"""Makes an engine for one connection."""

ClientVersion = tuple[int, int, int]
"""The version of WhatsApp Web that a login presents."""


class Ownership(Protocol):
    """What a session needs of the store besides the connection's own."""

    async def acquire(self, session: SessionId, held: Epoch | None) -> Epoch: ...

    def open_store(self, session: SessionId, epoch: Epoch) -> SessionStore: ...

    async def archive_credentials(
        self, session: SessionId, epoch: Epoch, reason: Cause, *, told: EventId
    ) -> None:
        """Set credentials aside and tell that pairing is needed, in one transaction.

        Who does not hear that it was done does it again, and tells it as the same event.
        """
        ...

    async def destroy_credentials(
        self, session: SessionId, epoch: Epoch, *, still_linked: bool, told: EventId
    ) -> None:
        """Delete credentials and tell that the session is logged out; else as archiving."""
        ...

    def presented_version(self) -> ClientVersion | None:
        """Return the client version that a connection made now presents."""
        ...

    async def renew_version(self) -> None:
        """See to it that the client version is new enough to link a device by, or to go on with
        once WhatsApp has said when it expires. Never fails."""
        ...

    async def find_version(self, refused: ClientVersion | None) -> bool:
        """Look for a client version newer than the one that was refused; tell if there is one."""
        ...
