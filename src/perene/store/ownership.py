"""Who may write a session's data: whoever holds its row, under its epoch."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, delete, insert, select

from perene.core.errors import ForgottenEpoch, NotFound, StaleEpoch
from perene.core.ids import Epoch, SessionId
from perene.core.unit import Profile
from perene.store.batch import Owned
from perene.store.bulk import update_rows
from perene.store.keyring import Keyring
from perene.store.schema import counters, sessions
from perene.store.sealing import Sealer

_FIRST: Final = "first_epoch"
"""The counter of the epoch with which a session begins."""


@dataclass(frozen=True, slots=True)
class LockedSession:
    """A session's row, as far as units may change it, while it is locked."""

    key: int
    epoch: Epoch
    profile: Profile
    standing: str | None


# Made once: every commit uses it, and building it takes longer than running it.
_LOCK_ALL = (
    select(
        sessions.c.key,
        sessions.c.id,
        sessions.c.epoch,
        sessions.c.pn,
        sessions.c.lid,
        sessions.c.push_name,
        sessions.c.platform,
        sessions.c.standing,
    )
    .order_by(sessions.c.key)
    .with_for_update(key_share=True)
)
_LOCK = _LOCK_ALL.where(sessions.c.id.in_(bindparam("ids", expanding=True)))
_EPOCHS = select(sessions.c.id, sessions.c.epoch)
_EPOCHS_OF = _EPOCHS.where(sessions.c.id.in_(bindparam("ids", expanding=True)))


def lock_sessions(
    connection: Connection, ids: Collection[SessionId] | None = None
) -> dict[SessionId, LockedSession]:
    """Lock the rows of sessions, or of all, always in the same order, until the transaction ends.

    Everything that writes a session's data holds this lock (on SQLite, the whole database's).
    """
    found: dict[SessionId, LockedSession] = {}
    if ids is None:
        rows = connection.execute(_LOCK_ALL)
    else:
        rows = connection.execute(_LOCK, {"ids": list(ids)})
    for key, id_, epoch, pn, lid, push_name, platform, standing in rows:
        profile = Profile(pn=pn, lid=lid, push_name=push_name, platform=platform)
        found[id_] = LockedSession(key, epoch, profile, standing)
    return found


def lock_session(connection: Connection, session_id: SessionId) -> LockedSession:
    """Lock one session's row, or raise NotFound."""
    found = lock_sessions(connection, [session_id]).get(session_id)
    if found is None:
        raise NotFound(f"there is no session {session_id}")
    return found


def lock_as_owner(
    connection: Connection, session_id: SessionId, epoch: Epoch | None
) -> LockedSession:
    """Lock one session's row; with an epoch, raise what `refused` returns."""
    locked = lock_session(connection, session_id)
    if epoch is not None and (error := refused(session_id, locked.epoch, epoch)) is not None:
        raise error
    return locked


def not_owned(
    connection: Connection, asked: Sequence[tuple[SessionId, Epoch]]
) -> list[StaleEpoch | ForgottenEpoch | None]:
    """Return of each session what `refused` does.

    Nothing is locked: it may be another's in the next moment.
    """
    rows = connection.execute(_EPOCHS_OF, {"ids": [id_ for id_, _ in asked]})
    present = {SessionId(id_): Epoch(epoch) for id_, epoch in rows}
    return [refused(id_, present.get(id_), epoch) for id_, epoch in asked]


def refused(
    session_id: SessionId, present: Epoch | None, epoch: Epoch
) -> StaleEpoch | ForgottenEpoch | None:
    """Return why a session cannot be written under an epoch, None if it is the owner's.

    `present` is the stored one, None if there is no such session. Epochs only grow. If the stored
    one is smaller, nobody has taken the session: the database has gone back in time, by a
    fail-over that lost commits or by the restore of a backup.
    """
    if present is None:
        # Who deletes a session ends its owner before.
        return ForgottenEpoch(f"the database holds no session {session_id} any more")
    if present > epoch:
        return StaleEpoch(f"session {session_id} has another owner since epoch {present}")
    if present < epoch:
        return ForgottenEpoch(
            f"the database has gone back in time: session {session_id} is at epoch {present}"
            f" again, and was at {epoch}"
        )
    return None


def own_session(
    connection: Connection, keyring: Keyring, session_id: SessionId, epoch: Epoch | None
) -> Owned:
    """Lock a session for writing; with an epoch, raise what `refused` returns."""
    locked = lock_as_owner(connection, session_id, epoch)
    sealer = keyring.sealer(connection, locked.key, session_id)
    return owned(session_id, locked, sealer)


def owned(session_id: SessionId, locked: LockedSession, sealer: Sealer) -> Owned:
    """Return a locked session with what seals its rows."""
    return Owned(
        key=locked.key,
        id=session_id,
        epoch=locked.epoch,
        sealer=sealer,
        profile=locked.profile,
        standing=locked.standing,
    )


def read_epochs(connection: Connection) -> dict[SessionId, Epoch]:
    """Return the epoch of every session."""
    rows = connection.execute(_EPOCHS)
    return {SessionId(id_): Epoch(epoch) for id_, epoch in rows}


def fence(connection: Connection, found: Mapping[SessionId, Epoch]) -> bool:
    """Refuse every earlier owner's writes from now on; tell whether this kept out all of them.

    Only of sessions that are still at the epoch that was `found`: to do the same again changes
    nothing, however late. One that somebody has taken meanwhile is to be found anew.
    """
    locked = lock_sessions(connection)
    missed = [id_ for id_, session in locked.items() if session.epoch != found.get(id_)]
    update_rows(
        connection,
        sessions,
        ("key", "epoch"),
        [
            (session.key, Epoch(session.epoch + 1))
            for id_, session in locked.items()
            if session.epoch == found.get(id_)
        ],
    )
    return not missed


def first_epoch(connection: Connection) -> Epoch:
    """Return the epoch of a session that is made now: later than any of one that was deleted.

    Whoever owned a session of the same name might write to this one otherwise.
    """
    found = connection.execute(select(counters.c.value).where(counters.c.name == _FIRST)).scalar()
    return Epoch(0 if found is None else int(found))


def outlive(connection: Connection, epoch: Epoch) -> None:
    """Let whatever session is made from now on begin behind the epoch of one that is deleted."""
    first = first_epoch(connection)
    if epoch < first:
        return
    connection.execute(delete(counters).where(counters.c.name == _FIRST))
    connection.execute(insert(counters).values(name=_FIRST, value=epoch + 1))


def acquire(
    connection: Connection, asked: Sequence[tuple[SessionId, Epoch | None]]
) -> list[Epoch | StaleEpoch | NotFound]:
    """Become the owner of sessions: every earlier owner's writes are refused from now on.

    With an epoch, only while no later one is a session's: StaleEpoch is the answer when somebody
    else owns it by now, NotFound when there is no such session. The others are taken all the same.
    A new epoch is later than both the stored one and the one that was held.
    """
    locked = lock_sessions(connection, {session_id for session_id, _ in asked})
    epochs = {session_id: session.epoch for session_id, session in locked.items()}
    answers: list[Epoch | StaleEpoch | NotFound] = []
    for session_id, held in asked:
        present = epochs.get(session_id)
        if present is None:
            answers.append(NotFound(f"there is no session {session_id}"))
        elif held is not None and present > held:
            answers.append(StaleEpoch(f"session {session_id} has another owner"))
        else:
            epochs[session_id] = Epoch(max(present, held or 0) + 1)
            answers.append(epochs[session_id])
    update_rows(
        connection,
        sessions,
        ("key", "epoch"),
        [
            (session.key, epochs[session_id])
            for session_id, session in locked.items()
            if epochs[session_id] != session.epoch
        ],
    )
    return answers
