"""Ratchets, sender keys, and who holds our own sender keys."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from sqlalchemy import Connection, bindparam, delete, select

from perene.core.unit import Serializable
from perene.store.addresses import chunks
from perene.store.batch import Entry, Owned
from perene.store.bulk import BulkInsert, do_nothing, replacing
from perene.store.schema import ratchets, sender_key_holders, sender_keys
from perene.store.sealing import Sealer

RATCHET = BulkInsert(ratchets, ("session", "name", "device", "sealed"), replacing("sealed"))
_SENDER_KEY = BulkInsert(
    sender_keys, ("session", "name", "device", "group", "sealed"), replacing("sealed")
)
_HOLDER = BulkInsert(sender_key_holders, ("session", "group", "address"), do_nothing)

_FORGET_RATCHET = delete(ratchets).where(
    ratchets.c.session == bindparam("s"),
    ratchets.c.name == bindparam("n"),
    ratchets.c.device == bindparam("d"),
)
_FORGET_SENDER_KEY = delete(sender_keys).where(
    sender_keys.c.session == bindparam("s"),
    sender_keys.c.name == bindparam("n"),
    sender_keys.c.device == bindparam("d"),
    sender_keys.c.group == bindparam("g"),
)
_FORGET_HOLDER = delete(sender_key_holders).where(
    sender_key_holders.c.session == bindparam("s"),
    sender_key_holders.c.group == bindparam("g"),
    sender_key_holders.c.address == bindparam("a"),
)
_FORGET_HOLDERS = delete(sender_key_holders).where(
    sender_key_holders.c.session == bindparam("s"), sender_key_holders.c.group == bindparam("g")
)


@dataclass(slots=True)
class _Holders:
    forget_all: bool = False
    added: dict[str, None] = field(default_factory=dict[str, None])
    removed: dict[str, None] = field(default_factory=dict[str, None])


def write_ratchets(connection: Connection, entries: Iterable[Entry]) -> None:
    """Store the last state of every ratchet that a batch advances, or remove it."""
    last: dict[tuple[int, str], tuple[Owned, Serializable | None]] = {}
    for entry in entries:
        for write in entry.unit.ratchets:
            last[entry.session.key, write.address] = (entry.session, write.state)
    rows: list[tuple[int, str, int, bytes]] = []
    gone: list[dict[str, object]] = []
    for (key, address), (session, state) in last.items():
        name, device = _split(address)
        if state is None:
            gone.append({"s": key, "n": name, "d": device})
        else:
            sealed = session.sealer.seal("ratchets", address, state.serialize())
            rows.append((key, name, device, sealed))
    RATCHET.run(connection, rows)
    if gone:
        connection.execute(_FORGET_RATCHET, gone)


def write_sender_keys(connection: Connection, entries: Iterable[Entry]) -> None:
    """Store the last state of every sender key that a batch advances, or remove it."""
    last: dict[tuple[int, str, str], tuple[Owned, Serializable | None]] = {}
    for entry in entries:
        for write in entry.unit.sender_keys:
            last[entry.session.key, write.group, write.address] = (entry.session, write.state)
    rows: list[tuple[int, str, int, str, bytes]] = []
    gone: list[dict[str, object]] = []
    for (key, group, address), (session, state) in last.items():
        name, device = _split(address)
        if state is None:
            gone.append({"s": key, "n": name, "d": device, "g": group})
        else:
            sealed = session.sealer.seal("sender_keys", f"{group}\0{address}", state.serialize())
            rows.append((key, name, device, group, sealed))
    _SENDER_KEY.run(connection, rows)
    if gone:
        connection.execute(_FORGET_SENDER_KEY, gone)


def write_holders(connection: Connection, entries: Iterable[Entry]) -> None:
    """Store which devices hold our sender keys after a batch."""
    groups: dict[tuple[int, str], _Holders] = {}
    for entry in entries:
        for change in entry.unit.holders:
            holders = groups.setdefault((entry.session.key, change.group), _Holders())
            if change.forget_all:
                holders.forget_all = True
                holders.added.clear()
                holders.removed.clear()
            for address in change.added:
                holders.added[address] = None
                holders.removed.pop(address, None)
            for address in change.removed:
                holders.removed[address] = None
                holders.added.pop(address, None)
    cleared = [{"s": s, "g": g} for (s, g), holders in groups.items() if holders.forget_all]
    if cleared:
        connection.execute(_FORGET_HOLDERS, cleared)
    removed = [
        {"s": s, "g": g, "a": a} for (s, g), holders in groups.items() for a in holders.removed
    ]
    if removed:
        connection.execute(_FORGET_HOLDER, removed)
    _HOLDER.run(
        connection, [(s, g, a) for (s, g), holders in groups.items() for a in holders.added]
    )


def read_ratchets(
    connection: Connection, session: int, sealer: Sealer, addresses: Collection[str]
) -> dict[str, bytes]:
    """Return the serialised ratchets that exist among these addresses."""
    table = ratchets.c
    found: dict[str, bytes] = {}
    for chunk in chunks(addresses):
        # More than was asked for, from the index alone; `(name, device) IN (VALUES …)` would not
        # use it on SQLite.
        names, devices = zip(*(_split(address) for address in chunk), strict=True)
        rows = connection.execute(
            select(table.name, table.device, table.sealed).where(
                table.session == session, table.name.in_(names), table.device.in_(set(devices))
            )
        )
        wanted = set(chunk)
        for name, device, sealed in rows:
            address = f"{name}.{device}"
            if address in wanted:
                found[address] = sealer.open("ratchets", address, sealed)
    return found


def ratchet_addresses(connection: Connection, session: int, names: Collection[str]) -> list[str]:
    """Return every address with a ratchet that belongs to one of these names."""
    table = ratchets.c
    found: list[str] = []
    for chunk in chunks(names):
        rows = connection.execute(
            select(table.name, table.device)
            .where(table.session == session, table.name.in_(chunk))
            .order_by(table.name, table.device)
        )
        found += [f"{name}.{device}" for name, device in rows]
    return found


def read_sender_key(
    connection: Connection, session: int, sealer: Sealer, group: str, address: str
) -> bytes | None:
    """Return one sender's serialised key record in one group."""
    table = sender_keys.c
    name, device = _split(address)
    sealed = connection.execute(
        select(table.sealed).where(
            table.session == session,
            table.name == name,
            table.device == device,
            table.group == group,
        )
    ).scalar()
    return None if sealed is None else sealer.open("sender_keys", f"{group}\0{address}", sealed)


def sender_key_addresses(
    connection: Connection, session: int, names: Collection[str]
) -> list[tuple[str, str]]:
    """Return every (group, address) with a sender key of one of these names."""
    table = sender_keys.c
    found: list[tuple[str, str]] = []
    for chunk in chunks(names):
        rows = connection.execute(
            select(table.group, table.name, table.device)
            .where(table.session == session, table.name.in_(chunk))
            .order_by(table.name, table.device, table.group)
        )
        found += [(group, f"{name}.{device}") for group, name, device in rows]
    return found


def read_holders(connection: Connection, session: int, group: str) -> frozenset[str]:
    """Return the addresses that hold our sender key of a group."""
    table = sender_key_holders.c
    rows = connection.execute(
        select(table.address).where(table.session == session, table.group == group)
    )
    return frozenset(row.address for row in rows)


def _split(address: str) -> tuple[str, int]:
    name, _dot, device = address.rpartition(".")
    return name, int(device)
