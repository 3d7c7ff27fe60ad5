"""Errands of database threads that are given up: begun never, cut short, or over already."""

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from perene.core.errors import StorageUnavailable
from perene.store.errands import Crew, Errand, present, within
from tests.support.record import PATIENCE_S
from tests.support.scarce_threads import System


class Noting(sqlite3.Connection):
    """Counts how often its statements were interrupted."""

    interrupted = 0

    def interrupt(self) -> None:
        self.interrupted += 1
        super().interrupt()


class Endless:
    """A statement that SQLite computes until it is interrupted."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:", check_same_thread=False, factory=Noting)
        self.begun = threading.Event()
        self.connection.create_function("begin", 0, self.begun.set)

    def compute(self) -> None:
        errand = present()
        assert errand is not None
        errand.hold(self.connection)
        self.compute_on()

    def compute_on(self) -> None:
        """Compute with a connection that the errand knows already."""
        self.connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
            " SELECT count(begin()) FROM n"
        )


@pytest.fixture
def endless() -> Iterator[Endless]:
    one = Endless()
    yield one
    one.connection.interrupt()
    one.connection.close()


def sent(crew: Crew, errand: Errand, endless: Endless) -> "Future[None]":
    """Send a thread on an errand; return once it computes."""
    future = crew.threads.submit(crew.do, errand, endless.compute)
    assert endless.begun.wait(PATIENCE_S)
    return future


def test_an_errand_that_was_given_up_is_not_begun() -> None:
    errand, done = Errand(), list[int]()
    errand.give_up()
    with pytest.raises(StorageUnavailable, match="nobody waits"):
        errand.do(lambda: done.append(1))
    assert done == []


def test_nothing_is_done_with_a_connection_that_was_made_for_nobody(endless: Endless) -> None:
    errand = Errand()

    def connect() -> None:
        errand.give_up()
        errand.hold(endless.connection)

    with pytest.raises(StorageUnavailable, match="nobody waits"):
        errand.do(connect)
    assert endless.connection.interrupted == 0


@pytest.mark.requirement("E1")
def test_a_statement_that_nobody_waits_for_is_interrupted(endless: Endless) -> None:
    crew, errand = Crew(1, "crew"), Errand()
    future = sent(crew, errand, endless)
    assert not crew.hangs
    errand.give_up()
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        future.result(PATIENCE_S)
    assert not crew.hangs
    assert crew.end(PATIENCE_S) == 0


@pytest.mark.requirement("E1")
def test_a_crew_hangs_when_those_that_the_system_gave_are_stuck(
    endless: Endless, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = System(monkeypatch)
    system.left = 1
    crew, errand = Crew(3, "crew"), Errand()
    future = sent(crew, errand, endless)
    assert not crew.hangs, "somebody waits for it"
    errand.given_up = True  # and does not come back for it
    assert crew.hangs
    system.left = 1
    assert not crew.hangs, "the system gives one again"
    assert crew.threads.submit(crew.do, Errand(), lambda: 7).result(PATIENCE_S) == 7
    endless.connection.interrupt()
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        future.result(PATIENCE_S)
    assert crew.end(PATIENCE_S) == 0


def test_an_errand_that_is_over_touches_its_connection_no_more(endless: Endless) -> None:
    errand = Errand()
    errand.do(lambda: errand.hold(endless.connection))
    assert present() is None
    errand.give_up()
    assert endless.connection.interrupted == 0


def test_what_takes_too_long_is_a_silent_database(endless: Endless) -> None:
    with pytest.raises(StorageUnavailable, match=r"no answer within 0\.01 s"):
        within(0.01, endless.compute)
    with pytest.raises(ZeroDivisionError):
        within(PATIENCE_S, lambda: 1 // 0)


def test_who_begins_with_a_connection_is_cut_off_from_that(endless: Endless) -> None:
    with pytest.raises(StorageUnavailable, match=r"no answer within 0\.01 s"):
        within(0.01, endless.compute_on, on=endless.connection)
    assert endless.connection.interrupted == 1


def test_nothing_is_held_that_could_not_be_cut() -> None:
    with pytest.raises(TypeError, match="no connection of a known driver"):
        Errand().hold(object())


def test_a_crew_has_its_time_to_end_unless_nobody_waits_for_what_it_does(
    endless: Endless, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []
    crew, errand = Crew(1, "crew"), Errand()
    monkeypatch.setattr(crew.threads, "end", lambda within_s: given.append(within_s) or 0)
    future = sent(crew, errand, endless)
    crew.end(PATIENCE_S)
    errand.given_up = True  # and does not come back for it
    assert crew.hangs
    crew.end(PATIENCE_S)
    assert given == [PATIENCE_S, 0.0]
    endless.connection.interrupt()
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        future.result(PATIENCE_S)


def test_a_crew_that_ends_interrupts_what_is_not_done_in_time(endless: Endless) -> None:
    crew = Crew(1, "crew")
    future = sent(crew, Errand(), endless)
    assert crew.end(0.01) == 0
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        future.result(0)
