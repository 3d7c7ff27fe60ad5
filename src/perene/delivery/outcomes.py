"""What became of a message, in our own words: apprise's lines name addresses, and are not shown."""

import re
from collections.abc import Iterable
from typing import Protocol, cast

from perene.supervisor.alerts.tellings import NotTold, ToldInPart

NOT_TAKEN = "the message was not taken"

_HTTP = re.compile(r"\berror=([1-5]\d\d)\b")
"""How apprise's plugins tell the status of an answer that is none of success."""

_SMTP = re.compile(r"\(([2-5]\d\d), b|was refused: ([45]\d\d) ")
"""How `smtplib`, and apprise's e-mail after it, tell the code of a mail server's refusal."""

_REFUSALS = (
    (r"\(53[45], ", "its mail server refused the user or the password"),
    (r"\(530, ", "its mail server wants TLS, or a user and a password"),
    (r"\(4\d\d, b|was refused: 4", "its mail server takes no mail for now"),
    (r"['\"]: \(\d{3}, b|was refused: ", "its mail server refused the recipient"),
    (r"\(\d{3}, b.*, '", "its mail server refused the sender"),
    (r"\(\d{3}, b", "its mail server refused the message"),
)
"""What the line of a mail server's refusal holds, the more telling first, and what that means."""

_FAULTS = (
    (
        r"NameResolutionError|getaddrinfo|Name or service not known|name resolution|No address",
        "the name of its host cannot be resolved",
    ),
    (r"CERTIFICATE_VERIFY_FAILED", "its TLS certificate is not one to trust"),
    (r"SSLError|\[SSL", "TLS could not be made"),
    (r"ProxyError", "the proxy did not make the connection"),
    (r"AUTH extension not supported", "its mail server takes no password, or none without TLS"),
    (r"Connection refused|Errno 111\b", "its host refused the connection"),
    (r"(?i)timed? ?out", "its host did not answer in time"),
    (r"(?i)unreachable|No route to host", "its host cannot be reached"),
    (r"(?i)connection error|Socket Exception", "the connection to its host failed"),
)
"""The same of what never got so far as an answer."""

_OF_EXCEPTIONS = re.compile(r"\w+ Exception: ")

_TO_SOME = re.compile(r"Sent |SMTP recipient .* was refused: ")
"""What is logged for each recipient that took a message; or for one that did not beside others."""


class _Line(Protocol):
    level: str
    message: str


class _Attempt(Protocol):
    logs: Iterable[_Line]


def failure(result: object) -> NotTold | None:
    """Return why a message was not taken, None if it was, by what `notify` of apprise returned.

    Of an address that names several recipients it is ToldInPart if any of them took it.
    """
    attempts: list[_Attempt] = []
    if isinstance(result, Iterable):
        services = cast("Iterable[Iterable[_Attempt]]", result)
        attempts = [attempt for service in services for attempt in service]
    # An address may end in `optional=yes`: apprise calls what failed there a success.
    if result and all(attempts[-1:]):
        return None
    lines = [line for attempt in attempts for line in attempt.logs]
    why = _why([line.message for line in lines if _tells_why(line)])
    if any(line.level != "DEBUG" and _TO_SOME.match(line.message) for line in lines):
        return ToldInPart(f"not all of its recipients took it: {why}")
    return NotTold(why)


def _tells_why(line: _Line) -> bool:
    # The other details hold the message itself, and what the receiver has said to it.
    return line.level != "DEBUG" or _OF_EXCEPTIONS.match(line.message) is not None


def _why(lines: list[str]) -> str:
    told = "\n".join(lines)
    if http := _HTTP.search(told):
        return f"its host answered HTTP {http[1]}"
    if smtp := _SMTP.search(told):
        return f"{_meaning(told, _REFUSALS)} (SMTP {smtp[1] or smtp[2]})"
    return _meaning(told, _FAULTS)


def _meaning(told: str, signs: Iterable[tuple[str, str]]) -> str:
    return next((meaning for sign, meaning in signs if re.search(sign, told)), NOT_TAKEN)
