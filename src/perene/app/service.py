"""The life of the service: open, wire, run until asked to stop, drain."""

import asyncio
import contextlib
import io
import signal
import sys

import structlog

from perene import __version__
from perene.api import HttpServer, announce_first_key
from perene.app.history import History
from perene.app.sessions import Sessions, wire_sessions
from perene.app.watch import Watch, wire_watch
from perene.app.web import wire_server
from perene.core.clock import Clock, SystemClock
from perene.core.errors import ServiceFailed, StorageUnavailable
from perene.key_rotation import RotationInterrupted, next_key_file
from perene.process import collector
from perene.process.data_directory import held_data_directory
from perene.process.log_writer import LineWriter, errors_aside, write_within
from perene.process.logs import setup_logs
from perene.process.open_files import raise_limit
from perene.process.threads import Threads
from perene.settings import Settings, unknown_variables
from perene.store.database import LIMIT_S
from perene.store.errors import WrongMasterKey
from perene.store.instance_lock import InstanceLock, held_database
from perene.store.store import Store
from perene.supervisor.metrics import Metrics
from perene.supervisor.watches.hold import HoldWatch

log = structlog.stdlib.get_logger()

_KEY_REMEDY = "`perene key create NAME` makes an API key."

_REQUESTS = 10_000
"""Connections that the API takes besides event streams: some 200 MB at worst."""

_LAST_LOOK_S = 30.0
"""How long a service that ends by itself tries to tell of it."""


async def serve(settings: Settings) -> None:
    """Run the service until SIGTERM or SIGINT, then drain.

    Draining takes no more stanzas, commits and answers those that were taken, and closes every
    connection in order. Raises RefusedToStart before anything was changed; after it drained
    DatabaseTaken because another service has the database, and ServiceFailed because a part of it
    ended by a bug, the HTTP server included: nobody could ask a service that lives on without it.
    """
    with errors_aside() as errors:
        setup_logs(settings.log_level, settings.log_format)
        for sentence in unknown_variables():
            log.warning("unknown_setting", detail=sentence)
        # Before the database is opened: opening may migrate it, under the feet of its service.
        with held_data_directory(settings.data_dir), held_database(settings.database) as lock:
            store = await asyncio.to_thread(_open_store, settings, lock)
            try:
                await _run(settings, store, lock, errors)
            finally:
                await store.close()


async def _run(settings: Settings, store: Store, lock: InstanceLock, errors: LineWriter) -> None:
    clock, metrics = SystemClock(), Metrics()
    sessions = await wire_sessions(settings, store, clock, metrics)
    hold = _hold_watch(lock, clock)
    watch = wire_watch(settings, store, clock, metrics, sessions, hold, lambda: errors.lost)
    server = wire_server(
        settings,
        store,
        clock,
        metrics,
        sessions,
        watch,
        most_connections=_most_connections(settings),
    )
    # First, so that a port that is taken refuses the start before any session connects.
    port = await server.start()
    history = History(store, settings.data_dir / "events.noted", clock, Threads(1, "perene-note"))
    watching = asyncio.create_task(watch.run(), name="watch")
    noting: asyncio.Task[None] | None = None
    try:
        await history.check()
        noting = asyncio.create_task(history.run(), name="history")
        await _announce(settings, store, port)
        collector.spare()
        await _live(settings, server, sessions, hold, watch)
        if hold.taken is not None:
            await _tell(watch)
            raise hold.taken
    finally:
        looking = [task for task in (watching, noting) if task is not None]
        for task in looking:
            task.cancel()
        await server.stop()
        if hold.taken is None:
            await asyncio.wait(looking)
            await watch.alerting.save()
            await sessions.hearings.save()
            if noting is not None:
                await history.save()
    log.info("stopped")


def _most_connections(settings: Settings) -> int:
    """Return how many connections the API takes: half of what may be open is for sessions."""
    # A million may be open in many a container; each costs memory, and asks for no key.
    most = settings.max_event_streams + _REQUESTS
    limit = raise_limit()
    return most if limit is None else min(most, limit // 2)


def _hold_watch(lock: InstanceLock, clock: Clock) -> HoldWatch:
    # Not the loop's own threads: names that nobody resolves keep all of them, and others waiting.
    threads, loop = Threads(1, "perene-hold"), asyncio.get_running_loop()
    return HoldWatch(lambda: loop.run_in_executor(threads, lock.keep), clock)


async def _live(
    settings: Settings, server: HttpServer, sessions: Sessions, hold: HoldWatch, watch: Watch
) -> None:
    """Run until a signal, until the database is taken, or until a part fails; then drain.

    Raises ServiceFailed, having logged what failed.
    """
    stopping = asyncio.create_task(_signalled(), name="signals")
    committing = asyncio.create_task(sessions.committer.run(), name="committer")
    supervising = asyncio.create_task(sessions.supervisor.run(), name="supervisor")
    holding = asyncio.create_task(hold.run(), name="hold")
    serving = asyncio.create_task(server.ended(), name="http server")
    tasks = (stopping, committing, supervising, holding, serving)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        log.info("stopping")
        await server.stop()
        watch.alerting.leave_sessions()
        sessions.supervisor.close()
        async with asyncio.timeout(settings.shutdown_timeout_s):
            await asyncio.wait((supervising,))
            if not committing.done():
                await sessions.committer.drained()
    except TimeoutError:
        # What is not answered is delivered again, and recognised; leaving late helps nobody.
        log.warning("not_drained_in_time", limit_s=settings.shutdown_timeout_s)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        failures = {
            task.get_name(): result
            for task, result in zip(tasks, results, strict=True)
            if isinstance(result, Exception)
        }
    for part, failure in failures.items():
        log.critical("service_failed", part=part, exc_info=failure)
    if failures:
        raise ServiceFailed(
            f"The service ended, because a part of it failed: {', '.join(failures)}."
        )


async def _tell(watch: Watch) -> None:
    """Let the alerts be looked at once more, for what ends this service is one."""
    try:
        async with asyncio.timeout(_LAST_LOOK_S):
            await watch.alerting.look()
    except TimeoutError:
        log.warning("end_not_told", limit_s=_LAST_LOOK_S)


async def _announce(settings: Settings, store: Store, port: int) -> None:
    try:
        if not await store.list_api_keys():
            _, text = await store.create_api_key("first")
            announce_first_key(text, shown := io.StringIO())
            await asyncio.to_thread(write_within, sys.stdout, shown.getvalue())
    except StorageUnavailable as error:
        # Sessions come first; a service that is not new has its key.
        log.warning("first_key_not_made", reason=str(error), remedy=_KEY_REMEDY)
    except OSError as error:
        log.warning("first_key_not_shown", reason=error.strerror, remedy=_KEY_REMEDY)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    url = f"http://{host}:{port}"
    log.info("serving", url=url, version=__version__, endpoint=settings.endpoint)
    with contextlib.suppress(OSError):  # nobody reads it, or the disk is full
        told = f"Perene {__version__} serves at {url} (API: {url}/docs)\n"
        await asyncio.to_thread(write_within, sys.stdout, told)


def _open_store(settings: Settings, lock: InstanceLock) -> Store:
    key = settings.master_key.get_secret_value() if settings.master_key else None
    try:
        return Store.open(
            settings.database,
            clock=SystemClock(),
            key_file=settings.master_key_path,
            master_key=key,
            guard=lock.guard,
            limit_s=max(LIMIT_S, settings.save_timeout_s),
        )
    except WrongMasterKey as error:
        if next_key_file(settings).exists():
            raise RotationInterrupted("A rotation of the master key was interrupted.") from error
        raise


async def _signalled() -> None:
    """Return at the first SIGTERM or SIGINT."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await stopping.wait()
