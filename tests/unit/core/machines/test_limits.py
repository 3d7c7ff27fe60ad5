"""Whoever set a limit is told once that it was reached, whatever was counted before."""

from collections.abc import Sequence

import pytest

from perene.core.causes import Local
from perene.core.machines.effects import Disconnected
from perene.core.machines.inputs import LoggedIn, Start
from perene.core.policy import STABLE_AFTER
from perene.core.policy_overrides import policies_with
from tests.support.endings import local
from tests.unit.core.machines.life import Life

pytestmark = pytest.mark.requirement("C5", "D3")


@pytest.fixture
def life() -> Life:
    """A session whose first attempt is under way."""
    policies = policies_with({"dns.limit": "2", "network.limit": "6"})
    life = Life(Start(by_person=False), policies=policies)
    life.granted()
    return life


def losses(life: Life, *codes: Local) -> Sequence[bool]:
    """Let an attempt after the other end so; return for each whether a person is to act."""
    life.done.clear()
    for code in codes:
        life.lost(local(code))
        life.comes_due()
        life.granted()
    return [told.decided.attention for told in life.told(Disconnected)]


def test_a_limit_of_causes_that_are_counted_together_is_told_though_it_was_passed_before(
    life: Life,
) -> None:
    assert not any(losses(life, *[Local.SOCKET_CLOSED] * 4))
    again = losses(life, Local.DNS, Local.DNS, Local.SOCKET_CLOSED, Local.DNS)
    assert again == [True, False, False, False]


def test_it_is_told_again_only_after_a_connection_that_was_stable(life: Life) -> None:
    assert losses(life, Local.DNS, Local.DNS, Local.DNS) == [False, False, True]
    life.give(LoggedIn(at=life.now))
    life.live(STABLE_AFTER)
    assert losses(life, Local.DNS, Local.DNS, Local.DNS) == [False, False, True]


def test_what_was_told_outlives_a_restart_of_the_service(life: Life) -> None:
    losses(life, Local.DNS, Local.DNS, Local.DNS)
    told = life.state.standing.told
    life.begins_again()
    assert life.state.standing.told == told != frozenset()
