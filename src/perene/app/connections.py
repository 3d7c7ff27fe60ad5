"""The engine's connections, made as the settings want them."""

from perene.app.hearing import Hearings
from perene.core.clock import Clock
from perene.core.notices import Observer
from perene.core.sessions import SessionOptions
from perene.engine.client_payload import ClientIdentity
from perene.engine.config import EngineConfig
from perene.engine.connection import Connection
from perene.engine.endpoint import Endpoint
from perene.engine.ports import SessionStore
from perene.engine.probe import is_reached
from perene.settings import Settings
from perene.supervisor.fleet.versions import ClientVersions
from perene.wire.certificates import WHATSAPP_ROOT_KEY

_REACH_S = 5.0
"""WhatsApp's servers answer within a second, if the network is there."""


class Connections:
    """Makes a connection each time it is called: a `MakeEngine` of the supervisor."""

    def __init__(
        self, settings: Settings, versions: ClientVersions, hearings: Hearings, clock: Clock
    ) -> None:
        self._settings = settings
        self._versions = versions
        self._clock = clock
        self._hearings = hearings

    def __call__(
        self, store: SessionStore, options: SessionOptions, observer: Observer
    ) -> Connection:
        return Connection(
            store=store,
            config=self.config(options),
            clock=self._clock,
            observer=observer,
            hearing=self._hearings.of(store.session),
        )

    async def reach(self) -> bool:
        """Tell whether WhatsApp's server takes connections on the service's own way."""
        return await is_reached(self._endpoint(SessionOptions()), timeout_s=_REACH_S)

    def config(self, options: SessionOptions) -> EngineConfig:
        """Return how a session with these options connects; its own go before the settings."""
        settings = self._settings
        history = settings.history_sync if options.history_sync is None else options.history_sync
        online = settings.mark_online if options.mark_online is None else options.mark_online
        return EngineConfig(
            endpoint=self._endpoint(options),
            root_key=settings.noise_root_key_bytes or WHATSAPP_ROOT_KEY,
            client=ClientIdentity(version=self._versions.current(), full_history=history),
            query_timeout_s=options.query_timeout_s or settings.query_timeout_s,
            keepalive_s=settings.keepalive_s,
            heartbeat_s=settings.heartbeat_s,
            qr_timeout_s=settings.qr_timeout_s,
            retry_delay_s=settings.retry_delay_ms / 1000,
            max_retries=settings.max_message_retries,
            sent_cache=settings.cached_sent_messages,
            mark_online=online,
            limit_hold_s=settings.limit_hold_s,
        )

    def _endpoint(self, options: SessionOptions) -> Endpoint:
        settings = self._settings
        return Endpoint(
            url=settings.endpoint,
            proxy=options.proxy or (settings.proxy.get_secret_value() if settings.proxy else None),
            ca_file=str(settings.tls_ca_file) if settings.tls_ca_file else None,
            tls_verify=settings.tls_verify,
            connect_timeout_s=settings.connect_timeout_s,
        )
