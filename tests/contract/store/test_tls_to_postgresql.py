"""TLS to PostgreSQL: what is wrong with it refuses the start, or is told; nothing goes in the open.

The server of the tests' wheel speaks none: a front of the tests does it for that.
"""

import os
import ssl
import traceback
from collections.abc import Generator
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, make_url, text

from perene.core.errors import StorageUnavailable
from perene.doctor import Finding, Level
from perene.doctor.stored import check_stored
from perene.settings import Settings
from perene.store.database import Database
from perene.store.database_url import parse_url
from perene.store.errors import CannotConnect
from perene.store.instance_lock import held_database
from tests.plugins.postgres import Postgres
from tests.support.authority import Authority
from tests.support.fronts import TlsFront, standing

PASSWORD = "a-password-nobody-may-read"
HOST = "localhost"

NO_TLS = "speaks no TLS"
OLD_OR_STRANGE = "has expired, or sslrootcert holds no authority of it"


@pytest.fixture
def front(postgres: Postgres) -> Generator[TlsFront]:
    one = TlsFront(postgres.folder / ".s.PGSQL.5432")
    with standing(one):
        yield one


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


@pytest.fixture
def strange(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "strange")


class Address:
    """Makes URLs of the test's database behind the front, as people write them."""

    def __init__(self, front: TlsFront, name: str) -> None:
        self._place = f"postgresql://postgres:{PASSWORD}@{HOST}:{front.port}/{name}"

    def with_(self, **query: object) -> str:
        asked = "&".join(f"{name}={value}" for name, value in query.items())
        return f"{self._place}?{asked}"


@pytest.fixture
def address(front: TlsFront, postgres_url: str) -> Address:
    return Address(front, make_url(postgres_url).database or "")


def refused(url: str) -> str:
    """Return why a start is refused, and see that the password is nowhere in it."""
    with pytest.raises(CannotConnect) as caught, held_database(url):
        pytest.fail("it is held")
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
    return str(caught.value)


# --- what is good ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_all_that_is_asked_goes_by_tls(
    front: TlsFront, address: Address, ours: Authority, mode: str
) -> None:
    front.show(ours.issue(HOST))
    url = address.with_(sslmode=mode, sslrootcert=ours.file)
    with held_database(url) as lock:
        database = Database.open(url)
        await database.read(lambda connection: connection.execute(text("SELECT 1")).scalar())
        assert lock.keep() is False
        await database.close()
    assert front.started >= 3
    assert front.in_the_open == 0


def test_the_authorities_of_the_machine_are_found(
    front: TlsFront, address: Address, ours: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The OpenSSL of psycopg's wheel looks where none are."""
    paths = ssl.DefaultVerifyPaths(
        str(ours.file), str(ours.file.parent), "SSL_CERT_FILE", "", "SSL_CERT_DIR", ""
    )
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: paths)
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.setenv(variable, "what is put back afterwards")
        monkeypatch.delenv(variable)
    front.show(ours.issue(HOST))
    with held_database(address.with_(sslmode="verify-full", sslrootcert="system")):
        assert front.started > 0
    assert os.environ["SSL_CERT_DIR"] == str(ours.file.parent)


def test_a_client_certificate_is_shown(front: TlsFront, address: Address, ours: Authority) -> None:
    front.show(ours.issue(HOST), wants=ours.file)
    url = address.with_(sslmode="verify-full", sslrootcert=ours.file)
    assert "it wants a client certificate that sslcert and sslkey name" in refused(url)
    certificate, key = ours.issue("postgres")
    with held_database(f"{url}&sslcert={certificate}&sslkey={key}"):
        pass


# --- what refuses the start -----------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_a_server_without_tls_is_not_spoken_to_in_the_open(
    front: TlsFront, address: Address, ours: Authority, mode: str
) -> None:
    assert NO_TLS in refused(address.with_(sslmode=mode, sslrootcert=ours.file))
    assert front.started == 0


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_a_certificate_of_a_strange_authority(
    front: TlsFront, address: Address, ours: Authority, strange: Authority, mode: str
) -> None:
    front.show(ours.issue(HOST))
    told = refused(address.with_(sslmode=mode, sslrootcert=strange.file))
    assert OLD_OR_STRANGE in told
    assert "clock of this machine" in told
    assert front.started == 0


def test_a_certificate_that_has_expired(front: TlsFront, address: Address, ours: Authority) -> None:
    front.show(ours.issue(HOST, days=-1))
    assert OLD_OR_STRANGE in refused(address.with_(sslmode="verify-full", sslrootcert=ours.file))
    assert front.started == 0


def test_a_certificate_of_another_host(front: TlsFront, address: Address, ours: Authority) -> None:
    front.show(ours.issue("db.example.com"))
    told = refused(address.with_(sslmode="verify-full", sslrootcert=ours.file))
    assert "for another host than its URL names" in told
    assert front.started == 0
    with held_database(address.with_(sslmode="verify-ca", sslrootcert=ours.file)):
        pass


@pytest.mark.parametrize("name", ["sslrootcert", "sslcert", "sslkey", "sslcrl"])
def test_a_file_that_is_not_there_is_named(
    front: TlsFront, address: Address, ours: Authority, tmp_path: Path, name: str
) -> None:
    """Without a word libpq would go on with no certificate, and with no list of those withdrawn."""
    front.show(ours.issue(HOST))
    files = {"sslrootcert": ours.file, name: tmp_path / "gone.pem"}
    told = refused(address.with_(sslmode="verify-full", **files))
    assert f"{tmp_path}/gone.pem as {name}, which cannot be read: No such file" in told
    files[name] = tmp_path
    assert f"{tmp_path} as {name}, which is not a file" in refused(
        address.with_(sslmode="verify-full", **files)
    )
    os.mkfifo(tmp_path / "gone.pem")
    files[name] = tmp_path / "gone.pem"
    assert "which is not a file" in refused(address.with_(sslmode="verify-full", **files))


def test_files_that_hold_something_else(
    front: TlsFront, address: Address, ours: Authority, strange: Authority, tmp_path: Path
) -> None:
    junk = tmp_path / "junk.pem"
    junk.touch(mode=0o600)
    junk.write_text("no certificate")
    front.show(ours.issue(HOST))
    certificate, key = ours.issue("postgres")
    others_key = strange.issue("postgres")[1]
    for files, reason in (
        ({"sslrootcert": junk}, "its sslmode needs sslrootcert, a file of certificates"),
        ({"sslcert": junk, "sslkey": key}, "sslcert names no file of certificates"),
        ({"sslcert": certificate, "sslkey": junk}, "is not the key of sslcert"),
        ({"sslcert": certificate, "sslkey": others_key}, "is not the key of sslcert"),
    ):
        named = {"sslrootcert": ours.file, **files}
        assert reason in refused(address.with_(sslmode="verify-full", **named))
    key.chmod(0o644)
    named = {"sslrootcert": ours.file, "sslcert": certificate, "sslkey": key}
    told = refused(address.with_(sslmode="verify-full", **named))
    assert "others can read the file of sslkey" in told


@pytest.mark.parametrize("mode", [None, "prefer", "allow", "disable"])
def test_authorities_that_nobody_would_ask(
    front: TlsFront,
    address: Address,
    ours: Authority,
    monkeypatch: pytest.MonkeyPatch,
    mode: str | None,
) -> None:
    """libpq would go on in plain text wherever TLS fails."""
    monkeypatch.delenv("PGSSLMODE", raising=False)
    front.show(ours.issue(HOST))
    asked = {} if mode is None else {"sslmode": mode}
    assert "add sslmode=verify-full" in refused(address.with_(sslrootcert=ours.file, **asked))
    assert front.started == 0
    if mode is None:
        monkeypatch.setenv("PGSSLMODE", "verify-full")
        with held_database(address.with_(sslrootcert=ours.file)):
            assert front.in_the_open == 0


def test_a_database_that_is_not_postgresql_needs_no_files() -> None:
    assert parse_url("sqlite:////srv/perene.db").database == "/srv/perene.db"


# --- a service that runs --------------------------------------------------------------------------


@pytest.mark.requirement("C6", "E6")
async def test_a_certificate_that_is_replaced_counts_for_the_next_connection(
    front: TlsFront, address: Address, ours: Authority, strange: Authority
) -> None:
    front.show(ours.issue(HOST))
    url = address.with_(sslmode="verify-full", sslrootcert=ours.file)
    with held_database(url) as lock:
        database = Database.open(url)
        for wrong, reason in (
            (ours.issue(HOST, days=-1), OLD_OR_STRANGE),
            (strange.issue(HOST), OLD_OR_STRANGE),
            (ours.issue("db.example.com"), "for another host"),
            (None, NO_TLS),
        ):
            front.show(wrong)
            assert await database.write(one) == 1, "what is open stays"
            assert lock.keep() is False
            front.cut()
            for ask in (database.read, database.write):
                with pytest.raises(StorageUnavailable, match=reason) as caught:
                    await ask(one)
                assert PASSWORD not in "".join(traceback.format_exception(caught.value))
            with pytest.raises(StorageUnavailable, match=reason):
                lock.keep()
            front.show(ours.issue(HOST))
            assert await database.read(one) == await database.write(one) == 1
            assert lock.keep() is True
        await database.close()
    assert front.in_the_open == 0


@pytest.mark.requirement("C6", "E6")
async def test_authorities_that_are_replaced_count_for_the_next_connection(
    front: TlsFront, address: Address, ours: Authority, strange: Authority
) -> None:
    front.show(ours.issue(HOST))
    url = address.with_(sslmode="verify-full", sslrootcert=ours.file)
    database = Database.open(url)
    kept = ours.file.read_bytes()
    ours.file.unlink()
    assert await database.write(one) == 1, "what is open stays"
    front.cut()
    with pytest.raises(StorageUnavailable, match="needs sslrootcert"):
        await database.write(one)
    ours.file.write_bytes(strange.file.read_bytes())
    with pytest.raises(StorageUnavailable, match=OLD_OR_STRANGE):
        await database.write(one)
    ours.file.write_bytes(strange.file.read_bytes() + kept)
    assert await database.write(one) == 1
    await database.close()


def one(connection: Connection) -> int:
    return connection.execute(text("SELECT 1")).scalar_one()


# --- the doctor -----------------------------------------------------------------------------------


def doctor(url: str, folder: Path) -> Finding:
    Database.open(url).close_now()
    return database_finding(url, folder)


def database_finding(url: str, folder: Path) -> Finding:
    stored = check_stored(Settings(data_dir=folder, database_url=SecretStr(url)))
    [found] = [finding for finding in stored.findings if finding.name == "database"]
    assert PASSWORD not in f"{found}"
    return found


def test_the_doctor_says_what_is_wrong_with_tls(
    front: TlsFront, address: Address, ours: Authority, tmp_path: Path
) -> None:
    front.show(ours.issue(HOST, days=-1))
    url = address.with_(sslmode="verify-full", sslrootcert=ours.file)
    found = database_finding(url, tmp_path)
    assert found.level is Level.FAIL
    assert OLD_OR_STRANGE in found.sentence


def test_the_doctor_says_whether_the_way_is_by_tls(
    front: TlsFront, address: Address, ours: Authority, tmp_path: Path
) -> None:
    front.show(ours.issue(HOST))
    by_tls = doctor(address.with_(sslmode="verify-full", sslrootcert=ours.file), tmp_path)
    assert by_tls.level is Level.OK
    assert "reached by TLS" in by_tls.sentence
    front.show(None)
    in_the_open = doctor(address.with_(sslmode="prefer"), tmp_path)
    assert in_the_open.level is Level.OK, "it is this machine"
    assert "reached without TLS" in in_the_open.sentence
