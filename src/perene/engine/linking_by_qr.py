"""Linking by QR code: codes shown in turn, until a phone has scanned one or none is left."""

import asyncio
import secrets
from datetime import timedelta

from perene.core.causes import Local
from perene.core.clock import happens_within
from perene.core.events import Event, EventType
from perene.core.notices import QrShown
from perene.engine import endings
from perene.engine.adv_secrets import AdvSecrets
from perene.engine.line import Line
from perene.engine.linking_by_code import LinkingByCode
from perene.engine.pairing import QrCode, QrCodes, read_refs
from perene.wire.node import Node

_RENEWALS = frozenset({"companion_reg_refresh", "pair-device-rotate-qr"})


class LinkingByQr:
    """Shows the codes that the server gives out, each for its time."""

    def __init__(
        self, line: Line, by_code: LinkingByCode, adv_secrets: AdvSecrets, *, qr_timeout_s: float
    ) -> None:
        self._line = line
        self._stage = line.stage
        self._clock = line.clock
        self._observer = line.observer
        self._by_code = by_code
        self._adv_secrets = adv_secrets
        self._qr_timeout_s = qr_timeout_s
        self._codes: QrCodes | None = None
        self._renewed = asyncio.Event()
        """Set when the code on the screen shows a secret that the server has had replaced."""
        self.offered = asyncio.Event()
        """Set when the server has offered to link us."""

    def offer(self, iq: Node) -> None:
        """Take the server's `<pair-device>`: answer it, and start showing codes."""
        refs = read_refs(iq.need("pair-device"))
        reply = Node("iq", {"id": iq.attr("id"), "type": "result", "to": "s.whatsapp.net"})
        self._line.answers.put(None, reply)
        self._codes = QrCodes(refs, first_for=timedelta(seconds=self._qr_timeout_s))
        self.offered.set()

    async def show(self) -> None:
        """Show code after code; raises ConnectionEnded when they have run out unused."""
        await self.offered.wait()
        assert self._codes is not None  # set before `offered`, by this side
        while not self._stage.credentials.paired:
            code = self._codes.next(self._stage.credentials, self._clock.now())
            if code is None and self._by_code.under_way:
                # Somebody is typing a pairing code; the connection that made it must live on.
                await self._by_code.settled()
                continue
            if code is None:
                raise endings.local(Local.PAIRING_EXPIRED, "Nobody scanned the QR codes.")
            await self._show(code)
            while await happens_within(self._clock, self._renewed, self._left_s(code)):
                if self._stage.credentials.paired:
                    return
                code = self._codes.again(code, self._stage.credentials)
                await self._show(code)

    async def _show(self, code: QrCode) -> None:
        self._renewed.clear()
        self._observer.notice(QrShown(text=code.text, expires_at=code.expires_at))
        # The event says that there is one; the text holds a secret and is only asked for.
        told = {"expires_at": code.expires_at.isoformat()}
        await self._line.tell(
            Event(type=EventType.SESSION_QR, at=self._clock.now(), payload={**told})
        )

    def _left_s(self, code: QrCode) -> float:
        return max((code.expires_at - self._clock.now()).total_seconds(), 0.0)

    async def renew_secret(self, notification: Node) -> None:
        """Make a new ADV secret, and show the code that is on the screen with it.

        Since July 2026 the server asks some accounts' companions for that when a phone has scanned:
        only the code that is shown then links (Baileys#2737, 2026-07-30; WhatsApp Web by
        whatsapp-rust src/handlers/notification/companion_reg.rs, 2026-08-21; whatsmeow 9ec8f76,
        2026-09-09).
        """
        if not any(child.tag in _RENEWALS for child in notification.children):
            return
        async with self._stage.lock:
            own = self._stage.credentials
            if own.paired:
                return
            committed = self._adv_secrets.replace(secrets.token_bytes(len(own.adv_secret)))
        committed.add_done_callback(lambda _: self._renewed.set())
