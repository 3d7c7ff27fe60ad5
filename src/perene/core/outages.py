"""An outage: from the loss of a connection to the next stable one, as it is kept for people."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import NewType
from uuid import uuid4

from perene.core.causes import Cause, Kind
from perene.core.ids import SessionId

OutageId = NewType("OutageId", str)

MOST_LOSSES = 12
"""Kinds of losses that one outage tells apart."""


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
class Loss:
    """One way in which connections ended during an outage, and how often they ended so.

    `attributes` are those of the last time, numbers masked.
    """

    cause: Cause
    kind: Kind
    code: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict[str, str])
    times: int = 1
    first_at: datetime
    last_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """One outage. The first half tells how it began, the second how it goes.

    `attributes` are the server's raw attributes with numbers masked. `attempts` counts the
    connections tried since, `losses` says how each kind of them ended, the one that began it first.
    While `retry_at` is None and `ended_at` is too, an attempt is under way or a person has to act.
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
    losses: tuple[Loss, ...] = ()
    retry_at: datetime | None = None
    ended_at: datetime | None = None
    end: OutageEnd | None = None

    def lost(self, loss: Loss) -> "Outage":
        """Return the outage after a connection ended in it."""
        return replace(
            self, losses=_counted(self.losses, loss), last_cause=loss.cause, last_code=loss.code
        )


def _counted(losses: tuple[Loss, ...], loss: Loss) -> tuple[Loss, ...]:
    for index, known in enumerate(losses):
        if (known.cause, known.kind, known.code) == (loss.cause, loss.kind, loss.code):
            again = replace(loss, times=known.times + 1, first_at=known.first_at)
            return (*losses[:index], again, *losses[index + 1 :])
    if len(losses) < MOST_LOSSES:
        return (*losses, loss)
    # The one that began it is kept, and those that came last.
    return (losses[0], *losses[2:], loss)
