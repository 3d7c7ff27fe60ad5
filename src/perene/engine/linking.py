"""Linking a device on a connection: the phone's answer to a code, its check, and the way back."""

import asyncio

import structlog

from perene.core.causes import Local
from perene.core.errors import ForgottenEpoch, StorageUnavailable
from perene.core.events import Event, EventType
from perene.core.notices import PhoneLinked
from perene.core.unit import AddressPair, Committed, Profile
from perene.engine import endings
from perene.engine.adv_secrets import AdvSecrets
from perene.engine.answers import acknowledge
from perene.engine.draft import Draft
from perene.engine.errors import (
    ConnectionEnded,
    PairingRefused,
    QueryFailed,
    QueryTimedOut,
)
from perene.engine.line import Line
from perene.engine.linking_by_code import LinkingByCode
from perene.engine.linking_by_qr import LinkingByQr
from perene.engine.moving import learn
from perene.engine.pairing import accept_pairing, refusal
from perene.wire.node import Node

log = structlog.stdlib.get_logger()

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
        self._adv_secrets = AdvSecrets(line)
        self.by_code = LinkingByCode(line, self._adv_secrets)
        self.by_qr = LinkingByQr(line, self.by_code, self._adv_secrets, qr_timeout_s=qr_timeout_s)
        self._confirming: asyncio.Task[Committed] | None = None

    async def request_code(self, phone: str) -> str:
        """Ask for pairing by code; returns it as it is typed, XXXX-XXXX.

        Raises QueryFailed when the server refuses the number, QueryTimedOut.
        """
        await self.by_qr.offered.wait()
        return await self.by_code.request(phone)

    async def passkey_asked(self, notification: Node) -> None:
        """End a pairing that WhatsApp goes on with only for the account's passkey.

        Since June 2026 some accounts are linked so, by QR as by code (whatsmeow pair-passkey.go,
        2026-06-30; Baileys#2672). Only the person's own device can make such a proof, for a page
        of whatsapp.com; until it can be brought here, another code would lead to the same end.
        """
        self._answers.put(None, acknowledge(notification))
        await self._answers.drained()
        raise endings.local(Local.PASSKEY, "WhatsApp asked for the account's passkey.")

    def phone_links_none(self) -> None:
        """End a pairing whose code was scanned by a phone that links no companions yet.

        Told by `<downgrade_webclient>` (whatsmeow connectionevents.go `handleIB`, 2026-08). The
        next code may be scanned once WhatsApp was updated there, or by another phone.
        """
        raise endings.local(Local.PHONE_OUTDATED, "WhatsApp said so of the phone that scanned.")

    async def complete(self, iq: Node) -> "asyncio.Future[Committed]":
        """Take the phone's `<pair-success>`: verify, commit, and only then confirm.

        The future ends with the commit.
        """
        try:
            paired = accept_pairing(iq, self._stage.credentials, also=self._adv_secrets.replaced)
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
