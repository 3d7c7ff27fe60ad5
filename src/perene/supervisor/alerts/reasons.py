"""Why a session is as it is, for those who are told of its alerts."""

from datetime import UTC

from perene.core.account import Ban
from perene.core.account_codes import ban_meaning
from perene.core.sessions import Connection
from perene.supervisor.session.live import LiveState


def reason_of(live: LiveState) -> str:
    """Return what is wrong with a session at this moment, and of a ban its end; "" for nothing."""
    if live.connection is Connection.OPEN or live.last_error is None:
        return ""
    ban = live.outlook.ban
    return live.last_error if ban is None else f"{live.last_error} {_described(ban)}"


def _described(ban: Ban) -> str:
    if ban.until is None:
        end = "For how long is not known."
    else:
        end = f"It ends at {ban.until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC."
    return f"{ban_meaning(ban.code)} {end}"
