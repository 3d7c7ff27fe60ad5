"""Linking by a code that is typed on the phone: it is made, typed, and over after its time."""

import asyncio
from datetime import UTC, datetime, timedelta

import structlog

from perene.core.clock import happens_within
from perene.core.events import Event, EventType
from perene.core.notices import CodeShown
from perene.engine import pairing_code
from perene.engine.adv_secrets import AdvSecrets
from perene.engine.errors import AnotherPairing, PairingRefused, QueryFailed
from perene.engine.line import Line
from perene.wire.node import Node

log = structlog.stdlib.get_logger()

_VALID = timedelta(seconds=180)
"""How long a pairing code can be typed (docs/reference/protocol.md §3.3)."""

_FINISHES_WITHIN = timedelta(seconds=60)
"""How long a pairing may take once its code was typed, as long as any query."""


class LinkingByCode:
    """Asks for a code, and answers the phone on which it was typed."""

    def __init__(self, line: Line, adv_secrets: AdvSecrets) -> None:
        self._line = line
        self._stage = line.stage
        self._queries = line.queries
        self._clock = line.clock
        self._observer = line.observer
        self._adv_secrets = adv_secrets
        self._pairing: pairing_code.CodePairing | None = None
        """What the newest code was made with."""
        self._until = datetime.min.replace(tzinfo=UTC)
        """Until when it can be typed, or, once it was, until when that should have linked us."""
        self._over = asyncio.Event()
        """Set when it will not link us, though its time is not over."""

    @property
    def under_way(self) -> bool:
        """Whether somebody may be typing a code, or the phone may be linking us by one."""
        return self._until > self._clock.now()

    async def settled(self) -> None:
        """Wait while `under_way`, at most as long as it is by now."""
        left_s = (self._until - self._clock.now()).total_seconds()
        await happens_within(self._clock, self._over, left_s)

    async def request(self, phone: str) -> str:
        """Ask for pairing by code; returns it as it is typed, XXXX-XXXX.

        Raises QueryFailed when the server refuses the number, QueryTimedOut.
        """
        pairing = pairing_code.start(phone)
        # Slow by design, so not on the event loop.
        hello = await asyncio.to_thread(pairing_code.hello, pairing, self._stage.credentials)
        answer = await self._queries.ask("md", "set", hello)
        reg = answer.child("link_code_companion_reg")
        ref = reg.child("link_code_pairing_ref") if reg is not None else None
        if ref is None or not ref.data:
            # The phone's answer could not be told from one to another code (whatsmeow pair-code.go,
            # 2026-08-21): nothing that is typed would ever link.
            raise QueryFailed(0, "no reference for the code")
        self._pairing = pairing_code.CodePairing(
            code=pairing.code,
            phone_jid=pairing.phone_jid,
            ephemeral=pairing.ephemeral,
            ref=ref.data,
        )
        self._until = self._clock.now() + _VALID
        self._over.clear()
        self._observer.notice(CodeShown(expires_at=self._until))
        told = {"expires_at": self._until.isoformat()}
        await self._line.tell(
            Event(type=EventType.SESSION_PAIRING_CODE, at=self._clock.now(), payload={**told})
        )
        return pairing_code.displayed(pairing.code)

    async def finish(self, notification: Node) -> None:
        """Answer the phone after its user has typed the code, or mistyped it: that shows there.

        A QR code that is on somebody's screen can be scanned all the same. A notification without
        all that the phone says may come first, which changes nothing (Baileys#2600, 2026-05-27).
        Nor does one that makes no sense: the code can still be typed, and the phone be heard
        (WhatsApp Web by whatsapp-rust src/pair_code.rs `handle_primary_hello`, 2026-08-21).
        """
        pairing = self._pairing
        if pairing is None:
            return
        match pairing_code.stage(notification):
            case "primary_hello":
                pass
            case "refresh_code" if pairing_code.is_about(pairing, notification):
                # It is not taken any more; whoever asks gets another one (WhatsApp Web by
                # whatsapp-rust src/pair_code.rs, 2026-08-21).
                self._end()
                return
            case _:
                log.info("incomplete_word_about_pairing_code")
                return
        # Else one that was typed in the last moment would be cut short.
        self._until = max(self._until, self._clock.now() + _FINISHES_WITHIN)
        try:
            finish = await asyncio.to_thread(
                pairing_code.finish, pairing, notification, self._stage.credentials
            )
        except AnotherPairing:
            log.info("outdated_pairing_code_typed")
            return
        except PairingRefused as error:
            log.warning("senseless_word_about_pairing_code", reason=error.text)
            return
        async with self._stage.lock:
            own = self._stage.credentials
            if own.paired:
                return  # another phone has scanned meanwhile
            committed = self._adv_secrets.replace(finish.adv_secret)
        await asyncio.shield(committed)
        try:
            await self._queries.ask("md", "set", finish.node)
        except QueryFailed as error:
            # Nothing follows, whatever is typed; WhatsApp Web asks for the number again
            # (whatsapp-rust pull request 1198, 2026-07-30). Of no answer it makes nothing.
            log.warning("pairing_code_refused", status=error.status)
            if self._pairing is pairing:
                self._end()

    def _end(self) -> None:
        """Show that the code is not good any more; whoever asks gets another one."""
        self._pairing = None
        self._until = self._clock.now()
        self._over.set()
        self._observer.notice(CodeShown(expires_at=self._until))
