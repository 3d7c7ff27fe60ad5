"""What befalls a session in the middle of something else."""

import asyncio
from typing import Any

import pytest

from perene.core.errors import StorageUnavailable
from perene.core.events import EventType
from perene.core.sessions import Connection as State
from tests.support.perene import DESK
from tests.support.world import World


def commits_unheard(world: World, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """Let the store do something once, and not say so."""
    inner = getattr(world.perene.store, method)

    async def unheard(*arguments: Any, **named: Any) -> Any:  # as that takes them
        monkeypatch.setattr(world.perene.store, method, inner)
        await inner(*arguments, **named)
        raise StorageUnavailable("the connection to the database was lost")

    monkeypatch.setattr(world.perene.store, method, unheard)


@pytest.mark.requirement("D7", "E8")
async def test_a_logout_that_was_committed_unheard_is_told_once(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.user.pair()
    commits_unheard(world, monkeypatch, "destroy_credentials")
    leaving = asyncio.create_task(world.perene.sessions.logout(DESK))
    await world.pass_time(60, until=leaving.done)
    await leaving
    assert len(await world.events.seen(EventType.SESSION_LOGGED_OUT)) == 1
    assert world.perene.state() is State.STOPPED


@pytest.mark.requirement("D7", "E8")
async def test_that_a_session_needs_pairing_is_told_once_though_it_was_committed_unheard(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    phone = await world.user.pair()
    commits_unheard(world, monkeypatch, "archive_credentials")
    world.simulator.unlink(phone)
    await world.pass_time(60)
    assert len(await world.events.seen(EventType.SESSION_NEEDS_PAIRING)) == 1
    assert world.perene.state() is State.PAIRING
