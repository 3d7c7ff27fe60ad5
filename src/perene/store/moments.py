"""Instants as stored: whole microseconds since 1970, UTC.

Both databases keep a 64-bit integer exactly. SQLite has no type for an aware timestamp, and
PostgreSQL's would come back in the zone of the connection.
"""

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(moment: datetime) -> int:
    """Return the stored form of an aware datetime; a naive one raises TypeError."""
    return (moment - _EPOCH) // _MICROSECOND


def moment(stored: int) -> datetime:
    """Return the aware UTC datetime of a stored instant."""
    return _EPOCH + timedelta(microseconds=stored)


def micros_or_none(moment: datetime | None) -> int | None:
    """Return `micros(moment)`, or None for None."""
    return None if moment is None else micros(moment)


def moment_or_none(stored: int | None) -> datetime | None:
    """Return `moment(stored)`, or None for None."""
    return None if stored is None else moment(stored)
