"""The service: the only module that knows all parts, and wires them."""

import asyncio
import gc
import random
import shutil
import signal
import sys
from datetime import timedelta

import structlog

from perene import __version__
from perene.api import HttpServer, Ports, Streams, announce_first_key, create_app
from perene.core.account import ReachOutPolicy
from perene.core.clock import Clock, SystemClock
from perene.core.ids import Epoch, SessionId
from perene.core.notices import Observer
from perene.core.policy import policies_with
from perene.core.sessions import SessionOptions
from perene.core.unit import Committed, Unit
from perene.data_directory import held_data_directory
from perene.delivery.alerts import notifiers_for
from perene.engine.client_payload import ClientIdentity
from perene.engine.client_version import fetch_version
from perene.engine.config import EngineConfig
from perene.engine.connection import Connection
from perene.engine.content import readable_fields, text_message
from perene.engine.listening import HearingMemory
from perene.engine.ports import SessionStore
from perene.engine.transport import Endpoint
from perene.key_rotation import RotationInterrupted, next_key_file
from perene.logs import setup_logs
from perene.settings import Settings, unknown_variables
from perene.settings.alert_rules import read_alert_rules
from perene.store.errors import WrongMasterKey
from perene.store.session_store import SessionReader
from perene.store.store import Store
from perene.supervisor.account import AccountDesk
from perene.supervisor.alerting import Alerting
from perene.supervisor.committer import Committer, Lane, SavePolicy
from perene.supervisor.feed import EventFeed
from perene.supervisor.gateway import SessionDesk
from perene.supervisor.health import Keyholder, Vitals
from perene.supervisor.host_watch import HostWatch
from perene.supervisor.message_desk import MessageDesk
from perene.supervisor.metrics import Metrics
from perene.supervisor.ports import ComponentHealth
from perene.supervisor.session_task import MakeEngine
from perene.supervisor.signals import SignalSource
from perene.supervisor.start_gate import StartGate
from perene.supervisor.supervisor import Supervisor
from perene.supervisor.versions import ClientVersions
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
    metrics = Metrics()
    host = HostWatch(clock, disk_free=lambda: shutil.disk_usage(settings.data_dir).free)
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
        measure=metrics.committed,
    )
    versions = _client_versions(settings, store, clock)
    await versions.load()
    supervisor = Supervisor(
        store=store,
        open_store=lambda session, epoch, lane: OwnedStore(store, session, epoch, lane),
        committer=committer,
        connect=_connect(settings, versions),
        clock=clock,
        ring=feed.ring,
        rng=random.Random(),  # noqa: S311  # jitter of delays, nothing secret
        metrics=metrics,
        versions=versions,
        gate=StartGate(clock, at_once=settings.start_at_once, per_second=settings.start_per_second),
        policies=policies_with(settings.policy_overrides),
    )
    vitals = Vitals(
        supervisor,
        committer,
        parts=[host.event_loop, host.disk, _master_key_loaded, lambda: _client_version(versions)],
    )
    metrics.watch_sessions(vitals.count)
    alerting = Alerting(
        store=store,
        notifiers=notifiers_for(
            settings.alert_urls.get_secret_value() if settings.alert_urls else ""
        ),
        rules=read_alert_rules(settings.alert_rules_file),
        signals=SignalSource(
            supervisor,
            committer,
            clock,
            disk_free=lambda: host.free_bytes,
            key_missing=lambda: (
                settings.master_key is None and not settings.master_key_path.exists()
            ),
        ),
        clock=clock,
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
            health=vitals,
            metrics=metrics,
            alerts=alerting,
            streams=streams,
        ),
        max_body_bytes=settings.max_body_bytes,
        metrics_public=settings.metrics_without_key,
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
    watching = asyncio.create_task(host.run(), name="host watch")
    alarming = asyncio.create_task(alerting.run(), name="alerts")
    try:
        await _announce(settings, store, port)
        _spare_the_collector()
        await _live(settings, server, supervisor, committer)
    finally:
        watching.cancel()
        alarming.cancel()
        await server.stop()
    log.info("stopped")


def _client_versions(settings: Settings, store: Store, clock: Clock) -> ClientVersions:
    proxy = settings.proxy.get_secret_value() if settings.proxy else None
    return ClientVersions(
        store=store,
        default=CLIENT_VERSION,
        override=settings.client_version_numbers,
        clock=clock,
        endpoint=settings.endpoint,
        fetch=lambda: fetch_version(
            settings.version_address,
            proxy=proxy,
            ca_file=str(settings.tls_ca_file) if settings.tls_ca_file else None,
            tls_verify=settings.tls_verify,
        ),
    )


def _client_version(versions: ClientVersions) -> ComponentHealth:
    text = ".".join(map(str, versions.current()))
    return ComponentHealth(name="client_version", ok=True, detail=f"Presents {text}.")


def _master_key_loaded() -> ComponentHealth:
    # Without it the store would not have opened; whether its file is still there is an alert.
    return ComponentHealth(name="master_key", ok=True, detail="Loaded.")


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


def _connect(settings: Settings, versions: ClientVersions) -> MakeEngine:
    proxy = settings.proxy.get_secret_value() if settings.proxy else None
    ca_file = str(settings.tls_ca_file) if settings.tls_ca_file else None

    # What each session has learned of its own traffic, for as long as the service runs.
    hearing: dict[SessionId, HearingMemory] = {}

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
            client=ClientIdentity(version=versions.current(), full_history=history),
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
        return Connection(
            store=store,
            config=config,
            clock=SystemClock(),
            observer=observer,
            hearing=hearing.setdefault(store.session, HearingMemory()),
        )

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
