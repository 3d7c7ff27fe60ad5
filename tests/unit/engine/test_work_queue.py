"""Work that asks the server is done in turn, and neither blocks nor ends those who ask for it."""

import asyncio

import pytest

from perene.engine.errors import QueryFailed, QueryTimedOut
from perene.engine.work_queue import MAX_WAITING, Rest, WorkQueue
from tests.support.virtual_clock import VirtualClock


class Worker:
    """A queue, and what was done of it."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.queue = WorkQueue(self.clock)
        self.done: list[object] = []
        self.changed = asyncio.Event()

    def ask(self, what: object, error: Exception | None = None) -> bool:
        """Queue a job that is noted when it is done, and then raises `error`; tell if it was."""

        async def job() -> None:
            self.done.append(what)
            self.changed.set()
            if error is not None:
                raise error

        return self.queue.later(job)

    async def until(self, what: object) -> None:
        """Work until a job was done."""
        running = asyncio.create_task(self.queue.run())
        async with asyncio.timeout(10):
            while what not in self.done:
                self.changed.clear()
                await self.changed.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


@pytest.fixture
def worker() -> Worker:
    return Worker()


async def test_jobs_are_done_in_order(worker: Worker) -> None:
    for number in range(3):
        worker.ask(number)
    await worker.until(2)
    assert worker.done == [0, 1, 2]


@pytest.mark.parametrize("error", [QueryFailed(503, ""), QueryTimedOut("no answer")])
async def test_a_job_that_the_server_does_not_help_is_passed_over(
    worker: Worker, error: Exception
) -> None:
    worker.ask("first", error)
    worker.ask("second")
    await worker.until("second")
    assert worker.done == ["first", "second"]


async def test_nobody_waits_for_the_rest_of_a_job(worker: Worker) -> None:
    async def rest() -> None:
        worker.ask("rest")

    async def job() -> Rest:
        return Rest(after_s=20, work=rest)

    worker.queue.later(job)
    worker.ask("second")
    working = asyncio.create_task(worker.until("rest"))
    await worker.clock.until_asleep(20)
    assert worker.done == ["second"]
    await worker.clock.advance(20)
    await working
    assert worker.done == ["second", "rest"]


async def test_no_rest_outlives_the_queue(worker: Worker) -> None:
    async def job() -> Rest:
        return Rest(after_s=20, work=job)

    worker.queue.later(job)
    working = asyncio.create_task(worker.queue.run())
    await worker.clock.until_asleep(20)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    await asyncio.sleep(0)
    assert list(worker.clock.asleep) == []


async def test_what_is_too_much_is_dropped(worker: Worker) -> None:
    for number in range(MAX_WAITING):
        assert worker.ask(number)
    assert not worker.ask(MAX_WAITING), "who asks is told"
    await worker.until(MAX_WAITING - 1)
    worker.ask("later")
    await worker.until("later")
    assert worker.done == [*range(MAX_WAITING), "later"]


async def test_a_mistake_in_a_job_ends_the_queue(worker: Worker) -> None:
    worker.ask("first", ZeroDivisionError())
    worker.ask("second")
    with pytest.raises(ZeroDivisionError):
        await worker.queue.run()
    assert worker.done == ["first"]
