"""A database that takes what it is asked and gives no answer, and threads that never come back."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, TypeVar

import psycopg
import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.dialects import postgresql

from perene.core.errors import StorageUnavailable
from perene.store import database as databases
from perene.store import schema
from perene.store.database import Database
from perene.store.errors import CannotConnect
from tests.contract.store.test_database import counters, set_counter
from tests.plugins.postgres import Postgres
from tests.support.record import PATIENCE_S
from tests.support.virtual_clock import VirtualClock

LIMIT_S = 10.0

T = TypeVar("T")

on_postgresql = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)


@pytest.fixture
def time() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
async def database(url: str, time: VirtualClock) -> AsyncIterator[Database]:
    """Open the database; how long its callers wait goes by the test's time."""
    opened = Database.open(url, limit_s=LIMIT_S)
    opened.limit = time.limit
    yield opened
    await opened.close()


class Stuck:
    """What a thread does that is stuck in a call to the system, until the test lets it go."""

    def __init__(self, name: str = "stuck") -> None:
        self.name = name
        self.begun = threading.Event()
        self.may_end = threading.Event()

    def write(self, connection: Connection) -> None:
        set_counter(connection, self.name, 1)
        self.wait(connection)

    def wait(self, _connection: Connection) -> None:
        self.begun.set()
        assert self.may_end.wait(PATIENCE_S)


async def begun(*stuck: Stuck) -> None:
    for one in stuck:
        assert await asyncio.to_thread(one.begun.wait, PATIENCE_S)


async def let_go(*stuck: Stuck) -> None:
    for one in stuck:
        one.may_end.set()


async def once_it_answers(ask: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Ask until a thread has come back."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await ask()
            except StorageUnavailable:
                await asyncio.sleep(0)


async def pass_limit(time: VirtualClock, *waiting: "asyncio.Future[T]") -> None:
    """Let the limit pass for these; each must get an error that says so."""
    await time.advance(LIMIT_S)
    for one in waiting:
        with pytest.raises(StorageUnavailable, match="no answer within 10 s"):
            await one


@pytest.mark.requirement("E1")
async def test_nobody_waits_for_a_stuck_writer_longer_than_the_limit(
    database: Database, time: VirtualClock
) -> None:
    stuck = Stuck()
    running = asyncio.create_task(database.write(stuck.write))
    await begun(stuck)
    behind = asyncio.create_task(database.write(set_counter, "behind", 1))
    await time.advance(LIMIT_S - 1)
    assert not running.done()
    await pass_limit(time, running, behind)
    with pytest.raises(StorageUnavailable, match="hangs"):
        await database.write(set_counter, "refused", 1)
    assert await database.read(counters) == {}, "readers go on"
    await let_go(stuck)
    await once_it_answers(lambda: database.write(set_counter, "next", 2))
    assert await database.read(counters) == {"next": 2}, "what nobody waited for did not happen"


async def test_readers_are_refused_only_when_every_one_of_them_is_stuck(
    database: Database, time: VirtualClock
) -> None:
    await database.write(set_counter, "a", 1)
    stuck = [Stuck() for _ in range(3)]
    running = [asyncio.create_task(database.read(one.wait)) for one in stuck]
    await begun(*stuck)
    await pass_limit(time, *running)
    assert await database.read(counters) == {"a": 1}
    last = Stuck()
    running = [asyncio.create_task(database.read(last.wait))]
    await begun(last)
    await pass_limit(time, *running)
    with pytest.raises(StorageUnavailable, match="hangs"):
        await database.read(counters)
    await let_go(*stuck, last)
    found = await once_it_answers(lambda: database.read(counters))
    assert found == {"a": 1}


async def test_closing_leaves_a_stuck_thread_behind(url: str) -> None:
    database = Database.open(url)
    database.limit_s = 0.05
    stuck = Stuck()
    with pytest.raises(StorageUnavailable):
        await database.write(stuck.write)
    async with asyncio.timeout(PATIENCE_S):
        await database.close()
    with pytest.raises(StorageUnavailable, match="closed"):
        await database.read(counters)
    await let_go(stuck)
    again = Database.open(url)
    assert await again.read(counters) == {}
    await again.close()


def test_a_command_does_not_wait_for_a_stuck_writer_either(url: str) -> None:
    database = Database.open(url)
    database.limit_s = 0.05
    stuck = Stuck()
    with pytest.raises(StorageUnavailable, match="no answer"):
        database.write_now(stuck.write)
    stuck.may_end.set()
    database.close_now()


class Question:
    """A statement, and whether its thread has come back from it."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.over = threading.Event()

    def __call__(self, connection: Connection) -> None:
        self.begun.set()
        try:
            connection.execute(text("SELECT 1"))
        finally:
            self.over.set()

    async def comes_back(self) -> bool:
        return await asyncio.to_thread(self.over.wait, PATIENCE_S)


@on_postgresql
async def test_a_postgresql_that_is_silent_keeps_no_thread(
    database: Database, time: VirtualClock, postgres: Postgres
) -> None:
    await database.write(set_counter, "a", 1)
    asked = [Question() for _ in range(4)]
    await open_all_connections(database)
    with postgres.frozen():
        reads = [asyncio.create_task(database.read(one)) for one in asked]
        write = asyncio.create_task(database.write(set_counter, "b", 2))
        for one in asked:
            assert await asyncio.to_thread(one.begun.wait, PATIENCE_S)
        await pass_limit(time, *reads, write)
        assert [await one.comes_back() for one in asked] == [True] * 4
    await once_it_answers(lambda: database.write(set_counter, "c", 3))
    found = await once_it_answers(lambda: database.read(counters))
    assert found == {"a": 1, "c": 3}


async def open_all_connections(database: Database) -> None:
    """Let every reader have its connection: a server that is silent takes no new ones."""
    together = threading.Barrier(4)

    def meet(_connection: Connection) -> None:
        together.wait(PATIENCE_S)

    await asyncio.gather(*(database.read(meet) for _ in range(4)))


@on_postgresql
async def test_a_thread_comes_back_also_when_its_caller_went_before_the_limit(
    url: str, postgres: Postgres
) -> None:
    database = Database.open(url)
    database.limit_s = 0.05
    database.limit = VirtualClock().limit
    await open_all_connections(database)
    with postgres.frozen():
        question = Question()
        read = asyncio.create_task(database.read(question))
        assert await asyncio.to_thread(question.begun.wait, PATIENCE_S)
        read.cancel()
        with pytest.raises(asyncio.CancelledError):
            await read
        assert await question.comes_back()
    await database.close()


@on_postgresql
def test_a_postgresql_that_is_silent_refuses_the_start(
    url: str, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_up_to_date = databases.is_up_to_date

    def freeze_first(engine: Engine) -> bool:
        with engine.connect() as connection:  # while it is silent there are no new ones
            connection.execute(text("SELECT 1"))
        postgres.freeze()
        return is_up_to_date(engine)

    monkeypatch.setattr(databases, "is_up_to_date", freeze_first)
    try:
        with pytest.raises(CannotConnect, match=r"no answer within 0.05 s"):
            Database.open(url, limit_s=0.05)
    finally:
        postgres.thaw()


@pytest.fixture
def slow_commit(url: str) -> Iterator[psycopg.Connection[Any]]:
    """Make every commit that wrote a counter wait for the lock that this connection holds."""
    place = url.replace("+psycopg", "")
    with psycopg.connect(place, autocommit=True) as holder:
        holder.execute(
            "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_advisory_xact_lock_shared(42); RETURN NULL; END'"
        )
        holder.execute(
            "CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON counters DEFERRABLE INITIALLY DEFERRED"
            " FOR EACH ROW EXECUTE FUNCTION wait()"
        )
        holder.execute("SELECT pg_advisory_lock(42)")
        try:
            yield holder
        finally:
            holder.execute("SELECT pg_advisory_unlock_all()")
            holder.execute("DROP FUNCTION wait CASCADE")


@pytest.mark.requirement("C13", "E1")
@on_postgresql
async def test_a_commit_that_nobody_heard_of_comes_before_what_is_written_next(
    slow_commit: psycopg.Connection[Any], database: Database, time: VirtualClock
) -> None:
    async def waiting(count: int) -> None:
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        async with asyncio.timeout(PATIENCE_S):
            while slow_commit.execute(query).fetchone() != (count,):  # noqa: ASYNC110  # no event
                await asyncio.sleep(0)

    def repeat(connection: Connection) -> None:
        row = postgresql.insert(schema.counters).values(name="n", value=2)
        connection.execute(row.on_conflict_do_nothing())

    first = asyncio.create_task(database.write(set_counter, "n", 1))
    await waiting(1)
    await pass_limit(time, first)
    again = asyncio.create_task(once_it_answers(lambda: database.write(repeat)))
    await waiting(2)
    slow_commit.execute("SELECT pg_advisory_unlock(42)")
    await again
    assert await database.read(counters) == {"n": 1}
