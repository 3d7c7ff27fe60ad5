"""Ways in which a connection ends, as short as a test wants to write them."""

from perene.core.causes import Ending, Kind, Local


def failure(reason: str, **attributes: str) -> Ending:
    """WhatsApp refuses the login for this reason."""
    return Ending(kind=Kind.FAILURE, code=reason, attributes=attributes)


def stream_error(code: str = "", conflict: str = "") -> Ending:
    """WhatsApp ends the stream with this code, or this kind of conflict."""
    return Ending(kind=Kind.STREAM_ERROR, code=code, conflict=conflict)


def local(code: Local) -> Ending:
    """It is noticed, or wanted, on this side."""
    return Ending(kind=Kind.LOCAL, code=code)


LOST = local(Local.SOCKET_CLOSED)
STOPPED = local(Local.STOPPED)
LOGGED_OUT = local(Local.LOGGED_OUT)
RESTART = stream_error("515")
REPLACED = stream_error(conflict="replaced")
UNLINKED = failure("401")
OUTDATED = failure("405")
