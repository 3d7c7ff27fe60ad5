"""What drivers say becomes a reason in words, and something to wait for or a refusal."""

import sqlite3
import traceback

import psycopg
import pytest
from sqlalchemy import create_engine, exc

from perene.core.errors import StorageError, StorageUnavailable
from perene.store.failures import (
    classify,
    is_damage,
    is_database_error,
    is_locked,
    is_spoilt,
    refusal,
)


def by_server(state: str) -> psycopg.Error:
    """Make the error that a server gives this code."""
    try:
        return psycopg.errors.lookup(state)()
    except KeyError:  # a code that the driver does not know
        error = psycopg.DatabaseError()
        error.sqlstate = state
        return error


def by_sqlite(name: str, kind: type[sqlite3.Error] = sqlite3.OperationalError) -> sqlite3.Error:
    error = kind("a sentence of SQLite")
    error.sqlite_errorname = name
    return error


def wrapped(error: Exception, *, lost: bool = False) -> exc.DBAPIError:
    """Make what SQLAlchemy makes of a driver's error."""
    return exc.DBAPIError("SELECT", None, error, connection_invalidated=lost)


# --- PostgreSQL -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("08006", ""),
        ("25006", "it is read-only"),
        ("26000", "it forgot what was prepared"),
        ("40001", ""),
        ("40P01", "two transactions waited for each other"),
        ("42501", "its user lacks a right"),
        ("42P05", ""),
        ("53100", "its disk is full"),
        ("53200", "it is out of memory"),
        ("53300", "it has too many connections"),
        ("55P03", "another transaction keeps it locked"),
        ("57014", "a statement took too long"),
        ("57P01", "it stops, or its administrator ended the connection"),
        ("57P03", "it is starting or stopping"),
        ("57P05", "it ended an idle connection"),
        ("58030", ""),
        ("XX001", "it is damaged, or its disk cannot be read"),
        ("XX002", "it is damaged, or its disk cannot be read"),
    ],
)
def test_what_a_server_refuses_for_a_time_is_waited_for(state: str, reason: str) -> None:
    told = f"{reason}, {state}" if reason else state
    for error in (by_server(state), wrapped(by_server(state))):
        found = classify(error)
        assert isinstance(found, StorageUnavailable)
        assert str(found) == f"the database cannot be used at this moment ({told})"


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ("25P03", "it ended a transaction that was idle, 25P03"),
        ("25P04", "a transaction took too long, 25P04"),
        ("57P01", "it stops, or its administrator ended the connection, 57P01"),
        ("XX000", "XX000"),
    ],
)
def test_a_connection_that_the_server_ended_is_lost_and_no_bug(state: str, reason: str) -> None:
    found = classify(wrapped(by_server(state), lost=True))
    assert isinstance(found, StorageUnavailable)
    assert str(found) == f"the connection to the database was lost ({reason})"


@pytest.mark.parametrize("state", ["22P02", "23505", "42P01", "XX000"])
def test_what_a_server_will_never_do_is_not_waited_for(state: str) -> None:
    found = classify(wrapped(by_server(state)))
    assert not isinstance(found, StorageUnavailable)
    assert f"refused a statement ({state}, {type(by_server(state)).__name__})" in str(found)


def test_a_connection_that_broke_without_a_word_is_lost() -> None:
    broken = psycopg.OperationalError("the connection is lost; timeout")
    found = classify(wrapped(broken, lost=True))
    assert isinstance(found, StorageUnavailable)
    assert str(found) == "the connection to the database was lost"


def test_what_the_driver_itself_refuses_is_not_waited_for() -> None:
    found = classify(wrapped(psycopg.DataError("text fields cannot contain NUL (0x00) bytes")))
    assert not isinstance(found, StorageUnavailable)
    assert "refused a statement (DataError)" in str(found)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ('password authentication failed for user "u"', "it refuses the user or the password"),
        ("fe_sendauth: no password supplied", "it refuses the user or the password"),
        ("no such user: u", "it refuses the user or the password"),
        ('FATAL:  role "u" does not exist', "it refuses the user or the password"),
        ('FATAL:  role "u" is not permitted to log in', "this user may not log in"),
        ('FATAL:  database "d" does not exist', "there is no database of this name"),
        ("FATAL:  no such database: d", "there is no database of this name"),
        ('permission denied for database "d"', "this user may not connect to this database"),
        ('"d" is not currently accepting connections', "this database takes no connections"),
        ("FATAL:  sorry, too many clients already", "it has too many connections"),
        ("no more connections allowed (max_client_conn)", "it has too many connections"),
        ('no pg_hba.conf entry for host "h", no encryption', "it lets this user in"),
        ('no pg_hba.conf entry for host "h", user "u"', "it lets nobody in from this machine"),
        ("prepared statements need statement pooling off", "a pooler before it pools by statement"),
        ('server certificate for "a" does not match host name "b"', "is for another host"),
        ("SSL error: certificate verify failed", "its TLS certificate has expired"),
        ('private key file "k" has group or world access', "others can read the file of sslkey"),
        ('could not load private key file "k": no such file', "the file of sslkey is not there"),
        ('could not read certificate file "c"', "sslcert names no file of certificates"),
        ("SSL error: unexpected eof while reading", "it broke off TLS"),
        ("SSL error: bad certificate", "its TLS certificate, or a file named for TLS"),
        ("SSL SYSCALL error", "no TLS connection to it can be made"),
        # Of a PostgreSQL 15 with TLS, and what libpq 18 says of it.
        ("FATAL:  connection requires a valid client certificate", "wants a client certificate"),
        ("SSL error: tlsv1 alert unknown ca", "refuses the client certificate"),
        ('no pg_hba.conf entry for host "::1", user "a", database "b", no encryption', "TLS only"),
        ('weak sslmode "require" may not be used with sslrootcert=system', "verify-full only"),
        ('root certificate file "/root/.postgresql/root.crt" does not exist', "needs sslrootcert"),
        ("something that nobody has heard of", "no connection)"),
    ],
)
def test_what_is_said_of_a_connection_becomes_a_reason(said: str, reason: str) -> None:
    found = classify(psycopg.OperationalError(f"connection failed: {said}"))
    assert isinstance(found, StorageUnavailable)
    assert reason in str(found)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ('connection to server at "alerts", port 1 failed: Connection refused', "nobody listens"),
        ('server on socket "/SSL/.s.PGSQL.1" failed: No such file or directory', "nobody listens"),
        ("failed to resolve host 'recovery.invalid': Name or service not known", "be resolved"),
        ("- host: 'SSL', port: '1', hostaddr: '1.1.1.1': Connection refused", "nobody listens"),
    ],
)
def test_the_name_of_a_host_is_no_reason(said: str, reason: str) -> None:
    assert reason in str(classify(psycopg.OperationalError(said)))


def test_only_refusals_of_rights_and_places_are_told_in_the_words_of_the_server() -> None:
    assert refusal(wrapped(by_server("42501"))).endswith("(42501)")
    assert refusal(by_server("3F000")).endswith("(3F000)")
    for other in (by_server("53100"), psycopg.OperationalError(), by_sqlite("SQLITE_FULL")):
        assert refusal(other) == ""


def test_a_connection_is_spoilt_when_its_server_has_changed() -> None:
    assert [
        state for state in ("25006", "26000", "42P05", "53100") if is_spoilt(by_server(state))
    ] == [
        "25006",
        "26000",
        "42P05",
    ]


# --- SQLite ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("SQLITE_FULL", "its disk is full"),
        ("SQLITE_IOERR_SHMSIZE", "its disk is full"),
        ("SQLITE_BUSY", "another process keeps it locked, or its file system gives no locks"),
        ("SQLITE_LOCKED_SHAREDCACHE", "another process keeps it locked"),
        ("SQLITE_IOERR_READ", "its disk gave an error"),
    ],
)
def test_what_sqlite_cannot_do_for_a_time_is_waited_for(name: str, reason: str) -> None:
    found = classify(wrapped(by_sqlite(name)))
    assert isinstance(found, StorageUnavailable)
    assert f"({reason}, {name})" in str(found)


def test_what_there_are_no_words_for_is_told_by_its_name() -> None:
    found = classify(wrapped(by_sqlite("SQLITE_PROTOCOL")))
    assert isinstance(found, StorageUnavailable)
    assert "(SQLITE_PROTOCOL)" in str(found)


def test_what_sqlite_has_no_name_for_may_pass_too() -> None:
    found = classify(sqlite3.OperationalError("something"))
    assert isinstance(found, StorageUnavailable)
    assert "(something)" in str(found)


@pytest.mark.parametrize("name", ["SQLITE_CORRUPT", "SQLITE_CORRUPT_INDEX", "SQLITE_NOTADB"])
def test_a_damaged_file_may_be_a_disk_that_is_away(name: str) -> None:
    error = by_sqlite(name, sqlite3.DatabaseError)
    assert is_damage(error)
    assert is_damage(wrapped(error))
    found = classify(wrapped(error))
    assert isinstance(found, StorageUnavailable)
    assert f"damaged, or its disk cannot be read ({name})" in str(found)


def test_a_damaged_text_is_told_without_the_text() -> None:
    engine = create_engine("sqlite://")
    with engine.connect() as connection, pytest.raises(exc.OperationalError) as raised:
        connection.exec_driver_sql("SELECT CAST(x'736563726574ff' AS TEXT) AS body").all()
    assert is_damage(raised.value)
    found = classify(raised.value)
    found.__cause__ = raised.value
    assert isinstance(found, StorageUnavailable)
    assert "damaged" in str(found)
    assert "column 'body'" in str(found)
    assert "secret" not in "".join(traceback.format_exception(found))


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (by_sqlite("SQLITE_ERROR"), "SQLITE_ERROR"),
        (
            by_sqlite("SQLITE_CONSTRAINT_UNIQUE", sqlite3.IntegrityError),
            "SQLITE_CONSTRAINT_UNIQUE",
        ),
        (sqlite3.ProgrammingError("closed"), "ProgrammingError"),
    ],
)
def test_what_sqlite_will_never_do_is_not_waited_for(error: sqlite3.Error, told: str) -> None:
    assert not is_damage(error)
    found = classify(wrapped(error))
    assert not isinstance(found, StorageUnavailable)
    assert f"refused a statement ({told})" in str(found)


# --- SQLAlchemy -----------------------------------------------------------------------------------


def test_a_pool_without_a_free_connection_may_have_one_later() -> None:
    found = classify(exc.TimeoutError())
    assert isinstance(found, StorageUnavailable)
    assert "no database connection became free" in str(found)


def test_a_lost_connection_to_a_file_is_told_as_such() -> None:
    found = classify(wrapped(by_sqlite("SQLITE_ERROR"), lost=True))
    assert isinstance(found, StorageUnavailable)


def test_what_sqlalchemy_refuses_by_itself_is_a_bug() -> None:
    found = classify(exc.ArgumentError("not a statement"))
    assert type(found) is StorageError
    assert str(found) == "the database layer failed: ArgumentError"


# --- All of them ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "locked"),
    [
        (by_sqlite("SQLITE_BUSY"), True),
        (by_sqlite("SQLITE_BUSY_SNAPSHOT"), True),
        (by_sqlite("SQLITE_FULL"), False),
        (by_server("55P03"), True),
        (by_server("57014"), False),
    ],
)
def test_what_somebody_else_keeps_locked_is_known_as_such(error: Exception, locked: bool) -> None:
    for one in (error, wrapped(error)):
        assert is_locked(one) is locked
        assert is_database_error(one)


def test_errors_of_the_database_are_those_of_drivers_and_of_sqlalchemy() -> None:
    assert is_database_error(exc.ArgumentError("not a statement"))
    assert not is_database_error(StorageError("ours"))
    assert not is_database_error(OSError("the system's"))
