"""What the machine gives: the data directory, room on the disk, files that may be open."""

import os
import resource
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path

from perene.doctor.finding import Finding, counted, fail, ok, warn
from perene.process.data_directory import is_held
from perene.process.room import Room, room_at, shares_disk
from perene.settings import Settings

GIB = 1024**3
MIB = 1024**2
WARN_BELOW_BYTES = GIB
FAIL_BELOW_BYTES = 100 * MIB
WARN_ABOVE_INODES = 0.95
FAIL_BELOW_INODES = 100
"""A service makes a handful of files; this is for what others make meanwhile."""

_TRIAL = bytes(64 * 1024)
"""About what the smallest transactions add to a journal."""

_MAKE_ROOM = "Make room: when nothing can be stored, sessions must wait."
_NOT_FOR_WANT_OF_ROOM = (
    "There can also be too many files (`df -i`), a quota, or a file system that is mounted to be"
    " read only (`mount`)."
)

_FEWER_FILES = "Find where many small files are (`df -i`, `du --inodes`) and remove them."

_OWN_FILES = 64
"""What a service has open besides sessions and event streams: database, logs, libraries."""


def check_data_directory(path: Path) -> Finding:
    """Look whether the directory is there, ours, and closed to others."""
    name = "data directory"
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        parent = existing(path)
        if not os.access(parent, os.W_OK | os.X_OK):
            remedy = f"Make it yourself, or get the right to write to {parent}."
            return fail(name, f"{path} does not exist, and cannot be made.", remedy)
        return warn(name, f"{path} does not exist yet.", "`perene serve` makes it.")
    except OSError as error:
        remedy = "Give the user that runs Perene the rights on it, or set PERENE_DATA_DIR."
        return fail(name, f"{path} cannot be looked at ({error.strerror}).", remedy)
    if not stat.S_ISDIR(mode):
        return fail(name, f"{path} is not a directory.", "Set PERENE_DATA_DIR to a directory.")
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        remedy = "Run this as the user that runs Perene, or give that user the rights on it."
        return fail(name, f"{path} cannot be written.", remedy)
    if stat.S_IMODE(mode) & 0o077:
        sentence = f"{path} has mode {stat.S_IMODE(mode):o}, so that others can look into it."
        return warn(name, sentence, f"Run `chmod 700 {path}`.")
    return ok(name, f"{path} can be written, by its owner only.")


def check_disks(data_dir: Path, database: Path | None) -> Sequence[Finding]:
    """Look at each file system that is written to; `database` is the file of an SQLite one."""
    if database is None:
        return (check_disk(data_dir),)
    try:
        if shares_disk(existing(data_dir), existing(database.parent)):
            return (check_disk(data_dir),)
    except OSError:
        pass  # looked at by itself, it tells why it cannot be
    return (check_disk(data_dir), check_disk(database.parent, name="database disk"))


def check_disk(path: Path, *, name: str = "disk", room: Room | None = None) -> Finding:
    """Look what is left at a path, of bytes and of inodes; `room` None to measure."""
    place = existing(path)
    try:
        room = room_at(place) if room is None else room
    except OSError as error:
        return fail(name, f"{place} cannot be measured ({error.strerror}).", "Check the disk.")
    left = room.free_bytes
    if refused := refused_write(place):
        sentence = f"Nothing can be written at {place} ({refused}; {left / MIB:.0f} MiB are free)."
        remedy = f"{_MAKE_ROOM} {_NOT_FOR_WANT_OF_ROOM}"
        return fail(name, sentence, remedy)
    sentence = f"{left / GIB:.1f} GiB are free at {place}."
    if room.files_share is not None:
        sentence += f" {room.files_share:.0%} of its inodes are used."
    if left < FAIL_BELOW_BYTES:
        sentence = f"Only {left / MIB:.0f} MiB are free at {place}."
        return fail(name, sentence, _MAKE_ROOM)
    if room.files_share is not None and room.free_files < FAIL_BELOW_INODES:
        sentence = f"Only {room.free_files} inodes are free at {place}."
        return fail(name, sentence, f"{_FEWER_FILES} Without any, nothing can be stored.")
    if left < WARN_BELOW_BYTES:
        return warn(name, sentence, "Make room before it is used up.")
    if (room.files_share or 0) > WARN_ABOVE_INODES:
        return warn(name, sentence, _FEWER_FILES)
    return ok(name, sentence)


def refused_write(directory: Path) -> str | None:
    """Try to write a file that has no name and is gone at once; return why it cannot be written.

    None also where this user has no right to make files: other checks tell that.
    """
    try:
        with tempfile.TemporaryFile(dir=directory) as trial:
            trial.write(_TRIAL)
            trial.flush()
            os.fsync(trial.fileno())
    except PermissionError:
        return None
    except OSError as error:
        return error.strerror
    return None


def check_service(path: Path) -> Finding:
    """Look whether a service holds the data directory."""
    try:
        held = is_held(path)
    except OSError as error:
        sentence = f"Whether a service runs cannot be told ({error.strerror})."
        return warn("service", sentence, "Run this as the user that runs Perene.")
    if held:
        return ok("service", "A service is running on this data directory.")
    return ok("service", "No service is running on this data directory.")


def check_open_files(settings: Settings, sessions: int, *, limit: int | None = None) -> Finding:
    """Compare how many files may be open with what so many sessions need."""
    name = "open files"
    # The service takes all that the system lets it have.
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1] if limit is None else limit
    needed = sessions + settings.max_event_streams + _OWN_FILES
    if most == resource.RLIM_INFINITY:
        return ok(name, "Any number of files may be open.")
    need = counted(sessions, "session", "need", "needs")
    sentence = f"{most} files may be open here; {need} up to {needed}."
    if most < needed:
        remedy = (
            "Raise the limit where the service starts: `ulimit -n`, or LimitNOFILE= of systemd."
        )
        return warn(name, sentence, remedy)
    return ok(name, sentence)


def existing(path: Path) -> Path:
    """Return the path, or the nearest one above it that exists."""
    while not path.exists() and path != path.parent:
        path = path.parent
    return path
