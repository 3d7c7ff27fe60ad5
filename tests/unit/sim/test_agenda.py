"""Actions run one after another; timed ones wait for the clock."""

from datetime import timedelta

from perene.sim.agenda import Agenda
from tests.unit.sim.client import Clock


def test_an_action_that_adds_another_does_not_recurse(clock: Clock) -> None:
    agenda, order = Agenda(clock), []

    def outer() -> None:
        agenda.add(lambda: order.append("second"))
        agenda.run()
        order.append("first")

    agenda.add(outer)
    agenda.run()
    assert order == ["first", "second"]


def test_a_timed_action_waits_for_its_moment(clock: Clock) -> None:
    agenda, order = Agenda(clock), []
    agenda.later(timedelta(seconds=5), lambda: order.append("late"))
    agenda.run()
    assert not order
    assert agenda.next_deadline == clock() + timedelta(seconds=5)
    clock.advance(timedelta(seconds=5))
    agenda.run()
    assert order == ["late"]
    assert agenda.next_deadline is None
