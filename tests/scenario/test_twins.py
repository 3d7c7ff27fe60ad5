"""One number, linked in two sessions: both work, every message comes twice, and it is shown."""

import pytest
from structlog.testing import capture_logs

from perene.core.events import EventType
from perene.core.ids import SessionId
from perene.supervisor.watches.twins import TwinWatch
from tests.support.world import DESK, World

HOME = SessionId("home")


@pytest.mark.requirement("D9")
async def test_a_number_in_two_sessions_is_shown_until_one_is_logged_out(world: World) -> None:
    watch = TwinWatch(world.perene.store.linked_accounts, world.clock)
    phone = await world.user.pair()
    assert (await world.perene.sessions.session(DESK)).twins == []
    with capture_logs() as nothing:
        await watch.look()
    assert nothing == []

    await world.user.pair(HOME, phone)

    assert (await world.perene.sessions.session(DESK)).twins == [HOME]
    listed = {view.record.id: view.twins for view in await world.perene.sessions.list_sessions()}
    assert listed == {DESK: (HOME,), HOME: (DESK,)}
    with capture_logs() as lines:
        await watch.look()
        await watch.look()
    assert [(line["event"], line["session"], line["others"]) for line in lines] == [
        ("number_linked_twice", DESK, [HOME]),
        ("number_linked_twice", HOME, [DESK]),
    ]
    assert phone not in str(lines)
    assert (watch.twins(DESK), watch.twins(HOME)) == (1, 1)

    friend = world.simulator.add_contact(name="Ana").account.phone
    world.simulator.send_text(friend, phone, "once")
    for session in (DESK, HOME):
        await world.events.wait(EventType.MESSAGE_RECEIVED, session=session, text="once")

    await world.perene.sessions.logout(HOME)
    assert (await world.perene.sessions.session(DESK)).twins == []
    await watch.look()
    assert watch.twins(DESK) == 0
