"""Threads take work in turn, and go on with those that there are when the system gives no more."""

import threading
from collections.abc import Iterator

import pytest

from perene.process.threads import NoMoreThreads, Threads, in_thread, started
from tests.support.record import PATIENCE_S
from tests.support.scarce_threads import System


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> System:
    return System(monkeypatch)


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_as_many_work_at_once_as_there_may_be(gate: threading.Event) -> None:
    threads, begun = Threads(2, "test"), threading.Barrier(3)
    work = [threads.submit(begun.wait, PATIENCE_S) for _ in range(2)]
    begun.wait(PATIENCE_S)
    late = threads.submit(gate.wait, PATIENCE_S)
    gate.set()
    assert all(one.result(PATIENCE_S) is not None for one in (*work, late))
    assert threads.end(PATIENCE_S) == 0


def test_work_is_done_by_those_that_the_system_gives(system: System, gate: threading.Event) -> None:
    system.left = 1
    threads, done = Threads(4, "test"), list[int]()
    first = threads.submit(gate.wait, PATIENCE_S)
    rest = [threads.submit(done.append, number) for number in range(3)]
    assert not done
    gate.set()
    assert first.result(PATIENCE_S)
    for one in rest:
        one.result(PATIENCE_S)
    assert done == [0, 1, 2]
    system.left = 1  # there is one again
    threads.submit(done.append, 3).result(PATIENCE_S)
    assert system.left == 0
    assert threads.end(PATIENCE_S) == 0


def test_a_thread_more_is_begun_when_the_system_gives_it_and_there_may_be_more(
    system: System,
) -> None:
    threads = Threads(2, "test")
    system.left = 0
    assert not threads.grow()
    assert threads.begun == 1
    system.left = 10
    assert threads.grow()
    assert threads.begun == 2
    assert not threads.grow(), "there may be two"
    assert threads.end(PATIENCE_S) == 0
    ended = Threads(2, "test")
    ended.shutdown()
    assert not ended.grow(), "nobody would end it"


def test_nothing_is_begun_without_a_single_thread(system: System) -> None:
    system.left = 0
    with pytest.raises(NoMoreThreads, match="no more threads"):
        Threads(2, "test")
    with pytest.raises(NoMoreThreads, match="no more threads"):
        started(threading.Thread(target=print))


async def test_the_loops_own_threads_tell_of_it_too(system: System) -> None:
    system.left = 0
    with pytest.raises(NoMoreThreads):
        await in_thread(print)
    system.left = 10
    assert await in_thread(sorted, [2, 1], reverse=True) == [2, 1]
