"""The service: the only module that knows all parts, and wires them."""

import asyncio
import gc
import random
import signal
import sys
from datetime import timedelta

import structlog

from perene import __version__
from perene.api import HttpServer, Ports, Streams, announce_first_key, create_app
from perene.core.account import ReachOutPolicy
from perene.core.clock import SystemClock
from perene.core.ids import Epoch, SessionId
from perene.core.notices import Observer
from perene.core.sessions import SessionOptions
from perene.core.unit import Committed, Unit
from perene.data_directory import held_data_directory
from perene.engine.client_payload import ClientIdentity
from perene.engine.config import EngineConfig
from perene.engine.connection import Connection
from perene.engine.content import readable_fields, text_message
from perene.engine.ports import SessionStore
from perene.engine.transport import Endpoint
from perene.key_rotation import RotationInterrupted, next_key_file
from perene.logs import setup_logs
from perene.settings import Settings, unknown_variables
from perene.store.errors import WrongMasterKey
from perene.store.session_store import SessionReader
from perene.store.store import Store
from perene.supervisor.account import AccountDesk
from perene.supervisor.committer import Committer, Lane, SavePolicy
from perene.supervisor.feed import EventFeed
from perene.supervisor.gateway import SessionDesk
from perene.supervisor.health import Keyholder, Vitals
from perene.supervisor.message_desk import MessageDesk
from perene.supervisor.session_task import Connect
from perene.supervisor.supervisor import Supervisor
from perene.wire.certificates import WHATSAPP_ROOT_KEY

log = structlog.stdlib.get_logger()

CLIENT_VERSION = (2, 3000, 1045649367)
"""The WhatsApp Web version to present unless set (whatsmeow store/clientpayload.go, 2026-08-21)."""


async def serve(settings: Settings) -> None:
    """Run the service until SIGTERM or SIGINT, then drain.

    Draining takes no more stanzas, commits and answers those that were taken, and closes every
    connection in order. Raises RefusedToStart before anything was changed.
    """
    setup_logs(settings.log_level, settings.log_format)
    for sentence in unknown_variables():
        log.warning("unknown_setting", detail=sentence)
    with held_data_directory(settings.data_dir):
        store = await asyncio.to_thread(_open_store, settings)
        try:
            await _run(settings, store)
        finally:
            await store.close()


async def _run(settings: Settings, store: Store) -> None:
    clock = SystemClock()
    feed = EventFeed(store)
    accounts = AccountDesk(store, feed, clock, _reach_out_policy(settings), ring=feed.ring)
    committer = Committer(
        commit=store.commit,
        clock=clock,
        policy=SavePolicy(
            attempts=settings.save_attempts,
            timeout_s=settings.save_timeout_s,
            wait_s=settings.save_wait_s,
            max_units=settings.commit_max_units,
        ),
        on_commit=feed.ring,
    )
    supervisor = Supervisor(
        store=store,
        open_store=lambda session, epoch, lane: OwnedStore(store, session, epoch, lane),
        committer=committer,
        connect=_connect(settings),
        clock=clock,
        ring=feed.ring,
        rng=random.Random(),  # noqa: S311  # jitter of delays, nothing secret
    )
    streams = Streams(limit=settings.max_event_streams)
    app = create_app(
        Ports(
            gateway=SessionDesk(store, supervisor, clock, ring=feed.ring),
            messages=MessageDesk(
                store,
                clock,
                compose=lambda text: text_message(text).SerializeToString(),
                read_fields=readable_fields,
                wake=supervisor.wake_sender,
                admission=accounts.admission,
            ),
            accounts=accounts,
            events=feed,
            keys=Keyholder(store),
            health=Vitals(supervisor, committer),
            streams=streams,
        ),
        max_body_bytes=settings.max_body_bytes,
    )
    server = HttpServer(
        app,
        host=settings.host,
        port=settings.port,
        streams=streams,
        shutdown_timeout_s=settings.shutdown_timeout_s,
    )
    # First, so that a port that is taken refuses the start before any session connects.
    port = await server.start()
    try:
        await _announce(settings, store, port)
        _spare_the_collector()
        await _live(settings, server, supervisor, committer)
    finally:
        await server.stop()
    log.info("stopped")


def _spare_the_collector() -> None:
    """Take everything made so far, modules above all, out of the garbage collector's sight.

    Walking over it again and again costs time under load, and stalls every session meanwhile; and
    what a message makes is freed by its last reference, so that collecting often finds nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


async def _live(
    settings: Settings, server: HttpServer, supervisor: Supervisor, committer: Committer
) -> None:
    """Run until a signal, or until a part fails; then drain, and raise what failed."""
    stopping = asyncio.create_task(_signalled(), name="signals")
    committing = asyncio.create_task(committer.run(), name="committer")
    supervising = asyncio.create_task(supervisor.run(), name="supervisor")
    tasks = (stopping, committing, supervising)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        log.info("stopping")
        await server.stop()
        supervisor.close()
        async with asyncio.timeout(settings.shutdown_timeout_s):
            await supervising
            if not committing.done():
                await committer.drained()
    except TimeoutError:
        # What is not answered is delivered again, and recognised; leaving late helps nobody.
        log.warning("not_drained_in_time", limit_s=settings.shutdown_timeout_s)
    finally:
        for task in tasks:
            task.cancel()
        failures = [
            result
            for result in await asyncio.gather(*tasks, return_exceptions=True)
            if isinstance(result, Exception)
        ]
    if failures:
        raise ExceptionGroup("a part of the service failed", failures)


class OwnedStore(SessionReader):
    """The engine's SessionStore for one connection: the store's reads, and a lane for units."""

    __slots__ = ("_lane",)

    def __init__(self, store: Store, session: SessionId, epoch: Epoch, lane: Lane) -> None:
        super().__init__(store.database, store.keyring, session, epoch)
        self._lane = lane

    def submit(self, unit: Unit) -> "asyncio.Future[Committed]":
        """Hand a unit to the committer; see `perene.engine.ports.SessionStore.submit`."""
        return self._lane.submit(unit)


async def _announce(settings: Settings, store: Store, port: int) -> None:
    if not await store.list_api_keys():
        _, text = await store.create_api_key("first")
        announce_first_key(text)
    url = f"http://{settings.host}:{port}"
    log.info("serving", url=url, version=__version__, endpoint=settings.endpoint)
    sys.stdout.write(f"Perene {__version__} serves at {url} (API: {url}/docs)\n")
    sys.stdout.flush()


def _connect(settings: Settings) -> Connect:
    version = settings.client_version_numbers or CLIENT_VERSION
    proxy = settings.proxy.get_secret_value() if settings.proxy else None
    ca_file = str(settings.tls_ca_file) if settings.tls_ca_file else None

    def connect(store: SessionStore, options: SessionOptions, observer: Observer) -> Connection:
        history = settings.history_sync if options.history_sync is None else options.history_sync
        online = settings.mark_online if options.mark_online is None else options.mark_online
        config = EngineConfig(
            endpoint=Endpoint(
                url=settings.endpoint,
                proxy=options.proxy or proxy,
                ca_file=ca_file,
                tls_verify=settings.tls_verify,
                connect_timeout_s=settings.connect_timeout_s,
            ),
            root_key=settings.noise_root_key_bytes or WHATSAPP_ROOT_KEY,
            client=ClientIdentity(version=version, full_history=history),
            query_timeout_s=settings.query_timeout_s,
            keepalive_s=settings.keepalive_s,
            heartbeat_s=settings.heartbeat_s,
            qr_timeout_s=settings.qr_timeout_s,
            retry_delay_s=settings.retry_delay_ms / 1000,
            max_retries=settings.max_message_retries,
            sent_cache=settings.cached_sent_messages,
            mark_online=online,
            limit_hold_s=settings.limit_hold_s,
        )
        return Connection(store=store, config=config, clock=SystemClock(), observer=observer)

    return connect


def _reach_out_policy(settings: Settings) -> ReachOutPolicy:
    return ReachOutPolicy(
        new_chats_per_day=settings.new_chats_per_day,
        new_chat_pause=timedelta(seconds=settings.new_chat_pause_s),
        hold_after_limit=timedelta(seconds=settings.limit_hold_s),
    )


def _open_store(settings: Settings) -> Store:
    key = settings.master_key.get_secret_value() if settings.master_key else None
    try:
        return Store.open(
            settings.database,
            clock=SystemClock(),
            key_file=settings.master_key_path,
            master_key=key,
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
