"""How the service is, told from memory."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from perene.core.causes import Cause
from perene.core.ids import CommitId, SessionId
from perene.core.machines.outlook import Outlook
from perene.core.notices import Alive, Opened
from perene.core.sessions import Connection
from perene.core.unit import Committed, Unit
from perene.supervisor.ports import ComponentHealth
from perene.supervisor.session.live import LiveState
from perene.supervisor.storage.committer import Committer
from perene.supervisor.storage.saver import SavePolicy, Saver
from perene.supervisor.watches.health import Part, Vitals
from tests.support.commits import nothing_unheard
from tests.support.virtual_clock import START, VirtualClock


@dataclass
class Fleet:
    """Sessions that are what a test says, and a committer that commits nothing."""

    sessions: dict[SessionId, LiveState] = field(default_factory=dict[SessionId, LiveState])

    def __post_init__(self) -> None:
        self.database = ComponentHealth(name="database", ok=True)
        self.committer = Committer(
            Saver(
                commit=self._commit,
                recall=nothing_unheard,
                clock=VirtualClock(),
                policy=SavePolicy(),
            ),
            on_commit=lambda: None,
        )

    @property
    def lives(self) -> Mapping[SessionId, LiveState]:
        return self.sessions

    def add(self, name: str, connection: Connection) -> LiveState:
        live = self.sessions[SessionId(name)] = LiveState()
        live.moved(connection)
        return live

    def vitals(self, *parts: Part) -> Vitals:
        return Vitals(self, self.committer, database=lambda: self.database, parts=parts)

    async def _commit(self, units: Sequence[Unit], _commit_id: CommitId) -> Sequence[Committed]:
        return [Committed(new_messages=0) for _ in units]


async def test_the_service_is_as_well_as_its_database() -> None:
    fleet = Fleet()
    fleet.database = ComponentHealth(name="database", ok=False, detail="Gone.")
    assert (await fleet.vitals().health()).components == [fleet.database]


async def test_sessions_are_counted_by_the_state_of_their_connection() -> None:
    fleet = Fleet()
    for number, connection in enumerate((Connection.OPEN, Connection.OPEN, Connection.WAITING)):
        fleet.add(f"s{number}", connection)
    health = await fleet.vitals().health()
    assert health.sessions == {Connection.OPEN: 2, Connection.WAITING: 1}


@pytest.mark.requirement("C16")
async def test_detailed_health_shows_every_session_with_its_last_heartbeat_and_next_attempt() -> (
    None
):
    fleet = Fleet()
    up = fleet.add("up", Connection.CONNECTING)
    up.notice(Opened(at=START))
    up.notice(Alive(at=START + timedelta(seconds=15)))
    down = fleet.add("down", Connection.WAITING)
    down.outlook = Outlook(
        cause=Cause.DNS,
        attempt=4,
        limit=30,
        retry_at=START + timedelta(seconds=5),
        outage_began_at=START,
    )
    down.deaf_suspicions = 2
    first, second = (await fleet.vitals().detailed()).sessions
    assert (first.id, first.connection, first.connected_at) == ("up", Connection.OPEN, START)
    assert first.alive_at == START + timedelta(seconds=15)
    assert (second.id, second.connection) == ("down", Connection.WAITING)
    assert (second.outlook, second.deaf_suspicions) == (down.outlook, 2)


@pytest.mark.requirement("C16")
async def test_detailed_health_shows_every_component_that_it_was_given() -> None:
    fleet = Fleet()
    full = ComponentHealth(name="disk", ok=False, detail="Full.")
    vitals = fleet.vitals(lambda: full)
    database, queue, disk = (await vitals.detailed()).components
    assert database is fleet.database
    assert (queue.name, queue.ok, queue.detail) == ("commit_queue", True, "0 units wait.")
    assert disk is full


async def test_a_further_part_that_is_not_well_takes_the_service_out_of_no_rotation() -> None:
    fleet = Fleet()
    full = ComponentHealth(name="disk", ok=False)
    health = await fleet.vitals(lambda: full).health()
    assert all(part.ok for part in health.components)
