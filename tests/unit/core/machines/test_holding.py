"""A stop that a person has to end outlives a restart of the service, and ends by that person."""

from datetime import UTC, datetime

import pytest

from perene.core.causes import Cause, Ending, Kind
from perene.core.clock import Instant
from perene.core.ids import Epoch, SessionId
from perene.core.machines.effects import Acquire, Archive, Effect
from perene.core.machines.inputs import Acquired, Archived, Ended, Start, Stop
from perene.core.machines.session import new_session, step
from perene.core.machines.state import Chances, Held, SessionState
from perene.core.outages import OutageId
from perene.core.policy import POLICIES, Reaction
from perene.core.standing import Standing

NOW = Instant(wall=datetime(2026, 11, 21, tzinfo=UTC), monotonic=0.0)
CHANCES = Chances(jitter=0.5, outage_id=OutageId("one"))
ENDINGS = {
    Cause.LOCKED: Ending(kind=Kind.FAILURE, code="403"),
    Cause.BANNED: Ending(kind=Kind.FAILURE, code="406"),
    Cause.REPLACED: Ending(kind=Kind.STREAM_ERROR, conflict="replaced"),
}


class Life:
    """A session, and a database that does what it is asked."""

    def __init__(self, state: SessionState) -> None:
        self.state = state
        self.epoch = int(state.epoch or 0)

    def give(self, given: Start | Stop | Ended | Acquired | Archived) -> list[Effect]:
        taken = step(self.state, given, NOW, CHANCES)
        self.state = taken.state
        effects = list(taken.effects)
        for effect in taken.effects:
            match effect:
                case Acquire():
                    self.epoch += 1
                    effects += self.give(Acquired(epoch=Epoch(self.epoch)))
                case Archive():
                    effects += self.give(Archived(ok=True))
                case _:
                    pass
        return effects


def test_each_stop_that_is_kept_is_known_here() -> None:
    kept = {
        cause
        for cause, policy in POLICIES.items()
        if policy.reaction is Reaction.STOP and policy.holds
    }
    assert kept == ENDINGS.keys()


@pytest.mark.requirement("C4", "E8")
@pytest.mark.parametrize("cause", ENDINGS)
def test_a_restart_of_the_service_does_not_end_a_stop_but_a_person_does(cause: Cause) -> None:
    one = Life(new_session(SessionId("ana"), paired=True))
    one.give(Start(by_person=False))
    one.give(Ended(ending=ENDINGS[cause]))
    assert one.state.connection == Held(cause=cause)
    one.give(Stop(by_person=False))
    kept = Standing.parse(one.state.standing.serialize())
    again = Life(new_session(SessionId("ana"), paired=one.state.paired, standing=kept))
    assert again.give(Start(by_person=False)) == []
    assert again.state.connection == Held(cause=cause)
    assert any(isinstance(one, Acquire) for one in again.give(Start(by_person=True)))
