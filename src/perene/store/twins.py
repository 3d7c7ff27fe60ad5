"""Sessions that are linked to the same account."""

from sqlalchemy import Connection, or_, select

from perene.core.ids import SessionId
from perene.core.twins import user_of
from perene.store.schema import credentials, sessions

_LINKED = (
    select(sessions.c.id, sessions.c.pn)
    .join(credentials, credentials.c.session == sessions.c.key)
    .where(sessions.c.pn.is_not(None))
    .order_by(sessions.c.key)
)


def read_accounts(connection: Connection) -> dict[SessionId, str]:
    """Return the number of each linked session, oldest session first."""
    return {id_: user_of(pn) for id_, pn in connection.execute(_LINKED)}


def read_twins(connection: Connection, session_id: SessionId) -> list[SessionId]:
    """Return the other sessions that are linked to a session's account, oldest first."""
    own = connection.execute(_LINKED.where(sessions.c.id == session_id)).first()
    if own is None:
        return []
    user = user_of(own.pn)
    same = or_(
        sessions.c.pn.startswith(f"{user}:", autoescape=True),
        sessions.c.pn.startswith(f"{user}@", autoescape=True),
    )
    found = connection.execute(_LINKED.where(same, sessions.c.id != session_id))
    return [row.id for row in found]
