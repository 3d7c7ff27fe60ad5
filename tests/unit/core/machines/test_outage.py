"""What is kept of an outage: each way in which its connections ended, over a restart as well."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from perene.core.causes import Cause, Ending, Kind, Local
from perene.core.clock import Instant
from perene.core.ids import Epoch, SessionId
from perene.core.machines.effects import OutageOver
from perene.core.machines.inputs import Acquired, Due, Ended, Input, LoggedIn, Start, Stop
from perene.core.machines.session import new_session, next_deadline, step
from perene.core.machines.state import Chances, SessionState
from perene.core.outages import MOST_LOSSES, Outage, OutageEnd, OutageId
from perene.core.standing import Standing
from perene.supervisor.session.telling import events_of

BEGAN = datetime(2026, 11, 21, tzinfo=UTC)
RESTART = Ending(kind=Kind.STREAM_ERROR, code="515", attributes={"code": "515"})
CLOSED = Ending(kind=Kind.LOCAL, code=Local.SOCKET_CLOSED)


def banned(expire: int) -> Ending:
    told = {"reason": "402", "code": "101", "expire": str(expire)}
    return Ending(kind=Kind.FAILURE, code="402", attributes=told)


class Life:
    """A linked session that was open, on its own clock."""

    def __init__(self) -> None:
        self.passed = timedelta()
        self.epochs = 0
        self.state: SessionState = new_session(SessionId("ana"), paired=True)
        self.give(Start(by_person=True))
        self.open()

    @property
    def now(self) -> Instant:
        return Instant(wall=BEGAN + self.passed, monotonic=self.passed.total_seconds())

    @property
    def outage(self) -> Outage:
        assert self.state.standing.outage is not None
        return self.state.standing.outage

    def give(self, given: Input) -> None:
        chances = Chances(jitter=0.5, outage_id=OutageId("one"))
        self.state = step(self.state, given, self.now, chances).state

    def open(self) -> None:
        self.epochs += 1
        self.give(Acquired(epoch=Epoch(self.epochs)))
        self.give(LoggedIn(at=self.now))

    def lose(self, ending: Ending) -> None:
        """Lose the connection, and let the next one be tried when it is due."""
        self.give(Ended(ending=ending))
        due = next_deadline(self.state)
        assert due is not None
        self.passed = timedelta(seconds=due)
        self.give(Due())
        self.epochs += 1
        self.give(Acquired(epoch=Epoch(self.epochs)))

    def restart(self) -> None:
        """Let the service restart: only what is stored is known."""
        standing = Standing.parse(self.state.standing.serialize())
        self.state = new_session(SessionId("ana"), paired=True, standing=standing)
        self.give(Start(by_person=False))
        due = next_deadline(self.state)
        if due is not None and due > self.passed.total_seconds():
            self.passed = timedelta(seconds=due)
            self.give(Due())
        self.epochs += 1
        self.give(Acquired(epoch=Epoch(self.epochs)))


@pytest.mark.requirement("D1", "E6")
def test_a_ban_that_follows_a_restart_of_the_stream_is_seen_in_the_same_outage() -> None:
    life = Life()
    life.lose(RESTART)
    life.lose(banned(3600))
    life.lose(banned(60))
    first, second = life.outage.losses
    assert (first.cause, first.code, first.times) == (Cause.RESTART_REQUIRED, "515", 1)
    assert (second.cause, second.code, second.times) == (Cause.TEMPORARY_BAN, "402", 2)
    assert second.attributes["expire"] == "60", "the last time says what holds now"
    assert first.first_at == first.last_at == BEGAN
    assert BEGAN <= second.first_at < second.last_at
    assert (life.outage.cause, life.outage.last_cause) == (first.cause, second.cause)


@pytest.mark.requirement("E6")
def test_how_connections_ended_is_counted_on_over_a_restart_of_the_service() -> None:
    life = Life()
    life.lose(RESTART)
    life.lose(CLOSED)
    before = life.outage
    life.restart()
    assert life.outage.losses == before.losses
    life.lose(CLOSED)
    assert [(loss.code, loss.times) for loss in life.outage.losses] == [
        ("515", 1),
        (Local.SOCKET_CLOSED, 2),
    ]


@pytest.mark.requirement("E6")
def test_an_outage_of_a_hundred_kinds_keeps_the_first_and_the_last_of_them() -> None:
    life = Life()
    codes = [str(code) for code in range(500, 600) if code not in (501, 515, 516)]
    for code in codes:
        life.give(Ended(ending=Ending(kind=Kind.FAILURE, code=code)))
        life.give(Start(by_person=True))
        life.epochs += 1
        life.give(Acquired(epoch=Epoch(life.epochs)))
    kept = [loss.code for loss in life.outage.losses]
    assert kept == [codes[0], *codes[1 - MOST_LOSSES :]]


def test_a_standing_from_before_losses_were_kept_is_read() -> None:
    life = Life()
    life.lose(RESTART)
    stored = life.state.standing.serialize()
    older = stored.replace('"losses": ', '"unknown": ')
    assert older != stored
    outage = Standing.parse(older).outage
    assert outage is not None
    assert (outage.code, outage.losses) == ("515", ())


def test_an_outage_does_not_end_before_it_began_though_the_clock_was_set_back() -> None:
    life = Life()
    life.lose(CLOSED)
    began, tried = life.outage.began_at, life.outage.last_attempt_at
    assert tried is not None
    hour = Instant(wall=BEGAN - timedelta(hours=1), monotonic=life.now.monotonic + 60)
    chances = Chances(jitter=0.5, outage_id=OutageId("two"))
    state, over = life.state, list[Outage]()
    for given in (LoggedIn(at=hour), Stop(by_person=True), Ended(ending=CLOSED)):
        taken = step(state, given, hour, chances)
        state = taken.state
        over += [one.outage for one in taken.effects if isinstance(one, OutageOver)]
    assert [one.ended_at for one in over] == [tried]
    (event,) = events_of(OutageOver(outage=replace(over[0], end=OutageEnd.RECOVERED)), hour.wall)
    lasted = event.payload["lasted_s"]
    assert isinstance(lasted, float)
    assert lasted == (tried - began).total_seconds() > 0
