"""Every session is looked at through one live state, and has one task at most."""

from dataclasses import dataclass
from typing import cast

import pytest

from perene.core.errors import NotFound
from perene.core.ids import SessionId
from perene.core.sessions import Connection
from perene.supervisor.fleet.roster import Roster
from perene.supervisor.metrics import Metrics
from perene.supervisor.session.task import SessionTask

ANA = SessionId("ana")


@dataclass(eq=False)
class Task:
    """All that is looked at of a session's task."""

    session: SessionId


def task() -> SessionTask:
    return cast("SessionTask", Task(ANA))


@pytest.fixture
def roster() -> Roster:
    return Roster(Metrics())


def test_a_session_is_known_once(roster: Roster) -> None:
    live = roster.known(ANA)
    assert roster.known(ANA) is live
    assert roster.live(ANA) is live
    assert roster.lives == {ANA: live}


def test_looking_at_a_session_does_not_make_it_known(roster: Roster) -> None:
    assert roster.live(ANA).connection is Connection.STOPPED
    assert roster.lives == {}


def test_a_forgotten_session_begins_anew(roster: Roster) -> None:
    live = roster.known(ANA)
    roster.forget(ANA)
    assert roster.lives == {}
    assert roster.known(ANA) is not live


def test_a_task_that_was_replaced_takes_nothing_with_it(roster: Roster) -> None:
    first, second = task(), task()
    roster.enter(first)
    roster.enter(second)
    roster.leave(first)
    assert roster.task(ANA) is second
    roster.leave(second)
    assert roster.tasks == {}
    with pytest.raises(NotFound):
        roster.task(ANA)
