"""What is kept of an outage: each way in which its connections ended, over a restart as well."""

from dataclasses import replace
from datetime import timedelta

import pytest

from perene.core.causes import Cause, Ending, Local
from perene.core.machines.effects import Disconnected, OutageOver
from perene.core.machines.inputs import LoggedIn, Start, Stop
from perene.core.machines.session import next_deadline
from perene.core.machines.state import Waiting
from perene.core.outages import MOST_LOSSES, OutageEnd
from perene.core.standing import Standing
from perene.supervisor.session.telling import events_of
from tests.support.endings import LOST, RESTART, STOPPED, failure
from tests.unit.core.machines.life import BEGAN, Life


@pytest.fixture
def life() -> Life:
    """A session that is open."""
    life = Life(Start(by_person=True))
    life.opened()
    return life


def lose(life: Life, ending: Ending) -> None:
    """Lose the connection, and let the next one be tried when it is due."""
    life.lost(ending)
    life.comes_due()
    life.granted()


def begins_again(life: Life) -> None:
    """Let the service restart, and the next attempt be made when it may be."""
    life.begins_again()
    if next_deadline(life.state) is not None:
        life.comes_due()
    life.granted()


def banned(expire: int) -> Ending:
    return failure("402", code="101", expire=str(expire))


@pytest.mark.requirement("D1", "E6")
def test_a_ban_that_follows_a_restart_of_the_stream_is_seen_in_the_same_outage(life: Life) -> None:
    lose(life, RESTART)
    lose(life, banned(3600))
    lose(life, banned(60))
    first, second = life.outage.losses
    assert (first.cause, first.code, first.times) == (Cause.RESTART_REQUIRED, "515", 1)
    assert (second.cause, second.code, second.times) == (Cause.TEMPORARY_BAN, "402", 2)
    assert second.attributes["expire"] == "60", "the last time says what holds now"
    assert first.first_at == first.last_at == BEGAN
    assert BEGAN <= second.first_at < second.last_at
    assert (life.outage.cause, life.outage.last_cause) == (first.cause, second.cause)


@pytest.mark.requirement("E6")
def test_how_connections_ended_is_counted_on_over_a_restart_of_the_service(life: Life) -> None:
    lose(life, RESTART)
    lose(life, LOST)
    before = life.outage
    begins_again(life)
    assert life.outage.losses == before.losses
    lose(life, LOST)
    assert [(loss.code, loss.times) for loss in life.outage.losses] == [
        ("515", 1),
        (Local.SOCKET_CLOSED, 2),
    ]


@pytest.mark.requirement("E6")
def test_an_outage_of_a_hundred_kinds_keeps_the_first_and_the_last_of_them(life: Life) -> None:
    codes = [str(code) for code in range(500, 600) if code not in (501, 515, 516)]
    for code in codes:
        life.lost(failure(code))
        life.give(Start(by_person=True))
        life.granted()
    kept = [loss.code for loss in life.outage.losses]
    assert kept == [codes[0], *codes[1 - MOST_LOSSES :]]


def test_a_kind_that_comes_again_is_counted_and_takes_no_other_away(life: Life) -> None:
    for ending in (LOST, RESTART, failure("503"), LOST):
        lose(life, ending)
    assert [(loss.code, loss.times) for loss in life.outage.losses] == [
        (Local.SOCKET_CLOSED, 2),
        ("515", 1),
        ("503", 1),
    ]
    assert (life.outage.code, life.outage.last_code) == (Local.SOCKET_CLOSED, Local.SOCKET_CLOSED)
    lose(life, RESTART)
    assert (life.outage.last_cause, life.outage.last_code) == (Cause.RESTART_REQUIRED, "515")


def test_a_standing_from_before_losses_were_kept_is_read(life: Life) -> None:
    lose(life, RESTART)
    stored = life.state.standing.serialize()
    older = stored.replace('"losses": ', '"unknown": ')
    assert older != stored
    outage = Standing.parse(older).outage
    assert outage is not None
    assert (outage.code, outage.losses) == ("515", ())


def test_an_outage_does_not_end_before_it_began_though_the_clock_was_set_back(life: Life) -> None:
    lose(life, LOST)
    began, tried = life.outage.began_at, life.outage.last_attempt_at
    assert tried is not None
    life.passed += timedelta(minutes=1)
    life.clock_off -= timedelta(hours=1)
    life.give(LoggedIn(at=life.now), Stop(by_person=True))
    life.lost(STOPPED)
    (over,) = life.told(OutageOver)
    assert over.outage.ended_at == tried
    recovered = OutageOver(outage=replace(over.outage, end=OutageEnd.RECOVERED))
    (event,) = events_of(recovered, life.now.wall)
    assert event.payload["lasted_s"] == (tried - began).total_seconds() > 0


def test_an_outage_says_when_the_next_attempt_is_made_and_nothing_while_none_is_planned(
    life: Life,
) -> None:
    life.lost(LOST)
    assert isinstance(life.state.connection, Waiting)
    assert life.outage.retry_at == life.state.connection.at > life.now.wall
    life.comes_due()
    life.granted()
    assert life.outage.retry_at is None, "it is under way"
    life.lost(LOST)
    life.give(Stop(by_person=True))
    (over,) = life.told(OutageOver)
    assert over.outage.retry_at is None, "none comes any more"


def test_a_service_that_ends_during_an_outage_tells_of_it_and_plans_nothing(life: Life) -> None:
    lose(life, LOST)
    life.give(LoggedIn(at=life.now), Stop(by_person=False))
    life.done.clear()
    life.lost(STOPPED)
    (told,) = life.told(Disconnected)
    assert told.outage == life.outage
    assert (life.outage.cause, life.outage.retry_at) == (Cause.NETWORK, None)
    assert life.state.standing.left_at is None, "its outage says since when it is down"
