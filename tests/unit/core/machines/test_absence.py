"""A session that nobody drove, because its service or its task had ended, was down."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import pytest

from perene.core.causes import Cause, Ending, Kind, Local
from perene.core.clock import Instant
from perene.core.ids import Epoch, SessionId
from perene.core.machines.effects import Disconnected, Effect, OutageOver
from perene.core.machines.inputs import Acquired, Due, Ended, Input, LoggedIn, Start, Stop
from perene.core.machines.session import new_session, step
from perene.core.machines.state import Absence, Chances
from perene.core.outages import Outage, OutageEnd, OutageId
from perene.core.policy import STABLE_AFTER
from perene.core.standing import Standing

BEGAN = datetime(2026, 11, 21, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CLOSED = Ended(ending=Ending(kind=Kind.LOCAL, code=Local.SOCKET_CLOSED))

E = TypeVar("E", bound=Effect)


class Service:
    """One session over several runs of its service; only what is stored outlives a run."""

    def __init__(self) -> None:
        self.passed = timedelta()
        self.effects: list[Effect] = []
        self.epochs = 0
        self.state = new_session(SessionId("ana"), paired=True)
        self.give(Start(by_person=True))

    @property
    def now(self) -> Instant:
        return Instant(wall=BEGAN + self.passed, monotonic=self.passed.total_seconds())

    def give(self, *inputs: Input) -> None:
        for given in inputs:
            chances = Chances(jitter=0.5, outage_id=OutageId(f"{self.passed}"))
            taken = step(self.state, given, self.now, chances)
            self.state = taken.state
            self.effects += taken.effects

    def claimed(self) -> None:
        self.epochs += 1
        self.give(Acquired(epoch=Epoch(self.epochs)))

    def opened(self) -> None:
        self.claimed()
        self.give(LoggedIn(at=self.now))

    def stays_up(self) -> None:
        self.opened()
        self.passed += STABLE_AFTER
        self.give(Due())

    def stops(self) -> None:
        self.give(Stop(by_person=False), CLOSED)

    def starts_again(self, *, last_life: timedelta, local: Local = Local.SERVICE_ENDED) -> None:
        self.effects.clear()
        self.state = new_session(
            SessionId("ana"),
            paired=True,
            standing=Standing.parse(self.state.standing.serialize()),
            absence=Absence(since=BEGAN + last_life, local=local),
        )
        self.give(Start(by_person=False))

    def told(self, kind: type[E]) -> Sequence[E]:
        return [one for one in self.effects if isinstance(one, kind)]

    @property
    def over(self) -> Sequence[Outage]:
        return [one.outage for one in self.told(OutageOver)]


def test_a_service_that_was_killed_leaves_an_outage_from_when_it_was_last_known_to_live() -> None:
    service = Service()
    service.stays_up()
    life, service.passed = service.passed, service.passed + 10 * MINUTE
    service.starts_again(last_life=life)
    (lost,) = service.told(Disconnected)
    assert lost.decided.verdict.cause is Cause.SERVICE_ENDED
    service.stays_up()
    (outage,) = service.over
    assert (outage.cause, outage.code, outage.kind) == (
        Cause.SERVICE_ENDED,
        "service_ended",
        Kind.LOCAL,
    )
    assert (outage.began_at, outage.ended_at) == (BEGAN + life, service.now.wall)
    assert (outage.attempts, outage.end) == (1, OutageEnd.RECOVERED)
    assert [(loss.cause, loss.times) for loss in outage.losses] == [(Cause.SERVICE_ENDED, 1)]


def test_a_service_that_was_stopped_in_order_is_told_as_its_end_and_knows_when_that_was() -> None:
    service = Service()
    service.stays_up()
    service.stops()
    (lost,) = service.told(Disconnected)
    assert lost.decided.verdict.cause is Cause.SERVICE_ENDED
    stopped_at, service.passed = service.passed, service.passed + MINUTE
    service.starts_again(last_life=service.passed)
    assert service.told(Disconnected) == [], "it was told when it happened"
    service.stays_up()
    assert [one.began_at for one in service.over] == [BEGAN + stopped_at]


def test_what_goes_wrong_after_the_start_is_part_of_the_same_outage() -> None:
    service = Service()
    service.stays_up()
    life, service.passed = service.passed, service.passed + MINUTE
    service.starts_again(last_life=life)
    service.claimed()
    service.give(CLOSED)
    outage = service.state.standing.outage
    assert outage is not None
    assert (outage.cause, outage.last_cause) == (Cause.SERVICE_ENDED, Cause.NETWORK)
    assert (outage.began_at, outage.attempts) == (BEGAN + life, 1)
    service.passed += MINUTE
    service.give(Due())
    service.stays_up()
    assert [(one.began_at, one.attempts) for one in service.over] == [(BEGAN + life, 2)]


def test_a_service_killed_again_before_the_session_was_stable_has_left_it_down_all_along() -> None:
    service = Service()
    service.stays_up()
    life, service.passed = service.passed, service.passed + MINUTE
    service.starts_again(last_life=life)
    service.opened()
    service.passed += MINUTE
    service.starts_again(last_life=service.passed)
    service.stays_up()
    assert [one.began_at for one in service.over] == [BEGAN + life]


@pytest.mark.parametrize("ended", ["stopped", "down", "never up"])
def test_a_session_that_was_not_up_was_not_lost_with_its_service(ended: str) -> None:
    service = Service()
    if ended != "never up":
        service.stays_up()
    if ended == "stopped":
        service.give(Stop(by_person=True), CLOSED)
    if ended == "down":
        service.give(CLOSED)
    before = service.state.standing.outage
    service.passed += MINUTE
    service.starts_again(last_life=service.passed)
    assert service.told(Disconnected) == []
    assert service.state.absence is None
    assert service.state.standing.outage == before


def test_a_person_who_stops_it_ends_the_outage() -> None:
    service = Service()
    service.stays_up()
    life, service.passed = service.passed, service.passed + MINUTE
    service.starts_again(last_life=life)
    service.claimed()
    service.give(Stop(by_person=True), CLOSED)
    assert [(one.began_at, one.end) for one in service.over] == [(BEGAN + life, OutageEnd.STOPPED)]
    assert not service.state.standing.up


def test_an_outage_by_a_bug_is_told_as_one() -> None:
    service = Service()
    service.stays_up()
    service.starts_again(last_life=service.passed, local=Local.INTERNAL)
    service.stays_up()
    assert [one.cause for one in service.over] == [Cause.INTERNAL]


def test_a_service_that_ended_by_another_clock_did_not_end_in_the_future() -> None:
    service = Service()
    service.stays_up()
    service.starts_again(last_life=service.passed + 60 * MINUTE)
    service.stays_up()
    (outage,) = service.over
    assert outage.ended_at is not None
    assert outage.began_at <= outage.ended_at == service.now.wall
