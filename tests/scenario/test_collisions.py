"""What befalls a session in the middle of something else."""

import asyncio
from typing import Any

import pytest

from perene.core.errors import StorageUnavailable
from perene.core.events import EventType
from perene.core.outages import OutageEnd, OutageId
from perene.core.sessions import Connection as State
from perene.core.sessions import Desired
from tests.support.perene import DESK
from tests.support.storage import Health
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


async def lives(world: World) -> list[str]:
    """Return in turn that people were told of a login, and of its end."""
    kinds = {
        EventType.SESSION_CONNECTED: "connected",
        EventType.SESSION_DISCONNECTED: "disconnected",
        EventType.SESSION_STOPPED: "stopped",
    }
    return [kinds[one.event.type] for one in await world.events.seen(*kinds)]


async def open_outages(world: World) -> list[OutageId]:
    rows = await world.perene.store.outages(DESK, before=None, limit=100)
    return [row.outage.id for row in rows if row.outage.ended_at is None]


@pytest.mark.requirement("D9", "F1")
@pytest.mark.parametrize("before", ["a restart", "an outage"])
async def test_who_is_killed_right_after_a_login_leaves_no_login_without_an_end(
    world: World, before: str
) -> None:
    """Also if it was to end an outage, which goes on: it was not stable yet."""
    await world.user.pair()
    await world.pass_time(60)
    since = await world.events.now()
    if before == "a restart":
        await world.perene.restart()
    else:
        await world.network.cut(DESK)
        await world.come_back(since=since)
    await world.events.wait(EventType.SESSION_CONNECTED, since=since)
    await world.pass_time(10)
    await world.perene.kill()
    await world.perene.start()
    await world.pass_time(60)
    assert await lives(world) == ["connected", "disconnected"] * 2 + ["connected"]
    rows = await world.perene.store.outages(DESK, before=None, limit=100)
    assert [row.outage.end for row in rows] == [OutageEnd.RECOVERED]


@pytest.mark.requirement("D9", "E8")
async def test_a_stop_whose_end_cannot_be_saved_is_told_once_the_database_is_back(
    world: World,
) -> None:
    await world.user.pair()
    await world.pass_time(60)
    world.perene.commits.hold()
    stopping = asyncio.create_task(world.perene.sessions.stop(DESK))
    await world.pass_time(1)
    world.storage.falls_ill(Health.FAILING)
    world.perene.commits.release()
    await world.pass_time(60)
    with pytest.raises(StorageUnavailable):
        await stopping
    world.storage.recovers()
    await world.pass_time(60)
    assert await lives(world) == ["connected", "disconnected", "stopped"]
    assert world.perene.state() is State.STOPPED


@pytest.mark.requirement("D9", "E8")
async def test_a_session_that_was_stopped_in_the_moment_of_a_crash_is_told_to_have_ended(
    world: World,
) -> None:
    await world.user.pair()
    await world.pass_time(60)
    await world.perene.store.set_desired(DESK, Desired.STOPPED)
    await world.perene.kill()
    await world.perene.start()
    await world.pass_time(60)
    assert await lives(world) == ["connected", "disconnected", "stopped"]
    assert await open_outages(world) == []
    await world.perene.sessions.start(DESK)
    await world.pass_time(60)
    assert await lives(world) == ["connected", "disconnected", "stopped", "connected"]


@pytest.mark.requirement("D7", "D9")
@pytest.mark.parametrize("how", ["unlinked", "logged out"])
async def test_a_crash_right_after_the_end_of_credentials_reopens_no_outage(
    world: World, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """What was remembered of them goes in the transaction in which they go."""
    phone = await world.user.pair()
    await world.pass_time(60)
    world.network.refuse()
    await world.network.cut(DESK)
    await world.pass_time(5)
    assert len(await open_outages(world)) == 1
    done = asyncio.Event()
    for method in ("archive_credentials", "destroy_credentials"):
        stays_silent_after(world, monkeypatch, method, done)
    if how == "unlinked":
        world.simulator.unlink(phone)
        world.network.up()
        await world.pass_time(300, until=done.is_set)
    else:
        leaving = asyncio.create_task(world.perene.sessions.logout(DESK))
        await world.pass_time(60, until=done.is_set)
        leaving.cancel()
    assert done.is_set()
    await world.perene.kill()
    world.network.up()
    since = await after_start(world)
    await world.pass_time(60)
    assert await open_outages(world) == []
    [row] = await world.perene.store.outages(DESK, before=None, limit=100)
    assert row.outage.end is OutageEnd.LOGGED_OUT
    assert await world.events.seen(EventType.SESSION_STOPPED, since=since) == []
    assert world.perene.state() is (State.PAIRING if how == "unlinked" else State.STOPPED)


@pytest.mark.requirement("D9")
@pytest.mark.parametrize("wish", ["start", "restart", "logout"])
async def test_a_session_that_somebody_took_meanwhile_is_told_to_have_ended_when_it_is_taken_back(
    world: World, wish: str
) -> None:
    """Whoever took it may have ended since, and told nothing."""
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana")
    await world.pass_time(60)
    await world.perene.store.acquire(DESK)
    world.simulator.send_text(ana.account.phone, phone, "hello")
    await world.pass_time(60, until=lambda: world.perene.state() is State.NEEDS_ATTENTION)
    assert world.perene.state() is State.NEEDS_ATTENTION

    doing = asyncio.create_task(getattr(world.perene.sessions, wish)(DESK))
    await world.pass_time(60)
    await doing

    ends = ["connected", "disconnected"] * 2
    assert await lives(world) == (ends if wish == "logout" else ends[:3])


async def after_start(world: World) -> int:
    """Start the service, and return where the events are that follow."""
    await world.perene.start()
    return await world.events.now()


def stays_silent_after(
    world: World, monkeypatch: pytest.MonkeyPatch, method: str, done: asyncio.Event
) -> None:
    """Let the store do something, and never say so."""
    inner = getattr(world.perene.store, method)

    async def silent(*arguments: Any, **named: Any) -> Any:  # as that takes them
        await inner(*arguments, **named)
        done.set()
        world.ring()
        await asyncio.Event().wait()

    monkeypatch.setattr(world.perene.store, method, silent)
