"""Receipts: own messages that come further, and never go back."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, update

from perene.core.failures import Failure
from perene.core.messages import Status, StatusChange, advances
from perene.store.batch import Entry
from perene.store.messages import NewMessages
from perene.store.moments import micros
from perene.store.places import Place, rows_at
from perene.store.schema import messages
from perene.store.texts import indexable, storable_or_none


@dataclass(slots=True)
class _Progress:
    row: int
    status: Status
    change: StatusChange | None = None


def apply_statuses(connection: Connection, entries: Sequence[Entry], new: NewMessages) -> None:
    """Apply the status changes of a batch in their order, and keep the events of those made.

    The sessions are locked, so nobody moves a status between this read and this write.
    """
    wanted = {
        (entry.session.key, indexable(change.id)): None
        for entry in entries
        for change in entry.unit.status_changes
    }
    if not wanted:
        return
    found = _read(connection, list(wanted))
    for entry in entries:
        for change in entry.unit.status_changes:
            # A receipt that precedes its message in the batch found nothing to change.
            rows = [
                progress
                for progress in found.get((entry.session.key, indexable(change.id)), ())
                if new.born.get(progress.row, -1) <= entry.position
            ]
            moved = [_move(progress, change) for progress in rows]
            if any(moved) and change.event is not None:
                entry.events.append(change.event)
    _write(connection, [progress for rows in found.values() for progress in rows])


def _read(connection: Connection, wanted: list[Place]) -> dict[Place, list[_Progress]]:
    found: dict[Place, list[_Progress]] = {}
    rows = rows_at(
        connection, messages, "external_id", ("id", "status"), wanted, only="r.from_me = 1"
    )
    for session, external_id, row, status in rows:
        found.setdefault((session, external_id), []).append(_Progress(row, Status(status)))
    return found


def _move(progress: _Progress, change: StatusChange) -> bool:
    if not advances(progress.status, change.status):
        return False
    progress.status = change.status
    progress.change = change
    return True


_UPDATE = (
    update(messages)
    .where(messages.c.id == bindparam("row"))
    .values(
        status=bindparam("new"),
        status_at=bindparam("at"),
        failure=bindparam("why"),
        error=bindparam("server_code"),
    )
)


def _why(failure: Failure | None) -> dict[str, str | None]:
    if failure is None:
        return {"why": None, "server_code": None}
    return {"why": failure.code.value, "server_code": storable_or_none(failure.server_code)}


def _write(connection: Connection, moved: list[_Progress]) -> None:
    rows = [
        {
            "row": progress.row,
            "new": progress.change.status.value,
            "at": micros(progress.change.at),
            **_why(progress.change.failure),
        }
        for progress in moved
        if progress.change is not None
    ]
    if rows:
        connection.execute(_UPDATE, rows)
