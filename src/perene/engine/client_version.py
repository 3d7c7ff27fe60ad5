"""The version of WhatsApp Web that is live: fetched, and read out of the page that names it.

WhatsApp refuses clients that it holds for too old with failure 405 (docs/reference/protocol.md §2).
The page is the web client's service worker, `/sw.js` on the host of the chat server: it holds a
JSON text with a number `client_revision`, and the version is 2.3000.<that number>. So do Baileys
(src/Utils/generics.ts, 2026-05-21) and whatsapp-rust (wacore/src/version.rs, 2026-08-12); whatsmeow
(update.go, 2026-05-25) reads the same number out of the site's first page.
"""

import asyncio
import re
import ssl
from http import HTTPStatus
from urllib.parse import urlsplit

import httpx2

from perene.core.errors import PereneError
from perene.engine.tls import tls_context

ClientVersion = tuple[int, int, int]

MAX_PAGE_BYTES = 4 * 1024 * 1024
"""The real page has some ten kilobytes."""

_REVISION = re.compile(
    r'(?<![A-Za-z0-9_])client_revision\\{0,3}"?\s{0,8}:\s{0,8}\\{0,3}"?([0-9]{1,10})(?![0-9])'
)
"""The key and its number; quotes may be absent, or escaped as in a JSON text within a script."""

_MAJOR, _MINOR = 2, 3000
_MAX_REVISION = 2**32 - 1
"""The field that carries it to the server has 32 bits."""

_MAX_REDIRECTS = 3

_HEADERS = {
    # Without the first two the server answers with an error page (Baileys, src/Utils/generics.ts,
    # 2026-05-21; whatsapp-rust, src/version.rs, 2026-08-12).
    "user-agent": (
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/148.0.0.0 Safari/537.36"
    ),
    "sec-fetch-site": "none",
    "sec-fetch-mode": "navigate",
    "sec-fetch-dest": "document",
    "sec-fetch-user": "?1",
    "accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "accept-language": "en-US,en;q=0.9",
    # What comes uncompressed cannot unfold into more than its limit.
    "accept-encoding": "identity",
}


class VersionNotFound(PereneError):
    """The answer of the version's address names no client version."""

    code = "version_not_found"
    remedy = (
        "Set PERENE_CLIENT_VERSION to a current version, or PERENE_VERSION_URL to a page that"
        " names it; a newer Perene may read the page."
    )


class VersionUnreachable(PereneError):
    """The page that names the current client version could not be fetched."""

    code = "version_unreachable"
    remedy = (
        "Check the way to PERENE_VERSION_URL and the proxy, or set PERENE_CLIENT_VERSION to a"
        " current version."
    )


def parse_version(sw_js: str) -> ClientVersion:
    """Return the version that a service worker's text names, or raise VersionNotFound."""
    if len(sw_js) > MAX_PAGE_BYTES:
        raise VersionNotFound(f"The page is larger than {MAX_PAGE_BYTES} bytes.")
    found = _REVISION.search(sw_js)
    if found is None:
        raise VersionNotFound("The page does not name a client revision.")
    revision = int(found[1])
    if not 0 < revision <= _MAX_REVISION:
        raise VersionNotFound(f"The page names {revision}, which cannot be a client revision.")
    return _MAJOR, _MINOR, revision


async def fetch_version(
    url: str,
    *,
    proxy: str | None = None,
    ca_file: str | None = None,
    tls_verify: bool = True,
    timeout_s: float = 20.0,
) -> ClientVersion:
    """Fetch the page at an http(s) address and return the version that it names.

    `proxy` and `ca_file` as in `Endpoint`; the environment is not asked. A redirect is followed
    within the host only. `timeout_s` bounds the whole. Raises VersionUnreachable when there is no
    page, VersionNotFound when it names no version.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise VersionUnreachable("The version's address is neither http nor https.")
    try:
        trusted = tls_context(ca_file=ca_file, verify=tls_verify)
        async with (
            asyncio.timeout(timeout_s),
            httpx2.AsyncClient(
                verify=trusted,
                proxy=proxy,
                trust_env=False,
                timeout=timeout_s,
                headers=_HEADERS,
                follow_redirects=False,
            ) as client,
        ):
            page = await _page(client, httpx2.URL(url))
    except (TimeoutError, httpx2.TimeoutException) as error:
        raise VersionUnreachable("The version's page did not come in time.") from error
    except (httpx2.HTTPError, httpx2.InvalidURL, ssl.SSLError, OSError, ValueError) as error:
        # Only the kind: the text may hold a proxy's address with its password.
        reason = type(error).__name__
        raise VersionUnreachable(f"The version's page could not be fetched ({reason}).") from error
    return parse_version(page)


async def _page(client: httpx2.AsyncClient, url: httpx2.URL) -> str:
    """Return the text at an address, following redirects within its host."""
    host = url.host
    for _ in range(_MAX_REDIRECTS + 1):
        async with client.stream("GET", url) as response:
            if response.is_redirect:
                target = url.join(response.headers["location"])
                if target.host != host or target.scheme not in (url.scheme, "https"):
                    raise VersionUnreachable("The version's page redirects to another place.")
                url = target
                continue
            if response.status_code != HTTPStatus.OK:
                raise VersionUnreachable(
                    f"The version's address answered with status {response.status_code}."
                )
            return await _text(response)
    raise VersionUnreachable("The version's page redirects without end.")


async def _text(response: httpx2.Response) -> str:
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise VersionNotFound("The page came compressed, which was not asked for.")
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > MAX_PAGE_BYTES:
            raise VersionNotFound(f"The page is larger than {MAX_PAGE_BYTES} bytes.")
    return body.decode("utf-8", errors="replace")
