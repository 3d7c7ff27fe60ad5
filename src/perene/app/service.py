"""The service from its start to its end: open, wire, live, close."""

import asyncio

import structlog

from perene.app.announcing import announce
from perene.app.history import History
from perene.app.life import live_and_drain, tell_of_the_end
from perene.app.sessions import wire_sessions
from perene.app.watch import hold_watch, wire_watch
from perene.app.web import most_connections, wire_server
from perene.core.clock import SystemClock
from perene.delivery.addresses import addresses
from perene.key_rotation import RotationInterrupted, next_key_file
from perene.process import collector
from perene.process.data_directory import held_data_directory
from perene.process.log_writer import LineWriter, errors_aside
from perene.process.logs import setup_logs
from perene.process.open_files import raise_limit
from perene.process.threads import Threads, in_thread
from perene.settings import Settings, unknown_variables
from perene.settings.alert_rules import read_alert_rules
from perene.settings.tls_authorities import count_authorities
from perene.store.database import LIMIT_S
from perene.store.errors import WrongMasterKey
from perene.store.instance_lock import InstanceLock, held_database
from perene.store.store import Store
from perene.supervisor.metrics import Metrics

log = structlog.stdlib.get_logger()


async def serve(settings: Settings) -> None:
    """Run the service until SIGTERM, SIGHUP or SIGINT, then drain.

    Draining takes no more stanzas, commits and answers those that were taken, and closes every
    connection in order. Raises RefusedToStart before anything was changed; after it drained
    DatabaseTaken because another service has the database, and ServiceFailed because a part of it
    ended by a bug, the HTTP server included: nobody could ask a service that lives on without it.
    """
    files = raise_limit()  # before anything is opened, and before modules are loaded one by one
    _look_at_what_is_named(settings)
    with errors_aside() as errors:
        setup_logs(settings.log_level, settings.log_format)
        for sentence in unknown_variables():
            log.warning("unknown_setting", detail=sentence)
        # Before the database is opened: opening may migrate it, under the feet of its service.
        with held_data_directory(settings.data_dir), held_database(settings.database) as lock:
            store = await in_thread(_open_store, settings, lock)
            try:
                await _run(settings, store, lock, errors, files)
            finally:
                await store.close()


def _look_at_what_is_named(settings: Settings) -> None:
    """Raise RefusedToStart for files and addresses that could not be used once all is open."""
    if settings.tls_ca_file is not None:
        count_authorities(settings.tls_ca_file)
    read_alert_rules(settings.alert_rules_file)
    addresses(settings.alert_addresses)


async def _run(
    settings: Settings, store: Store, lock: InstanceLock, errors: LineWriter, files: int | None
) -> None:
    clock, metrics = SystemClock(), Metrics()
    sessions = await wire_sessions(settings, store, clock, metrics)
    hold = hold_watch(lock, clock)
    watch = wire_watch(settings, store, clock, metrics, sessions, hold, lambda: errors.lost)
    server = wire_server(
        settings,
        store,
        clock,
        metrics,
        sessions,
        watch,
        most_connections=most_connections(settings, files),
    )
    history = History(store, settings.data_dir / "events.noted", clock, Threads(1, "perene-note"))
    # Before anybody asks for something that adds an event, and hides by it that some are missing.
    await history.compare()
    # Now, so that a port that is taken refuses the start before any session connects.
    port = await server.start()
    aside = [asyncio.create_task(watch.run(), name="watch")]
    is_checked = False
    try:
        await history.check()
        is_checked = True
        aside.append(asyncio.create_task(history.run(), name="history"))
        # Whoever reads it may have stopped to: sessions come first.
        aside.append(asyncio.create_task(announce(settings, store, port), name="announcing"))
        collector.spare()
        await live_and_drain(settings, server, sessions, hold, watch)
        if hold.taken is not None:
            await tell_of_the_end(watch)
            raise hold.taken
    finally:
        for task in aside:
            task.cancel()
        await server.stop()
        if hold.taken is None:
            await asyncio.wait(aside)
            await watch.alerting.save()
            await sessions.hearings.save()
            if is_checked:
                await history.save()
    log.info("stopped")


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
