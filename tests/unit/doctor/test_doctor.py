"""The doctor: every finding has its reason and its remedy, and looking changes nothing."""

import os
import socket
import sqlite3
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import create_engine, inspect, text
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from perene.core.clock import SystemClock
from perene.core.ids import SessionId
from perene.core.unit import Profile
from perene.doctor import Finding, Level, examine, examine_settings
from perene.doctor.clock import check_clock
from perene.doctor.machine import check_data_directory, check_disk, check_open_files
from perene.doctor.outside import server_time
from perene.key_rotation import next_key_file
from perene.process.data_directory import held_data_directory
from perene.process.room import Room
from perene.settings import Settings
from perene.sim import Simulator
from perene.sim.certificate import self_signed
from perene.store.database import Database
from perene.store.instance_lock import held_database
from perene.store.store import Store
from tests.support.full_disk import no_file_beyond
from tests.support.other_disk import other_disk
from tests.support.units import Bytes, unit

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
SIMULATOR = Simulator(seed=1)
ROOT_KEY = SIMULATOR.root_key.hex()


@pytest.fixture
async def settings(tmp_path: Path) -> Settings:
    """Settings of a directory with one session in its database."""
    folder = tmp_path / "data"
    folder.mkdir(mode=0o700)
    settings = Settings(data_dir=folder, port=0, endpoint="ws://127.0.0.1:1/ws/chat")
    store = Store.open(settings.database, clock=SystemClock(), key_file=settings.master_key_path)
    await store.create_session(SessionId("desk"))
    await store.close()
    return settings


def changed(settings: Settings, **fields: object) -> Settings:
    return Settings.model_validate(settings.model_dump() | fields)


async def look(settings: Settings, *, offline: bool = True) -> dict[str, Finding]:
    found: Sequence[Finding] = await examine(settings, SystemClock(), offline=offline)
    for finding in found:
        assert finding.sentence.endswith("."), finding
        assert (finding.remedy is None) == (finding.level is Level.OK), finding
    return {finding.name: finding for finding in found}


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {
        str(file.relative_to(folder)): (file.stat().st_mode, file.read_bytes())
        for file in folder.rglob("*")
        if file.is_file()
    }


async def test_a_healthy_directory_is_left_exactly_as_it_was(settings: Settings):
    before = contents(settings.data_dir)
    found = await look(settings)
    assert {finding.level for finding in found.values()} <= {Level.OK, Level.WARN}
    for name in ("data directory", "database", "master key", "clock", "service"):
        assert found[name].level is Level.OK, found[name]
    assert "1 session." in found["database"].sentence
    assert "1 session needs up to" in found["open files"].sentence
    assert "opens the database" in found["master key"].sentence
    assert "endpoint" not in found
    assert contents(settings.data_dir) == before


async def test_a_disk_on_which_nothing_can_be_added_fails_however_much_is_free(settings: Settings):
    before = contents(settings.data_dir)
    with no_file_beyond(40_000):
        found = await look(settings)
    assert found["disk"].level is Level.FAIL
    assert "(File too large; " in found["disk"].sentence
    assert "`df -i`" in (found["disk"].remedy or "")
    assert found["database"].level is Level.FAIL
    assert (
        found["database"].sentence == "SQLite can be read, and nothing be added (File too large)."
    )
    assert contents(settings.data_dir) == before


async def test_a_database_that_is_damaged_in_one_place_fails(settings: Settings):
    file = settings.data_dir / "perene.db"
    with sqlite3.connect(file) as connection:
        (page,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'messages'"
        ).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    whole = file.read_bytes()
    start = (page - 1) * size
    file.write_bytes(whole[:start] + b"\xff" * 16 + whole[start + 16 :])
    found = (await look(settings))["database"]
    assert found.level is Level.FAIL
    assert f"{file} is damaged (" in found.sentence
    assert "restore the database from a backup" in (found.remedy or "")


async def test_linked_sessions_without_credentials_fail(settings: Settings):
    store = Store.open(settings.database, clock=SystemClock(), key_file=settings.master_key_path)
    await store.commit([unit(session=SessionId("desk"), profile=Profile(pn="15550000001:3@x"))])
    await store.close()
    found = (await look(settings))["database"]
    assert found.level is Level.FAIL
    assert found.sentence.endswith("the credentials of linked sessions (desk).")


async def test_a_database_that_is_too_large_to_be_looked_through_says_so(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("perene.doctor.stored._FILE_S", 0.0)
    with sqlite3.connect(settings.data_dir / "perene.db") as connection:
        connection.execute(
            "CREATE TABLE large AS WITH RECURSIVE rows(n) AS"
            " (SELECT 1 UNION ALL SELECT n + 1 FROM rows WHERE n < 400000)"
            " SELECT n, hex(randomblob(20)) AS text FROM rows"
        )
    found = (await look(settings))["database"]
    assert found.level is Level.OK
    assert "too large to be looked through" in found.sentence


async def test_a_database_that_is_taken_away_from_its_service_fails(settings: Settings):
    with held_data_directory(settings.data_dir):
        (settings.data_dir / "perene.db").unlink()
        found = (await look(settings))["database"]
    assert found.level is Level.FAIL
    assert found.sentence.endswith("is gone, and a service uses it.")
    assert "do not stop the service" in (found.remedy or "")
    assert (await look(settings))["database"].level is Level.WARN


async def test_before_the_first_start_nothing_is_made(tmp_path: Path):
    found = await look(Settings(data_dir=tmp_path / "none" / "data"))
    for name in ("data directory", "database", "master key"):
        assert found[name].level is Level.WARN
        assert "perene serve" in (found[name].remedy or "")
    assert contents(tmp_path) == {}


async def test_a_running_service_is_seen(settings: Settings):
    with held_data_directory(settings.data_dir):
        found = await look(settings)
    assert found["service"].sentence.startswith("A service is running")
    assert (await look(settings))["service"].sentence.startswith("No service")


@pytest.mark.requirement("D9")
async def test_who_holds_the_database_is_told(settings: Settings, tmp_path: Path):
    assert (await look(settings))["database hold"].sentence == "No service holds the database."
    with held_database(settings.database):
        found = (await look(settings))["database hold"]
        assert found.level is Level.WARN, "a service of another data directory"
        assert f"process {os.getpid()} on" in found.sentence
        with held_data_directory(settings.data_dir):
            found = (await look(settings))["database hold"]
        assert found.level is Level.OK
        assert f"process {os.getpid()} on" in found.sentence
    with held_data_directory(settings.data_dir):
        found = (await look(settings))["database hold"]
    assert found.level is Level.WARN
    assert "database_hold_lost" in (found.remedy or "")


async def test_a_new_postgresql_is_not_said_to_hold_what_needs_a_key(
    tmp_path: Path, postgres_url: str
):
    settings = Settings(data_dir=tmp_path / "data", database_url=SecretStr(postgres_url))
    found = await look(settings)
    for name in ("database", "master key"):
        assert found[name].level is Level.WARN
        assert "perene serve" in (found[name].remedy or "")
    assert found["database"].sentence == "The database has no tables yet."
    assert "backup" not in (found["database"].remedy or "")
    assert contents(tmp_path) == {}
    with create_engine(postgres_url).connect() as connection:
        assert inspect(connection).get_table_names() == []
    connection.engine.dispose()


async def test_a_new_postgresql_that_would_refuse_the_start_fails(
    tmp_path: Path, postgres_url: str
):
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE sessions (of_somebody_else INTEGER)"))
    engine.dispose()
    settings = Settings(data_dir=tmp_path / "data", database_url=SecretStr(postgres_url))
    found = (await look(settings))["database"]
    assert found.level is Level.FAIL
    assert 'relation "sessions" already exists' in found.sentence


async def test_of_a_database_that_cannot_be_asked_nothing_is_claimed(tmp_path: Path):
    url = SecretStr("postgresql://perene@127.0.0.1:1/perene")
    found = (await look(Settings(data_dir=tmp_path / "data", database_url=url)))["master key"]
    assert found.level is Level.WARN
    assert "cannot be asked" in found.sentence


@pytest.mark.requirement("D9")
async def test_who_holds_a_postgresql_database_is_told(settings: Settings, postgres_url: str):
    Database.open(postgres_url).close_now()
    settings = changed(settings, database_url=SecretStr(postgres_url))
    assert (await look(settings))["database hold"].sentence == "No service holds the database."
    with held_database(settings.database):
        found = (await look(settings))["database hold"]
    assert f"process {os.getpid()} on" in found.sentence


@pytest.mark.requirement("D9")
async def test_a_number_that_is_linked_twice_is_told(settings: Settings):
    assert (await look(settings))["numbers"].level is Level.OK
    store = Store.open(settings.database, clock=SystemClock(), key_file=settings.master_key_path)
    for name in ("desk", "home"):
        if name != "desk":
            await store.create_session(SessionId(name))
        epoch = await store.acquire(SessionId(name))
        await store.commit(
            [
                unit(
                    session=SessionId(name),
                    epoch=epoch,
                    credentials=Bytes(b"c"),
                    profile=Profile(pn="5511999991234:1@s.whatsapp.net"),
                )
            ]
        )
    await store.close()
    found = (await look(settings))["numbers"]
    assert found.level is Level.WARN
    assert "desk and home" in found.sentence
    assert "1234" not in found.sentence


async def test_an_older_schema_is_told_and_not_migrated(settings: Settings):
    with sqlite3.connect(settings.data_dir / "perene.db") as connection:
        connection.execute("DELETE FROM perene_schema")
    connection.close()
    before = contents(settings.data_dir)
    findings = await look(settings)
    found = findings["database"]
    assert found.level is Level.WARN
    assert "backup" in (found.remedy or "")
    assert "cannot be looked at now" in findings["master key"].sentence
    assert contents(settings.data_dir) == before


async def test_a_newer_schema_fails(settings: Settings):
    with sqlite3.connect(settings.data_dir / "perene.db") as connection:
        connection.execute("UPDATE perene_schema SET version_num = '9999'")
    connection.close()
    assert (await look(settings))["database"].level is Level.FAIL


async def test_a_file_that_is_no_database_fails(settings: Settings):
    (settings.data_dir / "perene.db").write_bytes(b"no database" * 1000)
    assert (await look(settings))["database"].level is Level.FAIL


async def test_a_database_server_that_does_not_answer_fails_without_the_password(
    settings: Settings,
):
    url = SecretStr("postgresql://perene:hunter2@127.0.0.1:1/perene")
    everything = await look(changed(settings, database_url=url))
    found = everything["database"]
    assert found.level is Level.FAIL
    assert "hunter2" not in found.sentence
    # What is told to programs that send messages means nothing here.
    assert "Idempotency-Key" not in repr(everything)


@pytest.mark.requirement("F7")
async def test_a_key_that_others_can_read_fails(settings: Settings):
    settings.master_key_path.chmod(0o644)
    found = (await look(settings))["master key"]
    assert found.level is Level.FAIL
    assert "chmod 600" in (found.remedy or "")


@pytest.mark.requirement("F7")
async def test_a_key_of_another_database_fails(settings: Settings):
    key = SecretStr(os.urandom(32).hex())
    found = (await look(changed(settings, master_key=key)))["master key"]
    assert found.level is Level.FAIL
    next_key_file(settings).write_bytes(b"")
    found = (await look(changed(settings, master_key=key)))["master key"]
    assert "rotate-master-key" in (found.remedy or "")


@pytest.mark.requirement("F7")
async def test_a_missing_key_fails_and_none_is_made(settings: Settings):
    settings.master_key_path.unlink()
    assert (await look(settings))["master key"].level is Level.FAIL
    assert not settings.master_key_path.exists()


async def test_an_address_that_cannot_be_listened_on_fails(settings: Settings):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = (await look(changed(settings, port=port)))["address"]
        assert found.level is Level.FAIL
        assert f"port {port} (Address already in use):" in found.sentence
        with held_data_directory(settings.data_dir):
            running = (await look(changed(settings, port=port)))["address"]
    assert running.level is Level.OK
    wrong = (await look(changed(settings, host="192.0.2.1")))["address"]
    assert wrong.level is Level.FAIL
    assert "PERENE_HOST" in wrong.sentence


async def test_alerts_that_would_refuse_the_start_fail(settings: Settings, tmp_path: Path):
    assert (await look(settings))["alerts"].level is Level.OK
    rules = tmp_path / "rules.toml"
    rules.write_text("[rules.session_down]\nabov = 600\n")
    for wrong in (
        changed(settings, alert_urls=SecretStr("json://127.0.0.1/hook nonsense://s3cret")),
        changed(settings, alert_rules_file=rules),
        changed(settings, alert_rules_file=tmp_path / "none.toml"),
    ):
        found = (await look(wrong))["alerts"]
        assert found.level is Level.FAIL, found
        assert "s3cret" not in repr(found)


def test_a_directory_that_others_can_look_into_is_told(tmp_path: Path):
    tmp_path.chmod(0o755)
    found = check_data_directory(tmp_path)
    assert (found.level, found.remedy) == (Level.WARN, f"Run `chmod 700 {tmp_path}`.")


def test_a_file_is_no_data_directory(tmp_path: Path):
    file = tmp_path / "file"
    file.touch()
    assert check_data_directory(file).level is Level.FAIL


@pytest.mark.parametrize(
    ("free", "level"),
    [
        (2 * 1024**3, Level.OK),
        (1024**3 - 1, Level.WARN),
        (100 * 1024**2, Level.WARN),
        (100 * 1024**2 - 1, Level.FAIL),
    ],
)
def test_room_on_the_disk_is_judged(tmp_path: Path, free: int, level: Level):
    assert check_disk(tmp_path, room=Room(free_bytes=free)).level is level


async def test_a_database_on_a_disk_of_its_own_is_looked_at_too(tmp_path: Path, settings: Settings):
    assert "database disk" not in await look(settings)
    with other_disk() as folder:
        (tmp_path / "link").symlink_to(folder)
        for place in (folder, tmp_path / "link", folder / "not" / "there"):
            url = SecretStr(f"sqlite:///{place}/perene.db")
            found = await look(changed(settings, database_url=url))
            assert str(settings.data_dir) in found["disk"].sentence
            assert str(folder) in found["database disk"].sentence


@pytest.mark.parametrize(
    ("free_files", "most_files", "level"),
    [
        (100_000, 1_000_000, Level.OK),
        (49_999, 1_000_000, Level.WARN),
        (99, 1_000_000, Level.FAIL),
        (99, 1000, Level.FAIL),
        (0, 0, Level.OK),  # btrfs tells of no limit
    ],
)
def test_inodes_are_judged_where_the_file_system_tells_of_them(
    tmp_path: Path, free_files: int, most_files: int, level: Level
):
    room = Room(free_bytes=2 * 1024**3, free_files=free_files, most_files=most_files)
    found = check_disk(tmp_path, room=room)
    assert found.level is level
    assert ("inodes are " in found.sentence) is (most_files > 0)
    if level is not Level.OK:
        assert "`df -i`" in (found.remedy or "")


def test_the_limit_of_open_files_is_held_against_the_sessions(tmp_path: Path):
    settings = Settings(data_dir=tmp_path)
    assert check_open_files(settings, 10, limit=1024).level is Level.OK
    assert check_open_files(settings, 1000, limit=1024).level is Level.WARN


@pytest.mark.parametrize(
    ("now", "newest", "other", "level"),
    [
        (NOW, None, None, Level.OK),
        (NOW, NOW, NOW + timedelta(seconds=59), Level.OK),
        (NOW, None, NOW + timedelta(seconds=61), Level.WARN),
        (NOW, None, NOW - timedelta(seconds=61), Level.WARN),
        (NOW, NOW + timedelta(hours=1), None, Level.WARN),
        (datetime(1970, 1, 1, tzinfo=UTC), None, None, Level.FAIL),
        (datetime(2106, 2, 7, tzinfo=UTC), None, None, Level.FAIL),
    ],
)
def test_the_clock_is_held_against_others(
    now: datetime, newest: datetime | None, other: datetime | None, level: Level
):
    assert check_clock(now, newest_file=newest, others={"host": other}).level is level


def test_a_wrong_setting_is_a_finding(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PERENE_PORT", "abc")
    found, settings = examine_settings()
    assert (found.level, settings) == (Level.FAIL, None)
    assert "PERENE_PORT" in found.sentence


def test_a_variable_that_sets_nothing_is_a_finding(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PERENE_PROT", "80")
    found, settings = examine_settings()
    assert found.level is Level.WARN
    assert settings is not None


# --- outside, on loopback -------------------------------------------------------------------------


@pytest.fixture
async def endpoint() -> AsyncIterator[str]:
    """A WebSocket server that proves who it is, and also serves the page of the live version."""

    def answer(connection: ServerConnection, request: Request) -> Response | None:
        if request.path == "/sw.js":
            return connection.respond(200, '{"client_revision":1999999999}')
        return None if "Upgrade" in request.headers else connection.respond(200, "hello")

    async def prove(connection: ServerConnection) -> None:
        server = SIMULATOR.connect()
        await server.send(await connection.recv(decode=False))
        await connection.send(await server.receive())
        await connection.wait_closed()
        await server.close()

    async with serve(prove, "127.0.0.1", 0, process_request=answer) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws://127.0.0.1:{port}/ws/chat"


async def test_the_endpoint_and_the_live_version_are_looked_at(settings: Settings, endpoint: str):
    known = changed(settings, endpoint=endpoint, noise_root_key=ROOT_KEY)
    found = await look(known, offline=False)
    assert found["endpoint"].level is Level.OK, found
    assert "agrees with 127.0.0.1" in found["clock"].sentence
    assert found["version"].level is Level.OK
    assert "2.3000.1999999999" in found["version"].sentence


async def test_a_server_that_cannot_prove_who_it_is_fails(settings: Settings, endpoint: str):
    found = (await look(changed(settings, endpoint=endpoint), offline=False))["endpoint"]
    assert found.level is Level.FAIL
    assert "did not prove that it is WhatsApp" in found.sentence
    assert "PERENE_NOISE_ROOT_KEY" in (found.remedy or "")


async def test_the_clock_of_the_endpoint_is_read(settings: Settings, endpoint: str):
    told = await server_time(changed(settings, endpoint=endpoint))
    assert told is not None
    assert abs(told - datetime.now(UTC)) < timedelta(seconds=5)


async def test_a_fixed_version_that_is_older_is_told(settings: Settings, endpoint: str):
    fixed = changed(settings, endpoint=endpoint, client_version="2.3000.1")
    found = (await look(fixed, offline=False))["version"]
    assert found.level is Level.WARN
    assert "PERENE_CLIENT_VERSION" in (found.remedy or "")


async def test_an_endpoint_where_nobody_listens_fails(settings: Settings):
    found = await look(settings, offline=False)
    assert found["endpoint"].level is Level.FAIL
    assert found["version"].level is Level.WARN
    assert found["clock"].level is Level.OK


async def test_authorities_that_cannot_be_read_are_a_finding(settings: Settings, tmp_path: Path):
    wrong = changed(
        settings, endpoint="wss://127.0.0.1:1/ws/chat", tls_ca_file=tmp_path / "none.pem"
    )
    found = await look(wrong, offline=False)
    assert found["authorities"].level is Level.FAIL
    assert "PERENE_TLS_CA_FILE" in found["authorities"].sentence
    assert found["endpoint"].level is Level.FAIL


async def test_named_authorities_are_counted(settings: Settings, tmp_path: Path):
    assert (await look(settings))["authorities"].level is Level.OK
    named = tmp_path / "ca.pem"
    named.write_bytes(self_signed("127.0.0.1")[0] + self_signed("127.0.0.1")[0])
    found = (await look(changed(settings, tls_ca_file=named)))["authorities"]
    assert (found.level, "2 certificates are trusted" in found.sentence) == (Level.OK, True)
