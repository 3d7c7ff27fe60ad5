"""One service holds a database, however many start on it, and whatever becomes of its server."""

import errno
import os
import re
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import psycopg
import pytest
from sqlalchemy import Connection, Engine, event, make_url

from perene.core.errors import DatabaseTaken, NotFound, StorageUnavailable
from perene.store.database import Database
from perene.store.database_url import parse_url
from perene.store.errors import CannotConnect, DatabaseInUse
from perene.store.instance_lock import InstanceLock, find_holder, held_database
from perene.store.server_lock import ServerLock
from perene.store.store import Store
from tests.plugins.postgres import Postgres, running_postgres
from tests.support.fronts import SlowToNotice, standing, through
from tests.support.full_disk import no_file_beyond
from tests.support.units import ANA, ManualClock

KEYS = (int.from_bytes(b"pere"), 1)


@pytest.mark.requirement("D9")
def test_a_second_service_on_one_database_is_refused_and_told_who_has_it(url: str) -> None:
    before = datetime.now(UTC) - timedelta(seconds=2)
    with held_database(url):
        with pytest.raises(DatabaseInUse) as refused, held_database(url):
            pytest.fail("both hold it")
        told = str(refused.value)
        assert f"process {os.getpid()} on {socket.gethostname()}" in told
        since = re.search(r"since (\S+)\.$", told)
        assert since is not None
        assert before <= datetime.fromisoformat(since[1]) <= datetime.now(UTC)


@pytest.mark.requirement("D9", "E6")
def test_a_full_disk_keeps_nobody_from_holding_a_database(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/perene.db"
    with no_file_beyond(0), held_database(url):
        assert find_holder(url) is not None
        with pytest.raises(DatabaseInUse), held_database(url):
            pytest.fail("both hold it")
    assert find_holder(url) is None


@pytest.mark.requirement("D9")
def test_of_many_who_start_at_once_one_gets_it(url: str) -> None:
    for _ in range(20):
        line, got = threading.Barrier(4), list[bool]()
        done = threading.Barrier(4)

        def start(line: threading.Barrier, done: threading.Barrier, got: list[bool]) -> None:
            with ExitStack() as stack:
                line.wait()
                try:
                    stack.enter_context(held_database(url))
                    got.append(True)
                except DatabaseInUse:
                    got.append(False)
                done.wait()

        threads = [threading.Thread(target=start, args=(line, done, got)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(got) == [False, False, False, True]


def test_who_holds_it_can_be_asked_and_nobody_does_afterwards(url: str) -> None:
    assert find_holder(url) is None
    with held_database(url):
        assert f"process {os.getpid()}" in str(find_holder(url))
    assert find_holder(url) is None
    with held_database(url):
        pass


def test_a_failure_lets_it_go(url: str) -> None:
    with pytest.raises(ZeroDivisionError), held_database(url):
        raise ZeroDivisionError
    assert find_holder(url) is None


async def test_sessions_are_acquired_while_it_is_held(
    url: str, clock: ManualClock, key_file: Path
) -> None:
    with held_database(url) as lock:
        assert lock.keep() is False
        store = Store.open(url, clock=clock, key_file=key_file, guard=lock.guard)
        try:
            await store.create_session(ANA)
            assert await store.acquire(ANA) == 1
        finally:
            await store.close()


@pytest.mark.requirement("D9")
def test_a_link_to_an_sqlite_database_is_the_same_database(tmp_path: Path) -> None:
    (tmp_path / "link.db").symlink_to(tmp_path / "perene.db")
    with held_database(f"sqlite:///{tmp_path / 'perene.db'}"):
        url = f"sqlite:///{tmp_path / 'link.db'}"
        with pytest.raises(DatabaseInUse), held_database(url):
            pytest.fail("both hold it")
        with held_database(f"sqlite:///{tmp_path / 'other.db'}"):
            pass


def test_a_server_that_is_not_there_refuses_the_start() -> None:
    url = "postgresql://perene:a-password-nobody-may-read@127.0.0.1:1/perene"
    with pytest.raises(CannotConnect) as refused, held_database(url):
        pytest.fail("nothing is there")
    assert "nobody-may-read" not in str(refused.value)


# --- PostgreSQL: the hold can be lost -------------------------------------------------------------


on_postgres = pytest.mark.parametrize("backend", ["postgresql"])


class Server:
    """One PostgreSQL database, and a hand on its connections."""

    def __init__(self, url: str) -> None:
        self.url = url

    def end_holder(self) -> None:
        """End the server's side of the connection that holds the lock."""
        with psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True) as connection:
            ended = connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks"
                " WHERE locktype = 'advisory' AND granted AND classid = %s AND objid = %s"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
                KEYS,
            ).fetchall()
        assert ended == [(True,)]


@pytest.fixture
def server(url: str) -> Server:
    return Server(url)


@pytest.fixture
def lock(server: Server) -> Generator[InstanceLock]:
    with held_database(server.url) as one:
        yield one


@pytest.mark.requirement("D9")
@on_postgres
def test_a_hold_that_the_server_lost_is_taken_anew(server: Server, lock: InstanceLock) -> None:
    for _ in range(20):
        server.end_holder()
        assert lock.keep() is True
        assert lock.keep() is False
        with pytest.raises(DatabaseInUse), held_database(server.url):
            pytest.fail("both hold it")


@pytest.mark.requirement("D9")
@on_postgres
def test_a_hold_that_another_service_took_meanwhile_is_gone(
    server: Server, lock: InstanceLock
) -> None:
    for _ in range(20):
        server.end_holder()
        with held_database(server.url) as other:
            with pytest.raises(DatabaseTaken, match=rf"process {os.getpid()} on"):
                lock.keep()
            assert other.keep() is False
        assert lock.keep() is True


@pytest.mark.requirement("D9")
@on_postgres
async def test_who_lost_the_hold_acquires_no_session(
    server: Server, lock: InstanceLock, clock: ManualClock, key_file: Path
) -> None:
    store = Store.open(server.url, clock=clock, key_file=key_file, guard=lock.guard)
    try:
        for number in range(20):
            server.end_holder()
            with pytest.raises(StorageUnavailable, match="does not hold"):
                await store.acquire(ANA)
            with held_database(server.url), pytest.raises(StorageUnavailable):
                await store.acquire(ANA)
            assert lock.keep() is True, number
            with pytest.raises(NotFound):
                await store.acquire(ANA)
    finally:
        await store.close()


@pytest.mark.requirement("D9", "E6")
@on_postgres
def test_what_was_let_go_is_free_at_once_even_if_the_server_is_slow_to_notice(
    server: Server, postgres: Postgres
) -> None:
    front = SlowToNotice(postgres.folder / ".s.PGSQL.5432")
    with standing(front):
        with (
            held_database(through(front, server.url)),
            pytest.raises(DatabaseInUse),
            held_database(server.url),
        ):
            pytest.fail("both hold it")
        with held_database(server.url) as lock:
            assert lock.keep() is False


@pytest.mark.requirement("D9")
@on_postgres
def test_a_connection_that_only_we_gave_up_is_not_taken_for_another_service(
    server: Server, lock: InstanceLock
) -> None:
    with ExitStack() as stack:
        used = stack.enter_context(used_connections())
        assert lock.keep() is False
        for _ in range(20):
            stack.callback(os.close, break_on_our_side(used[-1]))
            assert lock.keep() is True
            assert lock.keep() is False


def break_on_our_side(connection: psycopg.Connection) -> int:
    """Take a connection its socket; the server, which has the other end, notices nothing.

    Returns a descriptor that keeps it open.
    """
    ours, theirs = socket.socketpair()
    theirs.close()
    with ours:
        kept = os.dup(connection.fileno())
        os.dup2(ours.fileno(), connection.fileno())
    return kept


@pytest.mark.requirement("D9")
def test_a_server_that_crashed_gives_the_hold_back_to_its_service() -> None:
    with (
        running_postgres("-F -c max_connections=10 -c shared_buffers=16MB") as postgres,
        held_database(postgres.url("postgres")) as lock,
    ):
        for _ in range(3):
            postgres.stop()
            for _ in range(3):
                with pytest.raises(StorageUnavailable):
                    lock.keep()
            postgres.start()
            assert lock.keep() is True
            assert lock.keep() is False


def test_a_host_that_dies_is_given_up_by_the_server_within_20_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = f"-F -c max_connections=10 -c shared_buffers=16MB -h 127.0.0.1 -p {port}"
    with running_postgres(settings) as postgres:
        # The server's own socket, by which it is reached otherwise, has no such settings.
        local = make_url(postgres.url("postgres")).set(host="127.0.0.1", port=port, query={})
        lock = ServerLock(parse_url(local.render_as_string(hide_password=False)))
        try:
            with used_connections() as used:
                assert lock.take() is None
            assert _dies_after_s(used[-1]) <= 20
        finally:
            lock.release()

        dies_after_s: list[float] = []

        def upgrade(connection: Connection, _revision: str) -> None:
            driver = connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)
            dies_after_s.append(_dies_after_s(driver))

        # It holds a lock, too, and may be idle for as long as it likes.
        monkeypatch.setattr("perene.store.migrations.upgrade", upgrade)
        Database.open(local.render_as_string(hide_password=False)).close_now()
        assert max(dies_after_s) <= 20


def _dies_after_s(connection: psycopg.Connection) -> float:
    """Return after how many seconds the server gives up a host that says nothing any more."""
    idle, interval, count, unanswered = (
        _shown(connection, f"tcp_{name}")
        for name in ("keepalives_idle", "keepalives_interval", "keepalives_count", "user_timeout")
    )
    assert min(idle, interval, count, unanswered) > 0, "what is 0 has no end"
    return max(idle + interval * count, unanswered / 1000)


def _shown(connection: psycopg.Connection, name: str) -> int:
    found = connection.execute("SELECT setting FROM pg_settings WHERE name = %s", [name]).fetchone()
    assert found is not None
    return int(found[0])


@contextmanager
def used_connections() -> Generator[list[psycopg.Connection]]:
    """Collect the connections on which anything is asked meanwhile, the last one last."""
    used: list[psycopg.Connection] = []

    def note(connection: Connection, *_: object) -> None:
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)
        used.append(driver)

    event.listen(Engine, "after_cursor_execute", note)
    try:
        yield used
    finally:
        event.remove(Engine, "after_cursor_execute", note)


@contextmanager
def hooked(moment: str, hook: Callable[..., object], *, retval: bool = False) -> Generator[None]:
    """Have a hook called at every statement, until the block ends."""
    event.listen(Engine, moment, hook, retval=retval)
    try:
        yield
    finally:
        event.remove(Engine, moment, hook)


@pytest.mark.requirement("D9")
@on_postgres
def test_a_server_that_is_slow_to_end_our_last_connection_is_no_other_service(
    server: Server, lock: InstanceLock
) -> None:
    """Else the service would give all sessions up, to nobody."""

    def spare(_connection: Connection, _cursor: object, statement: str, given: object, *_: object):
        return ("SELECT", None) if "pg_terminate_backend" in statement else (statement, given)

    with ExitStack() as stack:
        used = stack.enter_context(used_connections())
        assert lock.keep() is False
        stack.callback(os.close, break_on_our_side(used[-1]))
        with hooked("before_cursor_execute", spare, retval=True):
            for _ in range(2):
                with pytest.raises(StorageUnavailable, match="just being let go"):
                    lock.keep()
        assert lock.keep() is True


@pytest.mark.requirement("D9")
@on_postgres
def test_a_connection_that_breaks_as_the_hold_is_taken_is_tried_again(
    server: Server, lock: InstanceLock
) -> None:
    def end(_connection: Connection, cursor: psycopg.Cursor, statement: str, *_: object) -> None:
        if "pg_is_in_recovery" in statement:
            with psycopg.connect(server.url.replace("+psycopg", ""), autocommit=True) as other:
                pid = cursor.connection.info.backend_pid
                other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

    server.end_holder()
    with hooked("after_cursor_execute", end):
        for _ in range(2):
            with pytest.raises(StorageUnavailable, match="connection"):
                lock.keep()
        with pytest.raises(CannotConnect), held_database(server.url):
            pytest.fail("nobody can hold it")
    assert lock.keep() is True


@pytest.mark.requirement("D9")
@on_postgres
def test_a_connection_on_which_somebody_held_the_database_before_is_refused(server: Server) -> None:
    """A pooler may give it back as it was; the server would let it take the lock once more."""

    def hold(_connection: Connection, cursor: psycopg.Cursor, statement: str, *_: object) -> None:
        if "set_config('perene.mark'" in statement:
            cursor.connection.execute("SELECT pg_advisory_lock(%s, %s)", KEYS)

    with (
        hooked("after_cursor_execute", hold),
        pytest.raises(CannotConnect, match="not reset"),
        held_database(server.url),
    ):
        pytest.fail("nobody can tell whose it is")


@pytest.mark.requirement("D9", "E6")
@on_postgres
def test_who_lets_go_in_the_same_moment_keeps_nobody_out(server: Server) -> None:
    lock = ServerLock(parse_url(server.url))
    with psycopg.connect(server.url.replace("+psycopg", ""), autocommit=True) as leaving:
        leaving.execute("SELECT pg_advisory_lock(%s, %s)", KEYS)

        def leave(*cursor_statement_and_so_on: Any) -> None:
            if "pg_try_advisory_lock" in cursor_statement_and_so_on[2]:
                leaving.execute("SELECT pg_advisory_unlock_all()")

        event.listen(Engine, "after_cursor_execute", leave)
        try:
            assert lock.take() is None
        finally:
            event.remove(Engine, "after_cursor_execute", leave)
            lock.release()


@on_postgres
def test_a_hold_that_was_let_go_stays_so(server: Server, lock: InstanceLock) -> None:
    lock.release()
    lock.release()
    with pytest.raises(StorageUnavailable):
        lock.keep()
    assert find_holder(server.url) is None


@pytest.mark.requirement("D9")
@on_postgres
def test_a_server_that_is_silent_neither_costs_the_hold_nor_keeps_it_from_being_let_go(
    server: Server, postgres: Postgres
) -> None:
    lock = ServerLock(parse_url(server.url))
    assert lock.take() is None
    kept: list[bool | StorageUnavailable] = []

    def keep() -> None:
        try:
            kept.append(lock.keep())
        except StorageUnavailable as error:
            kept.append(error)

    with postgres.frozen():
        waiting = threading.Thread(target=keep)
        waiting.start()
    waiting.join()
    assert kept == [False], "it was never lost"
    with postgres.frozen():
        waiting = threading.Thread(target=keep)
        waiting.start()
        lock.release()
        waiting.join()
    assert isinstance(kept[1], StorageUnavailable)


def test_a_file_system_without_locks_holds_no_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fcntl.flock", Mock(side_effect=OSError(errno.ENOLCK, "No locks")))
    with (
        pytest.raises(CannotConnect, match=r"gives no lock on .*perene\.db\.lock: No locks"),
        held_database(f"sqlite:///{tmp_path}/perene.db"),
    ):
        pass
