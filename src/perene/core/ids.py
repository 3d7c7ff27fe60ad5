"""The ids that cross module borders, so that they cannot be mixed up."""

import secrets
from typing import NewType

SessionId = NewType("SessionId", str)
"""A linked device as Perene's user sees it: `s_` and 16 hex digits, or the user's own slug."""

SESSION_ID = r"^[a-z0-9][a-z0-9_-]{0,63}$"
"""What an id that a user chooses looks like."""

Epoch = NewType("Epoch", int)
"""Fencing number of a session's owner; it only grows."""

EventId = NewType("EventId", str)
"""Stable id of one event, the same at every delivery."""

CommitId = NewType("CommitId", int)
"""One try to commit units; no two have the same (63 random bits)."""

MessageId = NewType("MessageId", str)
"""WhatsApp's id of a message; unique only within chat, sender and direction."""


def new_session_id() -> SessionId:
    """Make an id for a session whose creator named none."""
    return SessionId(f"s_{secrets.token_hex(8)}")


def new_commit_id() -> CommitId:
    """Make the id of one try to commit."""
    return CommitId(secrets.randbits(63))


def new_event_id() -> EventId:
    """Make the stable id of one event."""
    return EventId(f"evt_{secrets.token_hex(12)}")
