"""A part of the database is gone, as after a disk error: nothing is made anew in its place."""

import pytest
from sqlalchemy import Connection, delete, insert, select

from perene.core.events import EventType
from perene.core.ids import SessionId
from perene.core.sessions import Connection as State
from perene.store import schema
from tests.support.world import DESK, World

SHOP = SessionId("shop")

Rows = list[dict[str, object]]


@pytest.mark.requirement("E6", "E8")
async def test_a_linked_session_without_its_credentials_waits_for_them(world: World) -> None:
    phone = await world.user.pair()
    await world.user.pair(SHOP)
    ana = world.simulator.add_contact(name="Ana").account.phone
    key_of_desk = select(schema.sessions.c.key).where(schema.sessions.c.id == DESK)
    of_desk = schema.credentials.c.session == key_of_desk.scalar_subquery()

    def lose(connection: Connection) -> Rows:
        found = connection.execute(select(schema.credentials).where(of_desk)).mappings().all()
        connection.execute(delete(schema.credentials).where(of_desk))
        return [dict(row) for row in found]

    lost = await world.perene.store.database.write(lose)
    position = await world.events.now()
    await world.perene.restart()
    await world.events.wait(EventType.SESSION_CONNECTED, since=position, session=SHOP)
    told = await world.events.wait(EventType.SESSION_NEEDS_ATTENTION, since=position)
    assert told.event.payload["cause"] == "unreadable_state"
    await world.pass_time(3600)
    view = await world.perene.sessions.session(DESK)
    assert (view.connection, view.qr_available) == (State.NEEDS_ATTENTION, False)

    def restore(connection: Connection) -> None:
        connection.execute(insert(schema.credentials), lost)

    await world.perene.store.database.write(restore)
    await world.perene.sessions.start(DESK)
    await world.events.wait(EventType.SESSION_CONNECTED, since=position)
    world.simulator.send_text(ana, phone, "still there?")
    await world.events.wait(EventType.MESSAGE_RECEIVED, text="still there?")
