"""A stop that a person has to end outlives a restart of the service, and ends by that person."""

import pytest

from perene.core.causes import Cause
from perene.core.machines.effects import Acquire
from perene.core.machines.inputs import Archived, Start, Stop
from perene.core.machines.state import Held
from perene.core.policy import POLICIES, Reaction
from tests.support.endings import REPLACED, failure
from tests.unit.core.machines.life import Life

ENDINGS = {
    Cause.LOCKED: failure("403"),
    Cause.BANNED: failure("406"),
    Cause.REPLACED: REPLACED,
}


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
    life = Life(Start(by_person=False))
    life.opened()
    life.lost(ENDINGS[cause])
    if POLICIES[cause].archive:
        life.granted()
        life.give(Archived(ok=True))
    assert life.state.connection == Held(cause=cause)
    life.give(Stop(by_person=False))
    life.done.clear()
    life.begins_again()
    assert (life.state.connection, life.done) == (Held(cause=cause), [])
    (asked,) = life.give(Start(by_person=True))
    assert isinstance(asked, Acquire)
