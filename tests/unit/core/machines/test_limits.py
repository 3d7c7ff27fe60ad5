"""Whoever set a limit is told once that it was reached, whatever was counted before."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from perene.core.causes import Ending, Kind, Local
from perene.core.clock import Instant
from perene.core.ids import Epoch, SessionId
from perene.core.machines.effects import Acquire, Disconnected
from perene.core.machines.inputs import Acquired, Due, Ended, Input, LoggedIn, Start
from perene.core.machines.session import new_session, next_deadline, step
from perene.core.machines.state import Chances
from perene.core.outages import OutageId
from perene.core.policy import STABLE_AFTER
from perene.core.policy_overrides import policies_with
from perene.core.standing import Standing

BEGAN = datetime(2026, 11, 22, tzinfo=UTC)
CHANCES = Chances(
    jitter=0.5,
    outage_id=OutageId("one"),
    policies=policies_with({"dns.limit": "2", "network.limit": "6"}),
)
pytestmark = pytest.mark.requirement("C5", "D3")


class Life:
    """A session whose attempts end as they are told to."""

    def __init__(self) -> None:
        self.state = new_session(SessionId("ana"), paired=True)
        self.now = 0.0
        self.give(Start(by_person=False))

    def give(self, given: Input) -> list[bool]:
        """Take an input; return for each loss whether a person is to act."""
        instant = Instant(wall=BEGAN + timedelta(seconds=self.now), monotonic=self.now)
        taken = step(self.state, given, instant, CHANCES)
        self.state = taken.state
        told = [
            effect.decided.attention for effect in taken.effects if isinstance(effect, Disconnected)
        ]
        for effect in taken.effects:
            if isinstance(effect, Acquire):
                told += self.give(Acquired(epoch=Epoch(1)))
        return told

    def lose(self, *codes: Local) -> Sequence[bool]:
        """Let an attempt after the other end so."""
        told: list[bool] = []
        for code in codes:
            told += self.give(Ended(ending=Ending(kind=Kind.LOCAL, code=code)))
            self.later()
        return told

    def later(self) -> None:
        due = next_deadline(self.state)
        assert due is not None
        self.now = max(self.now, due)
        self.give(Due())


def test_a_limit_of_causes_that_are_counted_together_is_told_though_it_was_passed_before() -> None:
    one = Life()
    assert not any(one.lose(*[Local.SOCKET_CLOSED] * 4))
    assert one.lose(Local.DNS, Local.DNS, Local.SOCKET_CLOSED, Local.DNS) == [True] + [False] * 3


def test_it_is_told_again_only_after_a_connection_that_was_stable() -> None:
    one = Life()
    assert one.lose(Local.DNS, Local.DNS, Local.DNS) == [False, False, True]
    one.give(LoggedIn(at=Instant(wall=BEGAN + timedelta(seconds=one.now), monotonic=one.now)))
    one.now += STABLE_AFTER.total_seconds() + 1
    one.give(Due())
    assert one.lose(Local.DNS, Local.DNS, Local.DNS) == [False, False, True]


def test_what_was_told_outlives_a_restart_of_the_service() -> None:
    one = Life()
    one.lose(Local.DNS, Local.DNS, Local.DNS)
    kept = Standing.parse(one.state.standing.serialize())
    assert kept.told == one.state.standing.told != frozenset()
