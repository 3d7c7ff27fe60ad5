"""How the service is, told from memory."""

from dataclasses import dataclass

import pytest

from perene.core.ids import SessionId
from perene.core.sessions import Connection
from perene.supervisor.health import Keyholder, Vitals
from perene.supervisor.live import LiveState
from tests.unit.supervisor.fakes import World


@dataclass(frozen=True, slots=True)
class Owner:
    name: str


class OneKey:
    async def verify_api_key(self, key: str) -> Owner | None:
        return Owner("desk") if key == "right" else None


async def test_a_key_is_known_by_the_name_of_its_owner() -> None:
    assert await Keyholder(OneKey()).verify("right") == "desk"
    assert await Keyholder(OneKey()).verify("wrong") is None


@pytest.mark.parametrize("failing", [False, True])
async def test_the_database_is_well_unless_the_last_save_failed(failing: bool) -> None:
    world = World()
    world.committer.failing = failing
    [database] = (await Vitals(world.supervisor, world.committer).health()).components
    assert (database.name, database.ok) == ("database", not failing)
    assert (database.detail is not None) is failing


async def test_sessions_are_counted_by_the_state_of_their_connection() -> None:
    world = World()
    for number, connection in enumerate((Connection.OPEN, Connection.OPEN, Connection.WAITING)):
        live = LiveState()
        live.moved(connection)
        world.supervisor._states[SessionId(f"s{number}")] = live
    health = await Vitals(world.supervisor, world.committer).health()
    assert health.sessions == {Connection.OPEN: 2, Connection.WAITING: 1}
