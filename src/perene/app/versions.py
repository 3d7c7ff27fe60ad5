"""The client version that is presented, and where a newer one is looked for."""

from perene.core.clock import Clock
from perene.engine.client_version import fetch_version
from perene.settings import Settings
from perene.store.store import Store
from perene.supervisor.fleet.versions import ClientVersions
from perene.supervisor.ports import ComponentHealth

CLIENT_VERSION = (2, 3000, 1045649367)
"""The WhatsApp Web version to present unless set (whatsmeow store/clientpayload.go, 2026-08-21)."""


def client_versions(settings: Settings, store: Store, clock: Clock) -> ClientVersions:
    """Return the client version for all sessions, as the settings want it."""
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


def version_health(versions: ClientVersions) -> ComponentHealth:
    """Tell which version is presented."""
    text = ".".join(map(str, versions.current()))
    return ComponentHealth(name="client_version", ok=True, detail=f"Presents {text}.")
