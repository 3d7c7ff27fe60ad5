"""Twins: sessions that are linked to the same account, on purpose or by mistake.

Each is a linked device of its own, and all of them work; but each receives every message.
"""

from collections import defaultdict
from collections.abc import Mapping

from perene.core.ids import SessionId
from perene.core.sessions import SessionRecord


def account_of(record: SessionRecord) -> str | None:
    """Return the number that a session is linked to, None while it is not linked."""
    return user_of(record.pn) if record.paired and record.pn is not None else None


def user_of(jid: str) -> str:
    """Return the number in a device's address."""
    return jid.partition("@")[0].partition(":")[0]


def twins(accounts: Mapping[SessionId, str]) -> Mapping[SessionId, tuple[SessionId, ...]]:
    """Return every session that has twins, with these, from the account of each linked session."""
    sharing: dict[str, list[SessionId]] = defaultdict(list)
    for session, account in accounts.items():
        sharing[account].append(session)
    return {
        session: tuple(other for other in sharing[account] if other != session)
        for session, account in accounts.items()
        if len(sharing[account]) > 1
    }
