"""What became of a message, in our own words: apprise's lines name addresses, and are not shown."""

import re
from collections.abc import Iterable
from typing import Protocol, cast

NOT_TAKEN = "the message was not taken"

_HTTP = re.compile(r"\berror=([1-5]\d\d)\b")
"""How apprise's plugins tell the status of an answer that is none of success."""

_FAULTS = (
    (
        r"NameResolutionError|getaddrinfo|Name or service not known|name resolution|No address",
        "the name of its host cannot be resolved",
    ),
    (r"CERTIFICATE_VERIFY_FAILED", "its TLS certificate is not one to trust"),
    (r"SSLError|\[SSL", "TLS could not be made"),
    (r"ProxyError", "the proxy did not make the connection"),
    (
        r"SMTPAuthenticationError|\(53[045],",
        "its mail server refused the user or the password",
    ),
    (r"SMTPRecipientsRefused|\(55[013],", "its mail server refused the recipient"),
    (r"Connection refused|Errno 111\b", "its host refused the connection"),
    (r"(?i)timed? ?out", "its host did not answer in time"),
    (r"(?i)unreachable|No route to host", "its host cannot be reached"),
    (r"(?i)connection error|Socket Exception", "the connection to its host failed"),
)
"""What the lines of a failure hold, the more telling first, and what that means."""

_OF_EXCEPTIONS = re.compile(r"\w+ Exception: ")


class _Line(Protocol):
    level: str
    message: str


class _Attempt(Protocol):
    logs: Iterable[_Line]


def failure(result: object) -> str | None:
    """Return why a message was not taken, None if it was, by what `notify` of apprise returned."""
    attempts: list[_Attempt] = []
    if isinstance(result, Iterable):
        services = cast("Iterable[Iterable[_Attempt]]", result)
        attempts = [attempt for service in services for attempt in service]
    # An address may end in `optional=yes`: apprise calls what failed there a success.
    if result and all(attempts[-1:]):
        return None
    lines = [line for attempt in attempts for line in attempt.logs]
    told = "\n".join(line.message for line in lines if _tells_why(line))
    return _why(told) or NOT_TAKEN


def _tells_why(line: _Line) -> bool:
    # The other details hold the message itself, and what the receiver has said to it.
    return line.level != "DEBUG" or _OF_EXCEPTIONS.match(line.message) is not None


def _why(told: str) -> str | None:
    status = _HTTP.search(told)
    if status:
        return f"its host answered HTTP {status[1]}"
    return next((meaning for sign, meaning in _FAULTS if re.search(sign, told)), None)
