"""What the live state of a session shows of its machines; what a connection tells is left."""

from collections.abc import Mapping
from typing import assert_never

from perene.core.causes import Cause
from perene.core.machines.outlook import outlook_of
from perene.core.machines.state import (
    Asking,
    Claiming,
    Connecting,
    Destroying,
    Down,
    Draining,
    FindingVersion,
    Held,
    LoggingOut,
    Open,
    SessionState,
    SettingAside,
    Then,
    Unpaired,
    Waiting,
)
from perene.core.policy import Policy
from perene.core.sessions import Connection
from perene.supervisor.session.live import LiveState

_STILL_LINKED = (
    "WhatsApp did not confirm the logout. If the phone still lists this device under Linked"
    " devices, remove it there."
)


def show_gone(live: LiveState, state: SessionState) -> None:
    """Let the live state show that a session has no connection any more.

    This is so whatever becomes of the step that follows from it, and so it is shown before that is
    saved. What the step decides (the outlook, whether a person has to act) is told by `show`,
    afterwards. The wish to stop is stored before it gets here.
    """
    match state.connection:
        case Draining(then=Then.STOP | Then.LEAVE):
            live.moved(Connection.STOPPED)
        case _:
            live.moved(Connection.WAITING)


def show(
    live: LiveState,
    before: SessionState,
    state: SessionState,
    policies: Mapping[Cause, Policy],
) -> None:
    """Let the live state show what a session has become, once that is saved."""
    outlook = outlook_of(state, policies)
    live.paired = state.paired
    live.outlook = outlook
    live.phone_absent_days = state.standing.phone_absent_days
    seen_at = state.standing.phone_seen_at
    if seen_at is not None:
        live.phone_seen_at = max(seen_at, live.phone_seen_at or seen_at)
    if (before.connection, before.ownership) != (state.connection, state.ownership):
        sentence = None if outlook.cause is None else policies[outlook.cause].sentence
        _show_connection(live, state, sentence)
    match before.pairing, state.pairing:
        case Destroying(still_linked=still_linked), Unpaired():
            live.last_error = _STILL_LINKED if still_linked else None
        case _:
            pass


def _show_connection(live: LiveState, state: SessionState, sentence: str | None) -> None:
    match state.connection:
        case Down():
            live.moved(Connection.STOPPED)
        case Claiming() if isinstance(state.ownership, Asking) and state.ownership.failures:
            live.moved(Connection.WAITING)  # what the database said is shown already
        case Claiming() | Connecting():
            live.moved(Connection.CONNECTING)
        case Waiting() | FindingVersion() | SettingAside() | LoggingOut():
            live.moved(Connection.WAITING, error=sentence)
        case Held():
            live.moved(Connection.NEEDS_ATTENTION, error=sentence)
        case Open() | Draining():
            pass  # the connection has said so itself
        case _:
            assert_never(state.connection)
