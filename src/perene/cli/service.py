"""The running service, as the commands ask it: over HTTP, with every refusal in sentences."""

import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias, cast
from urllib.parse import urlsplit

import httpx2
from cyclopts import Parameter

from perene.cli.exits import REFUSED, REFUSED_BY_SERVICE
from perene.core.errors import sentence

JsonObject: TypeAlias = Mapping[str, object]

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # only told apart, not bound
"""Where a service that listens at every address of this machine is asked."""

# The service answers within 10 s while the database is away; WhatsApp may take longer for a code.
_PATIENCE_S = 40.0


class CannotAsk(Exception):
    """The service could not be asked, or refused: sentences for a person, and the exit status.

    `code` is the service's own name for the problem, "" when it is not the service's.
    """

    def __init__(self, *sentences: str, status: int, code: str = "") -> None:
        super().__init__("\n".join(sentences))
        self.status = status
        self.code = code


class TookTooLong(CannotAsk):
    """The service took the question, and has not answered in time."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Where the service is, and the key that it wants."""

    url: Annotated[str | None, Parameter(env_var="PERENE_URL", show_env_var=True)] = None
    """Address of the running service; else where PERENE_HOST and PERENE_PORT have it listen."""
    api_key_file: Path | None = None
    """File that holds the API key; without it, PERENE_API_KEY does."""


LOCAL = Reach()
"""What a command takes when it is told nothing."""


class Service:
    """A running service. Every method raises CannotAsk."""

    def __init__(
        self, url: str, key: str, *, transport: httpx2.BaseTransport | None = None
    ) -> None:
        self._url = url
        self._client = httpx2.Client(
            base_url=url,
            headers={"X-Api-Key": key},
            # A proxy that the environment names for the world outside cannot reach this machine.
            trust_env=urlsplit(url).hostname not in _LOOPBACK,
            transport=transport,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(self, path: str, **params: str) -> JsonObject:
        """Return the JSON object at a path."""
        return _object(self._ask("GET", path, params=params))

    def get_text(self, path: str, **params: str) -> str:
        """Return the text at a path."""
        return self._ask("GET", path, params=params).text

    def post(
        self, path: str, body: JsonObject | None = None, *, patience_s: float = _PATIENCE_S
    ) -> JsonObject:
        """Post to a path and return the JSON object of the answer."""
        return _object(self._ask("POST", path, body=body, patience_s=patience_s))

    def _ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: JsonObject | None = None,
        patience_s: float = _PATIENCE_S,
    ) -> httpx2.Response:
        try:
            answer = self._client.request(
                method, path, params=params, json=body, timeout=patience_s
            )
        except httpx2.ReadTimeout as error:
            raise TookTooLong(
                f"The service at {self._url} did not answer in time.",
                "See its log; `perene doctor` looks at what it needs.",
                status=REFUSED,
            ) from error
        except httpx2.RequestError as error:
            raise CannotAsk(
                f"No service answers at {self._url} ({_reason(error)}).",
                "Start it with `perene serve`, or name another address with --url or PERENE_URL.",
                status=REFUSED,
            ) from error
        if not answer.is_success:
            raise _refusal(answer)
        return answer


def open_service(reach: Reach) -> Service:
    """Return the service to ask; raises CannotAsk when there is no usable key or address."""
    url = reach.url or _url_here(os.environ)
    if not _is_address(url):
        raise CannotAsk(
            f'"{url}" is not the address of a service.',
            "Give one like http://127.0.0.1:8080 with --url or PERENE_URL; without them,"
            " PERENE_HOST and PERENE_PORT tell it.",
            status=REFUSED,
        )
    return Service(url, _key(reach.api_key_file))


def _is_address(url: str) -> bool:
    try:
        parts = httpx2.URL(url)
    except httpx2.InvalidURL:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.host)


def _url_here(environ: Mapping[str, str]) -> str:
    """Return where a service with the settings of this environment listens, seen from here."""
    host = environ.get("PERENE_HOST") or "127.0.0.1"
    host = _EVERYWHERE.get(host, host)
    port = environ.get("PERENE_PORT") or "8080"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _reason(error: httpx2.RequestError) -> str:
    """Return why nobody could be asked, as the system says it; it holds no key."""
    return re.sub(r"^\[[^]]*\] | \(_ssl\.c:\d+\)$", "", str(error)) or type(error).__name__


def asking(reach: Reach, ask: Callable[[Service], int | None]) -> int:
    """Ask the service; return the exit status, having printed what went wrong."""
    try:
        service = open_service(reach)
        try:
            return ask(service) or 0
        finally:
            service.close()
    except CannotAsk as refusal:
        print(refusal, file=sys.stderr)
        return refusal.status


def _key(file: Path | None) -> str:
    if file is None:
        key = os.environ.get("PERENE_API_KEY", "").strip()
        source = "PERENE_API_KEY"
    else:
        source = str(file)
        try:
            key = file.read_text("ascii").strip()
        except OSError as error:
            raise CannotAsk(
                f"The file {file} of the API key cannot be read ({error.strerror}).",
                "Give the path of a file that you can read with --api-key-file.",
                status=REFUSED,
            ) from error
        except UnicodeDecodeError:
            key = "\0"
    if not key:
        raise CannotAsk(
            "No API key was given.",
            "Set PERENE_API_KEY to the one that `perene serve` showed at its first start, or name a"
            " file that holds it with --api-key-file. If it is lost, `perene key create` makes"
            " another.",
            status=REFUSED,
        )
    if not key.isascii() or not key.isprintable() or " " in key:
        # Quoting it would put a key, or half of one, on the screen.
        raise CannotAsk(
            f"{source} does not hold an API key.",
            "A key is one word of letters and digits that begins with pk_.",
            status=REFUSED,
        )
    return key


def _object(answer: httpx2.Response) -> JsonObject:
    try:
        found: object = answer.json()
    except (json.JSONDecodeError, UnicodeDecodeError):
        found = None
    if not isinstance(found, dict):
        raise _not_perene(answer)
    return cast("dict[str, object]", found)


def _refusal(answer: httpx2.Response) -> CannotAsk:
    if not answer.headers.get("content-type", "").startswith("application/problem+json"):
        return _not_perene(answer)
    told = _object(answer)
    code = str(told.get("code", ""))
    if answer.status_code == 401:
        return CannotAsk(
            "The service does not know this API key.",
            "Give another with PERENE_API_KEY or --api-key-file; `perene key list` shows which keys"
            " there are, and `perene key create` makes one.",
            status=REFUSED_BY_SERVICE,
            code=code,
        )
    if code == "not_found":
        told_so = sentence(told.get("detail", ""))
        remedy = "`perene session list` shows the sessions that exist."
        return CannotAsk(told_so, remedy, status=REFUSED_BY_SERVICE, code=code)
    if code == "no_such_route":
        told_so = f"There is nothing of this at {answer.url.copy_with(query=None)}."
        remedy = "Give --url or PERENE_URL without a path, or update the older of the two."
        return CannotAsk(told_so, remedy, status=REFUSED_BY_SERVICE, code=code)
    if code == "storage_unavailable":
        # What the service advises is for programs that send messages.
        remedy = "Repeat the command in a few seconds; `perene doctor` looks at the database."
        told_so = sentence(told.get("detail", ""))
        return CannotAsk(told_so, remedy, status=REFUSED_BY_SERVICE, code=code)
    title, detail, remedy = (str(told.get(part, "")) for part in ("title", "detail", "remedy"))
    wrong = cast("list[JsonObject]", told.get("errors") or [])
    if wrong:
        sentences = [
            f"The service refuses the {part.get('field')}: {part.get('message')}." for part in wrong
        ]
        return CannotAsk(*sentences, status=REFUSED_BY_SERVICE, code=code)
    sentences = [f"{title.rstrip('.')}: {detail}" if title.rstrip(".") not in detail else detail]
    if "reference" in told:
        sentences.append(f"Its log has more under {told['reference']}.")
    return CannotAsk(*sentences, remedy, status=REFUSED_BY_SERVICE, code=code)


def _not_perene(answer: httpx2.Response) -> CannotAsk:
    return CannotAsk(
        f"What answers at {answer.url.copy_with(path='/', query=None)} is not Perene"
        f" (HTTP {answer.status_code}).",
        "Name the address of the service with --url or PERENE_URL.",
        status=REFUSED,
    )
