"""How the service is, from memory."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from perene.core.ids import SessionId
from perene.core.sessions import Connection
from perene.supervisor.ports import ComponentHealth, DetailedHealth, Health, SessionHealth
from perene.supervisor.session.live import LiveState
from perene.supervisor.storage.committer import Committer

Part = Callable[[], ComponentHealth]
"""Tells how one component is, at once and from memory; raises nothing."""


class Lives(Protocol):
    """The roster, as far as health goes."""

    @property
    def lives(self) -> Mapping[SessionId, LiveState]:
        """The live half of every session, by its id."""
        ...


class Vitals:
    """Implements `ports.HealthSource` on what is in memory; reading it asks no database.

    `parts` are further components, told of besides the database and its queue. Whether requests can
    be served depends on the database alone; a further part that is not well is told in detail.
    """

    def __init__(
        self, roster: Lives, committer: Committer, *, database: Part, parts: Sequence[Part] = ()
    ) -> None:
        self._roster = roster
        self._database = database
        self._committer = committer
        self._parts = parts

    async def health(self) -> Health:
        return Health(components=[self._database()], sessions=self.count())

    async def detailed(self) -> DetailedHealth:
        return DetailedHealth(
            components=[self._database(), self._queue(), *(part() for part in self._parts)],
            sessions=[_session(session, live) for session, live in self._roster.lives.items()],
        )

    def count(self) -> Mapping[Connection, int]:
        """Return how many sessions are in each state."""
        return Counter(live.connection for live in self._roster.lives.values())

    def _queue(self) -> ComponentHealth:
        waiting = self._committer.waiting
        detail = f"{waiting} units wait."
        # What waits is only a matter of time, unless nothing is saved at all.
        return ComponentHealth(name="commit_queue", ok=True, detail=detail)


def _session(session: SessionId, live: LiveState) -> SessionHealth:
    return SessionHealth(
        id=session,
        connection=live.connection,
        connected_at=live.connected_at,
        alive_at=live.alive_at,
        outlook=live.outlook,
        deaf_suspicions=live.deaf_suspicions,
    )
