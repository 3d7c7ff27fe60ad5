"""What lies outside: the way to the chat server, its clock, and the client version it wants."""

import asyncio
import ssl
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

import httpx2

from perene.app import CLIENT_VERSION
from perene.core.errors import PereneError
from perene.doctor.finding import Finding, Level, fail, ok, refusal, warn
from perene.engine.client_version import ClientVersion, fetch_version
from perene.engine.endpoint import Endpoint
from perene.engine.probe import Trust, probe_endpoint
from perene.engine.tls import tls_context
from perene.settings import Settings
from perene.wire.certificates import WHATSAPP_ROOT_KEY

TIMEOUT_S = 10.0


async def check_endpoint(
    settings: Settings, now: datetime, *, timeout_s: float = TIMEOUT_S
) -> Finding:
    """Go the way to the chat server until it has proved who it is, without logging in."""
    name = "endpoint"
    endpoint = Endpoint(
        url=settings.endpoint,
        proxy=_proxy(settings),
        ca_file=_ca_file(settings),
        tls_verify=settings.tls_verify,
        connect_timeout_s=timeout_s,
    )
    trust = Trust(root_key=settings.noise_root_key_bytes or WHATSAPP_ROOT_KEY, now=now)
    try:
        found = await probe_endpoint(endpoint, timeout_s=timeout_s, trust=trust)
    except (OSError, ssl.SSLError) as error:
        sentence = f"PERENE_TLS_CA_FILE cannot be used ({type(error).__name__})."
        return fail(name, sentence, "Name a PEM file with certificates, or unset it.")
    host = urlsplit(settings.endpoint).hostname
    if not found.ok:
        sentence = f"{host}: {found.problem or 'the way to it is not open.'}"
        return fail(name, sentence, found.remedy or "Check the network.")
    steps = f"connected in {found.connect_ms} ms, name resolved in {found.dns_ms} ms"
    via = " through the proxy" if settings.proxy else ""
    return ok(
        name, f"{host} answers{via}, and proves who it is ({steps}, {found.tls or 'without TLS'})."
    )


async def server_time(settings: Settings, *, timeout_s: float = TIMEOUT_S) -> datetime | None:
    """Return the time that the endpoint's host tells over HTTP, None if it tells none."""
    parts = urlsplit(settings.endpoint)
    scheme = "https" if parts.scheme == "wss" else "http"
    try:
        async with (
            asyncio.timeout(timeout_s),
            httpx2.AsyncClient(
                verify=tls_context(ca_file=_ca_file(settings), verify=settings.tls_verify),
                proxy=_proxy(settings),
                trust_env=False,
            ) as client,
            client.stream("GET", f"{scheme}://{parts.netloc}/") as answer,
        ):
            found = parsedate_to_datetime(answer.headers.get("date", ""))
    except (TimeoutError, httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError):
        return None  # the check of the endpoint tells why
    return found if found.tzinfo else found.replace(tzinfo=UTC)


async def check_version(
    settings: Settings, cached: str | None, *, timeout_s: float = TIMEOUT_S
) -> Finding:
    """Compare the client version that is presented with the live one."""
    name = "version"
    fixed = settings.client_version_numbers
    presented = fixed or max(CLIENT_VERSION, _numbers(cached) or CLIENT_VERSION)
    if fixed:
        source = "set by PERENE_CLIENT_VERSION"
    else:
        source = "this release's own" if presented == CLIENT_VERSION else "found earlier"
    shown = f"Client version {_text(presented)} is presented ({source})"
    try:
        live = await fetch_version(
            settings.version_address,
            proxy=_proxy(settings),
            ca_file=_ca_file(settings),
            tls_verify=settings.tls_verify,
            timeout_s=timeout_s,
        )
    except PereneError as error:
        return refusal(name, error, level=Level.WARN)
    except (OSError, ssl.SSLError) as error:
        sentence = f"The live client version was not fetched ({type(error).__name__})."
        return warn(name, sentence, "See what the check of the endpoint says.")
    if live <= presented:
        return ok(name, f"{shown}; the live one is {_text(live)}.")
    if fixed:
        remedy = "Unset PERENE_CLIENT_VERSION: a newer version is then taken when it is needed."
        return warn(name, f"{shown}; the live one is newer, {_text(live)}.", remedy)
    when = "a device is linked, or WhatsApp refuses ours"
    return ok(name, f"{shown}; {_text(live)} is live, and taken when {when}.")


def _proxy(settings: Settings) -> str | None:
    return settings.proxy.get_secret_value() if settings.proxy else None


def _ca_file(settings: Settings) -> str | None:
    return str(settings.tls_ca_file) if settings.tls_ca_file else None


def _numbers(text: str | None) -> ClientVersion | None:
    parts = (text or "").split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
        return None
    first, second, third = (int(part) for part in parts)
    return first, second, third


def _text(version: ClientVersion) -> str:
    return ".".join(map(str, version))
