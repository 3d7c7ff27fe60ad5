"""The address map: one person's phone number JID and LID JID."""

from collections.abc import Collection, Iterator, Sequence
from typing import Final, TypeVar

from sqlalchemy import Connection, select

from perene.core.unit import AddressPair
from perene.store.bulk import BulkInsert, do_nothing
from perene.store.places import Place, rows_at
from perene.store.schema import address_map

T = TypeVar("T")

# Well below the 32,766 (SQLite) and 65,535 (PostgreSQL) parameters that a statement may have.
_CHUNK: Final = 500

# These are canonical as they are: docs/reference/protocol.md §5.6. What remains are phone numbers.
_CANONICAL: Final = ("@lid", "@g.us", "@broadcast", "@newsletter", "@hosted.lid")

_INSERT = BulkInsert(address_map, ("session", "pn", "lid"), do_nothing)


def needs_lookup(jid: str) -> bool:
    """Tell whether a JID may have another, canonical form."""
    return not jid.endswith(_CANONICAL)


def bare(jid: str) -> str:
    """Return a JID without its device: `5511:3@s.whatsapp.net` -> `5511@s.whatsapp.net`."""
    user, at, server = jid.partition("@")
    return f"{user.partition(':')[0]}{at}{server}"


def chunks(items: Collection[T]) -> Iterator[list[T]]:
    """Cut a collection into lists short enough for the parameters of one statement."""
    ordered = list(items)
    for start in range(0, len(ordered), _CHUNK):
        yield ordered[start : start + _CHUNK]


def lids_of(connection: Connection, places: Collection[Place]) -> dict[Place, str]:
    """Return the LID of each (session, phone number JID) that has one."""
    return _lookup(connection, places, "pn", "lid")


def pns_of(connection: Connection, places: Collection[Place]) -> dict[Place, str]:
    """Return the phone number JID of each (session, LID JID) that has one."""
    return _lookup(connection, places, "lid", "pn")


def insert_pairs(connection: Connection, pairs: Sequence[tuple[int, str, str]]) -> None:
    """Store (session, pn, lid) rows of which no half is stored yet."""
    _INSERT.run(connection, pairs)


def pairs_with(
    connection: Connection, session: int, addresses: Collection[str]
) -> list[AddressPair]:
    """Return the pairs of a session in which one of these JIDs takes part."""
    found: dict[str, AddressPair] = {}
    for jids in chunks(addresses):
        # Two queries: SQLite searches no index for an OR of two lists.
        for side in (address_map.c.pn, address_map.c.lid):
            rows = connection.execute(
                select(address_map.c.pn, address_map.c.lid).where(
                    address_map.c.session == session, side.in_(jids)
                )
            )
            found.update((row.pn, AddressPair(pn=row.pn, lid=row.lid)) for row in rows)
    return list(found.values())


def canonical(connection: Connection, session: int, jid: str) -> str:
    """Return the canonical form of one JID."""
    if not needs_lookup(jid):
        return jid
    return lids_of(connection, [(session, jid)]).get((session, jid), jid)


def _lookup(
    connection: Connection, places: Collection[Place], key: str, value: str
) -> dict[Place, str]:
    return {
        (session, jid): other
        for session, jid, other in rows_at(connection, address_map, key, (value,), places)
    }
