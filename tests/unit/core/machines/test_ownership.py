"""Whom a session belongs to: one question at a time, one fresh epoch for each new beginning."""

from datetime import UTC, datetime, timedelta

from perene.core.causes import Cause, Ending, Kind, Local
from perene.core.clock import Instant
from perene.core.ids import Epoch, SessionId
from perene.core.machines.effects import Acquire, Archive, Connect, Destroy, Effect
from perene.core.machines.inputs import (
    Acquired,
    Archived,
    Due,
    Ended,
    Input,
    LoggedIn,
    LogOut,
    NotAcquired,
    Restart,
    Start,
    Stop,
)
from perene.core.machines.session import new_session, next_deadline, step
from perene.core.machines.state import Chances, Down, Held, SessionState
from perene.core.outages import OutageId

NOW = Instant(wall=datetime(2026, 11, 21, tzinfo=UTC), monotonic=0.0)
CHANCES = Chances(jitter=0.5, outage_id=OutageId("one"))
UNLINKED = Ending(kind=Kind.FAILURE, code="401")


def lived(*inputs: Input) -> tuple[SessionState, list[Effect]]:
    """Return the state after these, and what the last of them asked for."""
    state, effects = new_session(SessionId("ana"), paired=True), list[Effect]()
    for given in inputs:
        taken = step(state, given, NOW, CHANCES)
        state, effects = taken.state, list(taken.effects)
    return state, effects


def epoch(number: int) -> Acquired:
    return Acquired(epoch=Epoch(number))


START = Start(by_person=True)
OPEN = (START, epoch(1), LoggedIn(at=NOW))


def test_each_connection_has_an_epoch_of_its_own() -> None:
    _, effects = lived(*OPEN, Restart(), Ended(ending=UNLINKED))
    assert Acquire(held=Epoch(1)) in effects


def test_who_asks_while_a_question_is_open_waits_for_its_answer() -> None:
    state, effects = lived(START, Restart())
    assert effects == []
    connected = step(state, epoch(1), NOW, CHANCES)
    assert [type(effect) for effect in connected.effects] == [Connect]


def test_a_start_after_a_stop_uses_the_answer_that_is_on_its_way() -> None:
    _, effects = lived(START, Stop(by_person=True), START)
    assert effects == []
    state, effects = lived(START, Stop(by_person=True), START, epoch(1))
    assert [type(effect) for effect in effects] == [Connect]
    assert state.epoch == 1


def test_a_claim_that_nobody_needs_any_more_is_not_repeated() -> None:
    state, _ = lived(START, Stop(by_person=True), NotAcquired(taken=False))
    assert (state.connection, next_deadline(state)) == (Down(), None)
    state, _ = lived(START, NotAcquired(taken=False), Stop(by_person=True))
    assert next_deadline(state) is None


def test_a_session_of_another_owner_is_left_alone_until_a_person_takes_it() -> None:
    state, _ = lived(START, NotAcquired(taken=True))
    assert state.connection == Held(cause=Cause.OWNERSHIP_LOST)
    _, effects = lived(START, NotAcquired(taken=True), START)
    assert effects == [Acquire(held=None)]
    stale = Ended(ending=Ending(kind=Kind.LOCAL, code=Local.STALE_EPOCH))
    _, effects = lived(*OPEN, stale, START)
    assert effects == [Acquire(held=None)]


def test_credentials_are_set_aside_under_an_epoch_that_no_older_write_has() -> None:
    _, effects = lived(*OPEN, Ended(ending=UNLINKED))
    assert effects == [Acquire(held=Epoch(1))]
    _, effects = lived(*OPEN, Ended(ending=UNLINKED), epoch(2))
    assert effects == [Archive(epoch=Epoch(2), reason=Cause.UNLINKED)]


def test_credentials_of_another_owner_are_not_set_aside() -> None:
    state, _ = lived(*OPEN, Ended(ending=UNLINKED), NotAcquired(taken=True))
    assert state.connection == Held(cause=Cause.OWNERSHIP_LOST)
    assert state.paired


def test_a_logout_takes_the_session_back_from_another_owner() -> None:
    ended = Ended(ending=Ending(kind=Kind.LOCAL, code=Local.STOPPED))
    _, effects = lived(*OPEN, LogOut(), ended, NotAcquired(taken=True))
    assert effects == [Acquire(held=None)]
    _, effects = lived(*OPEN, LogOut(), ended, NotAcquired(taken=True), epoch(7))
    assert effects == [Destroy(epoch=Epoch(7))]


def test_what_could_not_be_archived_is_tried_again_under_the_same_epoch() -> None:
    state, _ = lived(*OPEN, Ended(ending=UNLINKED), epoch(2), Archived(ok=False))
    due = next_deadline(state)
    assert due is not None
    later = Instant(wall=NOW.wall + timedelta(seconds=due), monotonic=due)
    again = step(state, Due(), later, CHANCES)
    assert again.effects == (Archive(epoch=Epoch(2), reason=Cause.UNLINKED),)
