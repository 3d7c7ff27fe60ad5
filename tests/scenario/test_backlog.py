"""More has come than can be stored at the moment: the connection is not blamed for it."""

from datetime import datetime
from pathlib import Path

import pytest

from perene.core.events import EventType
from perene.core.sessions import Connection as State
from tests.support.world import World

MESSAGES = 600


@pytest.mark.requirement("C2", "C13")
async def test_a_socket_left_unread_while_nothing_is_stored_is_no_dead_connection(
    tmp_path: Path, template: Path
) -> None:
    async with World.open(
        tmp_path, template, max_stanzas_waiting=100, max_answers_waiting=100
    ) as world:
        phone = await world.user.pair()
        await world.pass_time(35)
        ana = world.simulator.add_contact(name="Ana").account.phone
        position = await world.events.now()
        world.perene.commits.hold()
        texts = [f"message {number}" for number in range(MESSAGES)]
        for text in texts:
            world.simulator.send_text(ana, phone, text)
        await world.pass_time(120)
        assert world.perene.state() is State.OPEN
        unanswered_s = (world.clock.now() - _alive(world)).total_seconds()
        assert unanswered_s > 60, "the answers lay in the socket"

        world.perene.commits.release()
        await world.events.wait_many(EventType.MESSAGE_RECEIVED, MESSAGES, since=position)
        await world.server.answered(phone)
        await world.pass_time(40)
        assert (world.clock.now() - _alive(world)).total_seconds() <= 15
        assert await world.stored.texts() == texts
        assert await world.events.seen(EventType.SESSION_DISCONNECTED, since=position) == []


@pytest.mark.requirement("F1")
async def test_a_server_that_gives_less_than_it_is_asked_for_is_asked_again(world: World) -> None:
    phone = await world.user.pair()
    ana = world.simulator.add_contact(name="Ana").account.phone
    await world.perene.stop()
    world.simulator.add_fault("short_batches", phone=phone, count=7)
    texts = [f"message {number}" for number in range(40)]
    for text in texts:
        world.simulator.send_text(ana, phone, text)
    await world.perene.start()
    await world.pass_time(30)

    assert await world.stored.texts() == texts
    assert len(world.server.device(phone).mailbox) == 0


def _alive(world: World) -> datetime:
    alive_at = world.perene.live().alive_at
    assert alive_at is not None
    return alive_at
