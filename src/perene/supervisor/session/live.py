"""The live half of a session: what is true of its connection at this moment."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from perene.core.machines.outlook import Outlook
from perene.core.notices import (
    Alive,
    CodeShown,
    DeafOutcome,
    HearingDoubted,
    LoginStarted,
    Notice,
    Opened,
    PhoneLinked,
    PhoneSeen,
    QrShown,
    TimeTold,
    VersionExpires,
)
from perene.core.sessions import Connection
from perene.supervisor.ports import QrView

OnTransition = Callable[[Connection, Connection], None]
"""Told the state before and after; returns at once and raises nothing."""

OnDeaf = Callable[[DeafOutcome], None]
"""Told what came of a suspicion that the connection is deaf; returns at once, raises nothing."""

_DOWN = (Connection.WAITING, Connection.NEEDS_ATTENTION)
"""The states in which a next attempt may be planned."""


class LiveState:
    """Kept up to date by notices; read by the API. Never stored.

    What no notice tells, the session's own task sets by `showing`: the `outlook`, whether the
    device is `paired`, and how long the phone has been absent.
    """

    def __init__(
        self, *, on_transition: OnTransition | None = None, on_deaf: OnDeaf | None = None
    ) -> None:
        self.connected_at: datetime | None = None
        self.alive_at: datetime | None = None
        self.time_told: TimeTold | None = None
        """What the server said of the time at the last login."""
        self.version_expires: VersionExpires | None = None
        """From when on WhatsApp refuses a client version, of those presented the newest."""
        self.phone_seen_at: datetime | None = None
        self.phone_absent_days = 0
        self.last_error: str | None = None
        self.qr: QrView | None = None
        self.code_expires_at: datetime | None = None
        """Until when a code can be typed on the phone, None when there is none."""
        self.needs_pairing = False
        """Whether the device was linked, and is no longer so without anybody's wish."""
        self.outlook = Outlook()
        self.deaf_suspicions = 0
        """How often an open connection seemed to deliver nothing."""
        self.reopened = 0
        """How often a connection was opened that was not the first one after a stop."""
        self._was_open = False
        self._paired = False
        self._connection = Connection.STOPPED
        self._on_transition = on_transition
        self._on_deaf = on_deaf
        self._changed = asyncio.Event()

    @property
    def paired(self) -> bool:
        """Whether the device is linked to a phone."""
        return self._paired

    @paired.setter
    def paired(self, paired: bool) -> None:
        self.needs_pairing = not paired and (self._paired or self.needs_pairing)
        self._paired = paired

    @property
    def connection(self) -> Connection:
        """The state of the connection."""
        return self._connection

    def notice(self, notice: Notice) -> None:
        """Take a notice of the connection."""
        match notice:
            case LoginStarted():
                self._become(Connection.LOGGING_IN if self.paired else Connection.PAIRING)
            case QrShown():
                self._become(Connection.PAIRING)
                self.qr = QrView(text=notice.text, expires_at=notice.expires_at)
            case CodeShown():
                self.code_expires_at = notice.expires_at
            case PhoneLinked():
                self.paired = True
                self.qr = self.code_expires_at = None
            case Opened():
                self._become(Connection.OPEN)
                self.reopened += self._was_open
                self._was_open = True
                self.connected_at = self.alive_at = notice.at
                self.last_error = None
                self.qr = self.code_expires_at = None
            case TimeTold():
                self.time_told = notice
            case VersionExpires():
                self._take(notice)
            case Alive():
                self.alive_at = notice.at
            case PhoneSeen():
                self.phone_seen_at = max(notice.at, self.phone_seen_at or notice.at)
            case HearingDoubted():
                self._doubted(notice.outcome)
        self._ring()

    def moved(self, connection: Connection, *, error: str | None = None) -> None:
        """The connection is in another state, by the session's own task."""
        self._become(connection)
        if connection is Connection.STOPPED:
            self.needs_pairing = self._was_open = False
        if connection is not Connection.OPEN:
            self.connected_at = None
            self.qr = self.code_expires_at = None
        if error is not None:
            self.last_error = error
        self._ring()

    async def changed(self) -> None:
        """Wait for the next change."""
        await self._changed.wait()

    def _take(self, said: VersionExpires) -> None:
        """Keep the soonest time that was said of a version, as WhatsApp Web does.

        A later one may come from a host that has not heard of it (whatsapp-rust pull request 1314,
        2026-08-16).
        """
        known = self.version_expires
        if said.at is None:
            self.version_expires = None
        elif (
            known is None or known.version != said.version or known.at is None or said.at < known.at
        ):
            self.version_expires = said

    def _doubted(self, outcome: DeafOutcome | None) -> None:
        if outcome is None:
            self.deaf_suspicions += 1
        elif self._on_deaf is not None:
            self._on_deaf(outcome)

    def _become(self, connection: Connection) -> None:
        before, self._connection = self._connection, connection
        if connection not in _DOWN:
            self.outlook = replace(self.outlook, retry_at=None)
        if before is not connection and self._on_transition is not None:
            self._on_transition(before, connection)

    def _ring(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
