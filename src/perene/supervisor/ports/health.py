"""How the service is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from perene.core.ids import SessionId
from perene.core.machines.outlook import Outlook
from perene.core.sessions import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentHealth:
    """One part of the service. `detail` is a sentence for a person, without secrets."""

    name: str
    ok: bool
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the service is. `sessions` counts them by the state of their connection."""

    components: Sequence[ComponentHealth]
    sessions: Mapping[Connection, int] = field(default_factory=dict[Connection, int])


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionHealth:
    """How one session's connection is; the fields mean what they mean in `SessionView`."""

    id: SessionId
    connection: Connection
    connected_at: datetime | None = None
    alive_at: datetime | None = None
    outlook: Outlook = field(default_factory=Outlook)
    deaf_suspicions: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class DetailedHealth:
    """Every component, and every session."""

    components: Sequence[ComponentHealth]
    sessions: Sequence[SessionHealth]


class HealthSource(Protocol):
    """How the service is, for those who watch it."""

    async def health(self) -> Health:
        """Return the present health, from memory; never raises."""
        ...

    async def detailed(self) -> DetailedHealth:
        """Return the present health of every part and session, from memory; never raises."""
        ...


class MetricsSource(Protocol):
    """The numbers of the service, for those who plot them."""

    def exposition(self) -> bytes:
        """Return every metric in Prometheus' text format (version 0.0.4, UTF-8)."""
        ...
