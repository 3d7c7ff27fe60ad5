"""The live half of a session: what is true of its connection at this moment."""

import asyncio
from datetime import datetime

from perene.core.notices import Alive, LoginStarted, Notice, Opened, PhoneLinked, QrShown
from perene.core.sessions import Connection
from perene.supervisor.ports import QrView


class LiveState:
    """Kept up to date by notices; read by the API. Never stored."""

    def __init__(self) -> None:
        self.connection = Connection.STOPPED
        self.connected_at: datetime | None = None
        self.alive_at: datetime | None = None
        self.last_error: str | None = None
        self.qr: QrView | None = None
        self.paired = False
        self._changed = asyncio.Event()

    def notice(self, notice: Notice) -> None:
        """Take a notice of the connection."""
        match notice:
            case LoginStarted():
                logging_in = self.paired
                self.connection = Connection.LOGGING_IN if logging_in else Connection.PAIRING
            case QrShown():
                self.connection = Connection.PAIRING
                self.qr = QrView(text=notice.text, expires_at=notice.expires_at)
            case PhoneLinked():
                self.paired = True
                self.qr = None
            case Opened():
                self.connection = Connection.OPEN
                self.connected_at = self.alive_at = notice.at
                self.last_error = None
                self.qr = None
            case Alive():
                self.alive_at = notice.at
        self._ring()

    def moved(self, connection: Connection, *, error: str | None = None) -> None:
        """The connection is in another state, by the session's own task."""
        self.connection = connection
        if connection is not Connection.OPEN:
            self.connected_at = None
            self.qr = None
        if error is not None:
            self.last_error = error
        self._ring()

    async def changed(self) -> None:
        """Wait for the next change."""
        await self._changed.wait()

    def _ring(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
