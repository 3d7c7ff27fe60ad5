"""The machine's clock, held against what else tells the time."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from perene.core.clock import EARLIEST
from perene.doctor.finding import Finding, fail, ok, warn

TOLERATED = timedelta(seconds=60)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)

_NAME = "clock"
_REMEDY = "Have the machine's clock set by NTP: `timedatectl set-ntp true`, or chrony."


def check_clock(
    now: datetime, *, newest_file: datetime | None, others: Mapping[str, datetime | None]
) -> Finding:
    """Compare with the newest file of ours, and with other clocks, read at the same time.

    `others` maps the name of a clock, as words after "of", to its time, None if it was not read.
    """
    shown = now.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    if not EARLIEST <= now <= LATEST:
        sentence = f"It is {shown} by this machine's clock, which cannot be."
        return fail(_NAME, sentence, f"{_REMEDY} TLS fails and bans are misjudged until then.")
    for name, other in others.items():
        if other is not None and abs(now - other) > TOLERATED:
            side = "ahead of" if now > other else "behind"
            seconds = abs((now - other).total_seconds())
            sentence = f"This machine's clock is {seconds:.0f} s {side} that of {name}."
            return warn(_NAME, sentence, _REMEDY)
    if newest_file is not None and newest_file - now > TOLERATED:
        seconds = (newest_file - now).total_seconds()
        sentence = f"A file in the data directory is from {seconds:.0f} s in the future."
        return warn(_NAME, f"{sentence} The clock was set back.", _REMEDY)
    asked = [name for name, other in others.items() if other is not None]
    agrees = f", and agrees with {' and '.join(asked)}" if asked else ""
    return ok(_NAME, f"It is {shown}{agrees}.")


def newest_file(directory: Path) -> datetime | None:
    """Return when the latest change in a directory was, None if that cannot be told."""
    try:
        times = [file.stat().st_mtime for file in directory.iterdir()]
    except OSError:
        return None  # the check of the directory tells of it
    return datetime.fromtimestamp(max(times), UTC) if times else None
