"""Which client version the sessions present, and what is done when WhatsApp refuses it."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Protocol

import structlog

from perene.core.clock import Clock
from perene.core.errors import PereneError
from perene.supervisor.session.ports import ClientVersion

log = structlog.stdlib.get_logger()

RETRY_AFTER_S = 600.0
"""Time between two looks that were in vain; a version is not mended within seconds."""

GOOD_FOR_S = 86_400.0
"""How long a look is good enough to link a device by; WhatsApp publishes some versions a day, and
phones want one of the last months."""

LOOK_WITHIN_S = 10.0
"""How long somebody who wants a QR code waits for a look."""


class VersionStore(Protocol):
    """What is remembered of the version over restarts. Both raise StorageError."""

    async def client_version(self, endpoint: str) -> tuple[str, datetime] | None: ...

    async def save_client_version(self, endpoint: str, version: str, now: datetime) -> None: ...


class ClientVersions:
    """The client version for all sessions of a process.

    An override is presented whatever happens. Else it is the newest of the release's own
    (`default`), the one found before (in the store), and the one found now by `fetch`, which
    bounds its time itself and raises PereneError. It is looked for when a device is to be linked,
    and when WhatsApp has refused a login. The database gets `store_patience_s`: the version
    is worth more at once than remembered.
    """

    def __init__(
        self,
        *,
        store: VersionStore,
        fetch: Callable[[], Awaitable[ClientVersion]],
        default: ClientVersion,
        override: ClientVersion | None,
        clock: Clock,
        endpoint: str,
        store_patience_s: float = 5.0,
    ) -> None:
        self._store_patience_s = store_patience_s
        self._store = store
        self._fetch = fetch
        self._override = override
        self._clock = clock
        self._endpoint = endpoint
        self._newest = default
        self._looking = asyncio.Lock()
        self._in_vain_at: float | None = None
        self._good_until: float | None = None
        """Until when nobody who links a device looks again."""
        self.problem: str | None = None
        """Why the last `refresh` found nothing newer, in one sentence; None if it did."""

    def current(self) -> ClientVersion:
        """Return the version to present on the next connection."""
        return self._override or self._newest

    async def load(self) -> None:
        """Take over what was found before. Never fails: without it the default will do."""
        try:
            async with asyncio.timeout(self._store_patience_s):
                found = await self._store.client_version(self._endpoint)
        except (PereneError, TimeoutError) as error:
            log.warning("client_version_not_loaded", reason=str(error) or "no answer in time")
            return
        if found is None:
            return
        version = _parsed(found[0])
        if version is None:
            log.warning("client_version_not_loaded", reason="what is stored is no version")
        elif version > self._newest:
            self._newest = version
            log.info("client_version_loaded", version=_text(version), found_at=found[1].isoformat())

    async def refresh(self, refused: ClientVersion) -> ClientVersion | None:
        """Return a version newer than the one WhatsApp refused, None if there is none to be had.

        However many sessions ask at a time, one of them looks, and the others get what it found. A
        look in vain is repeated after ten minutes at the earliest. The reason of a None is logged,
        and in `problem`.
        """
        if self._override is not None:
            return self._give_up(
                refused,
                f"WhatsApp refuses version {_text(refused)}, and PERENE_CLIENT_VERSION fixes"
                f" {_text(self._override)}: unset it, or set a newer one.",
            )
        async with self._looking:
            if self._newest > refused:
                return self._newest  # found while this session was being refused, or waited here
            found = await self._look(refused)
        if found is not None:
            await self._save(found)  # others need not wait for the database
        return found

    async def renew(self) -> None:
        """Look for the live version before a device is linked, unless there was a look of late.

        A phone silently refuses a companion whose version is some months old, though WhatsApp shows
        it codes, and would refuse its logins with 405 much later (Baileys#2679, 2026-07-01). Never
        fails: without an answer within ten seconds, what is known has to do.
        """
        if self._override is not None:
            return
        async with self._looking:
            now = self._clock.monotonic()
            if self._good_until is not None and now < self._good_until:
                return
            found = await self._live()
            good_for_s = RETRY_AFTER_S if found is None else GOOD_FOR_S
            self._good_until = self._clock.monotonic() + good_for_s
            if found is None or found <= self._newest:
                return
            log.info("client_version_renewed", former=_text(self._newest), version=_text(found))
            self._newest = found
        await self._save(found)

    async def _live(self) -> ClientVersion | None:
        """Fetch the live version; None if that cannot be had now, which is logged."""
        try:
            async with self._clock.limit(LOOK_WITHIN_S):
                return await self._fetch()
        except (PereneError, TimeoutError) as error:
            log.warning("client_version_not_renewed", reason=str(error) or "no answer in time")
        except Exception:  # a bug in the look must not keep a session from showing its code
            log.exception("client_version_look_failed_by_a_bug")
        return None

    async def _look(self, refused: ClientVersion) -> ClientVersion | None:
        if self._in_vain_at is not None:
            waited = self._clock.monotonic() - self._in_vain_at
            if waited < RETRY_AFTER_S:
                log.info(
                    "client_version_not_looked_for",
                    reason=self.problem,
                    retry_in_s=round(RETRY_AFTER_S - waited),
                )
                return None
        try:
            found = await self._fetch()
        except PereneError as error:
            return self._in_vain(refused, f"{error} {error.remedy}")
        except Exception as error:  # a bug in the look must not end the sessions that wait for it
            log.exception("client_version_look_failed_by_a_bug")
            return self._in_vain(
                refused, f"The look for a version failed ({type(error).__name__})."
            )
        if found <= refused:
            return self._in_vain(
                refused,
                f"WhatsApp refuses version {_text(refused)}, and the live one is {_text(found)}.",
            )
        log.info("client_version_found", refused=_text(refused), version=_text(found))
        self._newest = found
        self._in_vain_at = None
        self.problem = None
        return found

    def _in_vain(self, refused: ClientVersion, reason: str) -> None:
        self._in_vain_at = self._clock.monotonic()
        self._give_up(refused, reason)

    def _give_up(self, refused: ClientVersion, reason: str) -> None:
        self.problem = reason
        log.error("client_version_refused", refused=_text(refused), reason=reason)

    async def _save(self, version: ClientVersion) -> None:
        try:
            async with asyncio.timeout(self._store_patience_s):
                await self._store.save_client_version(
                    self._endpoint, _text(version), self._clock.now()
                )
        except (PereneError, TimeoutError) as error:
            # It is in use all the same; after a restart it is looked for again.
            log.warning("client_version_not_saved", reason=str(error) or "no answer in time")


def _text(version: ClientVersion) -> str:
    return ".".join(str(number) for number in version)


def _parsed(text: str) -> ClientVersion | None:
    found = re.fullmatch(r"([0-9]{1,10})\.([0-9]{1,10})\.([0-9]{1,10})", text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None
