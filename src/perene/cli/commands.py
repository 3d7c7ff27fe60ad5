"""The command `perene`. Each command imports what it needs when it is called."""

import contextlib
import errno
import io
import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter, validators

from perene import __version__
from perene.cli.exits import FAILED, INTERRUPTED, REFUSED, TAKEN_OVER, UNREAD
from perene.core.errors import sentence

AsJson = Annotated[bool, Parameter(name="--json", negative=())]
_Port = Annotated[int, Parameter(validator=validators.Number(gte=0, lte=65535))]
_Rest = Annotated[str, Parameter(show=False, allow_leading_hyphen=True)]

app = App(
    name="perene",
    help="Keep WhatsApp sessions alive and complete, and offer them over HTTP.",
    version=__version__,
    version_flags=["--version"],
)
app.command(
    "perene.cli.sessions:app",
    name="session",
    help="See and drive the sessions of a running service.",
)
app.command(
    "perene.cli.keys:app",
    name="key",
    help="List, make and revoke API keys, at the machine of the service.",
)
app.command(
    "perene.cli.alerts:app",
    name="alert",
    help="Try the receivers of alerts of a running service.",
)


@app.command
def serve() -> int:
    """Run the service until SIGTERM, SIGHUP or Ctrl-C.

    Everything is set by PERENE_… variables; docs/reference/settings.md lists them. The exit status
    is 1 when it ended by a bug, 2 when something keeps it from starting, 3 when another service
    took its database.
    """
    from perene.process.signals import ending_at_once

    with ending_at_once(interrupted=INTERRUPTED):
        return _serve()


def _serve() -> int:
    import asyncio

    from perene.process import collector

    collector.put_off()

    from perene.core.errors import DatabaseTaken, RefusedToStart, ServiceFailed
    from perene.settings import read_settings

    try:
        settings = read_settings()
        from perene.app import serve as run
        from perene.process.event_loop import EventLoop

        with asyncio.Runner(loop_factory=EventLoop) as runner:
            runner.run(run(settings))
    except RefusedToStart as refusal:
        _last_words(f"{sentence(refusal)}\n{refusal.remedy}\n")
        return REFUSED
    except DatabaseTaken as taken:
        _last_words(f"{sentence(taken)}\n{taken.remedy}\n")
        return TAKEN_OVER
    except ServiceFailed as failure:
        _last_words(f"{sentence(failure)}\n{failure.remedy}\n")
        return FAILED
    except Exception as error:  # noqa: BLE001  # nobody is left who could classify it
        import traceback

        from perene.process.logs import mask

        _last_words(mask("".join(traceback.format_exception(error))))
        return FAILED
    return 0


def _last_words(text: str) -> None:
    """Say why a service ends, but end: nobody restarts one that waits for its reader."""
    from perene.process.log_writer import write_within

    with contextlib.suppress(OSError):
        write_within(sys.stderr, text)


@app.command
def rotate_master_key() -> int:
    """Put a new master key in place of the present one; stop the service first.

    Every session's data key is wrapped anew in one transaction. Backups made before need the old
    key file: keep it with them.
    """
    from perene.core.errors import RefusedToStart
    from perene.key_rotation import rotate
    from perene.settings import read_settings

    try:
        count = rotate(read_settings())
    except RefusedToStart as refusal:
        print(f"{sentence(refusal)}\n{refusal.remedy}", file=sys.stderr)
        return REFUSED
    print(f"{count} {'session is' if count == 1 else 'sessions are'} under a new master key.")
    return 0


@app.command
def policy(*, raw: AsJson = False) -> int:
    """Show what follows from each cause that can end a connection, and what settings changed.

    Below stand the numbers by which an open connection is taken for deaf.

    Parameters
    ----------
    raw
        Print it as JSON.
    """
    from perene.cli.policies import policies_json, policies_table
    from perene.core.errors import RefusedToStart
    from perene.core.hearing import hearing_with
    from perene.core.policy_overrides import policies_with
    from perene.settings import read_settings

    try:
        settings = read_settings()
    except RefusedToStart as refusal:
        print(f"{sentence(refusal)}\n{refusal.remedy}", file=sys.stderr)
        return REFUSED
    policies = policies_with(settings.policy_overrides)
    hearing = hearing_with(settings.hearing_overrides)
    print(policies_json(policies, hearing) if raw else policies_table(policies, hearing))
    return 0


@app.command
def doctor(*, offline: Annotated[bool, Parameter(negative=())] = False, raw: AsJson = False) -> int:
    """Look at what the service needs, and say what to do about what is wrong; changes nothing.

    The exit status is 1 if a check has failed.

    Parameters
    ----------
    offline
        Leave out the checks that ask the chat server and fetch the live client version.
    raw
        Print the findings as JSON.
    """
    from perene.cli.examination import run

    return run(offline=offline, raw=raw)


@app.command(help_flags=[])
def demo(*arguments: _Rest) -> int:
    """Show Perene at work against its own simulator, on this machine only.

    --exit ends it after the last step, with status 0 only if nothing was lost or doubled.
    """
    from perene.demo import main as run

    return run(arguments)


@app.command
def sim(
    *,
    host: str = "127.0.0.1",
    port: _Port = 8081,
    tls: bool = False,
    root_key_file: Path | None = None,
    seed: int | None = None,
    auto_contacts: bool = False,
) -> int:
    """Run the simulator, a WhatsApp server for tests, until Ctrl-C.

    Parameters
    ----------
    host
        Address to listen on.
    port
        Port to listen on; 0 takes a free one.
    tls
        Serve wss:// with a self-signed certificate.
    root_key_file
        File of the root key, made if it does not exist, so that clients can go on trusting it.
    seed
        Another one gives people other LIDs; the same one the same in every run, as none does.
    auto_contacts
        Make a contact of every number that somebody writes to.
    """
    import asyncio

    from perene.sim import main as run

    running = run(
        host,
        port,
        tls=tls,
        root_key_file=root_key_file,
        seed=seed,
        auto_contacts=auto_contacts,
    )
    try:
        asyncio.run(running)
    except (OSError, ValueError) as error:
        print(f"The simulator cannot start: {error}.", file=sys.stderr)
        return REFUSED
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


@app.command
def version() -> None:
    """Print the version."""
    print(__version__)


_UNWRITABLE = frozenset({errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG})


def main() -> None:
    """Run the command line and exit with the command's status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # not every terminal can show every sign
    try:
        result = app(sys.argv[1:], result_action="return_value")
        if sys.stdout is not None:  # Python has none when it was closed before the start
            sys.stdout.flush()
    except OSError as error:
        if error.errno not in _UNWRITABLE or error.filename is not None:
            raise
        sys.exit(_unwritten(error))
    sys.exit(result if isinstance(result, int) else 0)


def _unwritten(error: OSError) -> int:
    """Say that the output could not be written, unless its reader has gone; return the status."""
    with contextlib.suppress(OSError, ValueError):
        # Python tries to write the rest at its end, and would complain again.
        output = sys.stdout.fileno()
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    if error.errno == errno.EPIPE:
        return UNREAD
    with contextlib.suppress(OSError):
        print(f"The output cannot be written ({error.strerror}).", file=sys.stderr)
    return REFUSED
