"""A resolver that hangs keeps nobody else waiting, and standing still costs no connection."""

import asyncio
import socket
import threading
from collections.abc import Iterator

import pytest

from perene.process.event_loop import Address, EventLoop, Names

ADDRESS: Address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 1))

pytestmark = pytest.mark.timeout(60)  # whoever waits for the resolver would wait for ever


class Resolver:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.asked: list[object] = []
        self.error: OSError | None = None

    def __call__(self, *question: object) -> list[Address]:
        self.asked.append(question[0])
        self.answers.wait()
        if self.error is not None:
            raise self.error
        return [ADDRESS]


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    one = Resolver()
    yield one
    one.answers.set()


async def waiting(*tasks: asyncio.Task[object], resolver: Resolver, questions: int) -> None:
    """Return once the tasks wait for a resolver that was asked so much."""
    while len(resolver.asked) < questions:
        await asyncio.to_thread(lambda: None)
    assert not any(task.done() for task in tasks)


@pytest.mark.requirement("C3")
async def test_all_who_want_one_name_wait_for_one_answer(resolver: Resolver) -> None:
    names = Names(resolver)
    dials = [asyncio.create_task(names.find("chat", 443)) for _ in range(300)]
    other = asyncio.create_task(names.find("proxy", 3128))
    await waiting(*dials, other, resolver=resolver, questions=2)
    dials[0].cancel()
    resolver.answers.set()
    found = await asyncio.gather(*dials, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == [[ADDRESS]] * 299, "who goes takes the answer from nobody"
    assert await other == [ADDRESS]
    assert sorted(map(str, resolver.asked)) == ["chat", "proxy"]
    assert await names.find("chat", 443) == [ADDRESS]
    assert resolver.asked.count("chat") == 2, "an answer is kept for nobody who asks later"


@pytest.mark.parametrize("error", [socket.gaierror(-2, "unknown"), OSError(24, "none left")])
async def test_each_gets_an_error_of_its_own(resolver: Resolver, error: OSError) -> None:
    names, resolver.error = Names(resolver), error
    resolver.answers.set()
    found = await asyncio.gather(
        *(names.find("chat", 443) for _ in range(2)), return_exceptions=True
    )
    assert [(type(one), one.args) for one in found if isinstance(one, OSError)] == [
        (type(error), error.args)
    ] * 2
    assert found[0] is not found[1]


async def test_a_resolver_that_does_not_answer_in_time_is_told_as_that(resolver: Resolver) -> None:
    names = Names(resolver, limit_s=0.01)
    for _ in range(3):
        with pytest.raises(socket.gaierror) as caught:
            await names.find("chat", 443)
        assert caught.value.errno == socket.EAI_AGAIN
    assert resolver.asked == ["chat"], "nobody asks again while it owes an answer"


def test_neither_other_work_nor_the_end_waits_for_it(resolver: Resolver) -> None:
    async def dial(port: int) -> None:
        with pytest.raises(socket.gaierror):
            await asyncio.open_connection("chat.example", port)

    async def live() -> str:
        dials = [asyncio.create_task(dial(port)) for port in range(1, 31)]
        await waiting(*dials, resolver=resolver, questions=30)
        done = await asyncio.to_thread(lambda: "done")
        for one in dials:
            one.cancel()
        return done

    with asyncio.Runner(loop_factory=lambda: EventLoop(Names(resolver))) as runner:
        assert runner.run(live()) == "done"


def test_an_address_needs_nobody(resolver: Resolver) -> None:
    async def dial() -> None:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert await reader.read() == b""
        writer.close()
        server.close()

    with asyncio.Runner(loop_factory=lambda: EventLoop(Names(resolver))) as runner:
        runner.run(dial())
    assert resolver.asked == []


class Stopped(EventLoop):
    """A loop that can be found to have stood still."""

    passed_s = 0.0

    def time(self) -> float:
        return super().time() + self.passed_s


class Line:
    """Somebody who waits for an answer, no longer than so."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._near, self._far = socket.socketpair()
        self.waits = asyncio.Event()

    async def ask(self) -> bytes:
        reader, writer = await asyncio.open_connection(sock=self._near)
        try:
            async with asyncio.timeout(self._limit_s):
                self.waits.set()
                return await reader.readexactly(6)
        finally:
            writer.close()
            self._far.close()

    def answer(self) -> None:
        self._far.sendall(b"answer")


@pytest.mark.requirement("C1", "C2")
def test_an_answer_that_came_while_everything_stood_still_came_in_time() -> None:
    async def live(loop: Stopped) -> list[bytes]:
        lines = [Line(20.0) for _ in range(50)]
        asking = [asyncio.create_task(line.ask()) for line in lines]
        for line in lines:
            await line.waits.wait()
        for line in lines:
            line.answer()
        loop.passed_s += 60
        return await asyncio.gather(*asking)

    loop = Stopped()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        assert runner.run(live(loop)) == [b"answer"] * 50


def test_who_gets_no_answer_is_told_so_after_standing_still_too() -> None:
    async def live(loop: Stopped) -> None:
        line = Line(20.0)
        asking = asyncio.create_task(line.ask())
        await line.waits.wait()
        loop.passed_s += 60
        with pytest.raises(TimeoutError):
            await asking

    loop = Stopped()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(live(loop))


def test_timers_go_off_at_last_in_a_loop_that_stays_late() -> None:
    async def live(loop: Stopped) -> int:
        rung, turns = loop.create_future(), 0
        loop.call_later(20, rung.set_result, None)
        while not rung.done():
            loop.passed_s += 60
            turns += 1
            await asyncio.sleep(0)
        return turns

    loop = Stopped()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        assert 2 < runner.run(live(loop)) < 50


def test_a_timer_that_is_cancelled_while_it_is_late_does_not_go_off() -> None:
    async def live(loop: Stopped) -> list[str]:
        rung: list[str] = []
        late = loop.call_later(20, rung.append, "late")
        loop.call_later(20, rung.append, "other")
        loop.passed_s += 60
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        late.cancel()
        while not rung:
            loop.passed_s += 0.1
            await asyncio.sleep(0)
        return rung

    loop = Stopped()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        assert runner.run(live(loop)) == ["other"]
