"""A client version that WhatsApp refuses is looked for anew in each run of the service."""

from datetime import UTC, datetime

import pytest

from perene.core.causes import Cause, Ending, Kind
from perene.core.clock import Instant
from perene.core.ids import Epoch, SessionId
from perene.core.machines.effects import Connect, Effect, FindVersion
from perene.core.machines.inputs import Acquired, Ended, Input, Start, Stop, VersionFound
from perene.core.machines.session import new_session, step
from perene.core.machines.state import Chances, Held, SessionState, Waiting
from perene.core.outages import OutageId
from perene.core.policy import LOOK_FOR_VERSION
from perene.core.standing import Standing

NOW = Instant(wall=datetime(2026, 11, 21, tzinfo=UTC), monotonic=0.0)
CHANCES = Chances(jitter=0.5, outage_id=OutageId("one"))
REFUSED = Ended(ending=Ending(kind=Kind.FAILURE, code="405"))
BEGUN = (Start(by_person=False), Acquired(epoch=Epoch(1)), REFUSED)


def lived(*inputs: Input, standing: Standing | None = None) -> tuple[SessionState, list[Effect]]:
    """Return the state after these, and every effect that they had."""
    state, effects = new_session(SessionId("ana"), paired=True, standing=standing), list[Effect]()
    for given in inputs:
        taken = step(state, given, NOW, CHANCES)
        state = taken.state
        effects += taken.effects
    return state, effects


@pytest.mark.parametrize(
    "before",
    [
        (VersionFound(found=False),),
        (VersionFound(found=True), Acquired(epoch=Epoch(2)), REFUSED),
        (),
    ],
    ids=["none was found", "the one that was found was refused", "while it was looked for"],
)
def test_a_restart_of_the_service_does_not_end_the_look_for_a_version(
    before: tuple[Input, ...],
) -> None:
    state, _ = lived(*BEGUN, *before, Stop(by_person=False))
    kept = Standing.parse(state.standing.serialize())
    state, effects = lived(*BEGUN, VersionFound(found=False), standing=kept)
    assert [one for one in effects if isinstance(one, FindVersion)] == [FindVersion()]
    assert isinstance(state.connection, Waiting)
    assert state.connection.cause is Cause.OUTDATED
    assert state.connection.at - NOW.wall <= LOOK_FOR_VERSION.step * 1.1


def test_within_a_run_a_version_that_was_found_is_tried_once() -> None:
    again = (VersionFound(found=True), Acquired(epoch=Epoch(2)), REFUSED)
    state, effects = lived(*BEGUN, *again)
    assert len([one for one in effects if isinstance(one, Connect)]) == 2
    assert state.connection == Held(cause=Cause.OUTDATED)


def test_the_outage_says_when_a_version_is_looked_for_next() -> None:
    state, _ = lived(*BEGUN, VersionFound(found=False))
    assert isinstance(state.connection, Waiting)
    assert state.standing.outage is not None
    assert state.standing.outage.retry_at == state.connection.at > NOW.wall
