"""What is asked of a session is done in turn, and nothing of it is kept for ever."""

import pytest

from perene.core.errors import NotFound
from perene.core.ids import SessionId
from perene.supervisor.fleet.changes import Changes
from tests.unit.supervisor.fleet.life import ANA, BOB


async def test_of_what_is_asked_of_sessions_that_do_not_exist_nothing_is_kept() -> None:
    changes = Changes()
    for number in range(100):
        session = SessionId(f"none{number}")
        with pytest.raises(NotFound):
            async with changes.turn(session):
                raise NotFound(f"there is no session {session}")
    assert changes.known == 0


async def test_of_a_session_that_was_deleted_nothing_is_kept() -> None:
    changes = Changes()
    async with changes.turn(ANA):
        changes.cut_short.add(BOB)
    assert changes.known == 2
    for session in (ANA, BOB):
        changes.forget(session)
    assert changes.known == 0


async def test_what_was_asked_before_and_is_under_way_is_noted_too() -> None:
    """Else a service that begins would go by what it read before the change was stored."""
    changes = Changes()
    async with changes.turn(ANA):
        with changes.noted() as noted:
            async with changes.turn(BOB):
                pass
            assert set(noted) == {ANA, BOB}
    async with changes.turn(SessionId("later")):
        pass
    assert set(noted) == {ANA, BOB}
    with changes.noted() as noted:
        assert set(noted) == set()
