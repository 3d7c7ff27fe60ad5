"""Committing units: many stanzas of many sessions in one transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import chain

from sqlalchemy import Connection

from perene.core.ids import CommitId, SessionId
from perene.core.unit import Committed, Outcome, Unit
from perene.store.batch import Entry, Owned
from perene.store.caches import Caches
from perene.store.ciphertexts import write_ciphertexts
from perene.store.credentials import write_credentials
from perene.store.directory import Directory
from perene.store.keyring import Keyring
from perene.store.ledger import write_ledger
from perene.store.messages import insert_messages
from perene.store.moments import micros
from perene.store.outages import write_outages
from perene.store.outbox import append_of_commit, last_commit
from perene.store.ownership import LockedSession, lock_sessions, owned, refused
from perene.store.peer_messages import write_peer_messages
from perene.store.pre_keys import write_pre_keys
from perene.store.privacy_tokens import write_privacy_tokens
from perene.store.ratchets import write_holders, write_ratchets, write_sender_keys
from perene.store.sessions import write_profiles, write_standings
from perene.store.statuses import apply_statuses


def commit_units(
    connection: Connection,
    keyring: Keyring,
    caches: Caches,
    units: Sequence[Unit],
    *,
    now: datetime,
    commit_id: CommitId | None = None,
) -> list[Outcome]:
    """Make the units true, in their order, in the transaction of the running `Database.write`.

    Returns, for each unit, what became of it: a unit whose epoch is not its session's is refused
    with a StaleEpoch, or with a ForgottenEpoch when the session's is an older one or the session is
    not there, and changes nothing; the others go on. Of a
    ratchet, sender key, outage or set of credentials that several units advance, only the last
    state is written. Committing the same units again changes nothing and repeats no event. Nothing
    is remembered in `caches` unless the transaction commits.

    A unit's events follow its new messages' and its status changes' events in the outbox. By
    `commit_id` the transaction is known to `recall_commit`, until the next one that has one. Raises
    UnreadableState when a session's data key does not open; then nothing was committed.
    """
    locked = lock_sessions(connection, {unit.session for unit in units})
    results = [_admit(unit, locked) for unit in units]
    sessions = _owned(connection, keyring, units, results, locked)
    entries = [
        Entry(position=position, session=sessions[unit.session], unit=unit)
        for position, unit in enumerate(units)
        if isinstance(results[position], Committed)
    ]
    if entries:
        _write(connection, caches, entries, micros(now), commit_id)
    for entry in entries:
        if entry.new_messages:
            results[entry.position] = Committed(new_messages=entry.new_messages)
    return results


def recall_commit(
    connection: Connection, tried: Mapping[CommitId, Sequence[Unit]]
) -> list[Outcome] | None:
    """Return what became of the units that were committed last, None if it was none of these tries.

    What `commit_units` returned was not heard of then. That its messages were new is
    forgotten; a unit whose session has another owner by now is refused.
    """
    # Whoever might still commit one of them holds these locks until then.
    locked = lock_sessions(connection, {unit.session for unit in chain(*tried.values())})
    last = last_commit(connection)
    units = None if last is None else tried.get(CommitId(last))
    return None if units is None else [_admit(unit, locked) for unit in units]


_NOTHING_NEW = Committed(new_messages=0)


def _admit(unit: Unit, locked: Mapping[SessionId, LockedSession]) -> Outcome:
    session = locked.get(unit.session)
    present = None if session is None else session.epoch
    return refused(unit.session, present, unit.epoch) or _NOTHING_NEW


def _owned(
    connection: Connection,
    keyring: Keyring,
    units: Sequence[Unit],
    results: Sequence[Outcome],
    locked: Mapping[SessionId, LockedSession],
) -> dict[SessionId, Owned]:
    admitted = {
        unit.session
        for unit, result in zip(units, results, strict=True)
        if isinstance(result, Committed)
    }
    sealers = keyring.sealers(connection, {locked[id_].key: id_ for id_ in admitted})
    return {id_: owned(id_, locked[id_], sealers[locked[id_].key]) for id_ in admitted}


def _write(
    connection: Connection,
    caches: Caches,
    entries: Sequence[Entry],
    now: int,
    commit_id: CommitId | None,
) -> None:
    write_credentials(connection, entries)
    write_profiles(connection, entries)
    write_standings(connection, entries)
    write_ratchets(connection, entries)
    write_sender_keys(connection, entries)
    write_holders(connection, entries)
    write_pre_keys(connection, entries)
    directory = Directory(connection, caches, now)
    directory.learn(entries)
    directory.resolve(entries)
    new = insert_messages(connection, entries, directory, now)
    apply_statuses(connection, entries, new)
    write_ledger(connection, entries, directory)
    write_ciphertexts(connection, entries, now)
    write_peer_messages(connection, entries, now)
    write_privacy_tokens(connection, entries)
    write_outages(connection, entries)
    # Last: from here to the commit, every other process that has an event to add waits.
    events = [
        (entry.session.id, event)
        for entry in entries
        for event in (*entry.events, *entry.unit.events)
    ]
    append_of_commit(connection, events, commit_id)
