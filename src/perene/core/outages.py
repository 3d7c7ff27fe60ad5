"""An outage: from the loss of a connection to the next stable one, as it is kept for people."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NewType
from uuid import uuid4

from perene.core.causes import Cause, Kind
from perene.core.ids import SessionId

OutageId = NewType("OutageId", str)


def new_outage_id() -> OutageId:
    """Return an id that no other outage has."""
    return OutageId(uuid4().hex)


class OutageEnd(StrEnum):
    """How an outage ended."""

    RECOVERED = "recovered"
    """A connection was made that stayed stable."""
    STOPPED = "stopped"
    """A person stopped the session meanwhile."""
    LOGGED_OUT = "logged_out"
    """A person logged the session out, or its credentials were set aside and a new code offered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """One outage. The first half tells how it began, the second how it goes.

    `attributes` are the server's raw attributes with numbers masked. `attempts` counts the
    connections tried since. While `retry_at` is None and `ended_at` is too, a person has to act.
    """

    id: OutageId
    session: SessionId
    began_at: datetime
    cause: Cause
    kind: Kind
    code: str = ""
    sentence: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    attempts: int = 0
    last_attempt_at: datetime | None = None
    last_cause: Cause
    last_code: str = ""
    retry_at: datetime | None = None
    ended_at: datetime | None = None
    end: OutageEnd | None = None
