"""The addresses that `PERENE_ALERT_URLS` holds: parted, loaded by apprise, and shown half hidden.

Such an address holds passwords and tokens: it is never logged, shown whole, or put into an error.
"""

import logging
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, cast

from perene.core.errors import RefusedToStart

_BETWEEN = re.compile(r"\s+|,\s*(?=[A-Za-z][A-Za-z0-9+.-]*://)")
"""White space, or a comma before a scheme: a comma within an address parts its targets."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")

ANSWER_WITHIN_S = 12.0
"""How long the server of a receiver may take for its answer; apprise would give it 4 s, and a
message that is given up though it was taken is sent again."""

_LIMIT = re.compile(r"[?&]rto=", re.IGNORECASE)
"""How an address says how long its server may take."""

_TO_A_HOST = re.compile(r"\{schema\}://(.*@)?\{host\}")
"""What apprise says of a service whose addresses name a host behind the scheme, and no token."""


class WrongAlertUrl(RefusedToStart):
    """An address that alerts shall be sent to cannot be used."""

    code = "wrong_alert_url"
    remedy = "Mend the address at that place of PERENE_ALERT_URLS; apprise's pages list all forms."


class Service(Protocol):
    """What is used of apprise: one address, loaded."""

    def notify(
        self, *, body: str, title: str, notify_type: str, body_format: str, log_level: int
    ) -> object:
        """Send a message. What is returned is true when it was taken, and may say why not."""
        ...


class _Plugin(Protocol):
    """What apprise says of a kind of service, and of one address of that kind."""

    enabled: bool
    service_name: object
    templates: Sequence[str]
    requirements: Mapping[str, object]
    host: str | None
    port: int | None
    socket_read_timeout: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One receiver. `shown` is its kind, with its host unless that may be a token."""

    place: int
    shown: str
    service: Service

    @property
    def name(self) -> str:
        """What it is called in logs and in an alert's history."""
        return f"address {self.place}"


def addresses(urls: str) -> list[Address]:
    """Return what a text holds; white space or commas part it.

    Raises WrongAlertUrl, which tells the place of each wrong one, counted from 1, and why.
    """
    found = [url for part in _BETWEEN.split(urls) if (url := part.strip(","))]
    if not found:
        return []
    _keep_to_themselves("apprise", "urllib3")
    loaded: list[Address] = []
    wrong: list[str] = []
    with warnings.catch_warnings():
        # apprise loads modules that Python will drop; that is nothing to our user.
        warnings.simplefilter("ignore", DeprecationWarning)
        for place, url in enumerate(found, start=1):
            try:
                loaded.append(_loaded(place, url))
            except ValueError as error:
                wrong.append(f"Address {place} in PERENE_ALERT_URLS cannot be used: {error}.")
    if wrong:
        raise WrongAlertUrl(" ".join(wrong))
    return loaded


def _keep_to_themselves(*libraries: str) -> None:
    """Let nobody hear libraries that name addresses in their lines, the token in a path with it.

    What became of a message is read from the lines of that message, which apprise hands over.
    """
    for library in libraries:
        logger = logging.getLogger(library)
        logger.propagate = False
        if not logger.handlers:  # else Python itself would write them to standard error
            logger.addHandler(logging.NullHandler())
    logging.getLogger("apprise").setLevel(logging.DEBUG)


def _loaded(place: int, url: str) -> Address:
    # Only who uses it waits for it to be loaded.
    from apprise import Apprise, AppriseAsset

    # Our own thread sends, and we part from it in time. With a limit of its own, apprise sends from
    # threads that all receivers share, and that keep the process from its end.
    asset = AppriseAsset(app_id="Perene", app_desc="Perene", app_url="", service_timeout=0)
    apprise = Apprise(asset=asset)
    # apprise is typed in part
    if not apprise.add(url):  # pyright: ignore[reportUnknownMemberType]
        raise ValueError(_why_not(url))
    (plugin,) = cast("list[_Plugin]", apprise.services)
    if not _LIMIT.search(url):
        plugin.socket_read_timeout = ANSWER_WITHIN_S
    return Address(place=place, shown=_shown(url, plugin), service=apprise)


def _why_not(url: str) -> str:
    """Return what is wrong with an address; of the address itself a known scheme at most."""
    from apprise.plugins import N_MGR

    scheme = _scheme(url)
    if not scheme:
        return "it does not begin with a scheme, as json:// or mailtos://"
    kinds = cast("Mapping[str, _Plugin]", N_MGR)
    if scheme not in kinds:
        return "apprise knows no service of its scheme, the part before ://"
    kind = kinds[scheme]
    if not kind.enabled:
        packages = kind.requirements.get("packages_required")
        needed = [packages] if isinstance(packages, str) else cast("Iterable[str]", packages or ())
        lacking = " and ".join(needed)
        return f"{scheme}:// cannot be used on this machine" + (lacking and f" without {lacking}")
    return f"something behind {scheme}:// is wrong, or missing"


def _scheme(url: str) -> str:
    found = _SCHEME.match(url)
    return found[1].lower() if found else ""


def _shown(url: str, plugin: _Plugin) -> str:
    """Return the kind of an address; a host that tells it from others if it is no token.

    apprise's own hidden form shows paths, which of a webhook are its secret.
    """
    shown = f"{plugin.service_name} {_scheme(url)}://"
    if plugin.host and all(map(_TO_A_HOST.match, plugin.templates)):
        port = f":{plugin.port}" if plugin.port else ""
        shown += f"{plugin.host}{port}/"
    return f"{shown}…"
