"""Hashes of ciphertexts whose units are committed, to recognise a redelivery."""

from collections.abc import Collection, Iterable
from datetime import datetime

from sqlalchemy import Connection, delete, select

from perene.store.batch import Entry
from perene.store.bulk import BulkInsert, do_nothing
from perene.store.moments import micros
from perene.store.schema import ciphertexts

_INSERT = BulkInsert(ciphertexts, ("session", "hash", "at"), do_nothing)


def write_ciphertexts(connection: Connection, entries: Iterable[Entry], now: int) -> None:
    """Remember the hashes of a batch."""
    _INSERT.run(
        connection,
        [(entry.session.key, hash_, now) for entry in entries for hash_ in entry.unit.ciphertexts],
    )


def known_ciphertexts(
    connection: Connection, session: int, hashes: Collection[bytes]
) -> frozenset[bytes]:
    """Return those of these hashes that are committed; a stanza has a handful."""
    table = ciphertexts.c
    rows = connection.execute(
        select(table.hash).where(table.session == session, table.hash.in_(list(hashes)))
    )
    return frozenset(bytes(row.hash) for row in rows)


def purge_ciphertexts(connection: Connection, before: datetime, *, limit: int) -> int:
    """Delete at most `limit` hashes older than `before`; returns how many. Call until it is 0.

    WhatsApp redelivers what it kept for an offline device, 14 days at most in practice; the
    message key recognises anything older.
    """
    oldest = connection.execute(
        select(ciphertexts.c.id, ciphertexts.c.at).order_by(ciphertexts.c.id).limit(limit)
    ).all()
    cutoff = micros(before)
    old = [id_ for id_, at in oldest if at < cutoff]
    if not old:
        return 0
    # Numbers follow time but for commits that overlapped: the newest of the old ones is the end.
    return connection.execute(
        delete(ciphertexts).where(ciphertexts.c.id <= max(old), ciphertexts.c.at < cutoff)
    ).rowcount
