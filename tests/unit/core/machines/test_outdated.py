"""A client version that WhatsApp refuses is looked for anew in each run of the service."""

from collections.abc import Callable

import pytest

from perene.core.causes import Cause
from perene.core.machines.effects import Connect, Disconnected, FindVersion
from perene.core.machines.inputs import Due, Start, Stop, VersionFound
from perene.core.machines.state import Held, Waiting
from perene.core.policy import LOOK_FOR_VERSION
from tests.support.endings import OUTDATED
from tests.unit.core.machines.life import Life


@pytest.fixture
def life() -> Life:
    """A session that looks for a version, because its first one was refused."""
    life = Life(Start(by_person=False))
    refused(life)
    return life


def refused(life: Life) -> None:
    life.granted()
    life.lost(OUTDATED)


def found_none(life: Life) -> None:
    life.give(VersionFound(found=False))


def found_one_that_is_refused(life: Life) -> None:
    life.give(VersionFound(found=True))
    refused(life)


def still_looks(life: Life) -> None:
    assert life.told(FindVersion)


@pytest.mark.parametrize("before", [found_none, found_one_that_is_refused, still_looks])
def test_a_restart_of_the_service_does_not_end_the_look_for_a_version(
    life: Life, before: Callable[[Life], None]
) -> None:
    before(life)
    life.give(Stop(by_person=False))
    life.done.clear()
    life.begins_again()
    refused(life)
    found_none(life)
    assert life.told(FindVersion) == [FindVersion()]
    assert isinstance(life.state.connection, Waiting)
    assert life.state.connection.cause is Cause.OUTDATED
    assert life.state.connection.at - life.now.wall <= LOOK_FOR_VERSION.step * 1.1


def test_within_a_run_a_version_that_was_found_is_tried_once(life: Life) -> None:
    found_one_that_is_refused(life)
    assert len(life.told(Connect)) == 2
    assert life.state.connection == Held(cause=Cause.OUTDATED)


def test_the_outage_says_when_a_version_is_looked_for_next(life: Life) -> None:
    found_none(life)
    assert isinstance(life.state.connection, Waiting)
    assert life.outage.retry_at == life.state.connection.at > life.now.wall


def test_a_session_that_nobody_has_linked_looks_for_a_version_too() -> None:
    """It has no outage that could say when the next look is."""
    life = Life(Start(by_person=False), paired=False)
    refused(life)
    found_none(life)
    assert isinstance(life.state.connection, Waiting)
    assert life.give(Due()) == (), "not before its time"
    life.comes_due()
    assert len(life.told(FindVersion)) == 2
    assert life.give(Due()) == (), "it looks already"


def test_the_refusal_is_told_before_a_version_is_looked_for(life: Life) -> None:
    (told,) = life.told(Disconnected)
    assert (told.decided.verdict.cause, told.decided.attempt) == (Cause.OUTDATED, 1)
