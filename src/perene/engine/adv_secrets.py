"""The ADV secret that a phone proves to know when it links us, and those it may still prove."""

import asyncio
from collections import deque

from perene.core.unit import Committed
from perene.engine.draft import Draft
from perene.engine.line import Line

_KEPT = 16
"""A secret is replaced when a code is typed (three tries while one QR code is on the screen), and
when the server asks for it."""


class AdvSecrets:
    """The secret of the credentials is the newest; a scan of an older one may be under way."""

    def __init__(self, line: Line) -> None:
        self._stage = line.stage
        self._answers = line.answers
        self._replaced: deque[bytes] = deque(maxlen=_KEPT)

    @property
    def replaced(self) -> tuple[bytes, ...]:
        """Those that were shown before, and are still good."""
        return tuple(self._replaced)

    def replace(self, secret: bytes) -> "asyncio.Future[Committed]":
        """Stage another secret. Hold the lock of the stage, and be unpaired."""
        own = self._stage.credentials
        self._replaced.append(own.adv_secret)
        draft = Draft(self._stage)
        draft.credentials = own.changed(adv_secret=secret)
        committed = draft.submit()
        self._answers.put(committed)
        return committed
