"""The connection: what a failure means, and what a cancelled caller leaves behind."""

import asyncio
import os
import sqlite3
import stat
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import URL, Connection, insert, make_url, select, text

from perene.core.errors import StorageError, StorageUnavailable
from perene.core.ids import Epoch
from perene.store import schema
from perene.store.database import Database, after_commit
from perene.store.errors import CannotConnect, UnreadableDatabase
from perene.store.failures import classify
from perene.store.store import Store
from tests.support.full_disk import no_file_beyond
from tests.support.record import PATIENCE_S
from tests.support.units import ANA, LID, event, key, message, unit

PASSWORD = "a-password-nobody-may-read"


def set_counter(connection: Connection, name: str, value: int) -> None:
    connection.execute(insert(schema.counters).values(name=name, value=value))


def counters(connection: Connection) -> dict[str, int]:
    table = schema.counters.c
    return {row.name: row.value for row in connection.execute(select(table.name, table.value))}


async def test_what_the_database_refuses_is_told_without_the_row(store: Store) -> None:
    """Rows hold numbers of people."""
    number = "5511987650001"
    await store.database.write(set_counter, number, 1)
    with pytest.raises(StorageError) as refused:
        await store.database.write(set_counter, number, 2)
    assert "IntegrityError" in "".join(traceback.format_exception(refused.value))
    assert number not in "".join(traceback.format_exception(refused.value))


async def test_a_write_is_committed_when_it_returns(
    store: Store, open_store: Callable[[], Store]
) -> None:
    await store.database.write(set_counter, "a", 1)
    assert await open_store().database.read(counters) == {"a": 1}


@pytest.mark.requirement("C13")
async def test_an_exception_rolls_back_the_whole_write(store: Store) -> None:
    def fail(connection: Connection) -> None:
        set_counter(connection, "a", 1)
        raise StorageError("on purpose")

    with pytest.raises(StorageError, match="on purpose"):
        await store.database.write(fail)
    assert await store.database.read(counters) == {}


async def test_a_bug_in_a_write_is_chained(store: Store) -> None:
    def fail(_connection: Connection) -> None:
        raise ZeroDivisionError

    with pytest.raises(StorageError) as raised:
        await store.database.write(fail)
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    assert not isinstance(raised.value, StorageUnavailable)


async def test_hooks_run_only_after_a_commit(store: Store) -> None:
    seen: list[str] = []

    def write(connection: Connection, name: str, *, fail: bool) -> None:
        after_commit(connection, lambda: seen.append(name))
        if fail:
            raise StorageError("on purpose")

    with pytest.raises(StorageError):
        await store.database.write(write, "failed", fail=True)
    await store.database.write(write, "good", fail=False)
    assert seen == ["good"]


@pytest.mark.requirement("C13")
async def test_a_transaction_whose_caller_is_cancelled_is_rolled_back_as_a_whole(
    store: Store,
) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        set_counter(connection, "first", 1)
        begun.set()
        assert may_end.wait(10)
        set_counter(connection, "second", 2)

    caller = asyncio.create_task(store.database.write(slow))
    await asyncio.to_thread(begun.wait, 10)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert await store.database.read(counters) == {}
    may_end.set()
    await store.database.write(set_counter, "third", 3)
    assert await store.database.read(counters) == {"third": 3}


async def test_a_cancelled_write_that_waits_for_its_turn_never_happens(store: Store) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def slow(_connection: Connection) -> None:
        begun.set()
        assert may_end.wait(10)

    running = asyncio.create_task(store.database.write(slow))
    await asyncio.to_thread(begun.wait, 10)
    waiting = asyncio.create_task(store.database.write(set_counter, "late", 1))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    may_end.set()
    await running
    await store.database.write(set_counter, "next", 2)
    assert await store.database.read(counters) == {"next": 2}


async def test_closing_lets_running_work_end(store: Store, open_store: Callable[[], Store]) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        begun.set()
        assert may_end.wait(10)
        set_counter(connection, "a", 1)

    running = asyncio.create_task(store.database.write(slow))
    await asyncio.to_thread(begun.wait, 10)
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    may_end.set()
    await asyncio.gather(running, closing)
    await store.close()
    with pytest.raises(StorageUnavailable, match="closed"):
        await store.ping()
    with pytest.raises(StorageUnavailable, match="closed"):
        await store.database.write(set_counter, "b", 1)
    assert await open_store().database.read(counters) == {"a": 1}


async def test_writers_of_several_processes_take_turns(
    store: Store, open_store: Callable[[], Store]
) -> None:
    await store.database.write(set_counter, "n", 0)

    def add_one(connection: Connection) -> None:
        table = schema.counters
        old = connection.execute(
            select(table.c.value).where(table.c.name == "n").with_for_update()
        ).scalar_one()
        connection.execute(table.update().where(table.c.name == "n").values(value=old + 1))

    stores = [store, open_store(), open_store()]
    await asyncio.gather(*(one.database.write(add_one) for one in stores for _ in range(20)))
    assert await store.database.read(counters) == {"n": 60}


async def test_a_reader_cannot_write(store: Store) -> None:
    with pytest.raises(StorageError):
        await store.database.read(set_counter, "a", 1)
    assert await store.database.read(counters) == {}


async def test_a_refused_statement_quotes_no_value(store: Store) -> None:
    def twice(connection: Connection) -> None:
        set_counter(connection, PASSWORD, 1)
        set_counter(connection, PASSWORD, 1)

    with pytest.raises(StorageError) as raised:
        await store.database.write(twice)
    error: BaseException | None = raised.value
    while error is not None:
        assert PASSWORD not in f"{error!s} {error!r}"
        error = error.__cause__


@pytest.mark.usefixtures("ana")
async def test_readers_are_not_stopped_by_a_running_write(store: Store) -> None:
    await store.commit([unit(messages=(message(),), events=(event(),))])
    begun, may_end = threading.Event(), threading.Event()

    def slow(connection: Connection) -> None:
        set_counter(connection, "a", 1)
        begun.set()
        assert may_end.wait(10)

    running = asyncio.create_task(store.database.write(slow))
    await asyncio.to_thread(begun.wait, 10)
    assert len(await store.list_messages(ANA)) == 1
    assert await store.reader(ANA, Epoch(0)).ledger_entry(key()) is None
    may_end.set()
    await running


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://user:{PASSWORD}@127.0.0.1:1/none",
        f"postgres://user@127.0.0.1:1/none?password={PASSWORD}",
        f"mysql://user:{PASSWORD}@127.0.0.1/none",
        f"postgresql://user:{PASSWORD}@127.0.0.1:port/none",
        f"no url at all {PASSWORD}",
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite:////proc/nowhere/perene.db",
    ],
)
def test_a_database_that_cannot_be_reached_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(CannotConnect) as raised:
        Database.open(url)
    error: BaseException | None = raised.value
    assert raised.value.remedy
    while error is not None:
        assert PASSWORD not in f"{error!s} {error!r}"
        error = error.__cause__


def test_why_a_postgresql_lets_nobody_in_is_told_without_names(postgres_url: str) -> None:
    url = make_url(postgres_url)
    for wrong, reason in (
        (url.set(database="nosuch"), "there is no database of this name"),
        (url.set(username="nosuch"), "it refuses the user or the password"),
        (url.set(host="127.0.0.1", port=1, query={}), "nobody listens at its address"),
    ):
        with pytest.raises(CannotConnect) as caught:
            Database.open(wrong.render_as_string(hide_password=False))
        assert reason in str(caught.value)
        assert 'nosuch"' not in str(caught.value)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "perene.db"
    content = b"certainly not a database" * 100
    path.write_bytes(content)
    with pytest.raises(UnreadableDatabase):
        Database.open(f"sqlite:///{path}")
    assert path.read_bytes() == content


def test_a_new_database_file_is_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "perene.db"
    Database.open(f"sqlite:///{path}").close_now()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_sqlite_is_set_up_to_lose_nothing(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/perene.db")

    def pragma(connection: Connection, name: str) -> object:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar()

    expected = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    for name, value in expected.items():
        assert await database.write(pragma, name) == value
    assert await database.read(pragma, "query_only") == 1
    await database.close()


async def test_a_locked_database_is_unavailable_and_works_again(
    tmp_path: Path,
) -> None:
    path = tmp_path / "perene.db"
    database = Database.open(f"sqlite:///{path}", statement_s=0.05)
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StorageUnavailable, match="SQLITE_BUSY"):
            await database.write(set_counter, "a", 1)
        other.execute("ROLLBACK")
    other.close()
    await database.write(set_counter, "a", 1)
    assert await database.read(counters) == {"a": 1}
    await database.close()


async def test_a_full_disk_is_unavailable_and_works_again(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path}/perene.db")

    def limit(connection: Connection, pages: int) -> None:
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")

    def fill(connection: Connection) -> None:
        for n in range(2000):
            set_counter(connection, f"{n}" * 100, n)

    await database.write(limit, 1)  # SQLite raises it to the present size
    with pytest.raises(StorageUnavailable, match="its disk is full, SQLITE_FULL"):
        await database.write(fill)
    assert await database.read(counters) == {}
    await database.write(limit, 1_000_000)
    await database.write(fill)
    await database.close()


@pytest.mark.parametrize("name", ["perene.db", "perene.db-wal", "perene.db-shm"])
@pytest.mark.parametrize("read_before", [False, True])
async def test_nothing_is_saved_in_a_file_that_was_moved_until_it_is_back(
    tmp_path: Path, name: str, read_before: bool
) -> None:
    file, elsewhere = tmp_path / name, tmp_path / "elsewhere"
    database = Database.open(f"sqlite:///{tmp_path}/perene.db")
    await database.write(set_counter, "a", 1)
    if read_before:
        assert await database.read(counters) == {"a": 1}

    file.rename(elsewhere)
    moved = f"{name} was deleted, moved or replaced"
    with pytest.raises(StorageUnavailable, match=moved):
        await database.write(set_counter, "b", 2)
    if read_before:
        assert await database.read(counters) == {"a": 1}
    else:
        with pytest.raises(StorageUnavailable, match=moved):
            await database.read(counters)
    assert not file.exists()

    elsewhere.rename(file)
    await database.write(set_counter, "c", 3)
    assert await database.read(counters) == {"a": 1, "c": 3}
    await database.close()


async def test_a_file_that_was_replaced_is_not_taken_for_the_one_that_was_opened(
    tmp_path: Path,
) -> None:
    path, other = tmp_path / "perene.db", tmp_path / "other.db"
    Database.open(f"sqlite:///{other}").close_now()
    database = Database.open(f"sqlite:///{path}")
    await database.write(set_counter, "a", 1)

    other.replace(path)
    with pytest.raises(StorageUnavailable, match=r"perene\.db was deleted, moved or replaced"):
        await database.write(set_counter, "b", 2)
    with pytest.raises(StorageUnavailable, match=r"perene\.db was deleted, moved or replaced"):
        await database.read(counters)  # the first one: it opens a connection
    await database.close()


async def test_a_commit_is_not_believed_when_the_file_was_deleted_meanwhile(
    tmp_path: Path,
) -> None:
    path = tmp_path / "perene.db"
    database = Database.open(f"sqlite:///{path}")

    def delete(connection: Connection) -> None:
        set_counter(connection, "a", 1)
        path.unlink()

    with pytest.raises(StorageUnavailable, match=r"perene\.db was deleted, moved or replaced"):
        await database.write(delete)
    await database.close()


async def test_a_database_is_found_whatever_its_path_is_made_of(tmp_path: Path) -> None:
    path = tmp_path / "ä %41?b#c&mode=ro" / "perene.db"
    for value in (1, 2):
        database = Database.open(str(URL.create("sqlite", database=str(path))))
        await database.write(set_counter, f"{value}", value)
        await database.close()
    assert [one.name for one in os.scandir(tmp_path)] == [path.parent.name]
    assert [one.name for one in os.scandir(path.parent)] == [path.name]


async def test_a_disk_that_is_full_at_the_start_is_told_as_such(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/perene.db"
    Database.open(url).close_now()
    with (
        no_file_beyond(4096),
        pytest.raises(CannotConnect, match="its disk is full, SQLITE_IOERR_SHMSIZE") as refused,
    ):
        Database.open(url)
    assert "room" in refused.value.remedy
    Database.open(url).close_now()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("SQLITE_READONLY_DBMOVED", "it is read-only"),
        ("SQLITE_CANTOPEN", "its file cannot be opened"),
        ("SQLITE_IOERR_LOCK", "its file system refuses locks"),
        ("SQLITE_IOERR_WRITE", "its disk gave an error, or takes no more writes"),
        ("SQLITE_IOERR_FSYNC", "its disk gave an error"),
    ],
)
def test_what_sqlite_says_becomes_a_reason_and_may_pass(code: str, reason: str) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorname = code
    found = classify(error)
    assert isinstance(found, StorageUnavailable)
    assert f"({reason}, {code})" in str(found)


def overwrite_second_half(path: Path) -> None:
    half = path.stat().st_size // 2
    with path.open("r+b") as file:
        file.seek(half)
        file.write(os.urandom(half))


async def test_a_damaged_file_is_unreadable_not_absent(tmp_path: Path) -> None:
    path = tmp_path / "perene.db"
    database = Database.open(f"sqlite:///{path}")
    await database.write(lambda c: [set_counter(c, f"{n}" * 50, n) for n in range(2000)])
    await database.close()
    overwrite_second_half(path)
    database = Database.open(f"sqlite:///{path}")
    with pytest.raises(StorageUnavailable, match="damaged, or its disk cannot be read"):
        await database.read(counters)
    await database.close()


@pytest.mark.usefixtures("ana")
@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_the_connections_of_a_postgresql_that_restarts_are_replaced(
    store: Store,
) -> None:
    def end_all_others(connection: Connection) -> None:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )

    await store.commit([unit(messages=(message(key(chat=LID)),))])
    await asyncio.gather(*(store.ping() for _ in range(8)))
    await store.database.write(end_all_others)
    assert len(await store.list_messages(ANA)) == 1

    await store.database.read(end_all_others)
    await store.commit([unit(messages=(message(),))])
    assert len(await store.list_messages(ANA)) == 2


@pytest.mark.usefixtures("ana")
@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_a_connection_lost_inside_a_transaction_loses_the_transaction(
    store: Store,
) -> None:
    def cut_off(connection: Connection) -> None:
        set_counter(connection, "a", 1)
        connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(StorageUnavailable):
        await store.database.write(cut_off)
    assert await store.database.read(counters) == {}
    await store.database.write(set_counter, "b", 2)


class Slow:
    """A question that keeps its thread until the test lets it go."""

    def __init__(self) -> None:
        self.may_end = threading.Event()

    def __call__(self, _connection: Connection) -> None:
        assert self.may_end.wait(PATIENCE_S)


@pytest.mark.requirement("C1")
async def test_who_reads_aside_keeps_no_session_from_reading(store: Store) -> None:
    slow, aside = Slow(), store.aside().database
    looking = [asyncio.create_task(aside.read(slow)) for _ in range(50)]
    async with asyncio.timeout(PATIENCE_S):
        assert await store.database.read(counters) == {}
    assert not any(look.done() for look in looking)
    slow.may_end.set()
    await asyncio.gather(*looking)


@pytest.mark.requirement("C1")
async def test_a_session_writes_behind_one_of_those_who_write_aside(store: Store) -> None:
    slow, done, aside = Slow(), list[str](), store.aside().database

    async def write(database: Database, name: str) -> None:
        await database.write(set_counter, name, 1)
        done.append(name)

    first = asyncio.create_task(aside.write(slow))
    others = [asyncio.create_task(write(aside, f"other {number}")) for number in range(50)]
    await asyncio.sleep(0)
    session = asyncio.create_task(write(store.database, "session"))
    await asyncio.sleep(0)
    slow.may_end.set()
    await asyncio.gather(first, *others, session)
    assert done.index("session") <= 1, done


async def test_who_gives_up_in_the_line_aside_writes_nothing_and_stops_nobody(
    store: Store,
) -> None:
    slow, aside = Slow(), store.aside().database
    first = asyncio.create_task(aside.write(slow))
    await asyncio.sleep(0)
    gone = asyncio.create_task(aside.write(set_counter, "gone", 1))
    last = asyncio.create_task(aside.write(set_counter, "last", 1))
    await asyncio.sleep(0)
    gone.cancel()
    slow.may_end.set()
    await asyncio.gather(first, last)
    assert await store.database.read(counters) == {"last": 1}


async def test_a_store_that_was_closed_is_closed_aside_too(store: Store) -> None:
    aside = store.aside()
    await store.close()
    with pytest.raises(StorageUnavailable, match="closed"):
        await aside.database.read(counters)
    with pytest.raises(StorageUnavailable, match="closed"):
        await aside.database.write(set_counter, "a", 1)
