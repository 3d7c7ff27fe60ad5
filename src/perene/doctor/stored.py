"""What is stored: the database, and the master key that opens it."""

from dataclasses import dataclass, replace
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path

from perene.core.errors import PereneError
from perene.doctor.finding import Finding, Level, counted, fail, ok, refusal, warn
from perene.doctor.machine import refused_write
from perene.key_rotation import RotationInterrupted, next_key_file
from perene.process.data_directory import is_held
from perene.settings import Settings
from perene.store.damage import damage_of
from perene.store.database import Database
from perene.store.errors import EmptyDatabase, OlderSchema, WrongMasterKey
from perene.store.inspection import Inspection, inspect, opens_with, sqlite_file
from perene.store.master_key import find_master_key

_DATABASE, _KEY, _NUMBERS = "database", "master key", "numbers"

_FILE_S = 5.0
"""How long a database's file is looked through: some gigabytes, if they are in memory."""

_FROM_A_BACKUP = (
    "Look whether its disk gives errors (`dmesg`). If it does not, stop the service and restore the"
    " database from a backup: see docs/how-to/backup.md."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What was found, and what other checks go on with."""

    findings: tuple[Finding, ...] = ()
    sessions: int = 0
    cached_version: str | None = None
    database_clock: datetime | None = None


def check_stored(settings: Settings) -> Stored:
    """Look at the database and the master key. Blocking, up to some seconds."""
    try:
        file = sqlite_file(settings.database)
        if file is not None and not file.exists() and is_held(settings.data_dir):
            return Stored(findings=(_gone(file), _check_key(settings, None, sealed=True)))
        if file is not None and not (file.exists() and file.stat().st_size):
            found = warn(_DATABASE, f"{file} does not exist yet.", "`perene serve` makes it.")
            return Stored(findings=(found, _check_key(settings, None, sealed=False)))
        database = Database.open(settings.database, migrate=False)
    except EmptyDatabase as error:
        empty = refusal(_DATABASE, error, level=Level.WARN)
        return Stored(findings=(empty, _check_key(settings, None, sealed=False)))
    except OlderSchema as error:
        older = replace(
            refusal(_DATABASE, error, level=Level.WARN),
            remedy="Make a backup, then start `perene serve`: it brings the database up to date.",
        )
        return Stored(findings=(older, _check_key(settings, None, sealed=True)))
    except PereneError as error:
        return Stored(findings=(refusal(_DATABASE, error), _check_key(settings, None, sealed=None)))
    except OSError as error:
        found = fail(
            _DATABASE,
            f"The database's file cannot be looked at ({error.strerror}).",
            "Run this as the user that runs Perene, or give that user the rights on it.",
        )
        return Stored(findings=(found,))
    try:
        return _look_into(database, settings)
    finally:
        database.close_now()


def _gone(file: Path) -> Finding:
    return fail(
        _DATABASE,
        f"{file} is gone, and a service uses it.",
        "Move it back. If it was deleted, do not stop the service before you have copied it out of"
        " the process: see docs/how-to/backup.md.",
    )


def _look_into(database: Database, settings: Settings) -> Stored:
    try:
        seen = inspect(database, settings.endpoint)
    except PereneError as error:
        return Stored(findings=(refusal(_DATABASE, error), _check_key(settings, None, sealed=None)))
    return Stored(
        findings=(
            _check_room(settings)
            or _check_lacking(seen)
            or _check_way(seen)
            or _check_file(settings, _described(database, seen)),
            _check_key(settings, database, sealed=seen.sealed),
            _check_numbers(seen),
        ),
        sessions=seen.sessions,
        cached_version=seen.cached_version,
        database_clock=seen.clock,
    )


def _check_room(settings: Settings) -> Finding | None:
    """Tell why an SQLite database cannot grow, if so; what is there can be written all the same."""
    file = sqlite_file(settings.database)
    refused = None if file is None else refused_write(file.parent)
    if refused is None:
        return None
    return fail(
        _DATABASE, f"SQLite can be read, and nothing be added ({refused}).", "Make room beside it."
    )


def _check_lacking(seen: Inspection) -> Finding | None:
    """Tell of sessions that would have to be linked anew, though nobody has unlinked them."""
    if not seen.lacking:
        return None
    named = ", ".join(seen.lacking)
    return fail(
        _DATABASE,
        f"A part of the database is gone: the credentials of linked sessions ({named}).",
        _FROM_A_BACKUP,
    )


def _check_file(settings: Settings, described: str) -> Finding:
    """Look an SQLite file through, which can be read in most places and damaged in one."""
    file = sqlite_file(settings.database)
    try:
        damage = None if file is None else damage_of(file, within_s=_FILE_S)
    except TimeoutError:
        return ok(
            _DATABASE,
            f"{described} Its file is too large to be looked through in {_FILE_S:.0f} s, as `PRAGMA"
            " quick_check` in an SQLite shell does.",
        )
    if damage is None:
        return ok(_DATABASE, described)
    return fail(_DATABASE, f"{file} is damaged ({damage}).", _FROM_A_BACKUP)


def _described(database: Database, seen: Inspection) -> str:
    kind = "SQLite" if database.dialect == "sqlite" else "PostgreSQL"
    ways = {None: "", True: " is reached by TLS,", False: " is reached without TLS,"}
    sessions = counted(seen.sessions, "session")
    return f"{kind} can be read and written,{ways[seen.tls]} has schema {seen.schema}, {sessions}."


def _check_way(seen: Inspection) -> Finding | None:
    """Tell of a server that is reached in plain text over what is nobody's own network."""
    if seen.tls is not False or not seen.address or not ip_address(seen.address).is_global:
        return None
    return warn(
        _DATABASE,
        f"PostgreSQL can be read and written, and is reached at {seen.address} in plain text.",
        "Add `?sslmode=verify-full&sslrootcert=FILE` to PERENE_DATABASE_URL (or `system` in place"
        " of a file, for an authority that this machine trusts).",
    )


def _check_numbers(seen: Inspection) -> Finding:
    if not seen.twins:
        return ok(_NUMBERS, "No number is linked in two sessions.")
    groups = {tuple(sorted((session, *others))) for session, others in seen.twins.items()}
    named = "; ".join(" and ".join(group) for group in sorted(groups))
    return warn(
        _NUMBERS,
        f"The same number is linked in several sessions, and each receives every message: {named}.",
        "Log out those that are not meant, with `perene session logout`.",
    )


def _check_key(settings: Settings, database: Database | None, *, sealed: bool | None) -> Finding:
    """Look whether the key is there and kept well; with a database, whether it opens that.

    `sealed` tells whether the database holds anything that the key has to open, if that is known.
    """
    file = settings.master_key_path
    given = settings.master_key.get_secret_value() if settings.master_key else None
    try:
        if given is None and not sealed and not file.exists():
            if sealed is None:
                return warn(
                    _KEY,
                    f"{file} does not exist, and the database cannot be asked whether it needs it.",
                    "Mend the database first; what it holds needs the key that it was sealed with.",
                )
            return warn(_KEY, f"{file} does not exist yet.", "`perene serve` makes it.")
        key = find_master_key(given, file, database_in_use=True)
        if database is not None and sealed:
            opens_with(database, key)
    except WrongMasterKey as error:
        if next_key_file(settings).exists():
            return refusal(
                _KEY, RotationInterrupted("A rotation of the master key was interrupted.")
            )
        return refusal(_KEY, error)
    except PereneError as error:
        return refusal(_KEY, error)
    except OSError as error:
        sentence = f"The key file {file} cannot be read ({error.strerror})."
        return fail(_KEY, sentence, "Run this as the user that runs Perene.")
    place = f"{file} holds a key, mode 600" if given is None else "PERENE_MASTER_KEY holds a key"
    match database, sealed:
        case _, False:
            return ok(_KEY, f"{place}; nothing to open yet.")
        case None, _:
            return ok(_KEY, f"{place}; whether it opens the database cannot be looked at now.")
        case _:
            return ok(_KEY, f"{place}, and it opens the database.")
