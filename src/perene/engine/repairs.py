"""Making a device able to read us again: a fresh ratchet, a group's key with the next message."""

from collections import OrderedDict
from datetime import datetime, timedelta

from perene.core.unit import HolderChange
from perene.engine.addresses import signal_address
from perene.engine.device_proofs import fetch_looked_at
from perene.engine.draft import Draft
from perene.engine.encrypt import begin_anew
from perene.engine.errors import QueryFailed, QueryTimedOut
from perene.engine.line import Line
from perene.engine.retry_receipt import RetryReceipt
from perene.wire.jid import Jid

_AGAIN_AFTER = timedelta(hours=1)
"""How often a device without usable keys may make us build a fresh ratchet (whatsmeow retry.go)."""

_REMEMBERED = 1024


class Repairs:
    """What is made anew with devices that could not read us, and when that was done last."""

    def __init__(self, line: Line) -> None:
        self._stage = line.stage
        self._answers = line.answers
        self._queries = line.queries
        self._clock = line.clock
        self._made: OrderedDict[Jid, datetime] = OrderedDict()
        """When a device without usable keys last made us build a fresh ratchet."""

    async def repair(self, request: RetryReceipt) -> None:
        """Begin anew with a device that cannot read us, though there is nothing to send again.

        What follows could not be read either (whatsapp-rust pull request 1303, 2026-08-14), and of
        what goes to our own phone nothing is kept: the ratchet would stay broken for good. Once an
        hour for each device; keys that are not in the request are asked for in its case alone.

        In a group it may lack our key: it gets that with the next message (whatsapp-rust pull
        request 1300, 2026-08-13).
        """
        device, own = request.device, self._stage.credentials
        if request.chat.is_group:
            await self.take_key_back(request)
        if self.was_made(device):
            return
        bundle = request.bundle
        if bundle is None and own.is_own(device):
            try:
                fetched = await fetch_looked_at(self._stage, self._queries, [device])
                bundle = fetched.bundles.get(device)
            except (QueryFailed, QueryTimedOut):
                return  # it comes again with what is asked next
        if bundle is None:
            return
        async with self._stage.lock:
            draft = Draft(self._stage)
            if await begin_anew(draft, self._stage.book.canonical(device), bundle, own):
                self.note(device)
                self._answers.put(draft.submit())

    async def take_key_back(self, request: RetryReceipt) -> None:
        """Let the device have our key of the group with the next message."""
        group, holder = str(request.chat), str(signal_address(request.device))
        async with self._stage.lock:
            if holder in await self._stage.holders.of(group):
                draft = Draft(self._stage)
                draft.holders.change(HolderChange(group=group, removed=(holder,)))
                self._answers.put(draft.submit())

    def was_made(self, device: Jid) -> bool:
        """Tell whether a fresh ratchet was built for the device lately."""
        last = self._made.get(device)
        return last is not None and abs(self._clock.now() - last) < _AGAIN_AFTER

    def note(self, device: Jid) -> None:
        """Remember that a fresh ratchet is built for the device."""
        self._made[device] = self._clock.now()
        while len(self._made) > _REMEMBERED:
            self._made.popitem(last=False)
