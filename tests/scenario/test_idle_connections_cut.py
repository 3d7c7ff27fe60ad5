"""A balancer between Perene and PostgreSQL that cuts what was idle for a minute."""

from pathlib import Path

import pytest

from perene.core.events import EventType
from perene.core.sessions import Connection as State
from perene.sim import Settings
from tests.plugins.postgres import Postgres
from tests.support.fronts import Front, standing, through
from tests.support.world import DESK, World

CUTS = 10
CONNECTIONS = 8
"""One that writes, six that read, and one that holds the database."""


@pytest.mark.requirement("C4", "C6", "E8")
async def test_idle_connections_that_are_cut_lose_no_message_and_end_no_session(
    tmp_path: Path, template: Path, postgres: Postgres, postgres_url: str
) -> None:
    front = Front(postgres.folder / ".s.PGSQL.5432")
    with standing(front):
        url = through(front, postgres_url)
        async with World.open(
            tmp_path, template, url=url, settings=Settings(initial_sync=False)
        ) as world:
            phone = await world.user.pair()
            friend = world.simulator.add_contact(name="Ana").account.phone
            await world.pass_time(60)
            since, dials = await world.events.now(), len(world.network.dials)
            expected: list[str] = []
            for number in range(CUTS):
                await world.settled()
                before = front.started
                front.cut()
                for part in range(3):
                    expected.append(f"{number}.{part}")
                    world.simulator.send_text(friend, phone, expected[-1])
                    await world.pass_time(20)
                assert front.started - before <= CONNECTIONS
            await world.server.answered(phone)
            assert await world.stored.texts() == expected
            assert await world.events.seen(EventType.SESSION_DISCONNECTED, since=since) == []
            assert world.perene.state(DESK) is State.OPEN
            assert len(world.network.dials) == dials
            assert world.simulator.evidence.reused_keys == []
