"""Every session is looked at through one live state, and has one task at most."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest

from perene.core.clock import Instant
from perene.core.errors import NotFound
from perene.core.ids import Epoch, SessionId
from perene.core.notices import TimeTold
from perene.core.sessions import Connection, Desired, SessionRecord
from perene.supervisor.fleet.roster import Remembered, Roster
from perene.supervisor.metrics import Metrics
from perene.supervisor.session.task import SessionTask

ANA = SessionId("ana")
NOW = datetime(2026, 11, 21, tzinfo=UTC)


def record(name: str | None = None) -> SessionRecord:
    return SessionRecord(
        id=ANA,
        name=name,
        desired=Desired.RUNNING,
        epoch=Epoch(0),
        created_at=NOW,
        has_credentials=False,
        pn=None,
        standing=None,
    )


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


def test_what_each_session_was_told_of_the_time_is_known(roster: Roster) -> None:
    told = TimeTold(said=NOW, at=Instant(wall=NOW, monotonic=1.0))
    roster.known(ANA).notice(told)
    roster.known(SessionId("bob"))
    assert roster.times_told() == [told, None]


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


def test_who_exists_is_not_known_before_the_list_was_read(roster: Roster) -> None:
    roster.known(ANA)
    roster.remember(record(), NOW)
    assert roster.remembered is None
    roster.listed()
    assert roster.remembered == [Remembered(record=record(), at=NOW)]


def test_what_was_read_last_is_shown_whoever_tells_first(roster: Roster) -> None:
    roster.listed()
    roster.known(ANA)
    later = NOW + timedelta(seconds=1)
    roster.remember(record("later"), later)
    roster.remember(record("earlier"), NOW)
    assert roster.remembered == [Remembered(record=record("later"), at=later)]


def test_nothing_is_remembered_of_a_session_that_is_gone(roster: Roster) -> None:
    roster.listed()
    roster.known(ANA)
    roster.remember(record(), NOW)
    roster.forget(ANA)
    roster.remember(record(), NOW)  # it was read before it was deleted
    assert roster.remembered == []
