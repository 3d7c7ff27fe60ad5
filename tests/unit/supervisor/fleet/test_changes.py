"""What is asked of a session is done in turn, and nothing of it is kept for ever."""

import pytest

from perene.core.errors import NotFound
from perene.core.ids import SessionId
from perene.supervisor.fleet.changes import Changes


async def test_of_what_is_asked_of_sessions_that_do_not_exist_nothing_is_kept() -> None:
    changes = Changes()
    for number in range(100):
        session = SessionId(f"none{number}")
        with pytest.raises(NotFound):
            async with changes.turn(session):
                raise NotFound(f"there is no session {session}")
    assert changes.known == 0
