"""Privacy tokens: what people gave us, and when we gave them ours."""

from collections.abc import Collection, Iterable

from sqlalchemy import Connection, select

from perene.core.privacy_tokens import PrivacyToken
from perene.store.batch import Entry, Owned
from perene.store.bulk import BulkInsert, replacing
from perene.store.moments import micros_or_none, moment_or_none
from perene.store.schema import privacy_tokens
from perene.store.sealing import Sealer

_TABLE = "privacy_tokens"
_COLUMNS = ("session", "person", "sealed", "given_at", "sent_at")
_UPSERT = BulkInsert(privacy_tokens, _COLUMNS, replacing(*_COLUMNS[2:]))


def write_privacy_tokens(connection: Connection, entries: Iterable[Entry]) -> None:
    """Apply the changes of a batch to what is stored. The caller holds the sessions' locks."""
    changes: dict[int, tuple[Owned, list[PrivacyToken]]] = {}
    for entry in entries:
        if entry.unit.privacy_tokens:
            _, found = changes.setdefault(entry.session.key, (entry.session, []))
            found.extend(entry.unit.privacy_tokens)
    rows: list[tuple[object, ...]] = []
    for session, found in changes.values():
        persons = {change.person for change in found}
        known = {
            one.person: one
            for one in read_privacy_tokens(connection, session.key, session.sealer, persons)
        }
        for change in found:
            before = known.get(change.person) or PrivacyToken(person=change.person)
            known[change.person] = before.changed(change)
        rows += [_row(session, one) for one in known.values()]
    _UPSERT.run(connection, rows)


def read_privacy_tokens(
    connection: Connection, session: int, sealer: Sealer, persons: Collection[str]
) -> list[PrivacyToken]:
    """Return what is known of these persons (bare JIDs); a handful at a time."""
    table = privacy_tokens.c
    rows = connection.execute(
        select(table.person, table.sealed, table.given_at, table.sent_at).where(
            table.session == session, table.person.in_(list(persons))
        )
    )
    return [
        PrivacyToken(
            person=row.person,
            token=None if row.sealed is None else sealer.open(_TABLE, row.person, row.sealed),
            given_at=moment_or_none(row.given_at),
            sent_at=moment_or_none(row.sent_at),
        )
        for row in rows
    ]


def _row(session: Owned, one: PrivacyToken) -> tuple[object, ...]:
    sealed = None if one.token is None else session.sealer.seal(_TABLE, one.person, one.token)
    return (
        session.key,
        one.person,
        sealed,
        micros_or_none(one.given_at),
        micros_or_none(one.sent_at),
    )
