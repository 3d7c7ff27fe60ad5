"""All checks in their order."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from perene.core.clock import Clock
from perene.core.errors import PereneError
from perene.doctor.clock import check_clock, newest_file
from perene.doctor.finding import Finding, Level, ok, refusal, warn
from perene.doctor.hold import check_hold
from perene.doctor.machine import check_data_directory, check_disks, check_open_files, check_service
from perene.doctor.outside import check_endpoint, check_version, server_time
from perene.doctor.start import check_address, check_alerts, check_authorities
from perene.doctor.stored import check_stored
from perene.settings import Settings, WrongSetting, read_settings, unknown_variables
from perene.store.inspection import sqlite_file

_SETTINGS = "settings"


def examine_settings() -> tuple[Finding, Settings | None]:
    """Look whether the settings can be read; without them nothing else can be looked at."""
    try:
        settings = read_settings()
    except WrongSetting as error:
        return refusal(_SETTINGS, error), None
    if unknown := unknown_variables():
        return warn(_SETTINGS, " ".join(unknown), "Correct the name, or unset it."), settings
    return ok(_SETTINGS, "Every variable can be read."), settings


async def examine(settings: Settings, clock: Clock, *, offline: bool) -> Sequence[Finding]:
    """Make every check that needs settings; `offline` leaves out what asks other hosts.

    A database server that PERENE_DATABASE_URL names is asked in any case.
    """
    stored = await asyncio.to_thread(check_stored, settings)
    hold = await asyncio.to_thread(check_hold, settings)
    # A clock is compared at the moment when the other one was read.
    others = {} if stored.database_clock is None else {"the database": stored.database_clock}
    clock_finding = check_clock(
        clock.now(), newest_file=newest_file(settings.data_dir), others=others
    )
    outside: list[Finding] = []
    if not offline:
        outside.append(await check_endpoint(settings, clock.now()))
        server = await server_time(settings)
        if server is not None and clock_finding.level is Level.OK:
            host = urlsplit(settings.endpoint).hostname or "the endpoint"
            clock_finding = check_clock(clock.now(), newest_file=None, others={host: server})
        outside.append(await check_version(settings, stored.cached_version))
    return (
        check_data_directory(settings.data_dir),
        *check_disks(settings.data_dir, _database_file(settings)),
        check_service(settings.data_dir),
        hold,
        *stored.findings,
        clock_finding,
        check_open_files(settings, stored.sessions),
        check_address(settings),
        await asyncio.to_thread(check_alerts, settings),
        check_authorities(settings),
        *outside,
    )


def _database_file(settings: Settings) -> Path | None:
    """Return the file of an SQLite database where links lead to, None for another kind."""
    try:
        file = sqlite_file(settings.database)
    except PereneError:
        return None  # the check of the database tells why
    return None if file is None else file.resolve()
