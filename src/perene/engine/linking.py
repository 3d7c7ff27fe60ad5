"""Linking a device on a connection: codes shown in turn, the phone's answer, and the way back."""

import asyncio
import secrets
from collections import deque
from datetime import UTC, datetime, timedelta

import structlog

from perene.core.causes import Local
from perene.core.clock import happens_within
from perene.core.errors import ForgottenEpoch, StorageUnavailable
from perene.core.events import Event, EventType
from perene.core.notices import CodeShown, PhoneLinked, QrShown
from perene.core.unit import AddressPair, Committed, Profile
from perene.engine import endings, pairing_code
from perene.engine.answers import acknowledge
from perene.engine.draft import Draft
from perene.engine.errors import (
    AnotherPairing,
    ConnectionEnded,
    PairingRefused,
    QueryFailed,
    QueryTimedOut,
)
from perene.engine.line import Line
from perene.engine.moving import learn
from perene.engine.pairing import QrCode, QrCodes, accept_pairing, read_refs, refusal
from perene.wire.node import Node

log = structlog.stdlib.get_logger()

_CODE_VALID = timedelta(seconds=180)
"""How long a pairing code can be typed (docs/reference/protocol.md §3.3)."""

_KEPT_SECRETS = 16
"""A secret is replaced when a code is typed (three tries while one QR code is on the screen), and
when the server asks for it."""

_RENEWALS = frozenset({"companion_reg_refresh", "pair-device-rotate-qr"})

_FINISHES_WITHIN = timedelta(seconds=60)
"""How long a pairing may take once its code was typed, as long as any query."""

_UNLINK_WITHIN_S = 10.0

_ASK_AGAIN_S = 2.0
"""How long after the database could not say whose the session is it is asked again."""


class Linking:
    """The pairing half of a connection. Idle on one that is logged in."""

    def __init__(self, line: Line, *, qr_timeout_s: float) -> None:
        self._stage = line.stage
        self._answers = line.answers
        self._queries = line.queries
        self._clock = line.clock
        self._observer = line.observer
        self._qr_timeout_s = qr_timeout_s
        self._codes: QrCodes | None = None
        self._ready = asyncio.Event()
        self._by_code: pairing_code.CodePairing | None = None
        """What the newest pairing code was made with."""
        self._code_until = datetime.min.replace(tzinfo=UTC)
        """Until when it can be typed, or, once it was, until when that should have linked us."""
        self._code_over = asyncio.Event()
        """Set when it will not link us, though its time is not over."""
        self._replaced_secrets: deque[bytes] = deque(maxlen=_KEPT_SECRETS)
        """Those of QR codes that were shown before, and of which a scan may be under way."""
        self._renewed = asyncio.Event()
        """Set when the code on the screen shows a secret that the server has had replaced."""
        self._confirming: asyncio.Task[Committed] | None = None

    def offer(self, iq: Node) -> None:
        """Take the server's `<pair-device>`: answer it, and start showing codes."""
        refs = read_refs(iq.need("pair-device"))
        reply = Node("iq", {"id": iq.attr("id"), "type": "result", "to": "s.whatsapp.net"})
        self._answers.put(None, reply)
        self._codes = QrCodes(refs, first_for=timedelta(seconds=self._qr_timeout_s))
        self._ready.set()

    async def show_codes(self) -> None:
        """Show code after code; raises ConnectionEnded when they have run out unused."""
        await self._ready.wait()
        assert self._codes is not None  # set before `_ready`, by this side
        while not self._stage.credentials.paired:
            code = self._codes.next(self._stage.credentials, self._clock.now())
            if code is None and self._code_until > self._clock.now():
                # Somebody is typing a pairing code; the connection that made it must live on.
                left_s = (self._code_until - self._clock.now()).total_seconds()
                await happens_within(self._clock, self._code_over, left_s)
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
        await self._tell(EventType.SESSION_QR, expires_at=code.expires_at.isoformat())

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
            committed = self._replace_secret(secrets.token_bytes(len(own.adv_secret)))
        committed.add_done_callback(lambda _: self._renewed.set())

    def _replace_secret(self, secret: bytes) -> "asyncio.Future[Committed]":
        """Stage another ADV secret; one that somebody may be scanning stays good. Hold the lock."""
        own = self._stage.credentials
        self._replaced_secrets.append(own.adv_secret)
        draft = Draft(self._stage)
        draft.credentials = own.changed(adv_secret=secret)
        committed = draft.submit()
        self._answers.put(committed)
        return committed

    async def request_code(self, phone: str) -> str:
        """Ask for pairing by code; returns it as it is typed, XXXX-XXXX.

        Raises QueryFailed when the server refuses the number, QueryTimedOut.
        """
        await self._ready.wait()
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
        self._by_code = pairing_code.CodePairing(
            code=pairing.code,
            phone_jid=pairing.phone_jid,
            ephemeral=pairing.ephemeral,
            ref=ref.data,
        )
        self._code_until = self._clock.now() + _CODE_VALID
        self._code_over.clear()
        self._observer.notice(CodeShown(expires_at=self._code_until))
        await self._tell(EventType.SESSION_PAIRING_CODE, expires_at=self._code_until.isoformat())
        return pairing_code.displayed(pairing.code)

    async def _tell(self, kind: EventType, **payload: str) -> None:
        async with self._stage.lock:
            draft = Draft(self._stage)
            draft.events.append(Event(type=kind, at=self._clock.now(), payload={**payload}))
            self._answers.put(draft.submit())

    async def finish_by_code(self, notification: Node) -> None:
        """Answer the phone after its user has typed the code, or mistyped it: that shows there.

        A QR code that is on somebody's screen can be scanned all the same. A notification without
        all that the phone says may come first, which changes nothing (Baileys#2600, 2026-05-27).
        """
        pairing = self._by_code
        if pairing is None:
            return
        match pairing_code.stage(notification):
            case "primary_hello":
                pass
            case "refresh_code" if pairing_code.is_about(pairing, notification):
                # It is not taken any more; whoever asks gets another one (WhatsApp Web by
                # whatsapp-rust src/pair_code.rs, 2026-08-21).
                self._end_code()
                return
            case _:
                log.info("incomplete_word_about_pairing_code")
                return
        # Else one that was typed in the last moment would be cut short.
        self._code_until = max(self._code_until, self._clock.now() + _FINISHES_WITHIN)
        try:
            finish = await asyncio.to_thread(
                pairing_code.finish, pairing, notification, self._stage.credentials
            )
        except AnotherPairing:
            log.info("outdated_pairing_code_typed")
            return
        except PairingRefused as error:
            raise endings.local(Local.PAIRING_REFUSED, str(error)) from error
        async with self._stage.lock:
            own = self._stage.credentials
            if own.paired:
                return  # another phone has scanned meanwhile
            committed = self._replace_secret(finish.adv_secret)
        await asyncio.shield(committed)
        try:
            await self._queries.ask("md", "set", finish.node)
        except QueryFailed as error:
            # Nothing follows, whatever is typed; WhatsApp Web asks for the number again
            # (whatsapp-rust pull request 1198, 2026-07-30). Of no answer it makes nothing.
            log.warning("pairing_code_refused", status=error.status)
            if self._by_code is pairing:
                self._end_code()

    def _end_code(self) -> None:
        """Show that the code is not good any more; whoever asks gets another one."""
        self._by_code = None
        self._code_until = self._clock.now()
        self._code_over.set()
        self._observer.notice(CodeShown(expires_at=self._code_until))

    async def passkey_asked(self, notification: Node) -> None:
        """End a pairing that WhatsApp goes on with only for the account's passkey.

        Since June 2026 some accounts are linked so, by QR as by code (whatsmeow pair-passkey.go,
        2026-06-30; Baileys#2672). Only the person's own device can make such a proof, for a page
        of whatsapp.com; until it can be brought here, another code would lead to the same end.
        """
        self._answers.put(None, acknowledge(notification))
        await self._answers.drained()
        raise endings.local(Local.PASSKEY, "WhatsApp asked for the account's passkey.")

    async def complete(self, iq: Node) -> "asyncio.Future[Committed]":
        """Take the phone's `<pair-success>`: verify, commit, and only then confirm.

        The future ends with the commit.
        """
        try:
            paired = accept_pairing(iq, self._stage.credentials, also=self._replaced_secrets)
        except PairingRefused as error:
            self._answers.put(None, refusal(iq, error))
            await self._answers.drained()
            raise endings.local(Local.PAIRING_REFUSED, str(error)) from error
        credentials = paired.credentials
        pn, lid = str(credentials.own_pn), str(credentials.own_lid)
        bare_pn, bare_lid = str(credentials.own_pn.bare), str(credentials.own_lid.bare)
        async with self._stage.lock:
            draft = Draft(self._stage)
            draft.credentials = credentials
            draft.profile = Profile(pn=pn, lid=lid, platform=credentials.platform)
            await learn(draft, [AddressPair(pn=bare_pn, lid=bare_lid)])
            draft.events.append(
                Event(
                    type=EventType.SESSION_PAIRED,
                    at=self._clock.now(),
                    payload={"pn": bare_pn, "lid": bare_lid, "platform": credentials.platform},
                )
            )
            committed = draft.submit()
            # Told before the reply can leave: the server's answer to that ends the connection.
            committed.add_done_callback(self._linked)
            confirming = asyncio.create_task(self._still_ours(committed), name="pairing stored")
            # A connection that ends before asks no more how it went.
            confirming.add_done_callback(lambda task: task.cancelled() or task.exception())
            self._confirming = confirming
            self._answers.put(confirming, paired.reply)
        return committed

    async def _still_ours(self, committed: "asyncio.Future[Committed]") -> Committed:
        """Return what was committed, once the database says that the session is still ours.

        That the commit succeeded may be heard late: whoever has taken the session since offers
        another code, and the phone would be left with a device that nobody drives. A database
        that is away may have been taken, too: it is asked until the connection ends.

        Raises StaleEpoch if another owner has the session by now, ForgottenEpoch if the database
        has lost what was committed.
        """
        stored = await asyncio.shield(committed)
        while True:
            try:
                await self._stage.store.require_ownership()
            except ForgottenEpoch:
                raise
            except StorageUnavailable as error:
                log.warning("pairing_not_confirmed", reason=str(error), retry_in_s=_ASK_AGAIN_S)
                await self._clock.sleep(_ASK_AGAIN_S)
            else:
                return stored

    def closed(self) -> None:
        """Confirm nothing any more: the connection has ended."""
        if self._confirming is not None:
            self._confirming.cancel()

    def _linked(self, committed: "asyncio.Future[Committed]") -> None:
        """Tell that the device is linked, if that was stored: otherwise it is not."""
        if not committed.cancelled() and committed.exception() is None:
            self._observer.notice(PhoneLinked())

    async def undo(self) -> bool:
        """Ask WhatsApp to forget the device, and return whether it said that it did.

        After whatsmeow client.go, Logout (2026-08).
        """
        own = self._stage.credentials
        if not own.paired:
            return False
        removal = Node(
            "remove-companion-device", {"jid": str(own.own_pn), "reason": "user_initiated"}
        )
        try:
            await self._queries.ask("md", "set", removal, timeout_s=_UNLINK_WITHIN_S)
        except (QueryFailed, QueryTimedOut, ConnectionEnded) as error:
            # The keys are destroyed all the same; the phone's list shows the device a while longer.
            log.warning("device_not_removed_by_whatsapp", reason=str(error))
            return False
        return True
